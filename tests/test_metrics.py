import numpy as np
import pytest
from sklearn import metrics as sk

from alloop.errors import ModelError
from alloop.metrics import Metric, confusion, decide, difference, evaluate, log_loss

ABC = ("a", "b", "c")
HEADLINE = {"accuracy", "balanced_accuracy", "f1_macro", "f1_micro", "matthews", "log_loss", "ece"}


def measure(y, probs, kind="single", labels=None, seed=0) -> dict[str, Metric]:
    y, probs = np.asarray(y), np.asarray(probs)
    names = labels or [str(c) for c in range(y.shape[1])]
    return {one.name: one for one in evaluate(y, probs, kind, names, np.random.default_rng(seed))}


# Truth a a b b c, decided a b b b a: three of five right.
Y = np.eye(3)[[0, 0, 1, 1, 2]]
PROBS = np.array([[0.8, 0.1, 0.1], [0.4, 0.6, 0.0], [0.2, 0.8, 0.0], [0.2, 0.8, 0.0], [0.6, 0.0, 0.4]])


def test_single_label_measures_can_be_worked_out_by_hand():
    found = measure(Y, PROBS, labels=ABC)
    by_hand = {
        "accuracy": 3 / 5,
        "balanced_accuracy": (1 / 2 + 1 + 0) / 3,
        "precision[a]": 1 / 2,
        "recall[a]": 1 / 2,
        "precision[b]": 2 / 3,
        "f1[b]": 4 / 5,
        "f1[c]": 0,
        "f1_macro": (1 / 2 + 4 / 5 + 0) / 3,
        "f1_weighted": (2 * 1 / 2 + 2 * 4 / 5 + 0) / 5,
        "log_loss": -np.log([0.8, 0.4, 0.8, 0.8, 0.4]).mean(),
        "ece": (3 * 0.2 + 2 * 0.6) / 5,  # of 0.8 sure three are right, of 0.6 sure none
    }
    assert {name: found[name].value for name in by_hand} == pytest.approx(by_hand)
    assert {one.n for one in found.values()} == {5}


def test_multi_label_measures_can_be_worked_out_by_hand():
    y, probs = [[1, 0], [1, 1], [0, 0], [0, 0]], [[0.9, 0.1], [0.9, 0.2], [0.5, 0.1], [0.1, 0.1]]
    found = measure(y, probs, "multi")  # decided: first, first, first, none
    by_hand = {
        "accuracy": 2 / 4,
        "subset_accuracy": 2 / 4,
        "hamming_loss": 2 / 8,
        "balanced_accuracy": ((1 + 1 / 2) / 2 + (0 + 1) / 2) / 2,
        "f1[0]": 4 / 5,
        "f1[1]": 0,
        "f1_micro": 4 / 6,
        "ece": ((2 * 0.1 + 0.5 + 0.1) / 4 + (abs(-3 * 0.1) + 0.8) / 4) / 2,
    }
    assert {name: found[name].value for name in by_hand} == pytest.approx(by_hand)


def test_confusion_has_a_row_for_each_true_label():
    assert confusion(Y, PROBS, "single").tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_multi_label_confusion_has_tp_fp_fn_tn_for_each_label():
    y, probs = np.array([[1, 0], [1, 1], [0, 0]]), np.array([[0.9, 0.1], [0.2, 0.2], [0.5, 0.1]])
    assert confusion(y, probs, "multi").tolist() == [[1, 1, 1, 0], [0, 0, 1, 2]]


def drawn(kind, seed) -> tuple[np.ndarray, np.ndarray]:
    """Random truths and probabilities; odd seeds lack a label in the truth, some of them among decisions too."""
    rng = np.random.default_rng(seed)
    n, c = int(rng.integers(2, 60)), int(rng.integers(2, 8))
    if kind == "multi":
        y, probs = (rng.random((n, c)) < 0.3).astype(float), rng.random((n, c))
        y[0] = 1
    else:
        y, probs = np.eye(c)[rng.integers(0, c, n)], rng.dirichlet(np.ones(c) / 2, n)
    if seed % 2 and kind == "multi":
        y[:, 0] = 0
        probs[:, 0] /= 1 + seed % 4 * 10
    elif seed % 2:
        y[:, -1] += y[:, 0]
        y[:, 0] = 0
        probs[:, 0] *= seed % 4 == 1
    probs = probs if kind == "multi" else probs / probs.sum(1, keepdims=True)
    return y, probs.astype(np.float32)


@pytest.mark.filterwarnings("ignore")  # scikit-learn warns of the absent labels that are drawn on purpose
@pytest.mark.parametrize("seed", range(25))
def test_single_label_measures_agree_with_scikit_learn(seed):
    y, probs = drawn("single", seed)
    truth, said = y.argmax(1), probs.argmax(1)
    labels = list(range(y.shape[1]))
    theirs = {
        "accuracy": sk.accuracy_score(truth, said),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, said),
        "matthews": sk.matthews_corrcoef(truth, said),
        "log_loss": sk.log_loss(truth, probs, labels=labels),
    }
    for name, function in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        for average in ("macro", "micro", "weighted"):
            theirs[f"{name}_{average}"] = function(truth, said, average=average, zero_division=0)
        by_label = function(truth, said, average=None, labels=labels, zero_division=0)
        theirs |= {f"{name}[{c}]": value for c, value in enumerate(by_label)}
    ours = {name: one.value for name, one in measure(y, probs).items() if name != "ece"}
    assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-9)
    assert (confusion(y, probs, "single") == sk.confusion_matrix(truth, said, labels=labels)).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(25))
def test_multi_label_measures_agree_with_scikit_learn(seed):
    y, probs = drawn("multi", seed)
    said = probs >= 0.5
    columns = range(y.shape[1])
    occur = [c for c in columns if y[:, c].any() or said[:, c].any()]
    theirs = {
        "accuracy": sk.accuracy_score(y, said),
        "subset_accuracy": sk.accuracy_score(y, said),
        "hamming_loss": sk.hamming_loss(y, said),
        "balanced_accuracy": np.mean([sk.balanced_accuracy_score(y[:, c], said[:, c]) for c in columns]),
        "matthews": np.mean([sk.matthews_corrcoef(y[:, c], said[:, c]) for c in columns]),
        "log_loss": np.mean([sk.log_loss(y[:, c], probs[:, c], labels=[0, 1]) for c in columns]),
    }
    for name, function in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        for average in ("macro", "micro", "weighted"):
            theirs[f"{name}_{average}"] = function(y, said, average=average, labels=occur, zero_division=0)
        theirs |= {f"{name}[{c}]": v for c, v in enumerate(function(y, said, average=None, zero_division=0))}
    ours = {name: one.value for name, one in measure(y, probs, "multi").items() if name != "ece"}
    assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-9)
    cells = sk.multilabel_confusion_matrix(y, said)[:, [1, 0, 1, 0], [1, 1, 0, 0]]
    assert (confusion(y, probs, "multi") == cells).all()


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("seed", range(6))
def test_intervals_surround_their_estimates_and_stay_in_range(kind, seed):
    found = measure(*drawn(kind, seed), kind)
    headline = HEADLINE | ({"subset_accuracy", "hamming_loss"} if kind == "multi" else set())
    assert {name for name, one in found.items() if one.low is not None} == headline
    assert all(found[name].low <= found[name].value <= found[name].high for name in headline)
    for name in headline - {"log_loss", "matthews"}:
        assert found[name].low >= 0
        assert found[name].high <= 1 + 1e-9


def test_perfect_decisions_score_one_on_a_sample_that_lacks_a_label():
    found = measure(np.eye(3)[[0, 1, 1]], np.eye(3)[[0, 1, 1]])
    assert [found[name].value for name in ("accuracy", "f1_macro", "balanced_accuracy", "matthews")] == [1, 1, 1, 1]
    assert (found["f1_macro"].low, found["ece"].value) == (1, 0)


def test_an_interval_narrows_with_the_square_root_of_the_rows():
    def width(n):
        found = measure(np.tile(np.eye(2)[[0, 0, 0, 0]], (n, 1)), np.tile([[1.0, 0], [1, 0], [1, 0], [0, 1]], (n, 1)))
        return found["accuracy"].high - found["accuracy"].low

    assert width(25) == pytest.approx(2 * 1.96 * np.sqrt(0.75 * 0.25 / 100), rel=0.12)
    assert width(25) / width(400) == pytest.approx(4, rel=0.15)


def test_intervals_hold_the_true_accuracy_nearly_as_often_as_they_promise():
    rng, hits = np.random.default_rng(0), 0
    for seed in range(100):
        right = rng.random(100) < 0.8
        one = measure(np.tile([1, 0], (100, 1)), np.where(right[:, None], [0.8, 0.2], [0.2, 0.8]), seed=seed)[
            "accuracy"
        ]
        hits += one.low <= 0.8 <= one.high
    assert (
        88 <= hits <= 99
    )  # 95 of 100 is the promise, two standard errors are 4.4, and small samples fall a little short


def test_the_same_rng_gives_the_same_intervals_and_another_one_others():
    y, probs = drawn("single", 2)
    assert measure(y, probs, seed=1) == measure(y, probs, seed=1) != measure(y, probs, seed=2)


def test_resampling_in_several_parts_keeps_every_resample(monkeypatch):
    monkeypatch.setattr("alloop.metrics.CELLS", 7 * 5)
    found = measure(Y, PROBS)
    assert found["accuracy"].low < 0.6 < found["accuracy"].high


def test_one_row_has_estimates_and_no_intervals():
    found = measure([[1, 0]], [[0.7, 0.3]])
    assert found["accuracy"] == Metric("accuracy", 1.0, None, None, 1)
    assert found["log_loss"].value == pytest.approx(-np.log(0.7))


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        measure(np.zeros((0, 2)), np.zeros((0, 2)))


def test_a_single_label_row_without_a_label_is_refused_by_its_number():
    with pytest.raises(ValueError, match="row 1 of a single-label task has 0 labels"):
        measure([[1, 0], [0, 0]], [[0.5, 0.5], [0.5, 0.5]])


def test_probabilities_that_are_no_numbers_are_refused():
    with pytest.raises(ModelError, match="not all numbers"):
        measure([[1, 0]], [[np.nan, 0.5]])


def test_a_probability_of_zero_for_the_truth_costs_much_but_not_everything():
    assert measure([[1, 0]], np.array([[0, 1]], np.float32))["log_loss"].value == pytest.approx(15.94, abs=0.01)


def test_a_difference_is_measured_on_the_same_resamples():
    rng = np.random.default_rng(1)
    y = np.eye(2)[rng.integers(0, 2, 200)]
    wrong = rng.random(200) < 0.3
    first = np.where(wrong[:, None], 1 - y, y)
    second = first.copy()
    second[:10] = y[:10]  # all but ten texts are the same to both
    found = difference("accuracy", y, second, first, "single", np.random.default_rng(0))
    assert found.value == pytest.approx(wrong[:10].sum() / 200)
    alone = measure(y, second)["accuracy"]
    assert found.high - found.low < (alone.high - alone.low) / 3, "what both get wrong does not widen it"
    assert found.low >= 0
    assert difference("log_loss", y, first, first, "single", np.random.default_rng(0)).value == 0


def test_decisions_and_log_loss_are_those_that_evaluate_measures():
    assert decide(PROBS, "single").argmax(1).tolist() == [0, 1, 1, 1, 0]
    assert decide(np.array([[0.5, 0.4]]), "multi").tolist() == [[1, 0]]
    assert log_loss(Y, PROBS, "single") == pytest.approx(measure(Y, PROBS)["log_loss"].value)
