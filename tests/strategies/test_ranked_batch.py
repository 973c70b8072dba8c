from types import SimpleNamespace

import numpy as np
import pytest

from alloop.strategies import Labelled, Picks, Pool, strategies


def on_the_sphere(rng, n) -> np.ndarray:
    x = rng.normal(size=(n, 5))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def pick(probs, x, seen, n) -> Picks:
    ids = [f"t1-{row}" for row in range(len(probs))]
    known = [f"t1-known-{row}" for row in range(len(seen))]
    labelled = Labelled(known, np.ones((len(seen), 1)), embeddings=np.asarray(seen, np.float32))
    pool = Pool(ids, ids, probs=np.asarray(probs), embeddings=np.asarray(x, np.float32), labelled=labelled)
    return strategies.build("ranked-batch")(pool, n, np.random.default_rng(0))


@pytest.mark.parametrize("known", [3, 40, 400])
def test_it_picks_what_modal_picks_in_its_order(known):
    from modAL.batch import ranked_batch

    rng = np.random.default_rng(known)
    probs, x, seen = rng.dirichlet([1, 1, 1], 60), on_the_sphere(rng, 60), on_the_sphere(rng, known)
    learner = SimpleNamespace(X_training=seen, on_transformed=False)
    expected, _ = ranked_batch(learner, x, 1 - probs.max(1), 20, "euclidean", 1)
    assert pick(probs, x, seen, 20).index.tolist() == expected.tolist()


def test_equal_texts_are_not_picked_one_after_the_other():
    picks = pick([[0.5, 0.5]] * 2 + [[0.9, 0.1]] * 2, [[0, 1], [0, 1], [1, 0], [-1, 0]], [[0, -1]], 2)
    assert picks.index.tolist() == [0, 2]
    assert picks.score[0] == pytest.approx(4 / 5 * 2 / 3 + 1 / 5 * 0.5)


def test_scores_never_rise():
    rng = np.random.default_rng(0)
    picks = pick(rng.dirichlet([1, 1], 30), rng.normal(5, 0.1, size=(30, 2)), rng.normal(size=(30, 2)), 30)
    assert (np.diff(picks.score) <= 0).all()


def test_without_labelled_texts_it_starts_in_the_middle():
    ids = ["t1-a", "t1-b", "t1-c"]
    pool = Pool(ids, ids, probs=np.full((3, 2), 0.5), embeddings=np.array([[1.0, 0], [1, 1], [0, 1]]))
    picks = strategies.build("ranked-batch")(pool, 3, np.random.default_rng(0))
    assert picks.index.tolist() == [1, 0, 2]
