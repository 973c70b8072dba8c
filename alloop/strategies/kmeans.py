"""Texts that stand for the pool, before there is a model to ask."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.errors import ModelError
from alloop.strategies import Picks, Pool

FULL = 10_000  # rows up to which every iteration looks at all of them


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
        x = _unit_rows(pool)  # (N, D)
        cluster, distance = _clusters(x, n, int(rng.integers(2**31)))  # (N,), (N,)
        size = np.bincount(cluster, minlength=n)  # (n,)
        nearest_first = np.lexsort((distance, cluster))
        rank = np.empty(len(x), np.int64)  # (N,) 0 for the text nearest to its centre
        rank[nearest_first] = np.arange(len(x)) - (np.cumsum(size) - size)[cluster[nearest_first]]
        index = np.lexsort((cluster, -size[cluster], rank))[:n]
        return Picks(index, np.where(rank[index] == 0, size[cluster[index]] / len(x), 0.0))


plugin = KMeans


def _unit_rows(pool: Pool) -> np.ndarray:
    if pool.embeddings is None:
        raise ModelError("there are no embeddings to cluster", "choose a tuner that has a base model")
    x = np.array(pool.embeddings, np.float32)  # a copy: the pool's may be memory-mapped
    bad = ~np.isfinite(x).all(1)
    if bad.any():
        raise ModelError(f"the embedding of the text {pool.ids[int(bad.argmax())]} is not all numbers")
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(np.divide(x, length, out=x, where=length > 0))


def _clusters(x: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """cluster (N,) of each row, and its squared distance (N,) to the centre."""
    from sklearn import cluster
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if len(x) <= FULL:
        model = cluster.KMeans(n, n_init=1, max_iter=100, random_state=seed)
    else:
        model = cluster.MiniBatchKMeans(n, n_init=1, max_iter=20, batch_size=4096, random_state=seed)
    # One thread: several add up their parts in the order they finish, and a rerun could pick another text.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different texts than clusters: dealt with above
        found = model.fit(x).labels_
        centres = model.cluster_centers_
    distance = np.empty(len(x), np.float32)
    for start in range(0, len(x), 8192):
        rows = slice(start, start + 8192)
        distance[rows] = ((x[rows] - centres[found[rows]]) ** 2).sum(1)
    return found, distance
