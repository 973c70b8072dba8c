"""How far annotators agree with themselves: hidden repeats, asked again blind some rounds after the first answer.

Who says the same twice may still be wrong both times; who does not is wrong at least once. Other people's agreement
cannot be above that by much: where it is low, the labels or their descriptions are to be sharpened, not the people.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from alloop.anchoring import wilson
from alloop.store import Store


def self_agreement(store: Store, rename: Mapping[str, str]) -> dict[str, Any] | None:
    """The share of repeats with the same labels, of everybody together and of each; None before there are any.

    {"value", "low", "high", "n", "annotators": [{"annotator", "value", "low", "high", "n"}]}, with Wilson's 95 %
    intervals, those with the most repeats first. Names are as they are stored: whoever passes them on replaces them.
    """
    same: dict[str, list[bool]] = {}
    for who, first, again in store.repeats():
        today, then = ({rename.get(label, label) for label in labels} for labels in (again, first))
        same.setdefault(who, []).append(today == then)
    if not same:
        return None
    people = sorted(same, key=lambda who: (-len(same[who]), who))
    return {
        **_share([one for who in people for one in same[who]]),
        "annotators": [{"annotator": who, **_share(same[who])} for who in people],
    }


def _share(same: Sequence[bool]) -> dict[str, Any]:
    value = sum(same) / len(same)
    low, high = wilson(value, len(same))
    return {"value": value, "low": low, "high": high, "n": len(same)}


def self_agreement_words(found: Mapping[str, Any]) -> str:
    """In a line: "Asked again without knowing it, annotators say the same in 0.85 (0.70–0.93) of 40 answers"."""
    answers = "answer" if found["n"] == 1 else "answers"
    share = f"{found['value']:.2f} ({found['low']:.2f}–{found['high']:.2f})"
    return f"Asked again without knowing it, annotators say the same in {share} of {found['n']:,} {answers}."
