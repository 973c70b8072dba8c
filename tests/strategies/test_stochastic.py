from collections import Counter

import numpy as np
import pytest

from alloop.errors import ConfigError
from alloop.rounds import run_round
from alloop.strategies import Pool, strategies
from alloop.strategies._stochastic import draw_batch

IDS = ["a", "b", "c", "d"]


def drawn(mode, beta, times=4000, n=1, doubt=(0.1, 0.2, 0.3, 0.4)) -> Counter:
    """How often each of four texts, of these scores, is among the n drawn."""
    p = np.array(doubt)
    pool, rng = Pool(IDS, IDS, probs=np.stack([p, 1 - p], 1)), np.random.default_rng(0)
    strategy = strategies.build("least-confidence")
    return Counter(IDS[row] for _ in range(times) for row in draw_batch(strategy, pool, n, rng, mode, beta).index)


@pytest.mark.parametrize(
    ("mode", "beta", "chance"),
    [
        ("power", 1.0, [0.1, 0.2, 0.3, 0.4]),
        ("power", 2.0, np.array([1, 4, 9, 16]) / 30),
        ("softmax", 5.0, np.exp([0.5, 1, 1.5, 2]) / np.exp([0.5, 1, 1.5, 2]).sum()),
        ("soft-rank", 1.0, np.array([1 / 4, 1 / 3, 1 / 2, 1]) / (25 / 12)),
        ("power", 0.0, [0.25] * 4),
    ],
)
def test_texts_are_drawn_as_often_as_the_paper_says(mode, beta, chance):
    found = drawn(mode, beta)
    assert [found[one] / 4000 for one in IDS] == pytest.approx(chance, abs=0.03)


def test_a_text_without_a_score_is_drawn_last():
    found = drawn("power", 1.0, times=50, n=3, doubt=(0, 0.001, 0.3, 0.4))
    assert found == {"b": 50, "c": 50, "d": 50}


@pytest.mark.parametrize("mode", ["power", "softmax", "soft-rank"])
def test_a_drawn_batch_holds_different_texts_with_their_own_scores(mode):
    p = np.random.default_rng(0).random(30) / 2
    pool = Pool([str(row) for row in range(30)], ["x"] * 30, probs=np.stack([p, 1 - p], 1))
    picks = draw_batch(strategies.build("least-confidence"), pool, 12, np.random.default_rng(1), mode, 1.0)
    assert len(set(picks.index.tolist())) == 12
    assert picks.score == pytest.approx(p[picks.index])
    again = draw_batch(strategies.build("least-confidence"), pool, 12, np.random.default_rng(1), mode, 1.0)
    assert again.index.tolist() == picks.index.tolist()


def test_the_top_is_what_the_strategy_picks():
    assert drawn("top", 1.0, times=5, n=2) == {"c": 5, "d": 5}


def test_a_strategy_that_picks_a_batch_as_a_whole_is_refused(make_project):
    with pytest.raises(ConfigError, match="'badge' picks a batch as a whole"):
        make_project(strategy="badge", batch_mode="power")


@pytest.mark.slow
def test_a_round_draws_its_batch_once_there_is_a_model(make_project):
    project = make_project(batch_mode="power")
    run_round(project)
    run_round(project)
    assert {pick.strategy for pick in project.store.picks(1)} <= {"kmeans", "random"}
    scores = [pick.score for pick in project.store.picks(2) if pick.strategy == "margin"]
    assert len(scores) >= 7
    assert sorted(scores, reverse=True) != scores
