import numpy as np
import pytest

from alloop.errors import ModelError
from alloop.strategies import Picks, Pool, strategies


def pick(embeddings, n, seed=0) -> Picks:
    ids = [f"t1-{row}" for row in range(len(embeddings))]
    return strategies.build("kmeans")(Pool(ids, ids, embeddings=np.asarray(embeddings)), n, np.random.default_rng(seed))


THREE_GROUPS = [[9, 1], [9, 2], [9, 3], [9, 4], [9, 5], [-1, 9], [0, 9], [1, 9], [-9, -1]]  # of 5, 3 and 1


def test_kmeans_picks_the_middle_of_each_group_the_largest_first():
    picks = pick(THREE_GROUPS, 3)
    assert picks.index.tolist() == [2, 6, 8]
    assert picks.score == pytest.approx([5 / 9, 3 / 9, 1 / 9])


def test_kmeans_sees_directions_and_not_lengths():
    assert sorted(pick([[1, 0], [100, 0], [0, 1], [0, 100]], 2).index // 2) == [0, 1]


def test_more_picks_than_different_texts_are_still_different_picks():
    picks = pick([[1, 0]] * 5 + [[0, 1]] * 2, 4)
    assert len(set(picks.index.tolist())) == 4
    assert {int(row >= 5) for row in picks.index[:2]} == {0, 1}
    assert picks.score == pytest.approx([5 / 7, 2 / 7, 0, 0])


def test_a_text_without_a_word_has_no_direction_and_does_no_harm():
    assert sorted(pick([[0, 0], [1, 0], [0, 1]], 3).index) == [0, 1, 2]


def test_the_whole_pool_can_be_picked():
    assert sorted(pick(THREE_GROUPS, 9).index) == list(range(9))


def test_a_pool_above_the_limit_is_clustered_in_batches_into_the_same_groups(monkeypatch):
    monkeypatch.setattr("alloop.strategies._geometry.FULL", 100)
    noise = np.random.default_rng(0).normal(size=(600, 2)) / 10
    picks = pick(np.repeat([[5, 0], [0, 5], [-5, 0]], [300, 200, 100], axis=0) + noise, 3)
    assert picks.score == pytest.approx([3 / 6, 2 / 6, 1 / 6])


def test_an_embedding_that_is_no_number_names_its_text():
    with pytest.raises(ModelError, match="t1-1"):
        pick([[1, 0], [np.inf, 0]], 1)


def test_a_pool_without_embeddings_is_refused():
    with pytest.raises(ModelError, match="no embeddings"):
        strategies.build("kmeans")(Pool(["t1-a"], ["a"]), 1, np.random.default_rng(0))


@pytest.mark.slow
def test_fifty_thousand_texts_are_clustered_into_centres_of_the_groups_they_were_made_of():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 10, 50_000)
    embeddings = (rng.normal(size=(10, 384))[group] + rng.normal(size=(50_000, 384)) / 4).astype(np.float32)
    assert len(set(group[pick(embeddings, 25).index].tolist())) == 10
