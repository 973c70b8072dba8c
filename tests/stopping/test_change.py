"""Tests of alloop.stopping.change."""

from alloop.stopping import Advice
from alloop.stopping.change import Change


def test_a_single_changed_decision_is_a_change(rounds):
    assert Change()(rounds("stop", "change", [None, 0.0])).stop
    said = Change()(rounds("stop", "change", [None, 0.0, 0.001]))
    assert said == Advice(False, "0.1% of decisions changed in the last round (stops at 0.0% or less)")


def test_some_may_be_allowed_over_more_rounds(rounds):
    rule = Change(threshold=0.01, rounds=2)
    assert rule(rounds("stop", "change", [None, 0.2, 0.01, 0.0])).stop
    assert not rule(rounds("stop", "change", [None, 0.011, 0.0])).stop
