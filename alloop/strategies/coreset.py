"""Texts that leave no text of the pool far from a labelled one."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import labelled_unit_rows, parts, squared_distances, unit_rows

FARTHEST = 2.0  # apart that two points on the unit sphere can be


@dataclass(frozen=True)
class Coreset:
    """Again and again the text farthest from every labelled and picked one: greedy k-centre (Sener & Savarese 2018).

    The score is the Euclidean distance of unit-length embeddings to the nearest labelled or picked text, 0 to 2.
    Without any label the first pick is the text nearest to the mean of the pool, with a score of 2, so it also serves
    as a cold start. It looks for what is unlike everything else, and so finds outliers too. The labels play no part:
    one per text or several are the same to it.
    """

    needs: ClassVar[tuple[str, ...]] = ("embeddings", "labelled.embeddings")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        x, seen = unit_rows(pool), labelled_unit_rows(pool)  # (N, D), (M, D)
        nearest = np.full(len(x), FARTHEST**2, np.float32)  # (N,) squared distance to the nearest centre so far
        for part in parts(len(x), len(seen)):
            if len(seen):
                nearest[part] = squared_distances(x[part], seen).min(1)
        length = (x**2).sum(1)  # (N,) 1, but for a text without a word
        index = np.empty(n, np.int64)
        score = np.empty(n)
        for turn in range(n):
            first = turn == 0 and not len(seen)
            row = int(squared_distances(x, x.mean(0, keepdims=True)).argmin() if first else nearest.argmax())
            index[turn], score[turn] = row, nearest[row]
            np.minimum(nearest, np.maximum(length + length[row] - 2 * (x @ x[row]), 0), out=nearest)
            nearest[index[: turn + 1]] = -1  # none twice, not even where all that is left lies on a centre
        return Picks(index, np.sqrt(score))


plugin = Coreset
