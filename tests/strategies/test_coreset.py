import numpy as np
import pytest

from alloop.errors import ModelError
from alloop.strategies import Labelled, Picks, Pool, strategies


def pick(x, n, seen=None, seed=0) -> Picks:
    x = np.asarray(x, np.float32)
    ids = [f"t1-{row}" for row in range(len(x))]
    y = np.ones((0 if seen is None else len(seen), 1))
    labelled = Labelled([f"t1-l{row}" for row in range(len(y))], y, embeddings=seen)
    return strategies.build("coreset")(Pool(ids, ids, embeddings=x, labelled=labelled), n, np.random.default_rng(seed))


def on_the_circle(*degrees: float) -> np.ndarray:
    turned = np.radians(degrees)
    return np.stack([np.cos(turned), np.sin(turned)], 1)


def test_the_text_farthest_from_the_labelled_ones_comes_first_then_the_farthest_from_both():
    picks = pick(on_the_circle(10, 60, 180, 100), 3, seen=on_the_circle(0))
    assert picks.index.tolist() == [2, 3, 1]  # 180 from 0; 100 is 80 from 180; 60 is 40 from 100
    assert picks.score == pytest.approx([2 * np.sin(np.radians(a / 2)) for a in (180, 80, 40)])


def test_without_labels_the_middle_of_the_pool_comes_first():
    picks = pick(on_the_circle(-40, 0, 50), 2)
    assert picks.index.tolist() == [1, 2]
    assert picks.score == pytest.approx([2, 2 * np.sin(np.radians(25))])


def by_the_formula(x: np.ndarray, seen: np.ndarray, n: int) -> list[int]:
    """argmax over u outside s of min over j in s of d(u, j), Algorithm 1 of the paper."""
    x, seen = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (x, seen))
    picked: list[int] = []
    for _ in range(n):
        centres = [*seen, *x[picked]]
        far = {u: min(np.linalg.norm(x[u] - c) for c in centres) for u in range(len(x)) if u not in picked}
        picked.append(max(far, key=far.__getitem__))
    return picked


def test_the_picks_are_those_of_the_paper():
    rng = np.random.default_rng(1)
    x, seen = rng.normal(size=(60, 6)), rng.normal(size=(4, 6))
    assert pick(x, 15, seen).index.tolist() == by_the_formula(x, seen, 15)


def test_the_order_of_the_pool_and_the_random_numbers_make_no_difference():
    rng = np.random.default_rng(2)
    x, order = rng.normal(size=(50, 4)), rng.permutation(50)
    for seen in (None, rng.normal(size=(3, 4))):
        assert order[pick(x[order], 10, seen, seed=9).index].tolist() == pick(x, 10, seen).index.tolist()


def test_equal_texts_come_last_and_once():
    picks = pick(on_the_circle(0, 0, 0, 90), 4, seen=on_the_circle(0))
    assert picks.index.tolist()[0] == 3
    assert sorted(picks.index.tolist()) == [0, 1, 2, 3]
    assert picks.score[1:] == pytest.approx([0, 0, 0], abs=1e-3)


def test_labels_without_embeddings_are_refused():
    pool = Pool(["t1-a"], ["a"], embeddings=np.ones((1, 2)), labelled=Labelled(["t1-b"], np.ones((1, 1))))
    with pytest.raises(ModelError, match="no embeddings"):
        strategies.build("coreset")(pool, 1, np.random.default_rng(0))
