"""Tests of what stopping rules look at: alloop.metrics.agreement and alloop.metrics.uncertainty."""

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import cohen_kappa_score, f1_score

from alloop.errors import ModelError
from alloop.metrics import agreement, decide, uncertainty


def drawn(seed: int, n: int = 200, c: int = 4, doubt: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of two models that mostly agree."""
    rng = np.random.default_rng(seed)
    before = rng.dirichlet(np.ones(c) * np.arange(1, c + 1), n)
    after = (1 - doubt) * before + doubt * rng.dirichlet(np.ones(c), n)
    return before.astype(np.float32), after.astype(np.float32)


def test_counted_by_hand_for_one_label_per_text() -> None:
    before = np.eye(2)[[0, 0, 0, 1]]
    after = np.eye(2)[[0, 0, 1, 1]]
    found = agreement(before, after, "single")
    # 3 of 4 agree; by chance 3/4 * 1/2 + 1/4 * 1/2 = 1/2; F1 4/5 of the first label, 2/3 of the second
    assert found == pytest.approx({"change": 1 / 4, "kappa": 1 / 2, "delta_f": 1 - (4 / 5 + 2 / 3) / 2})


def test_counted_by_hand_for_several_labels_per_text() -> None:
    before = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0.4]])
    after = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0.4]])
    found = agreement(before, after, "multi")
    # one decision of twelve differs; by chance 1/2 of the texts would by the first label, 1/4 by the second
    # F1 1 of the first label, 0 of the second; nobody gives the third
    assert found == pytest.approx({"change": 1 / 4, "kappa": 1 - (1 / 4) / (3 / 4), "delta_f": 1 / 2})


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_cohens_and_delta_f_is_macro_f1_of_scikit_learn(seed: int) -> None:
    before, after = drawn(seed)
    found = agreement(before, after, "single")
    one, other = before.argmax(1), after.argmax(1)
    assert found["kappa"] == pytest.approx(cohen_kappa_score(one, other))
    assert found["delta_f"] == pytest.approx(1 - f1_score(one, other, average="macro"))
    assert found["change"] == (one != other).mean() > 0


def test_with_several_labels_kappa_is_a_weighted_mean_of_the_labels_kappas() -> None:
    before, after = (3 * probs for probs in drawn(7))
    one, other = decide(before, "multi"), decide(after, "multi")
    kappas = [cohen_kappa_score(a, b) for a, b in zip(one.T, other.T, strict=True)]
    share, others = one.mean(0), other.mean(0)
    by_chance = share * (1 - others) + others * (1 - share)
    assert agreement(before, after, "multi")["kappa"] == pytest.approx(np.average(kappas, weights=by_chance))
    f1 = f1_score(one, other, average="macro")
    assert agreement(before, after, "multi")["delta_f"] == pytest.approx(1 - f1)


def test_what_is_not_defined_is_not_there() -> None:
    always = np.tile([0.9, 0.1], (3, 1))
    assert agreement(always, always, "single") == {"change": 0.0, "delta_f": 0.0}
    assert agreement(always - 0.5, always - 0.5, "multi") == {"change": 0.0}


def test_the_same_decisions_agree_whatever_the_probabilities() -> None:
    before, _ = drawn(1)
    assert agreement(before, decide(before, "single"), "single") == {"change": 0.0, "kappa": 1.0, "delta_f": 0.0}


def test_uncertainty_goes_from_none_to_one() -> None:
    assert uncertainty(np.eye(3), "single") == 0.0
    assert uncertainty(np.full((2, 3), 1 / 3), "single") == pytest.approx(1)
    assert uncertainty(np.array([[0.0, 1.0, 1.0]]), "multi") == 0.0
    assert uncertainty(np.full((2, 3), 0.5), "multi") == pytest.approx(1)


def test_uncertainty_is_the_mean_entropy() -> None:
    probs, _ = drawn(2)
    assert uncertainty(probs, "single") == pytest.approx(np.mean(entropy(probs, axis=1)) / np.log(4), rel=1e-5)
    by_label = [entropy([p, 1 - p], base=2) for p in probs.ravel()]
    assert uncertainty(probs, "multi") == pytest.approx(np.mean(by_label), rel=1e-5)


def test_what_cannot_be_measured_is_refused() -> None:
    probs, _ = drawn(3)
    broken = np.where(np.arange(4) == 2, np.nan, probs)
    with pytest.raises(ModelError, match="not all numbers"):
        agreement(probs, broken, "single")
    with pytest.raises(ModelError, match="not all numbers"):
        uncertainty(broken, "multi")
    with pytest.raises(ValueError, match="no rows"):
        agreement(probs[:0], probs[:0], "single")
