import numpy as np
import pytest

from alloop.strategies import Labelled
from alloop.strategies._evidence import ENOUGH, weigh


def ridge(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    return np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ y)


def with_ones(x: np.ndarray) -> np.ndarray:
    return np.c_[x / np.linalg.norm(x, axis=1, keepdims=True), np.ones(len(x))].astype(float)


def labelled(classes: np.ndarray, asked_in: np.ndarray, at_random: np.ndarray, noise: float = 0.3) -> Labelled:
    """Texts around a corner of a cube for each class."""
    rng = np.random.default_rng(1)
    x = np.eye(6)[rng.integers(0, 3, len(classes)) if noise > 1 else classes] + rng.normal(size=(len(classes), 6)) * 0.3
    ids = [f"t1-{row:03}" for row in range(len(classes))]
    return Labelled(ids, np.eye(3)[classes], frozen=x, asked_in=asked_in, at_random=at_random)


def test_the_error_is_that_of_leaving_each_text_out() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 40)
    seen = labelled(classes, np.ones(40, int), np.zeros(40, bool))
    x, y = with_ones(seen.frozen), seen.y
    by_strength = []
    for strength in (0.1, 0.3, 1.0, 3.0, 10.0):
        answers = []
        for row in range(40):
            rest = np.arange(40) != row
            answers.append(x[row] @ ridge(x[rest], y[rest], strength))
        by_strength.append((((np.array(answers) - y) ** 2).sum(), np.array(answers)))
    least = min(by_strength, key=lambda one: one[0])[1]
    assert weigh(seen, "single").error == (least.argmax(1) != classes).mean()
    assert weigh(seen, "multi").error == ((least > 0.5) != (y > 0)).any(1).mean()


def test_what_was_taught_compares_with_a_model_of_the_earlier_rounds() -> None:
    rng = np.random.default_rng(0)
    classes, asked_in = rng.integers(0, 3, 150), np.repeat([0, 2, 5, 6], [20, 50, 70, 10])
    at_random = np.arange(150) % 5 == 0
    seen = labelled(classes, asked_in, at_random)
    found = weigh(seen, "single")
    x, y = with_ones(seen.frozen), seen.y
    fell = []
    for strength in (0.1, 0.3, 1.0, 3.0, 10.0):
        then, now = [], []
        for row in np.flatnonzero(~at_random & ((asked_in == 2) | (asked_in == 5))):  # not 6: 140 labels were known
            before, rest = asked_in < asked_in[row], np.arange(150) != row
            for rows, into in ((before, then), (rest, now)):
                answer = (x[row] @ ridge(x[rows], y[rows], strength)).clip(0, 1)
                into.append(((answer - y[row]) ** 2).sum())
        fell.append(1 - sum(now) / sum(then))
    assert found.picks == 96
    assert min(abs(one - found.taught) for one in fell) < 1e-6
    assert found.most == pytest.approx(found.taught + 1.28 * found.unsure)


def test_picks_count_once_the_labels_have_doubled_and_there_are_thirty_of_them() -> None:
    def picks(*sizes: int) -> int:
        asked_in = np.repeat(np.arange(len(sizes)), sizes)
        n = len(asked_in)
        return weigh(labelled(np.arange(n) % 3, asked_in, np.zeros(n, bool)), "single").picks

    assert picks(200, 40, 40) == 0  # a project that began with labels
    assert picks(20, 29) == 0
    assert picks(20, 30) == 30
    assert picks(20, 30, 49) == 30
    assert picks(20, 30, 50) == 80


def test_texts_drawn_at_random_are_judged_alone_once_they_are_enough() -> None:
    rng = np.random.default_rng(0)
    hard = rng.integers(0, 3, 100)  # labels that have nothing to do with the texts
    easy = rng.integers(0, 3, ENOUGH)
    x = np.eye(6)[np.r_[rng.integers(3, 6, 100), easy]] + rng.normal(size=(100 + ENOUGH, 6)) * 0.1
    ids = [f"t1-{row:03}" for row in range(len(x))]
    at_random = np.r_[np.zeros(100, bool), np.ones(ENOUGH, bool)]
    y = np.eye(3)[np.r_[hard, easy]]
    ones = np.ones(len(x), int)
    assert weigh(Labelled(ids, y, frozen=x, asked_in=ones, at_random=at_random), "single").error < 0.05
    at_random[-1] = False
    assert weigh(Labelled(ids, y, frozen=x, asked_in=ones, at_random=at_random), "single").error > 0.2


def test_without_picks_or_without_labels_before_them_nothing_is_said_of_what_they_taught() -> None:
    classes = np.array([0, 1, 2] * 5)
    first_round = weigh(labelled(classes, np.ones(15, int), np.zeros(15, bool)), "single")
    only_random = weigh(labelled(classes, np.arange(15), np.ones(15, bool)), "single")
    came_with_data = weigh(labelled(classes, np.zeros(15, int), np.zeros(15, bool)), "single")
    for found in (first_round, only_random, came_with_data):
        assert (found.picks, found.taught, found.most) == (0, None, np.inf)
        assert (found.wrong, found.others_wrong) == (None, None)


def test_how_often_picks_and_others_are_wrong_is_counted_apart() -> None:
    rng = np.random.default_rng(0)
    kept, lost = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    x = np.eye(6)[np.r_[kept, rng.integers(3, 6, 60)]] + rng.normal(size=(120, 6)) * 0.1
    ids = [f"t1-{row:03}" for row in range(120)]
    y = np.eye(3)[np.r_[kept, lost]]
    asked_in = np.repeat([1, 2, 3], [60, 30, 30])
    found = weigh(Labelled(ids, y, frozen=x, asked_in=asked_in, at_random=np.zeros(120, bool)), "single")
    assert found.others_wrong < 0.05
    assert found.wrong > 0.4
