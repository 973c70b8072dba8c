"""The most typical text of each part of the pool that no label stands for yet."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import clusters, labelled_unit_rows, squared_distances, unit_rows

NEIGHBOURS = 20
SMALLEST = 5  # texts: a cluster that is not larger comes after all others
MOST_CLUSTERS = 500
MEASURED = 4_096  # texts of a cluster, at most, of which the typicality is found


@dataclass(frozen=True)
class TypiClust:
    """From the largest clusters without a label the text nearest to its 20 neighbours (Hacohen et al. 2022).

    There are as many clusters as there will be labels, 500 at most, by k-means on the unit-length embeddings of pool
    and labelled texts, in mini-batches above 10,000. Each pick comes from the cluster with the fewest labelled or
    picked texts, the largest of them, clusters of 5 and fewer last: the text with the highest typicality, one over the
    mean distance to its neighbours in the cluster, of 4,096 random ones where it is larger. The score is the cluster's
    share of all texts less its labelled and picked ones, lower still for the small clusters. It also serves as a cold
    start. The labels play no part: one per text or several are the same to it. 20 neighbours, or half of a cluster
    where that is fewer, are the authors'; scikit-activeml has 5, or the whole of a cluster, and draws at random once
    each cluster has a label, where here the least labelled comes next.
    """

    needs: ClassVar[tuple[str, ...]] = ("embeddings", "labelled.embeddings")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        seen = labelled_unit_rows(pool)  # (M, D)
        x = np.concatenate([seen, unit_rows(pool)])  # (M + N, D)
        k = min(len(seen) + n, MOST_CLUSTERS, len(x))
        cluster, _ = clusters(x, k, int(rng.integers(2**31)))
        size = np.bincount(cluster, minlength=k)  # (k,)
        held = np.bincount(cluster[: len(seen)], minlength=k)  # (k,) labelled or picked
        is_small = size <= SMALLEST
        left = [np.flatnonzero(cluster[len(seen) :] == one) + len(seen) for one in range(k)]  # rows not yet picked
        worst = -1.0 - len(seen) - n  # below every score of a larger cluster
        index = np.empty(n, np.int64)
        score = np.empty(n)
        for turn in range(n):
            worth = size / len(x) - held + worst * is_small
            worth[[not len(rows) for rows in left]] = -np.inf
            one = int(worth.argmax())
            row = _most_typical(x, left[one], rng)
            index[turn], score[turn] = row - len(seen), worth[one]
            left[one] = left[one][left[one] != row]
            held[one] += 1
        return Picks(index, score)


plugin = TypiClust


def _most_typical(x: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> int:
    """The row nearest, in the mean, to its 20 nearest neighbours among `rows`, or half of them where they are few."""
    if len(rows) > MEASURED:
        rows = np.sort(rng.choice(rows, MEASURED, replace=False))
    k = min(NEIGHBOURS, len(rows) // 2)
    if k == 0:
        return int(rows[0])
    squared = squared_distances(x[rows], x[rows])
    np.fill_diagonal(squared, np.inf)
    nearest = np.sqrt(np.partition(squared, k - 1, axis=1)[:, :k])  # (rows, k)
    return int(rows[nearest.mean(1).argmin()])
