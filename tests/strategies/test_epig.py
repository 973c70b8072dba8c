import numpy as np
import pytest

from alloop.errors import ModelError
from alloop.strategies import Picks, Pool, strategies


def pick(samples, n, kind="single", seed=0, **options) -> Picks:
    samples = np.asarray(samples, np.float32)
    ids = [f"t1-{row}" for row in range(samples.shape[1])]
    return strategies.build("epig", **options)(Pool(ids, ids, kind, samples=samples), n, np.random.default_rng(seed))


def by_text(picks: Picks) -> np.ndarray:
    return picks.score[np.argsort(picks.index)]


def by_hand(samples) -> np.ndarray:
    """The definition, in loops: the divergence of the joint from the product, the mean over all texts."""
    draws, texts, labels = samples.shape
    gains = np.zeros(texts)
    for x in range(texts):
        for other in range(texts):
            for y in range(labels):
                for z in range(labels):
                    joint = sum(samples[t, x, y] * samples[t, other, z] for t in range(draws)) / draws
                    apart = samples[:, x, y].mean() * samples[:, other, z].mean()
                    gains[x] += joint * np.log(joint / apart) / texts
    return gains


def test_the_scores_are_those_of_the_paper():
    samples = np.random.default_rng(0).dirichlet([1, 1, 1], (4, 6))
    assert by_text(pick(samples, 6)) == pytest.approx(by_hand(samples), abs=1e-6)


def test_of_several_labels_each_is_a_choice_of_its_own():
    samples = np.random.default_rng(0).random((4, 6, 2))
    each = [by_hand(np.stack([samples[..., c], 1 - samples[..., c]], -1)) for c in range(2)]
    assert by_text(pick(samples, 6, "multi")) == pytest.approx(np.mean(each, 0), abs=1e-6)


def test_a_label_that_tells_of_others_is_worth_more_than_one_that_tells_of_itself():
    together, alone = [0.9, 0.9, 0.1, 0.1], [0.95, 0.05, 0.95, 0.05]  # four draws; the odd text is the more doubtful
    p = np.array([together] * 5 + [alone]).T  # (T, N)
    samples = np.stack([p, 1 - p], -1)
    assert pick(samples, 6).index[-1] == 5
    bald = strategies.build("bald")
    ids = list("abcdef")
    assert bald(Pool(ids, ids, samples=samples), 1, np.random.default_rng(0)).index[0] == 5


def test_a_sample_of_targets_stands_for_the_pool_and_parts_give_what_the_whole_gives(monkeypatch):
    samples = np.random.default_rng(0).dirichlet([1, 1], (8, 200))
    some = by_text(pick(samples, 200, targets=50))
    assert np.corrcoef(some, by_text(pick(samples, 200, targets=200)))[0, 1] > 0.9
    monkeypatch.setattr("alloop.strategies.epig.CELLS", 1000)
    monkeypatch.setattr("alloop.strategies._uncertainty.CHUNK", 100)
    assert by_text(pick(samples, 200, targets=50)) == pytest.approx(some, abs=1e-7)


def test_without_samples_it_is_refused():
    with pytest.raises(ModelError, match="no samples"):
        strategies.build("epig")(Pool(["t1-a"], ["a"]), 1, np.random.default_rng(0))
