"""Texts that stand for the pool, before there is a model to ask."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import clusters, unit_rows


@dataclass(frozen=True)
class KMeans:
    """One text from each of n clusters of the pool: the text nearest to the centre, the largest cluster first.

    Clusters unit-length embeddings with scikit-learn's k-means, in mini-batches (Sculley 2010) above 10,000 texts.
    The batch is spread over the pool, which makes a good start (Yuan et al. 2020); texts labelled already are not
    looked at. The score is the share of the pool in the cluster, so the share that the text stands for. Where fewer
    clusters than n can be told apart the next nearest texts fill the batch, with a score of 0.
    """

    needs: ClassVar[tuple[str, ...]] = ("embeddings",)

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        x = unit_rows(pool)  # (N, D)
        cluster, distance = clusters(x, n, int(rng.integers(2**31)))  # (N,), (N,)
        size = np.bincount(cluster, minlength=n)  # (n,)
        nearest_first = np.lexsort((distance, cluster))
        rank = np.empty(len(x), np.int64)  # (N,) 0 for the text nearest to its centre
        rank[nearest_first] = np.arange(len(x)) - (np.cumsum(size) - size)[cluster[nearest_first]]
        index = np.lexsort((cluster, -size[cluster], rank))[:n]
        return Picks(index, np.where(rank[index] == 0, size[cluster[index]] / len(x), 0.0))


plugin = KMeans
