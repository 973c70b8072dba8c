import numpy as np
import pytest

from alloop.errors import ModelError
from alloop.strategies import Pool, strategies


def pool(probs, embeddings, kind="single"):
    ids = [f"t1-{row}" for row in range(len(probs))]
    return Pool(ids, ids, kind, probs=np.asarray(probs), embeddings=np.asarray(embeddings))


def test_of_two_equally_doubtful_texts_the_one_in_the_crowd_is_picked():
    crowd = [[5, 1], [5, 0], [5, 2], [-9, 1]]
    picks = strategies.build("density")(pool([[0.5, 0.5]] * 4, crowd), 4, np.random.default_rng(0))
    assert picks.index[0] == 0
    assert picks.index[-1] == 3


def test_the_scores_are_modals_entropy_times_its_density():
    from modAL.density import information_density
    from scipy.stats import entropy

    rng = np.random.default_rng(0)
    probs, x = rng.dirichlet([1, 1, 1], 50), rng.normal(size=(50, 8))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    picks = strategies.build("density", beta=2.0)(pool(probs, x), 50, rng)
    expected = entropy(probs, axis=1) * information_density(x) ** 2
    assert picks.index.tolist() == np.argsort(-expected).tolist()
    assert picks.score == pytest.approx(np.sort(expected)[::-1], rel=1e-3)


def test_without_density_it_is_entropy():
    rng = np.random.default_rng(0)
    some = pool(rng.random((30, 3)), rng.normal(size=(30, 4)), "multi")
    here = strategies.build("density", beta=0)(some, 30, np.random.default_rng(1))
    there = strategies.build("entropy")(some, 30, np.random.default_rng(1))
    assert here.index.tolist() == there.index.tolist()


def test_a_part_of_a_large_pool_stands_for_it(monkeypatch):
    rng = np.random.default_rng(0)
    some = pool(np.full((600, 2), 0.5), np.r_[rng.normal(5, 2, size=(599, 2)), [[-50, -50]]])
    whole = strategies.build("density")(some, 600, np.random.default_rng(0))
    monkeypatch.setattr("alloop.strategies.density.MOST", 100)
    monkeypatch.setattr("alloop.strategies._geometry.CELLS", 1000)
    part = strategies.build("density")(some, 600, np.random.default_rng(0))
    assert part.index[-1] == whole.index[-1] == 599
    assert np.corrcoef(np.argsort(whole.index), np.argsort(part.index))[0, 1] > 0.95


def test_an_embedding_that_is_no_number_names_its_text():
    with pytest.raises(ModelError, match="t1-1"):
        strategies.build("density")(pool([[0.5, 0.5]] * 2, [[0, 0], [0, np.nan]]), 1, np.random.default_rng(0))
