"""Texts that would change the model much, each in a direction of its own."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import rows
from alloop.strategies._uncertainty import checked_probs


@dataclass(frozen=True)
class Badge:
    """k-means++ on the gradients of the last layer, as if the likeliest label were right: BADGE (Ash et al. 2020).

    The gradient is (p - e) times the embedding h, with e one for the likeliest label; for several labels e is one for
    each with p >= 0.5, and the labels' one-vs-rest gradients lie side by side. The first pick has the longest, as in
    the authors' code; each next is drawn by its squared distance to the nearest one picked. The score is the mean of
    that over the pool before the pick, which the first shares with the second. Distances come from (p - e) and h,
    whose product is never made. As in the authors' code, distances are to picks alone: scikit-activeml's are to the
    origin as well, as if a text without a gradient had been picked. small-text's gradient is -p times h, which is the
    longest where the model is sure.
    """

    needs: ClassVar[tuple[str, ...]] = ("embeddings", "probs")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        h = rows(pool.embeddings, pool.ids)  # (N, D)
        a = checked_probs(pool)  # (N, C), to become p - e
        if pool.kind == "multi":
            a -= a >= 0.5
        else:
            a[np.arange(len(a)), a.argmax(1)] -= 1
        length = (a**2).sum(1, dtype=np.float64) * (h**2).sum(1, dtype=np.float64)  # (N,) squared, of the gradients
        nearest = np.full(len(h), np.inf)  # (N,) squared distance to the nearest picked gradient
        index = np.empty(n, np.int64)
        left = np.empty(n)  # mean of `nearest` after each pick
        row = int(length.argmax())
        for turn in range(n):
            index[turn] = row
            product = (a @ a[row]).astype(np.float64) * (h @ h[row])
            np.minimum(nearest, np.maximum(length + length[row] - 2 * product, 0), out=nearest)
            nearest[index[: turn + 1]] = 0
            left[turn] = nearest.mean()
            if turn + 1 < n:
                row = _drawn(nearest, index[: turn + 1], rng)
        return Picks(index, np.append(left[:1], left[:-1]))


plugin = Badge


def _drawn(weight: np.ndarray, picked: np.ndarray, rng: np.random.Generator) -> int:
    """A row drawn by its weight; any that was not picked where all weights are 0."""
    upto = np.cumsum(weight)
    if upto[-1] > 0:
        row = int(np.searchsorted(upto, rng.random() * upto[-1], side="right"))
        return min(row, int(np.flatnonzero(weight)[-1]))
    return int(rng.choice(np.setdiff1d(np.arange(len(weight)), picked)))
