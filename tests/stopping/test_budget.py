"""Tests of alloop.stopping.budget."""

import pytest

from alloop.stopping import Advice
from alloop.stopping.budget import Budget


def test_without_a_limit_it_never_stops(rounds):
    assert Budget()(rounds("stop", "kappa", [1.0] * 50)) == Advice(False, "no limit is set")


@pytest.mark.parametrize(("labels", "stops"), [(76, False), (75, True), (50, True)])
def test_it_stops_once_as_many_labels_are_paid_for(labels, stops, rounds):
    assert Budget(labels=labels)(rounds("stop", "kappa", [None] * 3)) == Advice(stops, f"75 of {labels} labels")


def test_whichever_limit_is_reached_first_counts(rounds):
    history = rounds("stop", "kappa", [None] * 60)  # a minute each
    assert Budget(labels=2_000, hours=1)(history) == Advice(True, "1,500 of 2,000 labels, 1.0 of 1 hours")
    assert Budget(labels=1_500, hours=9)(history).stop
    assert not Budget(labels=2_000, hours=1.1)(history).stop


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match="labels = 0 is not above 0"):
        Budget(labels=0)
