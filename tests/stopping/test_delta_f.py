"""Tests of alloop.stopping.delta_f."""

from alloop.stopping import Advice
from alloop.stopping.delta_f import DeltaF


def test_each_of_the_last_rounds_has_to_be_below(rounds):
    said = DeltaF()(rounds("stop", "delta_f", [None, 0.3, 0.04, 0.049, 0.01]))
    assert said == Advice(True, "delta F at most 0.049 over 3 rounds (stops below 0.05)")
    assert not DeltaF()(rounds("stop", "delta_f", [None, 0.05, 0.0, 0.0])).stop
    assert not DeltaF()(rounds("stop", "delta_f", [None, 0.0, 0.0])).stop
