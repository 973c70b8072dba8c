"""The label that most annotators gave."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.consensus import Decided, Votes
from alloop.records import Kind


@dataclass(frozen=True)
class Majority:
    """The label most annotators gave; confidence is their share. A tie goes to the label that was given first.

    For several labels per text, each label counts by itself: it stands when more than half gave it, and the
    confidence is the smallest share of agreement over the labels. Take it where a text has one answer or two, or
    where nobody is known to be better than others.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(
        self, votes: Votes, kind: Kind, labels: Sequence[str], probs: Mapping[str, np.ndarray] | None = None
    ) -> Decided:
        decide = _most_given if kind == "single" else _each_by_itself
        return {text_id: decide([labels for _, labels in said], labels) for text_id, said in votes.items()}


def _most_given(said: list[tuple[str, ...]], labels: Sequence[str]) -> tuple[tuple[str, ...], float]:
    winner, count = Counter(said).most_common(1)[0]  # equal counts stay in the order in which they came
    return winner, count / len(said)


def _each_by_itself(said: list[tuple[str, ...]], labels: Sequence[str]) -> tuple[tuple[str, ...], float]:
    counts = {label: sum(label in one for one in said) for label in labels}
    standing = tuple(label for label, count in counts.items() if 2 * count > len(said))
    return standing, min(max(count, len(said) - count) for count in counts.values()) / len(said)


plugin = Majority
