"""Tests of alloop.stopping.plateau."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from alloop.metrics import Metric
from alloop.stopping import Advice
from alloop.stopping.plateau import Plateau

BUMPY = [0.5, 0.80, 0.81, 0.80, 0.82, 0.81]


def test_the_interval_is_that_of_a_regression(rounds):
    said = Plateau()(rounds("test", "f1_micro", BUMPY))
    line = stats.linregress([50, 75, 100, 125, 150], BUMPY[1:])
    half = stats.t.ppf(0.975, 3) * line.stderr
    ends = [f"{100 * one:+.3f}" for one in (line.slope, line.slope - half, line.slope + half)]
    assert said.evidence.startswith(f"{ends[0]} ({ends[1]} to {ends[2]}) per 100 labels over 5 rounds")


def test_a_flat_curve_stops_and_a_steep_one_does_not(rounds):
    flat, steep = [0.8, 0.801, 0.8, 0.799, 0.8], [0.5, 0.6, 0.7, 0.8, 0.9]
    assert Plateau()(rounds("test", "f1_micro", flat)).stop
    assert not Plateau()(rounds("test", "f1_micro", steep)).stop


def test_a_flat_line_through_noise_is_no_plateau_as_its_interval_is_wide(rounds):
    noise = [0.8, 0.84, 0.76, 0.84, 0.8]
    assert np.polyfit(range(5), noise, 1)[0] == pytest.approx(0)
    assert not Plateau()(rounds("test", "f1_micro", noise)).stop


def test_few_test_texts_show_no_plateau_however_smooth_the_curve(rounds):
    assert Plateau()(rounds("test", "f1_micro", [0.9] * 5, n=1_000)).stop
    assert not Plateau()(rounds("test", "f1_micro", [0.9] * 5, n=20)).stop


def test_the_audit_counts_where_there_are_no_test_texts_with_the_intervals_of_its_rounds(rounds):
    narrow, wide = (
        [
            dataclasses.replace(one, metrics={"audit": {"f1_micro": Metric("f1_micro", 0.8, 0.8 - w, 0.8 + w, 900)}})
            for one in rounds("audit", "f1_micro", [0.8] * 5)
        ]
        for w in (0.001, 0.1)
    )
    assert Plateau()(narrow).stop
    assert not Plateau()(wide).stop


def test_a_line_needs_three_rounds(rounds):
    with pytest.raises(ValueError, match="rounds = 2 is less than 3"):
        Plateau(rounds=2)
    said = Plateau()(rounds("test", "f1_micro", [0.9] * 4))
    assert said == Advice(False, "f1_micro of test texts is not measured in 5 rounds yet")
