"""What an audit looks at: the labels that stand today, who gave them and where their texts came from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from alloop.config import Config
from alloop.project import Project
from alloop.similar import LONGEST
from alloop.steps import stand_in
from alloop.steps.pull import agreed, usable_votes
from alloop.store import Resolved

MOST_READ = 200_000  # pool texts that are compared and whose language is guessed
AT_ONCE = 20_000  # texts

Votes = Mapping[str, Sequence[tuple[str, tuple[str, ...]]]]  # text id -> (annotator, labels)
Section = dict[str, Any]  # "n" found, "of" so many looked at, "items" best first, "missing" why nothing can be said


def section(items: Sequence[Mapping[str, Any]], of: int, **more: Any) -> Section:
    """What was found, the most important first."""
    return {"n": len(items), "of": of, "items": list(items), "missing": None, **more}


def missing(why: str) -> Section:
    """Nothing can be said, and why."""
    return {"n": 0, "of": 0, "items": [], "missing": why}


@dataclass(frozen=True)
class Material:
    """A project's labels as they stand, under today's names. `resolved` are the labelled pool texts, in id order."""

    project: Project
    config: Config
    votes: Votes
    resolved: tuple[Resolved, ...]
    texts: tuple[str, ...]
    test: Mapping[str, tuple[str, ...]]

    @cached_property
    def ids(self) -> list[str]:
        return [one.text_id for one in self.resolved]

    @cached_property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """text id -> labels, of the pool's texts and the test texts."""
        return {**self.test, **{one.text_id: one.labels for one in self.resolved}}

    @cached_property
    def y(self) -> np.ndarray:
        """(N, C) ones and zeros, rows as in `resolved`."""
        return as_y(self.config, [one.labels for one in self.resolved])

    @cached_property
    def vectors(self) -> np.ndarray:
        """(N, D) frozen vectors, rows as in `resolved`."""
        return stand_in.vectors(self.project, self.config, self.texts)

    def pool(self) -> Iterator[list[tuple[str, str]]]:
        """(id, beginning of the text) of the pool, AT_ONCE at a time, MOST_READ at most.

        Ids are hashes: the first of them are a random sample.
        """
        ids = islice(self.project.store.pool_ids(), MOST_READ)
        while some := list(islice(ids, AT_ONCE)):
            yield beginnings(self.project, some)

    def about(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """What is known of these texts: {"id", "text", "labels", "annotators", "sources", "round"}, in their order."""
        store = self.project.store
        sources, asked = store.sources(ids), self._asked
        return [
            {
                "id": one.id,
                "text": one.text,
                "labels": None if one.id not in self.labels else list(self.labels[one.id]),
                "annotators": list(dict.fromkeys(who for who, _ in self.votes.get(one.id, ()))),
                "sources": [{"file": file, "row": row, "id": given} for file, row, given in sources.get(one.id, ())],
                "round": asked.get(one.id),
            }
            for one in store.texts(ids)
        ]

    @cached_property
    def _asked(self) -> dict[str, int]:
        """text id -> the last round that picked it."""
        last = self.project.store.last_round()
        asked = {} if last is None else self.project.store.asked_how(last.number + 1)
        return {text_id: number for text_id, (number, _) in asked.items()}


def beginnings(project: Project, ids: Sequence[str]) -> list[tuple[str, str]]:
    """(id, as much of the text as is compared), so that a few texts of many megabytes fill no memory."""
    return [(one.id, one.text[:LONGEST]) for one in project.store.texts(ids)]


def as_y(config: Config, labels: Sequence[Sequence[str]]) -> np.ndarray:
    """(N, C) ones and zeros."""
    names = config.task.names
    return np.array([[name in one for name in names] for one in labels], np.float32).reshape(-1, len(names))


def material(project: Project) -> Material:
    """What the answers that are here today say. Reads only."""
    config, store = project.config, project.store
    task, test_ids = config.task, set(store.test_ids())
    votes, _ = usable_votes(store.answers(), task.names, task.rename, task.kind)
    every, _ = agreed(project, config)
    resolved = tuple(one for one in every if one.text_id not in test_ids)
    if config.evaluate.holdout:
        test = {one.text_id: one.labels for one in every if one.text_id in test_ids}
    else:
        gold = store.test_gold().items()
        today = {one: tuple(task.rename.get(label, label) for label in given) for one, given in gold}
        test = {one: labels for one, labels in today.items() if set(labels) <= set(task.names)}
    texts = tuple(text.text for text in store.texts([one.text_id for one in resolved]))
    return Material(project, config, votes, resolved, texts, test)
