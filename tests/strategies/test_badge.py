from collections import Counter

import numpy as np
import pytest

from alloop.errors import ModelError
from alloop.strategies import Picks, Pool, strategies


def pick(x, probs, n, kind="single", seed=0) -> Picks:
    ids = [f"t1-{row}" for row in range(len(x))]
    pool = Pool(ids, ids, kind, probs=np.asarray(probs, np.float32), embeddings=np.asarray(x, np.float32))
    return strategies.build("badge")(pool, n, np.random.default_rng(seed))


def gradients(x, probs, kind="single") -> np.ndarray:
    """Of the cross-entropy in the weights of the last layer, were the guess the truth: written out, (N, C * D)."""
    guess = probs >= 0.5 if kind == "multi" else np.eye(probs.shape[1])[probs.argmax(1)]
    return np.array([np.outer(p - g, h).ravel() for p, g, h in zip(probs, guess, x, strict=True)])


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_the_picks_are_a_draw_of_k_means_plus_plus_on_the_gradients(kind):
    rng = np.random.default_rng(1)
    x, probs = rng.normal(size=(6, 4)), rng.dirichlet([1, 1, 1], 6)
    g = gradients(x, probs, kind)
    first = int((g**2).sum(1).argmax())
    squared = ((g - g[first]) ** 2).sum(1)
    picked = [pick(x, probs, 2, kind, seed) for seed in range(2000)]
    assert {int(one.index[0]) for one in picked} == {first}
    times = Counter(int(one.index[1]) for one in picked)
    for row, weight in enumerate(squared / squared.sum()):
        assert times[row] / 2000 == pytest.approx(weight, abs=0.04)
    assert picked[0].score == pytest.approx([squared.mean()] * 2, rel=1e-4)


def test_the_third_is_drawn_by_the_distance_to_the_nearer_of_two():
    rng = np.random.default_rng(2)
    x, probs = rng.normal(size=(6, 4)), rng.dirichlet([1, 1, 1], 6)
    g = gradients(x, probs)
    for seed in range(20):
        picks = pick(x, probs, 3, seed=seed)
        left = np.min([((g - g[row]) ** 2).sum(1) for row in picks.index[:2]], 0)
        assert picks.score[2] == pytest.approx(left.mean(), rel=1e-4)


def test_a_text_the_model_is_sure_of_has_no_gradient_and_is_picked_last():
    x = np.ones((4, 2))
    picks = pick(x, [[1, 0], [0.6, 0.4], [1, 0], [0.3, 0.7]], 2)
    assert picks.index[0] == 1
    assert pick(x, [[1, 0]] * 4, 4).score.tolist() == [0, 0, 0, 0]
    assert sorted(pick(x, [[1, 0]] * 4, 4).index) == [0, 1, 2, 3]


def test_texts_alike_in_embedding_and_probabilities_are_not_picked_together():
    x, probs = np.repeat([[1, 0], [0, 1]], 5, 0), np.full((10, 2), 0.5)
    for seed in range(20):
        assert {int(row >= 5) for row in pick(x, probs, 2, seed=seed).index} == {0, 1}


def test_a_pool_without_probabilities_is_refused():
    with pytest.raises(ModelError, match="no probabilities"):
        strategies.build("badge")(Pool(["t1-a"], ["a"], embeddings=np.ones((1, 2))), 1, np.random.default_rng(0))
