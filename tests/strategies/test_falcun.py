from collections import Counter

import numpy as np
import pytest

from alloop.errors import ConfigError
from alloop.strategies import Picks, Pool, strategies


def pick(probs, n, kind="single", seed=0, **options) -> Picks:
    ids = [f"t1-{row}" for row in range(len(probs))]
    pool = Pool(ids, ids, kind, probs=np.asarray(probs))
    return strategies.build("falcun", **options)(pool, n, np.random.default_rng(seed))


def to_unit(d: np.ndarray) -> np.ndarray:
    return (d - d.min()) / (d.max() - d.min())


def test_the_picks_are_drawn_by_the_chances_of_the_paper():
    probs = np.random.default_rng(1).dirichlet([1, 1, 1], 5)
    top = np.sort(probs, 1)
    u = 1 - (top[:, -1] - top[:, -2])
    chance = (u + to_unit(u)) ** 2 / ((u + to_unit(u)) ** 2).sum()
    picked = [pick(probs, 2, seed=seed, gamma=2.0).index for seed in range(4000)]
    first = Counter(int(one[0]) for one in picked)
    assert [first[row] / 4000 for row in range(5)] == pytest.approx(chance, abs=0.03)

    start = first.most_common(1)[0][0]
    rest = [row for row in range(5) if row != start]
    d = np.minimum(u, np.abs(probs - probs[start]).sum(1))
    relevance = (u[rest] + to_unit(d[rest])) ** 2
    second = Counter(int(one[1]) for one in picked if one[0] == start)
    assert [second[row] / first[start] for row in rest] == pytest.approx(relevance / relevance.sum(), abs=0.05)


def test_with_a_high_gamma_the_least_sure_comes_first_and_then_one_unsure_in_another_way():
    probs = [[0.5, 0.5, 0, 0], [0.51, 0.49, 0, 0], [0.52, 0.48, 0, 0], [0, 0, 0.53, 0.47], [0.99, 0.01, 0, 0]]
    picks = pick(probs, 2, gamma=1000.0)
    assert picks.index.tolist() == [0, 3]
    assert picks.score.tolist() == [1, 0.5]


def test_a_gamma_of_0_draws_all_alike():
    drawn = Counter(
        int(pick([[0.5, 0.5], [1, 0], [0.9, 0.1]], 1, seed=seed, gamma=0.0).index[0]) for seed in range(900)
    )
    assert all(220 < drawn[row] < 380 for row in range(3))


def test_a_model_that_is_sure_of_everything_leaves_a_random_sample():
    drawn = {int(pick(np.eye(2)[[0, 0, 0]], 1, seed=seed).index[0]) for seed in range(50)}
    assert drawn == {0, 1, 2}


def test_of_several_labels_the_closest_counts():
    assert pick([[0.01, 0.99], [0.5, 0.99], [0.0, 1.0]], 1, "multi", gamma=1000.0).index.tolist() == [1]


def test_a_negative_gamma_is_refused():
    with pytest.raises(ConfigError, match="gamma"):
        strategies.build("falcun", gamma=-1.0)
