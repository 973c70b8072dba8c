import numpy as np
import pytest

from alloop.errors import ConfigError
from alloop.strategies import Labelled, Picks, Pool, strategies
from alloop.strategies._geometry import clusters
from alloop.strategies.probcover import _purest


def pick(x, n, seen=None, labels=3, seed=0, **options) -> Picks:
    x = np.asarray(x, np.float32)
    ids = [f"t1-{row}" for row in range(len(x))]
    y = np.ones((0 if seen is None else len(seen), labels))
    labelled = Labelled([f"t1-l{row}" for row in range(len(y))], y, embeddings=seen)
    pool = Pool(ids, ids, embeddings=x, labelled=labelled)
    return strategies.build("probcover", **options)(pool, n, np.random.default_rng(seed))


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def by_the_formula(x: np.ndarray, seen: np.ndarray, n: int, delta: float) -> tuple[list[int], list[float]]:
    """Algorithm 1 of the paper: the node of highest out-degree, then without the edges into what it covers."""
    x, seen = unit(x), unit(seen)
    covered = {v for v in range(len(x)) for s in seen if np.linalg.norm(x[v] - s) < delta}
    index, score = [], []
    for _ in range(n):
        balls = [{v for v in range(len(x)) if np.linalg.norm(x[v] - c) < delta} - covered for c in x]
        row = max(range(len(x)), key=lambda u: len(balls[u]))
        index.append(row)
        score.append(len(balls[row]) / len(x))
        covered |= balls[row]
    return index, score


@pytest.mark.parametrize("labelled", [0, 3])
def test_the_picks_are_those_of_the_paper(labelled):
    rng = np.random.default_rng(1)
    x, seen = rng.normal(size=(150, 3)), rng.normal(size=(labelled, 3))
    picks = pick(x, 8, seen, delta=0.5)
    index, score = by_the_formula(x, seen, 8, 0.5)
    assert picks.index.tolist() == index
    assert picks.score == pytest.approx(score)


def test_the_radius_is_the_largest_at_which_95_percent_of_the_balls_are_pure():
    x = unit(np.random.default_rng(2).normal(size=(100, 3))).astype(np.float32)
    cluster, _ = clusters(x, 3, 7)
    apart = np.linalg.norm(x[:, None] - x, axis=2)

    def purity(delta: float) -> float:
        return float(np.mean([(cluster[apart[row] < delta] == cluster[row]).all() for row in range(100)]))

    largest = max(delta for delta in np.unique(apart) if purity(delta) >= 0.95)
    assert _purest(x, 3, 7) == pytest.approx(largest, abs=1e-3)


def groups(*sizes: int, seed: int = 0) -> np.ndarray:
    centres = np.repeat(np.eye(len(sizes)), sizes, axis=0)
    return centres + np.random.default_rng(seed).normal(size=centres.shape) / 50


def test_each_group_is_covered_by_one_text_the_largest_first():
    picks = pick(groups(30, 20, 10), 4, delta=0.5)
    assert np.searchsorted([30, 50, 60], picks.index[:3], "right").tolist() == [0, 1, 2]
    assert picks.score == pytest.approx([30 / 60, 20 / 60, 10 / 60, 0])


def test_what_a_labelled_text_covers_is_not_covered_again():
    picks = pick(groups(30, 20, 10), 2, seen=np.array([[1.0, 0, 0]]))
    assert np.searchsorted([30, 50, 60], picks.index, "right").tolist() == [1, 2]


def test_a_large_pool_is_covered_by_a_sample_of_it(monkeypatch):
    monkeypatch.setattr("alloop.strategies.probcover.ROOM", 600 * 100)
    monkeypatch.setattr("alloop.strategies.probcover.FEWEST", 1)
    picks = pick(groups(300, 200, 100), 3)
    assert np.searchsorted([300, 500, 600], picks.index, "right").tolist() == [0, 1, 2]


def test_a_negative_radius_is_refused():
    with pytest.raises(ConfigError, match="negative"):
        strategies.build("probcover", delta=-0.5)
