"""Tests of alloop.stopping.kappa."""

import pytest

from alloop.stopping import Advice
from alloop.stopping.kappa import Kappa


def test_the_mean_of_the_last_rounds_counts_not_each_of_them(rounds):
    said = Kappa()(rounds("stop", "kappa", [None, 0.2, 0.98, 0.995, 0.995]))
    assert said == Advice(True, "mean kappa 0.990 over 3 rounds (stops at 0.99 or more)")
    assert not Kappa()(rounds("stop", "kappa", [None, 0.98, 0.994, 0.995])).stop


def test_models_that_go_on_disagreeing_to_the_same_degree_have_not_settled(rounds):
    assert not Kappa()(rounds("stop", "kappa", [None, 0.6, 0.6, 0.6, 0.6])).stop


@pytest.mark.parametrize("values", [[None, 1.0, 1.0], [None, 1.0, 1.0, None, 1.0]])
def test_a_round_without_kappa_is_no_agreement(values, rounds):
    assert Kappa()(rounds("stop", "kappa", values)) == Advice(False, "kappa is not measured in 3 rounds yet")


@pytest.mark.parametrize("options", [{"threshold": 1.1}, {"rounds": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Kappa(**options)
