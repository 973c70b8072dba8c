import numpy as np
import pytest

from alloop.strategies import Labelled, Picks, Pool, strategies


def pick(x, seen, n, **options) -> Picks:
    ids, known = [f"t1-{row}" for row in range(len(x))], [f"t1-l{row}" for row in range(len(seen))]
    labelled = Labelled(known, np.ones((len(seen), 2)), np.asarray(seen, np.float32))
    pool = Pool(ids, ids, embeddings=np.asarray(x, np.float32), labelled=labelled)
    return strategies.build("discriminative", **options)(pool, n, np.random.default_rng(0))


def test_texts_unlike_the_labelled_ones_are_picked():
    picks = pick([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], [[1, 0], [1, 0.2]], 2, turns=1)
    assert sorted(picks.index.tolist()) == [2, 3]
    assert picks.score.min() > 0.5


def test_one_turn_is_the_classifier_that_tells_them_apart():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x, seen = rng.normal(size=(40, 3)), rng.normal(1, 1, size=(30, 3))
    x, seen = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (x, seen))
    model = LogisticRegression(C=10.0, class_weight="balanced").fit(np.r_[seen, x], [0] * 30 + [1] * 40)
    expected = model.predict_proba(x)[:, 1]
    picks = pick(x, seen, 40, turns=1)
    assert picks.index.tolist() == np.argsort(-expected).tolist()
    assert picks.score == pytest.approx(np.sort(expected)[::-1], abs=1e-3)


def test_after_each_turn_what_was_picked_counts_as_labelled():
    x, seen = [[-1, 0], [-1, 0.01], [0, -1]], [[1, 0], [1, 0.1], [1, 0.2]]
    assert sorted(pick(x, seen, 2, turns=1).index.tolist()) == [0, 1]
    assert 2 in pick(x, seen, 2, turns=2).index
    assert (np.diff(pick(x, seen, 3).score) <= 0).all()


def test_without_labels_it_starts_in_the_middle_and_tells_from_that():
    picks = pick([[1, 0], [0.7, 0.7], [0, 1]], np.zeros((0, 2)), 3)
    assert picks.index[0] == 1
    assert sorted(picks.index.tolist()) == [0, 1, 2]
    assert picks.score[0] == 1
