"""Doubtful texts unlike those that have labels, and unlike each other."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._vectors import distances, in_order, labelled_vectors, vectors
from alloop.strategies.least_confidence import doubts


@dataclass(frozen=True)
class RankedBatch:
    """Picks one after another, each unlike what is labelled or picked already (Cardoso et al. 2017).

    modAL's `ranked_batch`: the score is a (1 - s) + (1 - a) u with s = 1 / (1 + distance to the nearest labelled or
    picked text), u the score of `least-confidence` and a the share of texts without a label. With few labels that is
    nearly 1, so that the first rounds spread out and doubt comes to count later. Without embeddings of labelled texts
    the first pick is the text nearest to the mean. Scores are those at the time of the pick, cut where one would rise.
    """

    needs: ClassVar[tuple[str, ...]] = ("probs", "embeddings")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        x, seen, doubt = vectors(pool), labelled_vectors(pool), doubts(pool)
        index: list[int] = []
        score: list[float] = []
        if len(seen):
            nearest = np.concatenate([distance.min(1) for _, distance in distances(x, seen)])  # (N,)
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
        return in_order(index, score)


plugin = RankedBatch


def _distance(x: np.ndarray, row: int) -> np.ndarray:
    """Distance (N,) of every text to one of them."""
    return np.concatenate([distance[:, 0] for _, distance in distances(x, x[row : row + 1])])


def _middle(x: np.ndarray) -> int:
    """The text nearest to the mean, which minimises the mean squared distance to all the others."""
    return int(((x - x.mean(0)) ** 2).sum(1).argmin())
