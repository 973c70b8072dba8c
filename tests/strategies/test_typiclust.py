import numpy as np
import pytest

from alloop.strategies import Labelled, Picks, Pool, strategies
from alloop.strategies._geometry import clusters


def pick(x, n, seen=None, seed=0) -> Picks:
    x = np.asarray(x, np.float32)
    ids = [f"t1-{row}" for row in range(len(x))]
    y = np.ones((0 if seen is None else len(seen), 1))
    labelled = Labelled([f"t1-l{row}" for row in range(len(y))], y, embeddings=seen)
    return strategies.build("typiclust")(
        Pool(ids, ids, embeddings=x, labelled=labelled), n, np.random.default_rng(seed)
    )


def groups(*sizes: int, seed: int = 0) -> np.ndarray:
    """Texts in tight groups, each around an axis of its own."""
    centres = np.repeat(np.eye(len(sizes)), sizes, axis=0)
    return centres + np.random.default_rng(seed).normal(size=centres.shape) / 50


def test_without_labels_each_group_gives_one_text_the_largest_first():
    picks = pick(groups(30, 20, 10), 3)
    assert [np.searchsorted([30, 50, 60], row, "right") for row in picks.index] == [0, 1, 2]
    assert picks.score == pytest.approx([30 / 60, 20 / 60, 10 / 60])


def test_a_group_with_a_label_comes_after_those_without():
    picks = pick(groups(30, 20, 10), 2, seen=np.array([[1.0, 0, 0]]))
    assert [np.searchsorted([30, 50, 60], row, "right") for row in picks.index] == [1, 2]


def by_the_formula(x: np.ndarray, seen: np.ndarray, n: int, seed: int) -> list[int]:
    """Algorithm 1 of the paper on the same clusters: 1 / mean distance to min(20, half) neighbours, argmax."""
    both = np.concatenate([seen, x]).astype(np.float32)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    cluster, _ = clusters(both, len(seen) + n, int(np.random.default_rng(seed).integers(2**31)))
    kinds = [
        (int((cluster[: len(seen)] == c).sum()), -int((cluster == c).sum()), c)
        for c in range(len(seen) + n)
        if (cluster == c).sum() > 5
    ]
    picked = []
    for _, _, c in sorted(kinds)[:n]:
        rows = [row for row in range(len(seen), len(both)) if cluster[row] == c]
        k = min(20, len(rows) // 2)
        near = [sorted(np.linalg.norm(both[a] - both[b]) for b in rows if b != a)[:k] for a in rows]
        typicality = [1 / np.mean(one) for one in near]
        picked.append(rows[int(np.argmax(typicality))] - len(seen))
    return picked


def test_the_picks_are_those_of_the_paper():
    rng = np.random.default_rng(3)
    x, seen = rng.normal(size=(200, 4)), rng.normal(size=(3, 4))
    picks = pick(x, 6, seen, seed=8)
    assert picks.index.tolist() == by_the_formula(x, seen, 6, seed=8)


def test_a_handful_of_strangers_comes_after_everything_else(monkeypatch):
    monkeypatch.setattr("alloop.strategies.typiclust.MOST_CLUSTERS", 3)
    assert (pick(groups(30, 20, 3), 53).index >= 50).tolist() == [False] * 50 + [True] * 3


def test_more_texts_than_clusters_are_taken_in_turn(monkeypatch):
    monkeypatch.setattr("alloop.strategies.typiclust.MOST_CLUSTERS", 2)
    picks = pick(groups(20, 10), 6)
    assert [int(row >= 20) for row in picks.index] == [0, 1, 0, 1, 0, 1]
    assert len(set(picks.index.tolist())) == 6


def test_a_large_cluster_is_judged_by_a_sample_of_it(monkeypatch):
    monkeypatch.setattr("alloop.strategies.typiclust.MEASURED", 40)
    x = np.concatenate([groups(200, 50), [[1.0, 0.3]]])
    assert pick(x, 2).index[0] != 250  # the loner of the large group
