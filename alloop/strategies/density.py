"""Doubtful texts that many others are like."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import parts, squared_distances, unit_rows
from alloop.strategies._uncertainty import best
from alloop.strategies.entropy import entropies

MOST = 2_000  # texts that stand for the pool; their mean is off by a fortieth of the spread at most


@dataclass(frozen=True)
class Density:
    """Entropy times the density around the text, so that no outlier is picked (Settles & Craven 2008).

    Density is modAL's `information_density`: the mean of 1 / (1 + distance) over the pool, by Euclidean distance of
    unit-length embeddings; above 2,000 texts, over 2,000 of them drawn at random. Score: entropy * density ** beta.

    beta: how much density counts; 0 leaves entropy alone.
    """

    beta: float = 1.0

    needs: ClassVar[tuple[str, ...]] = ("probs", "embeddings")
    scores_each: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.beta < np.inf:
            raise ValueError("beta must not be below 0")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        x = unit_rows(pool)
        some = x if len(x) <= MOST else x[np.sort(rng.choice(len(x), MOST, replace=False))]
        density = np.empty(len(x))
        for part in parts(len(x), len(some)):
            density[part] = (1 / (1 + np.sqrt(squared_distances(x[part], some)))).mean(1)
        return best(entropies(pool) * density**self.beta, n, rng)


plugin = Density
