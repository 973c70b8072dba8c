import numpy as np
import pytest

from alloop.errors import ConfigError
from alloop.strategies import Labelled, Picks, Pool, strategies
from alloop.strategies._geometry import representatives


def pick(x, n, seen=None, y=None, kind="single", seed=0, **options) -> Picks:
    x = np.asarray(x, np.float32)
    ids = [f"t1-{row}" for row in range(len(x))]
    labelled = None if seen is None else Labelled([f"t1-l{row}" for row in range(len(seen))], y, embeddings=seen)
    pool = Pool(ids, ids, kind, embeddings=x, labelled=labelled)
    return strategies.build("dropquery", **options)(pool, n, np.random.default_rng(seed))


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_the_candidates_are_those_of_the_paper():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(1)
    x, seen, column = rng.normal(size=(80, 6)).astype(np.float32), rng.normal(size=(20, 6)), np.arange(20) % 3
    picks = pick(x, 5, seen, np.eye(3)[column], seed=4)

    again = np.random.default_rng(4)
    head = LogisticRegression(max_iter=200).fit(unit(seen).astype(np.float32), column)
    said = head.predict(unit(x))
    flips = np.zeros(80)
    for _ in range(3):
        kept = again.random((80, 6), np.float32) >= 0.75
        flips += head.predict(unit(x) * kept * 4) != said
    candidates = np.flatnonzero(flips >= 2)
    assert 5 < len(candidates) < 80
    assert picks.index.tolist() == candidates[representatives(unit(x)[candidates], 5, again).index].tolist()


def test_a_text_that_leans_on_all_of_its_embedding_is_left_alone():
    seen = np.concatenate([np.eye(8), -np.eye(8)])
    y = np.eye(2)[np.repeat([0, 1], 8)]
    sure, torn = np.ones((5, 8)), np.tile([1.0, -1.0], (5, 4))
    x = np.concatenate([sure, torn]) + np.random.default_rng(2).normal(size=(10, 8)) / 100
    for seed in range(10):
        assert (pick(x, 1, seen, y, seed=seed, draws=15, dropout=0.5).index >= 5).all()


def test_with_too_few_candidates_the_next_likely_fill_up():
    seen, y = np.array([[1.0, 0], [-1.0, 0]]), np.eye(2)
    x = np.array([[1.0, 0.1], [1, 0.2], [1, 0.3], [-1, 0.1]])
    assert sorted(pick(x, 4, seen, y).index.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("labels", [None, np.ones((2, 1)), np.eye(2)[[0, 0]]])
def test_until_two_labels_are_seen_all_texts_are_candidates(labels):
    x = np.repeat(np.eye(3), [5, 3, 1], axis=0)
    seen = None if labels is None else np.eye(3)[:2]
    picks = pick(x, 3, seen, labels)
    assert picks.score == pytest.approx([5 / 9, 3 / 9, 1 / 9])


def test_of_several_labels_one_that_changes_is_enough():
    seen = np.concatenate([np.eye(8), -np.eye(8)])
    y = np.stack([np.repeat([1, 0], 8), np.ones(16)], 1)  # every text has the second
    x = np.stack([np.ones(8), np.tile([1.0, -1.0], 4) + 0.01])
    picked = [pick(x, 1, seen, y, "multi", seed=seed, draws=15, dropout=0.5).index[0] for seed in range(10)]
    assert picked == [1] * 10


@pytest.mark.parametrize("options", [{"draws": 0}, {"dropout": 1.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        strategies.build("dropquery", **options)
