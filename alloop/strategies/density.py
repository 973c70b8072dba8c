"""Doubtful texts that many others are like."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._uncertainty import best
from alloop.strategies._vectors import distances, vectors
from alloop.strategies.entropy import entropies

MOST = 2_000  # texts that stand for the pool; their mean is off by a fortieth of the spread at most


@dataclass(frozen=True)
class Density:
    """Entropy times the density around the text, so that no outlier is picked (Settles & Craven 2008).

    Density is modAL's `information_density`: the mean of 1 / (1 + distance) over the pool, by Euclidean distance of the
    embeddings; above 2,000 texts, over 2,000 of them drawn at random. The score is entropy * density ** beta.

    beta: how much density counts; 0 leaves entropy alone.
    """

    beta: float = 1.0

    needs: ClassVar[tuple[str, ...]] = ("probs", "embeddings")

    def __post_init__(self) -> None:
        if not 0 <= self.beta < np.inf:
            raise ValueError("beta must not be below 0")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        x = vectors(pool)
        some = x if len(x) <= MOST else x[np.sort(rng.choice(len(x), MOST, replace=False))]
        density = np.concatenate([(1 / (1 + distance)).mean(1) for _, distance in distances(x, some)])  # (N,)
        return best(entropies(pool) * density**self.beta, n, rng)


plugin = Density
