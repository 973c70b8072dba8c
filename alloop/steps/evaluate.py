"""Evaluate: the model on texts it has not seen, with intervals."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from alloop import metrics
from alloop.errors import DataError
from alloop.files import fingerprint, publish
from alloop.seeds import rng_for
from alloop.steps.context import Context, published, read_ids, read_json, write_ids
from alloop.store import MetricRow, RoundRow
from alloop.tuning._linear import probabilities
from alloop.work import load_predictions

STOP_SET = 1_000


def do(context: Context) -> dict[str, Any]:
    model = context.published("train")
    if model is None:
        return {"result": {"skipped": "no model"}, "metrics": [], "stop_set": []}
    store = context.project.store
    splits = {"test": store.test_ids(), "stop": _stop_set(context)}
    is_calibrated = context.results["train"].get("measured", {}).get("temperature", 1.0) != 1.0

    def fill(out: Path) -> None:
        for split, ids in splits.items():
            (out / split).mkdir()
            write_ids(out / split, ids)
            needs = ("probs", "logits") if is_calibrated and split == "test" else ("probs",)
            context.predict(model, [text.text for text in store.texts(ids)], needs, out / split)
        (out / "labels.json").write_text(json.dumps(context.config.task.names, ensure_ascii=False))

    directory = publish(context.directory("evaluate", {"model": model.name, **splits}), fill)
    truth = test_truth(context)
    test_version = fingerprint([truth, context.config.task.names])
    rows = _test_metrics(context, context.round.number, directory, truth, test_version)
    rows += _earlier_test_metrics(context, truth, test_version)
    rows += _audit_metrics(context)
    before = _last_model(context)
    rows += _stop_metrics(context, directory, before)
    rows += _batch_metrics(context, before)
    return {
        "result": {
            "directory": context.relative(directory),
            "test_version": test_version,
            "confusion": _confusion(context, directory, truth),
            "labels_test": len(truth),
            "seconds_annotating": store.annotating_seconds(),
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


def _aligned(
    context: Context, directory: Path, truth: Mapping[str, tuple[str, ...]], calibrated: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """y and probs (N, C) of the test texts that have both a label and a prediction.

    Predictions of a round with fewer labels get a column of zeros for each it did not know. With `calibrated` false the
    probabilities are those without the model's temperature.
    """
    names = context.config.task.names
    ids = read_ids(directory / "test")
    rows = [row for row, one in enumerate(ids) if one in truth]
    y = np.zeros((len(rows), len(names)), np.float32)
    for position, row in enumerate(rows):
        y[position, [names.index(label) for label in truth[ids[row]]]] = 1
    return y, _predicted(context, directory, "test", names, calibrated)[rows]


def _predicted(
    context: Context, directory: Path, split: str, names: Sequence[str], calibrated: bool = True
) -> np.ndarray:
    """What was predicted of a split's texts, (N, C) in the order of these names of today."""
    said = load_predictions(directory / split)
    predicted = (
        said.probs if calibrated or said.logits is None else probabilities(said.logits, context.config.task.kind)
    )
    then = _names_then(context, directory)
    probs = np.zeros((0 if predicted is None else len(predicted), len(names)), np.float32)
    if predicted is not None:
        for column, name in enumerate(then):
            if name in names:
                probs[:, names.index(name)] += predicted[:, column]
    return probs


def _names_then(context: Context, directory: Path) -> list[str]:
    """The labels that a directory's columns stand for, by their names of today."""
    rename = context.config.task.rename
    return [rename.get(name, name) for name in read_json(directory / "labels.json")]


def _test_metrics(
    context: Context, number: int, directory: Path, truth: Mapping[str, tuple[str, ...]], test_version: str
) -> list[MetricRow]:
    y, probs = _aligned(context, directory, truth)
    rows = _metric_rows(context, number, "test", test_version, y, probs)
    if rows and (directory / "test" / "logits.npy").exists():
        _, before = _aligned(context, directory, truth, calibrated=False)
        rng = rng_for(context.round.seed, 0, "bootstrap:test")
        one = metrics.calibration_error(y, before, context.config.task.kind, rng)
        rows.append(MetricRow(number, "test", test_version, "ece_uncalibrated", one.value, one.low, one.high, one.n))
    return rows


def _earlier_test_metrics(context: Context, truth: Mapping[str, tuple[str, ...]], test_version: str) -> list[MetricRow]:
    """The earlier rounds measured again, where the test labels are no longer those they were measured with."""
    store = context.project.store
    current = {row.round for row in store.metrics("test") if row.test_version == test_version}
    rows = []
    for row in store.rounds():
        if row.number < context.round.number and row.number not in current:
            directory = _there(context, row)
            if directory is not None:  # otherwise that round leaves the curve, the others go on
                rows += _test_metrics(context, row.number, directory, truth, test_version)
    return rows


def _audit_metrics(context: Context) -> list[MetricRow]:
    """The random texts labelled so far, each judged by the model that drew it and had not seen its label.

    One estimate over all rounds' models (prequential, Dawid 1984): it lags behind the last model.
    """
    store = context.project.store
    labels = {one.text_id: one.labels for one in store.resolved(context.round.number, "pool")}
    said = {one: p for one, p in store.random_predictions(context.round.number).items() if one in labels}
    return _metric_rows(context, context.round.number, "audit", "", *_judged(context, labels, said))


def _judged(
    context: Context, labels: Mapping[str, tuple[str, ...]], said: Mapping[str, Mapping[str, float]]
) -> tuple[np.ndarray, np.ndarray]:
    """y and probs (N, C) of the texts about which a model had something to say before they got their labels."""
    names = context.config.task.names
    y = np.array([[name in labels[one] for name in names] for one in said], np.float32).reshape(-1, len(names))
    rename = context.config.task.rename
    probs = np.zeros((len(said), len(names)), np.float32)
    for row, p in enumerate(said.values()):
        for name, chance in p.items():
            if rename.get(name, name) in names:
                probs[row, names.index(rename.get(name, name))] += chance
    return y, probs


def _last_model(context: Context) -> RoundRow | None:
    """The last round before this one that trained a model."""
    store = context.project.store
    for row in reversed(store.rounds()):
        is_over = row.number < context.round.number and row.abandoned_at is None
        if is_over and "labels" in store.step_results(row.number).get("train", {}):
            return row
    return None


def _stop_metrics(context: Context, directory: Path, before: RoundRow | None) -> list[MetricRow]:
    """How sure the model is of the stop set, and how far it decides as the model before did.

    Of the texts that both predicted. A label that only one of them knew counts too: a text that had it, or has it now,
    was decided anew.
    """
    ids, kind = read_ids(directory / "stop"), context.config.task.kind
    if not ids:
        return []
    sure = metrics.uncertainty(_predicted(context, directory, "stop", context.config.task.names), kind)
    rows = [MetricRow(context.round.number, "stop", "", "uncertainty", sure, None, None, len(ids))]
    earlier = None if before is None else _there(context, before)
    if earlier is not None:
        row_of = {one: row for row, one in enumerate(read_ids(earlier / "stop"))}
        names = list(dict.fromkeys([*_names_then(context, earlier), *context.config.task.names]))
        common = [(row_of[one], row) for row, one in enumerate(ids) if one in row_of]
        if common:
            then, now = (list(one) for one in zip(*common, strict=True))
            found = metrics.agreement(
                _predicted(context, earlier, "stop", names)[then],
                _predicted(context, directory, "stop", names)[now],
                kind,
            )
            n = len(common)
            rows += [MetricRow(context.round.number, "stop", "", *item, None, None, n) for item in found.items()]
    return rows


def _there(context: Context, row: RoundRow) -> Path | None:
    """What an earlier round's model predicted; None where it is damaged, and of texts that are gone."""
    try:
        return published(context.project, row, "evaluate")
    except DataError:
        return None


def _batch_metrics(context: Context, before: RoundRow | None) -> list[MetricRow]:
    """The picks labelled since the model before, each judged by the model that picked it; random ones are the audit's.

    The share of right ones; micro-F1 for multi-label tasks, where a text is seldom right as a whole.
    """
    if before is None:
        return []
    store, number = context.project.store, context.round.number
    known = store.trained_ids(before.number)
    labels = {one.text_id: one.labels for one in store.resolved(number, "pool") if one.text_id not in known}
    said: dict[str, Mapping[str, float]] = {}
    for row in store.rounds():
        if row.number < number:
            said |= {
                pick.text_id: pick.predicted
                for pick in store.picks(row.number)
                if pick.predicted and pick.purpose == "pick" and pick.text_id in labels
            }
    name = "accuracy" if context.config.task.kind == "single" else "f1_micro"
    rows = _metric_rows(context, number, "batch", "", *_judged(context, labels, said))
    return [row for row in rows if row.name == name]


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
