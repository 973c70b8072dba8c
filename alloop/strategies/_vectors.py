"""What the strategies that look at embeddings share: checked arrays, and distances a part of the pool at a time."""

from collections.abc import Iterator

import numpy as np

from alloop.errors import ModelError
from alloop.strategies import Picks, Pool

CELLS = 8_000_000  # of a matrix of distances at a time: 32 MB


def vectors(pool: Pool) -> np.ndarray:
    """embeddings (N, D) float32. Raises ModelError where there are none, or not all numbers."""
    if pool.embeddings is None:
        raise ModelError("there are no embeddings to pick by", "choose a tuner that gives embeddings")
    x = np.asarray(pool.embeddings, np.float32)
    bad = ~np.isfinite(x).all(1)
    if bad.any():
        raise ModelError(f"the embedding of the text {pool.ids[int(bad.argmax())]} is not all numbers")
    return x


def labelled_vectors(pool: Pool) -> np.ndarray:
    """embeddings (M, D) float32 of the texts that have labels; M = 0 where there are none, or nobody embedded them."""
    seen = pool.labelled
    if seen is None or seen.embeddings is None:
        width = 0 if pool.embeddings is None else pool.embeddings.shape[1]
        return np.zeros((0, width), np.float32)
    x = np.asarray(seen.embeddings, np.float32)
    bad = ~np.isfinite(x).all(1)
    if bad.any():
        raise ModelError(f"the embedding of the text {seen.ids[int(bad.argmax())]} is not all numbers")
    return x


def distances(x: np.ndarray, to: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Euclidean distances from x (N, D) to others (M, D): some rows of x, and (rows, M), until all rows have been."""
    length = (to**2).sum(1)  # (M,)
    size = max(1, CELLS // max(1, len(to)))
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        squared = (x[rows] ** 2).sum(1)[:, None] + length - 2 * (x[rows] @ to.T)
        yield rows, np.sqrt(np.maximum(squared, 0))


def in_order(index: list[int], score: list[float]) -> Picks:
    """Picks made one after another. A score that rises, because the others' picks changed it, is cut to the last."""
    return Picks(np.array(index, np.int64), np.minimum.accumulate(np.array(score, np.float64)))
