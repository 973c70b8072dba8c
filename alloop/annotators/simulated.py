"""A stand-in for people that knows the true labels, so that whole loops can run unattended."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from alloop.annotators import Desk, Pulled
from alloop.errors import ConfigError, DataError
from alloop.files import append_lines, read_lines
from alloop.records import Annotation, Task
from alloop.seeds import rng_for

ANSWERS = "simulated.jsonl"


@dataclass(frozen=True)
class Simulated:
    """Answers at once with the true labels, or wrongly as often as you say. What it answers to a text depends on
    the project's seed, the text and the annotator, and on nothing else. A second opinion and a review come from the
    annotators who have not answered the text, while there are some; a hidden repeat from those who have, with new
    errors.

    error_rate: share of wrong answers, of all annotators or a list with that of each: another label; with several
    labels, one label too many or too few. skip_rate: share of texts an annotator skips. annotators: how many there are;
    each text is answered by as many of them as `annotators_per_text` asks for. seconds_per_text: what an answer is said
    to have taken.
    """

    error_rate: float | tuple[float, ...] = 0.0
    skip_rate: float = 0.0
    annotators: int = 1
    seconds_per_text: float = 10.0

    def __post_init__(self) -> None:
        if self.annotators < 1 or self.seconds_per_text < 0:
            raise ValueError("annotators must be 1 or more, seconds_per_text 0 or more")
        rates = [self.error_rate] if isinstance(self.error_rate, int | float) else self.error_rate
        for name, value in [*(("error_rate", rate) for rate in rates), ("skip_rate", self.skip_rate)]:
            if not 0 <= value <= 1:
                raise ValueError(f"{name} = {value} must be between 0 and 1")
        if rates is self.error_rate and len(rates) != self.annotators:
            raise ValueError(f"error_rate has {len(rates)} rates, there are {self.annotators} annotators")

    def push(self, tasks: Sequence[Task], desk: Desk) -> dict[str, str]:
        """Answers each task that has no answer yet. Raises DataError where a true label is missing, answering none."""
        if self.annotators < desk.annotators_per_text:
            raise ConfigError(
                f"annotators_per_text is {desk.annotators_per_text}, there are {self.annotators} simulated annotators",
                f"[options.simulated] annotators = {desk.annotators_per_text}",
            )
        path = desk.inbox / ANSWERS
        there = {record["remote_id"] for record in read_lines(path)}
        truth = _truth(tasks, desk)
        answers = [answer for task in tasks for answer in self._answers(task, truth[task.text_id], desk)]
        new = [asdict(answer) for answer in answers if answer.remote_id not in there]
        if new:
            append_lines(path, new)
        return {task.key: task.key for task in tasks}

    def pull(self, since: str, desk: Desk) -> Pulled:
        """Every answer ever given; `since` is not needed, since an answer never changes."""
        return Pulled([_annotation(record) for record in read_lines(desk.inbox / ANSWERS)])

    def _answers(self, task: Task, gold: tuple[str, ...], desk: Desk) -> Iterator[Annotation]:
        asked, ask = desk.annotators_per_text, int(task.key.rpartition(":")[2])
        order = rng_for(desk.seed, 0, f"simulated:{task.text_id}").permutation(self.annotators)
        first = (ask - 1) * asked if task.purpose in ("relabel", "review") else 0
        turns = [order[place % self.annotators] for place in range(first, first + asked)]
        afresh = f":{ask}" if task.purpose == "repeat" else ""
        for number in sorted(int(turn) + 1 for turn in turns):
            rng = rng_for(desk.seed, 0, f"simulated:{task.text_id}:a{number}{afresh}")
            is_skipped, is_wrong = rng.random() < self.skip_rate, rng.random() < self._error_rate_of(number)
            labels = _wrong(gold, desk, rng) if is_wrong else gold
            yield Annotation(
                remote_id=f"{task.key}#a{number}",
                version="1",
                task_key=task.key,
                text_id=task.text_id,
                annotator=f"a{number}",
                state="skipped" if is_skipped else "labelled",
                labels=() if is_skipped else labels,
                seconds=self.seconds_per_text,
                made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            )

    def _error_rate_of(self, number: int) -> float:
        return self.error_rate if isinstance(self.error_rate, int | float) else self.error_rate[number - 1]


plugin = Simulated


def _truth(tasks: Sequence[Task], desk: Desk) -> Mapping[str, tuple[str, ...]]:
    known = desk.gold([task.text_id for task in tasks]) if desk.gold else {}
    unknown = [
        task.text_id
        for task in tasks
        if task.text_id not in known or (desk.kind == "single" and len(known[task.text_id]) != 1)
    ]
    if unknown:
        raise DataError(
            f"the simulated annotator has no true label for {len(unknown)} of {len(tasks)} texts, first {unknown[0]}",
            "give the column that has it: alloop init … --label-column COLUMN",
        )
    return known


def _wrong(gold: tuple[str, ...], desk: Desk, rng: np.random.Generator) -> tuple[str, ...]:
    """Another label, or for a multi-label text one label more or less. The truth where there is no other label."""
    if desk.kind == "single":
        others = [label for label in desk.label_names if label not in gold]
        return (others[rng.integers(len(others))],) if others else gold
    names = list(desk.label_names)
    flipped = names[rng.integers(len(names))]
    return tuple(label for label in names if (label in gold) != (label == flipped))


def _annotation(record: dict[str, Any]) -> Annotation:
    return Annotation(**{**record, "labels": tuple(record["labels"])})
