"""Stopping rules: whether what the rounds measured so far says that more labels buy little. Advice, with its evidence.

A rule sees numbers only, so that it can be asked of any round that ever was. What it calls kappa, change, delta_f and
uncertainty is of one fixed random sample of the pool, the stop set, which every model predicts: a sample that a
strategy picked would mislead (Kurlandski & Bloodgood 2022). Of a small pool it is most or all, and more and more of it
is learnt from, which lifts agreement and lowers uncertainty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from alloop.metrics import Metric
from alloop.registry import Registry


@dataclass(frozen=True)
class Seen:
    """What a round had cost by then, and measured: split -> name -> metric.

    The splits are "stop" (this model beside the one before, on the stop set: kappa, change, delta_f, uncertainty),
    "batch" (the model that picked, on the picks since labelled: accuracy, or f1_micro for several labels per text),
    "test" and "audit". A metric that could not be measured is not there.
    """

    round: int
    labels: int  # paid for
    seconds: float  # of annotators, as far as they are known
    metrics: Mapping[str, Mapping[str, Metric]]


@dataclass(frozen=True)
class Advice:
    """Whether to stop, and on what grounds, in words that name the limit: "mean kappa 0.993 of the last 3 rounds"."""

    stop: bool
    evidence: str


class StoppingRule(Protocol):
    """A frozen dataclass whose fields are its options."""

    def __call__(self, history: Sequence[Seen]) -> Advice:
        """Of the rounds with a model, oldest first, each with other labels than the one before. Never fails.

        Does not stop where what it looks at was not measured, as with no rounds at all.
        """
        ...


def recent(history: Sequence[Seen], split: str, names: Sequence[str], rounds: int) -> list[Metric]:
    """The first of these metrics that there is, of each of the last rounds; nothing if one of them has none."""
    found = []
    for seen in history[-rounds:]:
        found += [seen.metrics[split][name] for name in names if name in seen.metrics.get(split, {})][:1]
    return found if len(found) == rounds else []


def unmeasured(what: str, rounds: int) -> Advice:
    """What a rule says that has not seen enough."""
    return Advice(
        False, f"{what} is not measured yet" if rounds == 1 else f"{what} is not measured in {rounds} rounds yet"
    )


def check_share(**options: float) -> None:
    """Raise ValueError for an option that is not between 0 and 1."""
    for name, value in options.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} = {value:g} is not between 0 and 1")


def check_rounds(rounds: int, least: int = 1) -> None:
    """Raise ValueError for fewer rounds than a rule can look at."""
    if rounds < least:
        raise ValueError(f"rounds = {rounds} is less than {least}")


stopping: Registry[StoppingRule] = Registry("stopping", "alloop.stopping")
