from dataclasses import replace

import numpy as np
import pytest

from alloop.strategies import Labelled, Pool, strategies

RNG = np.random.default_rng(0)
CORNERS = np.eye(8)


def texts_around(corners: np.ndarray, spread: float = 0.15) -> np.ndarray:
    return CORNERS[corners] + RNG.normal(size=(len(corners), 8)) * spread


def pool(sure: np.ndarray, embeddings: np.ndarray, labelled: Labelled) -> Pool:
    """Two labels; `sure` (N,) is the probability of the first."""
    ids = [f"t1-{row:04}" for row in range(len(sure))]
    probs = np.stack([sure, 1 - sure], 1).astype(np.float32)
    return Pool(ids, ids, "single", probs=probs, embeddings=embeddings, labelled=labelled)


def labels(n: int, kept: float, first: float = 1.0, rounds: int = 10) -> Labelled:
    """n texts of two labels, asked in ten rounds: a share `kept` about the topic, each label around its corner.

    The others are around other corners, and their labels are chance. Of the first round, before there was a model, a
    share `first` is about the topic.
    """
    asked_in = np.repeat(np.arange(1, rounds + 1), n // rounds)
    is_kept = RNG.random(n) < np.where(asked_in == 1, first, kept)
    said = RNG.integers(0, 2, n)
    ids = [f"t1-seen{row:04}" for row in range(n)]
    x = texts_around(np.where(is_kept, said, RNG.integers(4, 8, n)))
    return Labelled(ids, np.eye(2)[said], embeddings=x, frozen=x, asked_in=asked_in, at_random=np.zeros(n, bool))


AUTO = strategies.build("auto")


def test_the_worse_the_model_the_more_of_the_pool_the_picks_cover() -> None:
    sure = RNG.uniform(0.5, 1, 1000)
    x = texts_around(RNG.integers(0, 8, 1000))
    unsure = np.argsort(sure)
    few = AUTO(pool(sure, x, labels(10, 0.0, first=0.0)), 10, np.random.default_rng(1))
    many = AUTO(pool(sure, x, labels(200, 1.0)), 10, np.random.default_rng(1))
    rank = np.argsort(unsure)
    assert rank[few.index].max() > 100
    assert rank[many.index].max() < 100  # `fewest` batches
    assert "spread over the 100 of 1,000 texts" in many.note


def test_while_each_label_has_hardly_a_text_the_picks_cover_the_pool_as_herding_does() -> None:
    sure, x = RNG.uniform(0.5, 1, 200), texts_around(RNG.integers(0, 8, 200))
    few, enough = (pool(sure, x, labels(n, 1.0, rounds=1)) for n in (5, 6))
    herding = strategies.build("herding")(few, 7, np.random.default_rng(1))
    picks = AUTO(few, 7, np.random.default_rng(1))
    np.testing.assert_array_equal(picks.index, herding.index)
    assert picks.note == "to cover the pool: 5 labelled texts are fewer than 3 for each of 2 labels"
    assert AUTO(enough, 7, np.random.default_rng(1)).note.startswith("spread over the ")


def test_the_picks_are_spread_over_the_part_that_is_unsure() -> None:
    corner = RNG.integers(0, 8, 1000)
    sure = np.where(corner < 4, 0.5, 1.0)
    picks = strategies.build("auto", harder=0.01, fewest=100)(
        pool(sure, texts_around(corner, 0.05), labels(100, 0.7)), 4, np.random.default_rng(1)
    )
    assert sorted(corner[picks.index]) == [0, 1, 2, 3]


def test_without_embeddings_the_smallest_margins_are_picked() -> None:
    seen = labels(20, 1.0)
    bare = replace(pool(RNG.uniform(0.5, 1, 50), np.zeros((50, 8)), seen), embeddings=None)
    bare = replace(bare, labelled=replace(seen, frozen=None))
    expected = strategies.build("margin")(bare, 7, np.random.default_rng(1))
    np.testing.assert_array_equal(AUTO(bare, 7, np.random.default_rng(1)).index, expected.index)


@pytest.mark.parametrize("attempt", range(5))
def test_picks_with_random_labels_are_noticed_and_the_next_batch_is_drawn_at_random(attempt: int) -> None:
    sure, x = RNG.uniform(0.5, 1, 1000), texts_around(RNG.integers(0, 8, 1000))
    lost = AUTO(pool(sure, x, labels(2000, 0.0)), 10, np.random.default_rng(1))
    fine = AUTO(pool(sure, x, labels(2000, 1.0)), 10, np.random.default_rng(1))
    assert lost.at_random
    assert lost.note.startswith("at random, as of 1,000 picked texts ")
    assert (lost.score == 0).all()
    assert not fine.at_random
    np.testing.assert_array_equal(lost.index, np.random.default_rng(1).choice(1000, 10, replace=False))


def test_picks_are_not_blamed_by_a_judge_that_cannot_predict_the_other_texts_either() -> None:
    sure, x = RNG.uniform(0.5, 1, 1000), texts_around(RNG.integers(0, 8, 1000))
    seen = labels(2000, 0.0)
    blamed = AUTO(pool(sure, x, seen), 10, np.random.default_rng(1))
    mixed = seen.y.copy()
    for corner in (0, 1):  # in the first round every other text has the other label
        rows = np.flatnonzero((seen.asked_in == 1) & (seen.y[:, corner] > 0))[::2]
        mixed[rows] = mixed[rows][:, ::-1]
    assert blamed.at_random
    assert not AUTO(pool(sure, x, replace(seen, y=mixed)), 10, np.random.default_rng(1)).at_random


def test_a_few_labels_of_each_kind_are_too_few_to_give_up() -> None:
    sure, x = RNG.uniform(0.5, 1, 100), texts_around(RNG.integers(0, 8, 100))
    seen = labels(2000, 0.0)
    assert AUTO(pool(sure, x, seen), 10, np.random.default_rng(1)).at_random
    patient = strategies.build("auto", from_labels=1001)
    assert not patient(pool(sure, x, seen), 10, np.random.default_rng(1)).at_random


def test_fewest_must_leave_something_to_pick() -> None:
    with pytest.raises(ValueError, match="fewest and harder must be above 0"):
        strategies.get("auto")(fewest=0)
