"""Texts between two labels that are not all of one kind."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import clusters, in_turn, unit_rows
from alloop.strategies._uncertainty import best
from alloop.strategies.margin import unsure

MERGED = 5_000  # candidates up to which they are merged by hand, so to say: all pairs of them fit in memory


@dataclass(frozen=True)
class ClusterMargin:
    """The smallest margins, one from each cluster in turn, the smallest cluster first (Citovsky et al. 2021).

    The candidates are the `per_pick` times n texts with the smallest margins, for several labels that of the closest;
    average linkage of their unit-length embeddings makes n clusters of them (k-means above 5,000 candidates). The paper
    clusters the whole pool once; embeddings of a model that is tuned are new in every round, so here the candidates
    are. The scores only tell the order: they fall evenly from 1.
    """

    needs: ClassVar[tuple[str, ...]] = ("embeddings", "probs")

    per_pick: int = 10

    def __post_init__(self) -> None:
        if self.per_pick < 1:
            raise ValueError(f"per_pick = {self.per_pick} is less than 1")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        candidates = best(unsure(pool), min(len(pool), self.per_pick * n), rng).index  # (K,) the smallest margin first
        if len(candidates) == n:
            return in_turn(candidates)
        cluster = _clusters(unit_rows(pool, candidates), n, rng)  # (K,)
        size = np.bincount(cluster)
        by_cluster = np.argsort(cluster, kind="stable")  # within a cluster still the smallest margin first
        turn = np.empty(len(cluster), np.int64)  # (K,) how many of its cluster come before it
        turn[by_cluster] = np.arange(len(cluster)) - (np.cumsum(size) - size)[cluster[by_cluster]]
        order = np.lexsort((cluster, size[cluster], turn))
        return in_turn(candidates[order[:n]])


plugin = ClusterMargin


def _clusters(x: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """cluster (K,) of each row, the one with the smallest margin in cluster 0, and so on by their smallest margin."""
    if len(x) > MERGED:
        found, _ = clusters(x, n, int(rng.integers(2**31)))
    else:
        from sklearn.cluster import AgglomerativeClustering

        found = AgglomerativeClustering(n, linkage="average").fit(x).labels_
    _, first, cluster = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[cluster])
