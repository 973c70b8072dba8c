"""How fast annotators answer, and what is left for them to do at that speed.

Names are shown as they are: this is for whoever runs the project, beside a database that has them. What is passed on,
such as a report, calls annotators a1, a2, …
"""

from collections.abc import Mapping
from typing import Any

from alloop.store import LONGEST_ANSWER_S, Store

RECENT = 50  # answers that tell the present speed: people get quicker
NAMED = 5  # annotators in a line


def pace(store: Store, answers_left: int) -> dict[str, Any] | None:
    """Labels per hour of work, overall and by annotator, and how long `answers_left` will take. None without times.

    An hour of work is one person's, skips included. An answer that took longer than LONGEST_ANSWER_S counts as that,
    as the page stayed open; "capped" says how many did. "left" is judged by the RECENT latest answers.
    """
    timed = [
        (who, is_label, min(seconds, LONGEST_ANSWER_S), seconds > LONGEST_ANSWER_S)
        for who, is_label, seconds in store.timed_answers()
    ]
    if not sum(seconds for _, _, seconds, _ in timed):
        return None
    recent = [seconds for _, _, seconds, _ in timed[-RECENT:]]
    return {
        **_speed([(is_label, seconds) for _, is_label, seconds, _ in timed]),
        "capped": sum(is_capped for _, _, _, is_capped in timed),
        "annotators": [
            {"annotator": name, **_speed([(is_label, seconds) for who, is_label, seconds, _ in timed if who == name])}
            for name in dict.fromkeys(who for who, _, _, _ in timed)
        ],
        "left": {"answers": answers_left, "seconds": answers_left * sum(recent) / len(recent)},
    }


def _speed(answers: list[tuple[bool, float]]) -> dict[str, Any]:
    labels, seconds = sum(is_label for is_label, _ in answers), sum(seconds for _, seconds in answers)
    return {
        "answers": len(answers),
        "labels": labels,
        "seconds": seconds,
        "labels_per_hour": labels * 3600 / seconds if seconds else None,
    }


def pace_words(found: Mapping[str, Any]) -> str:
    """In one line."""
    people = sorted(found["annotators"], key=lambda one: -one["labels"])
    said = [f"{one['annotator']} {_per_hour(one)}" for one in people[:NAMED]]
    said += [f"{len(people) - NAMED} more"] if len(people) > NAMED else []
    who = f" ({', '.join(said)})" if len(people) > 1 else ""
    parts = [f"{_per_hour(found)} labels an hour{who}"]
    if found["capped"]:
        answers = "answer" if found["capped"] == 1 else "answers"
        parts.append(f"{found['capped']:,} {answers} of over {LONGEST_ANSWER_S / 60:.0f} min counted as that")
    left = found["left"]
    if left["answers"]:
        answers = "answer" if left["answers"] == 1 else "answers"
        parts.append(f"{left['answers']:,} {answers} left in the batch, about {_duration(left['seconds'])} of work")
    return "; ".join(parts)


def _per_hour(one: Mapping[str, Any]) -> str:
    return "–" if one["labels_per_hour"] is None else f"{one['labels_per_hour']:,.0f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
