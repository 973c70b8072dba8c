"""Do annotators follow the model because it is right, or because they saw what it said?

Part of the picks show the model's suggestion, drawn at random, the rest hide it. If people agree with it more often
where they saw it, the difference is what seeing it did to them. Test and random texts never show it and are not like
picks, which are those the model doubts: they are left out.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from alloop.records import Kind
from alloop.store import JudgedPick, Store

Z = 1.959964  # 95 %


def anchoring(store: Store, kind: Kind, rename: Mapping[str, str]) -> dict[str, Any] | None:
    """How often answers agree with the model where it was "shown" and "hidden", and the "difference"; None if never.

    "n" counts answers, "texts" their texts. Intervals count texts: several answers to one text are not independent,
    so that with several annotators they are rather too wide. Only rounds that both showed and hid suggestions are
    compared, as models of different rounds are right differently often; without such a round "hidden" is None.
    """
    judged = store.judged_picks()
    if not any(one.is_shown for one in judged):
        return None
    both = {one.round for one in judged if one.is_shown} & {one.round for one in judged if not one.is_shown}
    compared = [one for one in judged if not both or one.round in both]
    shown = _agreement([one for one in compared if one.is_shown], kind, rename)
    hidden = _agreement([one for one in compared if not one.is_shown], kind, rename) if both else None
    return {"shown": shown, "hidden": hidden, "difference": hidden and _difference(shown, hidden)}


def _agreement(answers: Sequence[JudgedPick], kind: Kind, rename: Mapping[str, str]) -> dict[str, Any]:
    agreed = sum(_agrees(one, kind, rename) for one in answers)
    texts = len({one.text_id for one in answers})
    value = agreed / len(answers)
    low, high = wilson(value, texts)
    return {"value": value, "low": low, "high": high, "n": len(answers), "texts": texts}


def _agrees(one: JudgedPick, kind: Kind, rename: Mapping[str, str]) -> bool:
    """The likeliest label is the answer; for multi-label tasks exactly the labels with p >= 0.5 are."""
    if kind == "single":
        said = {max(one.predicted, key=one.predicted.__getitem__)}
    else:
        said = {name for name, p in one.predicted.items() if p >= 0.5}
    return {rename.get(name, name) for name in said} == {rename.get(name, name) for name in one.labels}


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share of n (Wilson 1927)."""
    middle = share + Z**2 / (2 * n)
    half = Z * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    below = 1 + Z**2 / n
    return max(0.0, (middle - half) / below), min(1.0, (middle + half) / below)


def _difference(shown: Mapping[str, Any], hidden: Mapping[str, Any]) -> dict[str, float]:
    """With its 95 % interval made of the two score intervals (Newcombe 1998, method 10)."""
    value = shown["value"] - hidden["value"]
    down = sqrt((shown["value"] - shown["low"]) ** 2 + (hidden["high"] - hidden["value"]) ** 2)
    up = sqrt((shown["high"] - shown["value"]) ** 2 + (hidden["value"] - hidden["low"]) ** 2)
    return {"value": value, "low": value - down, "high": value + up}


def anchoring_words(found: Mapping[str, Any]) -> str:
    """In a sentence or two."""
    words = f"Annotators agree with a suggestion they see in {_share(found['shown'])} of {_n(found['shown'])}"
    if found["hidden"] is None:
        return f"{words}. To know what seeing it does to them, set suggest = 0.5 in [annotate]."
    difference = found["difference"]
    words += f", with one they do not see in {_share(found['hidden'])} of {_n(found['hidden'])}"
    interval = f"{difference['low']:+.2f} to {difference['high']:+.2f}"
    return f"{words}: a difference of {difference['value']:+.2f} ({interval}). Picks only."


def _share(one: Mapping[str, Any]) -> str:
    return f"{one['value']:.2f} ({one['low']:.2f}–{one['high']:.2f})"


def _n(one: Mapping[str, Any]) -> str:
    return f"{one['n']:,} answer{'s' if one['n'] != 1 else ''}"
