"""What augmentation did for a project: the gate's decisions with their evidence, and what became of the variants."""

from collections.abc import Mapping, Sequence
from typing import Any

from alloop.store import Store

Verdict = Mapping[str, Any]  # {"augmenter", "on", "round", "labels", "value", "low", "high", "variants", "why"}


def augmentation(store: Store) -> dict[str, Any] | None:
    """None where there are no variants and nothing was decided, else JSON.

    "now" has the verdicts that the last round trained by: {"augmenter", "on", "round" and "labels" of the decision,
    "value", "low", "high", "variants", "why"}. The gain is in the headline metric, 0.01 being a point, and None where
    "why" says something else. "decisions" are those that were computed, with "gate" (judged by what) and "seconds".
    "variants" is augmenter -> {"accepted", "rejected": {reason: n}}, whatever options they were made with.
    """
    now: list[Any] = []
    for row in reversed(store.rounds()):
        done = store.step_results(row.number).get("augment")
        if done is not None:
            now = done.get("gate", [])
            break
    decisions = [
        {**job.config, **job.result, "seconds": job.seconds} for job in store.jobs("gate") if job.result is not None
    ]
    counts = store.variant_fates()
    if not (now or decisions or counts):
        return None
    return {
        "now": now,
        "decisions": [{name: value for name, value in one.items() if name != "key"} for one in decisions],
        "variants": {
            augmenter: {"accepted": fates.pop("", 0), "rejected": fates} for augmenter, fates in counts.items()
        },
    }


def verdict_words(verdict: Verdict, number: int) -> str:
    """What a round says of an augmenter: "augmentation on (swap-words): +1.9 points (+0.3 to +3.5)"."""
    state = f"augmentation {'on' if verdict['on'] else 'off'} ({verdict['augmenter']})"
    since = f", as of round {verdict['round']}" if verdict["round"] != number else ""
    return f"{state}: {verdict['why'] or gain_words(verdict)}{since}"


def gain_words(verdict: Verdict) -> str:
    """A gain with its 80 % interval: "−0.8 points (−2.1 to +0.4)"."""
    value, low, high = (f"{100 * verdict[name]:+.1f}".replace("-", "−") for name in ("value", "low", "high"))
    return f"{value} points ({low} to {high})"


def verdicts_words(verdicts: Sequence[Verdict], number: int) -> str:
    """What a round of this number says of its augmenters, a sentence each."""
    said = [verdict_words(one, number) for one in verdicts]
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in said)


DECISIONS = ("round", "augmenter", "labels", "decision", "gain (80 % interval)", "seconds")


def decision_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The cells of DECISIONS: what was computed, then what holds for another reason."""
    rows: list[tuple[str, ...]] = [
        (
            str(one["round"]),
            one["augmenter"],
            f"{one['labels']:,}",
            "on" if one["on"] else "off",
            gain_words(one),
            f"{one['seconds']:.1f}",
        )
        for one in found["decisions"]
    ]
    for one in found["now"]:
        if one["why"]:
            state = "on" if one["on"] else "off"
            rows.append((str(one["round"]), one["augmenter"], f"{one['labels']:,}", state, one["why"], "–"))
    return rows


VARIANTS = ("augmenter", "variants", "accepted", "rejected")


def variant_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The cells of VARIANTS, the most frequent reason first."""
    rows: list[tuple[str, ...]] = []
    for augmenter, fates in found["variants"].items():
        rejected = sorted(fates["rejected"].items(), key=lambda item: -item[1])
        total = fates["accepted"] + sum(fates["rejected"].values())
        why = ", ".join(f"{n:,} {reason}" for reason, n in rejected) or "none"
        rows.append((augmenter, f"{total:,}", f"{fates['accepted']:,}", why))
    return rows
