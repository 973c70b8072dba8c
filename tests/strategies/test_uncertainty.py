import numpy as np
import pytest

from alloop.errors import ModelError
from alloop.strategies import Picks, Pool, strategies

FOUR = [[0.9, 0.05, 0.05], [0.5, 0.49, 0.01], [0.4, 0.3, 0.3], [0.6, 0.3, 0.1]]  # sure, torn, clueless, fairly sure
UNCERTAIN = ["entropy", "least-confidence", "margin"]


def pick(name, probs, n, kind="single", seed=0) -> Picks:
    probs = np.asarray(probs)
    ids = [f"t1-{row}" for row in range(len(probs))]
    return strategies.build(name)(Pool(ids, ids, kind, probs=probs), n, np.random.default_rng(seed))


def test_margin_picks_the_text_with_the_closest_two_labels():
    picks = pick("margin", FOUR, 2)
    assert picks.index.tolist() == [1, 2]
    assert picks.score == pytest.approx([1 - 0.01, 1 - 0.1])


def test_least_confidence_picks_the_text_whose_likeliest_label_is_the_least_likely():
    picks = pick("least-confidence", FOUR, 2)
    assert picks.index.tolist() == [2, 1]
    assert picks.score == pytest.approx([0.6, 0.5])


def test_entropy_of_even_odds_is_the_logarithm_of_the_labels():
    picks = pick("entropy", [[1.0, 0.0], [0.5, 0.5], [0.9, 0.1]], 3)
    assert picks.index.tolist() == [1, 2, 0]
    assert picks.score == pytest.approx([np.log(2), 0.325083, 0], abs=1e-6)


def test_with_two_labels_the_three_strategies_agree():
    probs = np.array([[p, 1 - p] for p in (0.1, 0.45, 0.7, 0.99, 0.58)])
    assert {tuple(pick(name, probs, 5).index.tolist()) for name in UNCERTAIN} == {(1, 4, 2, 0, 3)}


MULTI = [[0.9, 0.9, 0.5], [0.7, 0.7, 0.7], [0.01, 0.99, 0.01]]  # one toss-up, three doubts, sure of all


def test_margin_of_several_labels_is_that_of_the_one_nearest_to_even():
    picks = pick("margin", MULTI, 3, "multi")
    assert picks.index.tolist() == [0, 1, 2]
    assert picks.score == pytest.approx([1, 0.6, 0.02])


def test_least_confidence_of_several_labels_is_the_share_expected_to_be_wrong():
    picks = pick("least-confidence", MULTI, 3, "multi")
    assert picks.index.tolist() == [1, 0, 2]
    assert picks.score == pytest.approx([0.3, 0.7 / 3, 0.01])


def test_entropy_of_several_labels_is_the_mean_of_theirs():
    picks = pick("entropy", [[0.5, 1.0], [0.5, 0.5]], 2, "multi")
    assert picks.index.tolist() == [1, 0]
    assert picks.score == pytest.approx([np.log(2), np.log(2) / 2])


@pytest.mark.parametrize("name", UNCERTAIN)
def test_texts_the_model_cannot_tell_apart_are_a_random_sample(name):
    picked = [pick(name, [[0.5, 0.5]] * 4, 1, seed=seed).index[0] for seed in range(60)]
    assert set(picked) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", UNCERTAIN)
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_a_probability_that_is_no_number_names_its_text(name, kind):
    with pytest.raises(ModelError, match="t1-2"):
        pick(name, [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.8, np.nan, 0.1]], 1, kind)


@pytest.mark.parametrize("name", UNCERTAIN)
def test_a_pool_without_probabilities_is_refused_with_a_hint(name):
    with pytest.raises(ModelError) as caught:
        strategies.build(name)(Pool(["t1-a"], ["a"]), 1, np.random.default_rng(0))
    assert "alloop round" in caught.value.hint


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("name", UNCERTAIN)
def test_a_pool_in_several_chunks_gives_what_it_gives_in_one(name, kind, monkeypatch):
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], 100).astype(np.float32)
    whole = pick(name, probs, 100, kind)
    monkeypatch.setattr("alloop.strategies._uncertainty.CHUNK", 7)
    chunked = pick(name, probs, 100, kind)
    assert np.array_equal(whole.index, chunked.index)
    assert np.array_equal(whole.score, chunked.score)


def test_a_memory_mapped_pool_is_picked_from_and_left_as_it_was(tmp_path):
    np.save(tmp_path / "probs.npy", np.array(FOUR, np.float32))
    before = (tmp_path / "probs.npy").read_bytes()
    assert pick("margin", np.load(tmp_path / "probs.npy", mmap_mode="r"), 1).index.tolist() == [1]
    assert (tmp_path / "probs.npy").read_bytes() == before


@pytest.mark.slow
def test_margin_of_a_million_texts_with_77_labels_copies_only_a_part_at_a_time():
    import tracemalloc

    probs = np.random.default_rng(0).random((1_000_000, 77), dtype=np.float32)
    pick("margin", probs[:10], 1)
    tracemalloc.start()
    ids = range(len(probs))
    picks = strategies.build("margin")(Pool(ids, ids, probs=probs), 50, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    top = np.partition(probs[picks.index[-1]], -2)[-2:]
    assert picks.score[-1] == pytest.approx(1 - (top[1] - top[0]))
    assert peak < probs.nbytes / 3
