"""Tests of alloop.stopping.batch_accuracy."""

import dataclasses

from alloop.metrics import Metric
from alloop.stopping import Advice
from alloop.stopping.batch_accuracy import BatchAccuracy


def test_every_text_of_the_last_batches_counts_alike(rounds):
    history = rounds("batch", "accuracy", [None, 0.0, 1.0, 1.0, 0.5], n=10)
    small = {"batch": {"accuracy": Metric("accuracy", 0.5, None, None, 2)}}
    history[-1] = dataclasses.replace(history[-1], metrics=small)
    # 10 + 10 + 1 of 22 are right, where the mean of the three shares is 0.833
    assert BatchAccuracy()(history) == Advice(True, "0.955 right on the last 22 picks (stops at 0.9 or more)")


def test_one_good_batch_is_not_enough(rounds):
    assert not BatchAccuracy()(rounds("batch", "accuracy", [0.6, 0.7, 1.0])).stop


def test_with_several_labels_per_text_it_is_micro_f1(rounds):
    assert BatchAccuracy()(rounds("batch", "f1_micro", [0.9, 0.9, 0.9])).stop
