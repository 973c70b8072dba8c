import numpy as np
import pytest

from alloop.tuning._linear import class_weight_vector, fit_linear, linear_logits, probabilities


def one_hot(classes, c):
    return np.eye(c, dtype=np.float32)[classes]


def test_weights_average_one_over_the_examples_and_favour_the_rare():
    y = one_hot([0] * 9 + [1], 3)
    for how, ratio in (("none", 1), ("sqrt", 3), ("balanced", 9)):
        weights = class_weight_vector(y, "single", how)
        assert weights[1] / weights[0] == pytest.approx(ratio)
        assert weights[y.argmax(1)].mean() == pytest.approx(1)


def test_a_present_label_counts_at_most_ten_times_in_a_multi_label_task():
    y = np.zeros((400, 3), np.float32)
    y[:1, 0] = y[:100, 1] = y[:300, 2] = 1
    assert class_weight_vector(y, "multi", "balanced").tolist() == [10, 3, 1]


@pytest.mark.parametrize("seen", [[0, 1], [0, 1, 2], [2], [1, 3]])
def test_labels_without_examples_are_rare_but_possible(seen):
    rng = np.random.default_rng(0)
    classes = np.array(seen * 10)
    x = rng.normal(size=(len(classes), 5)).astype(np.float32)
    x[np.arange(len(classes)), classes] += 8
    arrays = fit_linear(x, one_hot(classes, 4), "single", 1.0)
    probs = probabilities(linear_logits(x, arrays), "single")
    assert (probs.argmax(1) == classes).all()
    unseen = [c for c in range(4) if c not in seen]
    assert 0 < probs[:, unseen].max() < 0.2


def test_two_classes_have_scikit_learns_probabilities():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x, classes = rng.normal(size=(30, 4)).astype(np.float32), rng.integers(0, 2, 30)
    probs = probabilities(linear_logits(x, fit_linear(x, one_hot(classes, 2), "single", 1.0)), "single")
    expected = LogisticRegression(C=1.0, max_iter=1000).fit(x, classes).predict_proba(x)
    assert probs == pytest.approx(expected, abs=1e-3)


def test_a_label_that_all_or_none_have_is_likely_or_not():
    y = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1]], np.float32)
    probs = probabilities(linear_logits(np.eye(3), fit_linear(np.eye(3), y, "multi", 1.0)), "multi")
    assert probs[:, 0].tolist() == pytest.approx([0.8] * 3)
    assert probs[:, 1].tolist() == pytest.approx([0.2] * 3)


def test_probabilities_stay_finite_for_huge_logits():
    logits = np.array([[1e4, -1e4], [0, 0]])
    assert probabilities(logits, "single").tolist() == [[1, 0], [0.5, 0.5]]
    assert probabilities(logits, "multi").tolist() == [[1, 0], [0.5, 0.5]]


def test_nearly_as_many_labels_as_texts_are_learnt_without_a_warning():
    y = np.eye(40)[[*range(40), 0, 1]]
    found = fit_linear(y, y, "single", 10.0)
    assert (linear_logits(y, found).argmax(1) == y.argmax(1)).all()
