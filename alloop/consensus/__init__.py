"""Consensus rules: one label set per text from what several annotators said."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from alloop.records import Kind
from alloop.registry import Registry

Votes = Mapping[str, Sequence[tuple[str, tuple[str, ...]]]]


class Consensus(Protocol):
    """Turns votes, text id -> (annotator, labels) in the order they came, into labels with a confidence in 0-1."""

    def __call__(self, votes: Votes, kind: Kind, labels: Sequence[str]) -> dict[str, tuple[tuple[str, ...], float]]:
        """text id -> (labels, confidence), for every text that has a vote."""
        ...


consensus_rules: Registry[Consensus] = Registry("consensus", "alloop.consensus")
