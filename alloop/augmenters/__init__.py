"""Augmenters: variants of a labelled text that inherit its labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from alloop.records import Kind
from alloop.registry import Registry


class Augmenter(Protocol):
    """Makes variants. All its randomness comes from `rng`, whatever the library underneath uses.

    The variants of a text are the same in any process: a copy (by pickle) makes them too. An augmenter of which there
    must be only one, since it keeps a model in memory or talks to a server, says so in a class variable: `one_process =
    True`. One whose variants are written for the labels of a text, and are wrong for others, has a true `reads_labels`.
    """

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        """At most n different variants of each text, never the text itself; fewer where none can be found."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """What some augmenters have to know besides the text.

    labels: text -> its labels, of every labelled text that may be learnt from. descriptions: label -> what it means,
    where that is known. pool: reads the texts without a label, test texts left out. directory: where an augmenter may
    keep what is dear, which stays.
    """

    kind: Kind
    labels: Mapping[str, tuple[str, ...]]
    pool: Callable[[], Sequence[str]]
    directory: Path
    descriptions: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Prepares(Protocol):
    """An augmenter that has to know more than texts: it is asked once, before it is called."""

    def prepared(self, around: Surroundings) -> Augmenter:
        """The same, knowing that."""
        ...


@runtime_checkable
class Spends(Protocol):
    """An augmenter that costs money, or whatever else is counted: its sums reach the round's result and the report."""

    def spent(self, directory: Path) -> dict[str, Any]:
        """What it has cost in the project's life, from what it kept in `Surroundings.directory`; JSON has to hold it.

        Sums: requests, tokens_in, tokens_out, cost. stopped: why it asks for no more, None where nothing stops it. The
        same after a kill as without one: a round that was resumed says what an undisturbed one says.
        """
        ...


augmenters: Registry[Augmenter] = Registry("augmenters", "alloop.augmenters")
