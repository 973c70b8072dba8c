"""The strategy that every other one has to beat."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool


@dataclass(frozen=True)
class Random:
    """Texts drawn uniformly, each with the same chance. Needs no model, so it also serves as a cold start.

    No text is more worth labelling than another: every score is 0.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        return Picks(rng.choice(len(pool), n, replace=False), np.zeros(n), at_random=True)


plugin = Random
