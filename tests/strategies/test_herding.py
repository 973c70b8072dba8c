import numpy as np
import pytest

from alloop.checks import check_strategy
from alloop.errors import ConfigError, ModelError
from alloop.strategies import Labelled, Picks, Pool, strategies


def pick(x, n, seen=None, probs=None, weight="none", kind="single", seed=0) -> Picks:
    x = np.asarray(x, np.float32)
    ids = [f"t1-{row}" for row in range(len(x))]
    y = np.ones((0 if seen is None else len(seen), 1))
    labelled = Labelled([f"t1-l{row}" for row in range(len(y))], y, embeddings=seen)
    pool = Pool(ids, ids, kind, embeddings=x, probs=probs, labelled=labelled)
    return strategies.build("herding", weight=weight)(pool, n, np.random.default_rng(seed))


def by_the_formula(x, seen, n, unsure=None, width=1.0) -> tuple[list[int], list[float]]:
    """argmax over u of the mean over x of U(x) max(0, k(x, u) - max over s of k(x, s)), written out."""
    x, seen = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (x, seen))
    unsure = np.ones(len(x)) if unsure is None else unsure
    chosen, index, score = list(seen), [], []
    for _ in range(n):
        reached = [max((np.exp(-((a - s) ** 2).sum() / width**2) for s in chosen), default=0) for a in x]
        gain = [
            np.mean([u * max(0, np.exp(-((a - b) ** 2).sum() / width**2) - r) for a, u, r in zip(x, unsure, reached)])  # noqa: B905
            for b in x
        ]
        best = max((row for row in range(len(x)) if row not in index), key=gain.__getitem__)
        index.append(best)
        score.append(gain[best])
        chosen.append(x[best])
    return index, score


@pytest.mark.parametrize("labelled", [0, 4])
def test_the_picks_are_those_of_the_paper(labelled):
    rng = np.random.default_rng(1)
    x, seen = rng.normal(size=(30, 5)), rng.normal(size=(labelled, 5))
    picks = pick(x, 8, seen)
    index, score = by_the_formula(x, seen, 8)
    assert picks.index.tolist() == index
    assert picks.score == pytest.approx(score, abs=1e-6)


def test_weighted_by_uncertainty_the_picks_are_those_of_the_paper():
    rng = np.random.default_rng(2)
    x, seen, probs = rng.normal(size=(30, 5)), rng.normal(size=(4, 5)), rng.dirichlet([1, 1, 1], 30)
    unit = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    width = min(np.linalg.norm(a - b) for i, a in enumerate(unit) for b in unit[:i])
    top = np.sort(probs, 1)
    picks = pick(x, 8, seen, probs, "uncertainty")
    index, score = by_the_formula(x, seen, 8, 1 - (top[:, -1] - top[:, -2]), width)
    assert picks.index.tolist() == index
    assert picks.score == pytest.approx(score, abs=1e-6)


def test_several_labels_are_weighted_by_the_one_nearest_to_even():
    probs = np.array([[0.5, 0.99], [0.01, 0.99]])
    assert pick([[1, 0], [0, 1]], 1, probs=probs, weight="uncertainty", kind="multi").index.tolist() == [0]


def test_a_model_that_is_sure_of_everything_leaves_a_herding_that_is_not_weighted():
    rng = np.random.default_rng(3)
    x, probs = rng.normal(size=(20, 4)), np.eye(2)[rng.integers(0, 2, 20)]
    assert pick(x, 5, probs=probs, weight="uncertainty").index.tolist() == pick(x, 5).index.tolist()


def test_equal_labelled_texts_do_not_make_the_kernel_vanish():
    x = np.random.default_rng(4).normal(size=(20, 4))
    probs = np.full((20, 2), 0.5)
    picks = pick(x, 3, np.repeat(x[:1], 2, 0), probs, "uncertainty")
    assert (picks.score > 0.001).all()


def test_the_order_of_the_pool_and_the_random_numbers_make_no_difference():
    rng = np.random.default_rng(5)
    x, order = rng.normal(size=(50, 4)), rng.permutation(50)
    assert order[pick(x[order], 10, seed=9).index].tolist() == pick(x, 10).index.tolist()


def test_a_large_pool_is_resembled_by_a_sample_of_it(monkeypatch):
    groups = np.repeat([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [300, 200, 100], axis=0)
    x = groups + np.random.default_rng(6).normal(size=(600, 3)) / 50
    monkeypatch.setattr("alloop.strategies.herding.ROOM", 600 * 60)
    picks = pick(x, 3)
    assert groups[picks.index].argmax(1).tolist() == [0, 1, 2]
    assert picks.index.tolist() == pick(x, 3).index.tolist()


def test_weights_need_probabilities_and_are_spelled_right():
    assert "probs" in strategies.build("herding", weight="uncertainty").needs
    assert "probs" not in strategies.build("herding").needs
    with pytest.raises(ModelError, match="no probabilities"):
        pick([[1, 0], [0, 1]], 1, weight="uncertainty")
    with pytest.raises(ConfigError, match="weight"):
        strategies.build("herding", weight="margin")


def test_weighted_herding_keeps_the_contract_too():
    check_strategy(strategies.build("herding", weight="uncertainty"))
