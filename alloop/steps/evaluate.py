"""Evaluate: the model on texts it has not seen, with intervals."""

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from alloop import metrics
from alloop.errors import DataError
from alloop.files import fingerprint, publish
from alloop.seeds import rng_for
from alloop.steps.context import Context, published, read_ids, read_json, write_ids
from alloop.store import MetricRow
from alloop.work import load_predictions

STOP_SET = 1_000


def do(context: Context) -> dict[str, Any]:
    model = context.published("train")
    if model is None:
        return {"result": {"skipped": "no model"}, "metrics": [], "stop_set": []}
    store = context.project.store
    splits = {"test": store.test_ids(), "stop": _stop_set(context)}

    def fill(out: Path) -> None:
        for split, ids in splits.items():
            (out / split).mkdir()
            write_ids(out / split, ids)
            context.predict(model, [text.text for text in store.texts(ids)], ("probs",), out / split)
        (out / "labels.json").write_text(json.dumps(context.config.task.names, ensure_ascii=False))

    directory = publish(context.directory("evaluate", {"model": model.name, **splits}), fill)
    truth = test_truth(context)
    test_version = fingerprint([truth, context.config.task.names])
    rows = _test_metrics(context, context.round.number, directory, truth, test_version)
    rows += _earlier_test_metrics(context, truth, test_version)
    rows += _audit_metrics(context)
    return {
        "result": {
            "directory": context.relative(directory),
            "test_version": test_version,
            "confusion": _confusion(context, directory, truth),
        },
        "metrics": rows,
        "stop_set": splits["stop"],
    }


def _stop_set(context: Context) -> list[str]:
    """Pool texts that every round predicts, chosen by the first one. Ids are hashes: its first are a random sample."""
    store = context.project.store
    return store.stop_set() or list(islice(store.pool_ids(), STOP_SET))


def test_truth(context: Context) -> dict[str, tuple[str, ...]]:
    """What the test texts really are: the test file's labels, or what annotators said of the holdout.

    A test text whose label is no longer one of the config's is left out.
    """
    store, task = context.project.store, context.config.task
    if context.config.evaluate.holdout:
        return {one.text_id: one.labels for one in store.resolved(context.round.number, "test")}
    today = {one: tuple(task.rename.get(label, label) for label in given) for one, given in store.test_gold().items()}
    return {one: labels for one, labels in today.items() if set(labels) <= set(task.names)}


def _aligned(context: Context, directory: Path, truth: Mapping[str, tuple[str, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """y and probs (N, C) of the test texts that have both a label and a prediction.

    Predictions of a round with fewer labels get a column of zeros for each it did not know.
    """
    names = context.config.task.names
    ids = read_ids(directory / "test")
    rows = [row for row, one in enumerate(ids) if one in truth]
    y = np.zeros((len(rows), len(names)), np.float32)
    probs = np.zeros((len(rows), len(names)), np.float32)
    if rows:
        predicted = load_predictions(directory / "test").probs
        assert predicted is not None
        then = read_json(directory / "labels.json")
        rename = context.config.task.rename
        for column, name in enumerate(rename.get(name, name) for name in then):
            if name in names:
                probs[:, names.index(name)] += predicted[rows, column]
        for position, row in enumerate(rows):
            y[position, [names.index(label) for label in truth[ids[row]]]] = 1
    return y, probs


def _test_metrics(
    context: Context, number: int, directory: Path, truth: Mapping[str, tuple[str, ...]], test_version: str
) -> list[MetricRow]:
    y, probs = _aligned(context, directory, truth)
    return _metric_rows(context, number, "test", test_version, y, probs)


def _earlier_test_metrics(context: Context, truth: Mapping[str, tuple[str, ...]], test_version: str) -> list[MetricRow]:
    """The earlier rounds measured again, where the test labels are no longer those they were measured with."""
    store = context.project.store
    current = {row.round for row in store.metrics("test") if row.test_version == test_version}
    rows = []
    for row in store.rounds():
        if row.number < context.round.number and row.number not in current:
            try:
                directory = published(context.project, row, "evaluate")
            except DataError:  # damaged, and of texts that are gone: that round leaves the curve, the others go on
                continue
            if directory is not None:
                rows += _test_metrics(context, row.number, directory, truth, test_version)
    return rows


def _audit_metrics(context: Context) -> list[MetricRow]:
    """The random texts labelled so far, each judged by the model that drew it and had not seen its label.

    One estimate over all rounds' models (prequential, Dawid 1984): it lags behind the last model.
    """
    store = context.project.store
    names = context.config.task.names
    labels = {one.text_id: one.labels for one in store.resolved(context.round.number, "pool")}
    said = {one: p for one, p in store.random_predictions(context.round.number).items() if one in labels}
    y = np.array([[name in labels[one] for name in names] for one in said], np.float32).reshape(-1, len(names))
    rename = context.config.task.rename
    probs = np.zeros((len(said), len(names)), np.float32)
    for row, p in enumerate(said.values()):
        for name, chance in p.items():
            if rename.get(name, name) in names:
                probs[row, names.index(rename.get(name, name))] += chance
    return _metric_rows(context, context.round.number, "audit", "", y, probs)


def _metric_rows(
    context: Context, number: int, split: str, test_version: str, y: np.ndarray, probs: np.ndarray
) -> list[MetricRow]:
    if not len(y):
        return []
    task = context.config.task
    rng = rng_for(context.round.seed, 0, f"bootstrap:{split}")  # the same resamples in every round: paired curves
    return [
        MetricRow(number, split, test_version, one.name, one.value, one.low, one.high, one.n)
        for one in metrics.evaluate(y, probs, task.kind, task.names, rng)
    ]


def _confusion(context: Context, directory: Path, truth: Mapping[str, tuple[str, ...]]) -> list[Any] | None:
    y, probs = _aligned(context, directory, truth)
    return metrics.confusion(y, probs, context.config.task.kind).tolist() if len(y) else None


def save(context: Context, done: dict[str, Any]) -> dict[str, Any]:
    context.project.store.add_metrics(done["metrics"])
    context.project.store.keep_stop_set(done["stop_set"])
    return dict(done["result"])
