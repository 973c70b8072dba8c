import numpy as np
import pytest

from alloop.errors import ConfigError
from alloop.strategies import Picks, Pool, strategies


def pick(x, probs, n, kind="single", seed=0, **options) -> Picks:
    ids = [f"t1-{row}" for row in range(len(x))]
    pool = Pool(ids, ids, kind, probs=np.asarray(probs), embeddings=np.asarray(x, np.float32))
    return strategies.build("cluster-margin", **options)(pool, n, np.random.default_rng(seed))


def test_each_cluster_gives_its_smallest_margin_the_smaller_cluster_first():
    x = [[1, 0], [1, 0.1], [1, 0.2], [0, 1], [0.1, 1], [-1, 0]]
    p = np.array([0.5, 0.51, 0.52, 0.6, 0.58, 0.99])
    assert pick(x, np.stack([p, 1 - p], 1), 2, per_pick=2).index.tolist() == [4, 0]  # of rows 0, 1, 2, 4
    assert pick(x, np.stack([p, 1 - p], 1), 3).index.tolist() == [5, 4, 0]


def by_the_formula(x: np.ndarray, margin: np.ndarray, n: int, per_pick: int) -> list[int]:
    """Average linkage by hand among the candidates, then round-robin from the smallest cluster to the largest."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    groups = [[int(row)] for row in np.argsort(margin)[: per_pick * n]]
    while len(groups) > n:
        pairs = [(i, j) for j in range(len(groups)) for i in range(j)]
        apart = [np.mean([np.linalg.norm(x[a] - x[b]) for a in groups[i] for b in groups[j]]) for i, j in pairs]
        i, j = pairs[int(np.argmin(apart))]
        groups[i] += groups.pop(j)
    groups = sorted((sorted(one, key=lambda row: margin[row]) for one in groups), key=lambda g: (len(g), margin[g[0]]))
    picked: list[int] = []
    while len(picked) < n:
        picked += [group.pop(0) for group in groups if group]
    return picked[:n]


def test_the_picks_are_those_of_the_formula():
    rng = np.random.default_rng(1)
    x, probs = rng.normal(size=(60, 4)), rng.dirichlet([1, 1, 1], 60)
    top = np.sort(probs, 1)
    expected = by_the_formula(x, top[:, -1] - top[:, -2], 6, 5)
    picks = pick(x, probs, 6, per_pick=5)
    assert picks.index.tolist() == expected
    assert picks.score == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_many_candidates_are_clustered_by_k_means(monkeypatch):
    monkeypatch.setattr("alloop.strategies.cluster_margin.MERGED", 10)
    x = np.repeat(np.eye(3), [30, 20, 10], axis=0) + np.random.default_rng(2).normal(size=(60, 3)) / 50
    probs = np.random.default_rng(3).dirichlet([1, 1], 60)
    assert np.searchsorted([30, 50, 60], pick(x, probs, 3, per_pick=20).index, "right").tolist() == [2, 1, 0]


def test_of_several_labels_the_closest_counts():
    assert pick([[1, 0], [0, 1]], [[0.5, 0.99], [0.1, 0.9]], 1, "multi").index.tolist() == [0]


def test_the_order_of_the_pool_and_the_random_numbers_make_no_difference():
    rng = np.random.default_rng(5)
    x, probs, order = rng.normal(size=(50, 4)), rng.dirichlet([1, 1, 1], 50), rng.permutation(50)
    picks = pick(x[order], probs[order], 10, seed=9)
    assert order[picks.index].tolist() == pick(x, probs, 10).index.tolist()


def test_fewer_candidates_than_picks_are_refused():
    with pytest.raises(ConfigError, match="per_pick"):
        strategies.build("cluster-margin", per_pick=0)
