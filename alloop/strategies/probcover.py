"""Texts that have as much of the pool as possible close by."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import (
    clusters,
    greedy_cover,
    labelled_unit_rows,
    parts,
    squared_distances,
    unit_rows,
)

ROOM = 1 << 31  # texts times those to cover, a bit for each pair: 256 MiB, and all of the pool up to 46,340 texts
FEWEST = 10_000  # texts to cover, at least


@dataclass(frozen=True)
class ProbCover:
    """Again and again the text with the most texts in its ball that no ball holds yet: ProbCover (Yehuda et al. 2022).

    A ball holds the texts nearer than `delta`, in Euclidean distance of unit-length embeddings; labelled texts have
    balls too. With `delta` 0 it is the largest for which 95 % of the balls hold texts of a single cluster, by k-means
    with a cluster for each label. The score is the share of the pool that the ball adds. When all is covered the rest
    is drawn at random, with a score of 0. Above 46,340 texts those to cover, and the balls that `delta` is found by,
    are a random sample, of 21,474 at 100,000; any text may be picked. It also serves as a cold start. The labels play
    no part but for their number: one per text or several are the same to it. scikit-activeml tries a few radii, so its
    is the next smaller one it tried. small-text's balls keep texts that another ball holds: its picks lie together.
    """

    needs: ClassVar[tuple[str, ...]] = ("embeddings", "labelled.embeddings")

    delta: float = 0.0

    def __post_init__(self) -> None:
        if self.delta < 0:
            raise ValueError(f"delta = {self.delta} is negative")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        x, seen = unit_rows(pool), labelled_unit_rows(pool)  # (N, D), (M, D)
        most = max(FEWEST, ROOM // len(x))
        goal = x if len(x) <= most else x[np.sort(rng.choice(len(x), most, replace=False))]  # (T, D)
        delta = self.delta or _purest(goal, _labels(pool, n), int(rng.integers(2**31)))
        balls = np.zeros((len(x), -(-len(goal) // 64)), np.uint64)  # (N, T / 64) a bit for every text to cover
        for part in parts(len(x), len(goal)):
            balls[part] = _bits(squared_distances(x[part], goal) < delta**2)
        held = np.zeros(len(goal), bool)  # (T,)
        for part in parts(len(seen), len(goal)):
            held |= (squared_distances(seen[part], goal) < delta**2).any(0)
        to_cover = _bits(~held[None])[0]  # (T / 64,)

        def gains(rows: np.ndarray) -> np.ndarray:
            share: np.ndarray = np.bitwise_count(balls[rows] & to_cover).sum(1) / len(goal)
            return share

        def take(row: int) -> None:
            to_cover[:] &= ~balls[row]

        return greedy_cover(gains, take, len(x), n, rng)


plugin = ProbCover


def _labels(pool: Pool, n: int) -> int:
    """The number of labels; where the pool does not tell, each pick stands for one."""
    if pool.labelled is not None:
        return int(pool.labelled.y.shape[1])
    return n


def _purest(x: np.ndarray, k: int, seed: int) -> float:
    """The largest radius for which 95 % of the balls around x hold one cluster alone.

    A ball is pure up to the nearest text of another cluster, so that is the 5 % quantile of the distances to those.
    """
    cluster, _ = clusters(x, min(max(2, k), len(x)), seed)
    nearest = np.empty(len(x), np.float32)
    for part in parts(len(x), len(x)):
        squared = squared_distances(x[part], x)
        squared[cluster[part, None] == cluster] = np.inf
        nearest[part] = squared.min(1)
    return float(np.sqrt(np.sort(nearest)[int(0.05 * len(x))]))


def _bits(cells: np.ndarray) -> np.ndarray:
    """(N, T) booleans as (N, T / 64) bits, filled up with zeros."""
    packed = np.packbits(cells, axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
