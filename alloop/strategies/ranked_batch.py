"""Doubtful texts unlike those that have labels, and unlike each other."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import labelled_unit_rows, parts, squared_distances, unit_rows
from alloop.strategies.least_confidence import doubts


@dataclass(frozen=True)
class RankedBatch:
    """Picks one after another, each unlike what is labelled or picked already (Cardoso et al. 2017).

    modAL's `ranked_batch`: the score is a (1 - s) + (1 - a) u with s = 1 / (1 + distance to the nearest labelled or
    picked text), u the score of `least-confidence` and a the share of texts without a label. With few labels that is
    nearly 1, so that the first rounds spread out and doubt comes to count later. Without labelled texts
    the first pick is the text nearest to the mean. Scores are those at the time of the pick, cut where one would rise.
    """

    needs: ClassVar[tuple[str, ...]] = ("probs", "embeddings", "labelled.embeddings")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        x, seen, doubt = unit_rows(pool), labelled_unit_rows(pool), doubts(pool)
        index: list[int] = []
        score: list[float] = []
        nearest = np.empty(len(x))  # distance (N,) to the nearest labelled or picked text
        if len(seen):
            for part in parts(len(x), len(seen)):
                nearest[part] = np.sqrt(squared_distances(x[part], seen).min(1))
        else:
            index, score = [_middle(x)], [1.0]
            nearest = _distance(x, index[0])
        taken = np.zeros(len(x), bool)
        taken[index] = True
        total = len(x) + len(seen)
        while len(index) < n:
            share = (len(x) - len(index)) / total
            now = share * (1 - 1 / (1 + nearest)) + (1 - share) * doubt
            now[taken] = -1
            row = int(now.argmax())
            index.append(row)
            score.append(float(now[row]))
            taken[row] = True
            nearest = np.minimum(nearest, _distance(x, row))
        return Picks(np.array(index), np.minimum.accumulate(score))


plugin = RankedBatch


def _distance(x: np.ndarray, row: int) -> np.ndarray:
    """Distance (N,) of every text to one of them."""
    return np.asarray(np.sqrt(squared_distances(x, x[row : row + 1])[:, 0]))


def _middle(x: np.ndarray) -> int:
    """The text nearest to the mean, which minimises the mean squared distance to all the others."""
    return int(squared_distances(x, x.mean(0, keepdims=True)).argmin())
