"""Query strategies: which texts of the pool are most worth labelling next. Scores: higher = more worth labelling."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from alloop.errors import ConfigError
from alloop.records import Kind
from alloop.registry import Registry


@dataclass(frozen=True)
class Labelled:
    """The texts that have labels. y (M, C), one where the text has the label; arrays as in Pool, None if M is 0.

    frozen (M, D): embeddings of the bare base, which has learnt no label. asked_in (M,): the number of the round that
    asked about the text, 0 where its label came with the data; at_random (M,): whether it was drawn uniformly.
    """

    ids: Sequence[str]
    y: np.ndarray
    embeddings: np.ndarray | None = None
    probs: np.ndarray | None = None
    frozen: np.ndarray | None = None
    asked_in: np.ndarray | None = None
    at_random: np.ndarray | None = None


@dataclass(frozen=True)
class Pool:
    """The texts a strategy may pick from, sorted by id, with what the strategy's `needs` asked for.

    ids (N,); texts (N,); probs (N, C): rows sum to 1 for `kind` "single", independent for "multi"; samples (T, N, C);
    members (E, N, C); embeddings (N, D); label_embeddings (C, D) of the labels' names, if asked for as
    "labels.embeddings". Arrays may be memory-mapped and must not be written to.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    kind: Kind = "single"
    probs: np.ndarray | None = None
    samples: np.ndarray | None = None
    members: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    labelled: Labelled | None = None
    label_embeddings: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, rows: np.ndarray) -> "Pool":
        """The pool of some of the texts, with the same labelled ones."""
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            texts=[self.texts[row] for row in rows],
            probs=None if self.probs is None else self.probs[rows],
            samples=None if self.samples is None else self.samples[:, rows],
            members=None if self.members is None else self.members[:, rows],
            embeddings=None if self.embeddings is None else self.embeddings[rows],
        )


@dataclass(frozen=True)
class Picks:
    """index (n,) into the pool, best first, each at most once; score (n,), finite, higher = more worth labelling.

    `note` goes on after "They were picked", where a strategy decides anew each time how. `at_random` says that they
    were drawn uniformly from the pool, so that the model can be judged by them.
    """

    index: np.ndarray
    score: np.ndarray
    note: str = ""
    at_random: bool = False


class Strategy(Protocol):
    """Picks n texts of a pool.

    `needs` names the fields of Pool it reads, and "labelled.embeddings", "labelled.probs" or "labelled.frozen" where it
    reads those of the texts that have labels too, "labels.embeddings" for those of the labels' names and descriptions:
    what is predicted is what a strategy asks for. Mostly a class variable; a property where it depends on an option. A
    class variable `uses` names what it reads where the tuner gives it, and does without elsewhere. One that needs
    `members` may have an option of that name: how many models are trained for it. One that is not for every kind of
    task has a class variable `kinds: ClassVar[tuple[Kind, ...]]`, and calls `refuse_other_kinds` first. One that scores
    each text whatever else is in the batch may say so in a class variable `scores_each: ClassVar[bool] = True`: then
    batches can be drawn by its scores (`round.batch_mode`).
    """

    @property
    def needs(self) -> tuple[str, ...]: ...

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        """The n best texts, 1 <= n <= N; equal for equal arguments and an equal state of `rng`."""
        ...


def refuse_other_kinds(name: str, strategy: Strategy, kind: Kind) -> None:
    """Raise ConfigError for a kind of task that the strategy is not for."""
    kinds = getattr(strategy, "kinds", ("single", "multi"))
    if kind not in kinds:
        words = {"single": "one label per text", "multi": "several labels per text"}
        raise ConfigError(
            f"the strategy {name!r} is for tasks of {words[kinds[0]]}, and this one has {words[kind]}",
            'set round.strategy = "margin"',
        )


def refuse_cold_start(name: str, strategy: Strategy, kind: Kind) -> None:
    """Raise ConfigError, naming those that can, for a strategy that cannot pick before there is a model."""
    if needs := _needed_of_model(strategy):
        raise ConfigError(
            f"{name!r} cannot pick before there is a model: it needs {', '.join(needs)}",
            f"set round.cold_start to one that can: {', '.join(one for one in _cold_starts(kind) if one != name)}",
        )


def _needed_of_model(strategy: Strategy) -> list[str]:
    """What only a trained model says."""
    return [need for need in strategy.needs if need.rpartition(".")[2] != "embeddings"]


def _cold_starts(kind: Kind) -> Iterator[str]:
    """The strategies that, with their defaults, can pick before there is a model."""
    for name in strategies.names():
        try:
            strategy = strategies.build(name)
        except Exception:  # whatever a third party's module raises when it is imported: `alloop doctor` tells of it
            continue
        if kind in getattr(strategy, "kinds", (kind,)) and not _needed_of_model(strategy):
            yield name


def needed(strategy: Strategy, gives: Sequence[str]) -> tuple[str, ...]:
    """What a strategy needs, and what else it uses of what a tuner gives."""
    uses: tuple[str, ...] = getattr(strategy, "uses", ())
    return (*strategy.needs, *(use for use in uses if _field(use) in gives))


def _field(need: str) -> str:
    """The field of a tuner's predictions that a need is about."""
    name = need.removeprefix("labelled.")
    return "embeddings" if name == "frozen" else name


def needed_of_pool(needs: Sequence[str]) -> tuple[str, ...]:
    """What must be predicted of the pool's texts."""
    return tuple(name for name in needs if "." not in name)


def needed_of_labelled(needs: Sequence[str]) -> tuple[str, ...]:
    """What must be predicted of the texts that have labels."""
    return tuple(name.removeprefix("labelled.") for name in needs if name.startswith("labelled."))


strategies: Registry[Strategy] = Registry("strategies", "alloop.strategies")
