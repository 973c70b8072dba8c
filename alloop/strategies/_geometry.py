"""What the strategies share that look at embeddings: checked rows of unit length, distances, clusters, greedy cover."""

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from alloop.errors import ModelError
from alloop.strategies import Picks, Pool

FULL = 10_000  # rows up to which every iteration of k-means looks at all of them
CELLS = 1 << 23  # of a matrix that is made a part at a time: 32 MiB
BLOCK = 512  # rows whose gain is looked at again at a time


def rows(array: np.ndarray | None, ids: Sequence[str]) -> np.ndarray:
    """A float32 copy (N, D) of embeddings, which may be memory-mapped. Raises ModelError for what is no number."""
    if array is None:
        raise ModelError("there are no embeddings to pick by", "choose a tuner that has a base model")
    x = np.array(array, np.float32)
    bad = ~np.isfinite(x).all(1)
    if bad.any():
        raise ModelError(f"the embedding of the text {ids[int(bad.argmax())]} is not all numbers")
    return x


def unit_rows(pool: Pool, only: np.ndarray | None = None) -> np.ndarray:
    """embeddings (N, D) of the pool's texts, or only some, of length one; a text without a word keeps its zeros."""
    if only is None or pool.embeddings is None:
        return unit(pool.embeddings, pool.ids)
    return unit(pool.embeddings[only], [pool.ids[row] for row in only])


def labelled_unit_rows(pool: Pool) -> np.ndarray:
    """embeddings (M, D) of the texts that have labels, each of length one; M is 0 at the start.

    Raises ModelError where texts have labels and no embeddings, which a strategy forgot to ask for in its `needs`.
    """
    seen = pool.labelled
    if seen is None or not len(seen.ids):
        return np.zeros((0, 0 if pool.embeddings is None else pool.embeddings.shape[1]), np.float32)
    return unit(seen.embeddings, seen.ids)


def unit(embeddings: np.ndarray | None, ids: Sequence[str]) -> np.ndarray:
    """embeddings (N, D) as rows of length one; raises ModelError as `rows` does."""
    x = rows(embeddings, ids)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(np.divide(x, length, out=x, where=length > 0))


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, M) squared Euclidean distances of x (N, D) to y (M, D)."""
    found = x @ y.T
    found *= -2
    found += (x**2).sum(1)[:, None]
    found += (y**2).sum(1)
    return np.asarray(np.maximum(found, 0, out=found))


def parts(n: int, width: int) -> Iterator[slice]:
    """Slices that together are n rows of `width` cells, none of them of more cells than fit comfortably in memory."""
    size = max(1, CELLS // max(1, width))
    return (slice(start, min(n, start + size)) for start in range(0, n, size))


def clusters(x: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """cluster (N,) of each row by k-means, and its squared distance (N,) to the centre.

    Above 10,000 rows the clusters are found in mini-batches (Sculley 2010).
    """
    from sklearn import cluster
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if len(x) <= FULL:
        model = cluster.KMeans(n, n_init=1, max_iter=100, random_state=seed)
    else:
        model = cluster.MiniBatchKMeans(n, n_init=1, max_iter=20, batch_size=4096, random_state=seed)
    # One thread: several add up their parts in the order they finish, and a rerun could pick another text.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different texts than clusters: callers can do that
        found = model.fit(x).labels_
        centres = model.cluster_centers_
    distance = np.empty(len(x), np.float32)
    for start in range(0, len(x), 8192):
        chosen = slice(start, start + 8192)
        distance[chosen] = ((x[chosen] - centres[found[chosen]]) ** 2).sum(1)
    return found, distance


def representatives(x: np.ndarray, n: int, rng: np.random.Generator) -> Picks:
    """The row nearest to the centre of each of n clusters, the largest first, with the cluster's share as the score.

    Where fewer clusters can be told apart the next nearest rows follow, with a score of 0.
    """
    cluster, distance = clusters(x, n, int(rng.integers(2**31)))  # (N,), (N,)
    size = np.bincount(cluster, minlength=n)  # (n,)
    nearest_first = np.lexsort((distance, cluster))
    rank = np.empty(len(x), np.int64)  # (N,) 0 for the row nearest to its centre
    rank[nearest_first] = np.arange(len(x)) - (np.cumsum(size) - size)[cluster[nearest_first]]
    index = np.lexsort((cluster, -size[cluster], rank))[:n]
    return Picks(index, np.where(rank[index] == 0, size[cluster[index]] / len(x), 0.0))


def greedy_cover(
    gains: Callable[[np.ndarray], np.ndarray], take: Callable[[int], None], size: int, n: int, rng: np.random.Generator
) -> Picks:
    """n of `size` rows, each the one that gains most after those before it, with its gain as the score.

    `gains` tells the gain of some rows now, at least 0; `take` picks one. As gains only fall from pick to pick, an old
    gain is a bound, and few are looked at again (Minoux 1978); the picks are those of looking at all. Equal gains go
    to the first row. When nothing is left to gain, the rest is drawn at random.
    """
    bound = np.concatenate([gains(np.arange(part.start, part.stop)) for part in parts(size, CELLS // 4096)])
    bound = bound.astype(np.float64)  # (size,)
    block = min(BLOCK, size)
    index: list[int] = []
    score: list[float] = []
    while len(index) < n:
        fresh = np.zeros(size, bool)
        while not fresh[row := int(bound.argmax())]:
            highest = np.argpartition(-bound, block - 1)[:block]
            again = np.append(highest[bound[highest] > -np.inf], row)
            bound[again] = gains(again)
            fresh[again] = True
        if bound[row] <= 0:
            rest = rng.permutation(np.flatnonzero(bound > -np.inf))[: n - len(index)]
            index += rest.tolist()
            score += [0.0] * len(rest)
            break
        index.append(row)
        score.append(float(bound[row]))
        take(row)
        bound[row] = -np.inf
    return Picks(np.array(index), np.minimum.accumulate(score))  # gains of more than a few digits agree only so far


def in_turn(index: Sequence[int] | np.ndarray) -> Picks:
    """Picks of a strategy that has an order and no scale: the scores fall evenly from 1 towards 0."""
    return Picks(np.asarray(index, np.int64), 1 - np.arange(len(index)) / len(index))
