"""Texts the model is unsure of, each unsure in its own way."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import in_turn, parts
from alloop.strategies._uncertainty import checked_probs
from alloop.strategies.margin import unsure


@dataclass(frozen=True)
class Falcun:
    """Drawn one after another by how unsure the model is and how unlike the picks: FALCUN (Gilhuber et al. 2024).

    A text's chance is (u + d)^gamma: u is one minus its margin, for several labels that of the closest; d starts as u
    and is then the smallest L1 distance of its probabilities to those of a pick, brought to 0 to 1 over the texts that
    are left. Looks at no embedding, so it is quick. The scores only tell the order: they fall evenly from 1. As in the
    authors' code d keeps its scale from pick to pick; scikit-activeml compares new distances with a d that it has
    brought to 0 to 1 already, which is another scale.
    """

    needs: ClassVar[tuple[str, ...]] = ("probs",)

    gamma: float = 10.0

    def __post_init__(self) -> None:
        if self.gamma < 0:
            raise ValueError(f"gamma = {self.gamma} is negative")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        probs = checked_probs(pool)  # (N, C)
        u = unsure(pool)  # (N,)
        d = u.copy()
        left = np.ones(len(u), bool)
        index = np.empty(n, np.int64)
        for turn in range(n):
            rows = np.flatnonzero(left)
            worth = u[rows] + _from_0_to_1(d[rows])
            worth = (worth / max(worth.max(), 1e-12)) ** self.gamma  # divided first: a power of small numbers is 0
            chance = worth / worth.sum() if worth.sum() > 0 else None
            row = int(rng.choice(rows, p=chance))
            index[turn] = row
            left[row] = False
            for part in parts(*probs.shape):
                d[part] = np.minimum(d[part], np.abs(probs[part] - probs[row]).sum(1))
        return in_turn(index)


plugin = Falcun


def _from_0_to_1(d: np.ndarray) -> np.ndarray:
    """All 0 where they are all alike."""
    span = d.max() - d.min()
    return np.asarray((d - d.min()) / span if span > 0 else np.zeros_like(d))
