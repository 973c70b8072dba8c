import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.strategies import Picks, Pool, strategies


def pick(samples, n, kind="single") -> Picks:
    samples = np.asarray(samples, np.float32)
    ids = [f"t1-{row}" for row in range(samples.shape[1])]
    return strategies.build("bald")(Pool(ids, ids, kind, samples=samples), n, np.random.default_rng(0))


def test_contradiction_is_worth_a_label_and_shared_doubt_is_not():
    one, other = [[1, 0], [0.5, 0.5], [0.9, 0.1]], [[0, 1], [0.5, 0.5], [0.7, 0.3]]
    picks = pick([one, other], 3)
    assert picks.index.tolist() == [0, 2, 1]
    assert picks.score == pytest.approx([np.log(2), 0.0324, 0], abs=1e-4)


def test_the_scores_are_the_mean_divergence_from_the_mean():
    from scipy.special import rel_entr

    samples = np.random.default_rng(0).dirichlet([1, 1, 1], (5, 20))
    expected = rel_entr(samples, samples.mean(0)).sum(-1).mean(0)  # the same mutual information, another formula
    assert pick(samples, 20).score == pytest.approx(np.sort(expected)[::-1], rel=1e-4)


def test_of_several_labels_each_is_a_choice_of_its_own():
    picks = pick([[[1.0, 0.5], [0.9, 0.9]], [[0.0, 0.5], [0.9, 0.9]]], 2, "multi")
    assert picks.score == pytest.approx([np.log(2) / 2, 0], abs=1e-6)


def test_a_pool_in_several_chunks_gives_what_it_gives_in_one(monkeypatch):
    samples = np.random.default_rng(0).dirichlet([1, 1, 1], (5, 20))
    whole = pick(samples, 20)
    monkeypatch.setattr("alloop.strategies._uncertainty.CHUNK", 15)
    assert pick(samples, 20).index.tolist() == whole.index.tolist()


def test_a_sample_that_is_no_number_names_its_text():
    with pytest.raises(ModelError, match="t1-1 are not all numbers"):
        pick([[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [np.nan, 0.5]]], 1)


def test_without_samples_it_is_refused():
    with pytest.raises(ModelError, match="no samples"):
        strategies.build("bald")(Pool(["t1-a"], ["a"]), 1, np.random.default_rng(0))


def test_a_tuner_without_samples_is_refused_before_any_round(make_project):
    with pytest.raises(ConfigError, match="'tfidf' cannot give samples") as caught:
        make_project(strategy="bald")
    assert "dropout = 0.1" in caught.value.hint
    with pytest.raises(ConfigError, match="'lora' cannot give samples"):
        make_project("second", strategy="bald", tuner="lora")
    make_project("third", strategy="bald", tuner="lora", more="[options.lora]\ndropout = 0.1\n")
