"""Tests of alloop.stopping.uncertainty."""

from alloop.stopping import Advice
from alloop.stopping.uncertainty import Uncertainty


def test_it_stops_below_the_threshold_from_the_first_model_on(rounds):
    assert Uncertainty()(rounds("stop", "uncertainty", [0.04])) == Advice(
        True, "mean entropy 0.040 of the stop set (stops below 0.05)"
    )
    assert not Uncertainty()(rounds("stop", "uncertainty", [0.04, 0.05])).stop
    assert Uncertainty(rounds=2)(rounds("stop", "uncertainty", [0.9, 0.02, 0.06])).stop
