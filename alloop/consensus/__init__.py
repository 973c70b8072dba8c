"""Consensus rules: one label set per text from what several annotators said."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from alloop.records import Kind
from alloop.registry import Registry

Votes = Mapping[str, Sequence[tuple[str, tuple[str, ...]]]]
Decided = dict[str, tuple[tuple[str, ...], float]]


class Consensus(Protocol):
    """Turns votes, text id -> (annotator, labels) in the order they came, into labels with a confidence in 0-1.

    A rule that `needs` "probs" is given, for as many of the texts as they are known of, what a model said that had not
    learnt from the text's label: text id -> probabilities (C,). Where no text has two votes every rule takes the votes
    as they are: there is nothing to compare annotators by. One that says so in a class variable `settles` has more to
    go by than votes: to it, evenly split ones are no tie, and the text is learnt from.
    """

    needs: ClassVar[tuple[str, ...]]  # "probs", or nothing

    def __call__(
        self, votes: Votes, kind: Kind, labels: Sequence[str], probs: Mapping[str, np.ndarray] | None = None
    ) -> Decided:
        """text id -> (labels, confidence), for every text that has a vote."""
        ...


@runtime_checkable
class Rates(Protocol):
    """A rule that also says how good it takes each annotator to be."""

    def qualities(
        self, votes: Votes, kind: Kind, labels: Sequence[str], probs: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, float]:
        """annotator -> 0-1, higher is better; nothing where nobody can be compared."""
        ...


def can_compare(votes: Votes) -> bool:
    """Whether any text has two votes; if not, a rule has nothing to weigh annotators by."""
    return any(len(said) > 1 for said in votes.values())


def is_tied(said: Sequence[tuple[str, tuple[str, ...]]], kind: Kind) -> bool:
    """Whether the votes of a text are evenly split, whatever a rule makes of them.

    Another answer was given as often as the most given one; of several labels per text, half gave one of them.
    """
    answers = [labels for _, labels in said]
    if kind == "single":
        counts = sorted((answers.count(one) for one in set(answers)), reverse=True)
        return len(counts) > 1 and counts[0] == counts[1]
    return any(2 * sum(label in one for one in answers) == len(answers) for label in set().union(*answers))


consensus_rules: Registry[Consensus] = Registry("consensus", "alloop.consensus")
