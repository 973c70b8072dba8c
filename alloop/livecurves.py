"""What curves of live projects say, alone and side by side: areas, labels that reach a target, differences.

A live project is a single run, so that its intervals are over test texts and nothing else: a resample of the texts
(percentile bootstrap, Efron 1979) gives a whole curve, from the predictions that every round has kept. What other picks
or another seed would have given is not in them. Projects with the same test texts and labels get the same resamples,
and their difference is paired; others get resamples of their own. Nothing is predicted anew: where predictions are
gone, or a curve rests on random texts, there are no intervals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from alloop import efficiency, metrics
from alloop.efficiency import Curve
from alloop.files import fingerprint, is_whole
from alloop.project import Project
from alloop.records import Kind
from alloop.reports import headline
from alloop.seeds import rng_for
from alloop.steps.context import Context, read_ids, read_json
from alloop.steps.evaluate import test_truth
from alloop.work import load_predictions

RESAMPLES = 1_000
CELLS = 4_000_000  # of resamples x texts at a time: 32 MB

Report = Mapping[str, Any]


@dataclass(frozen=True)
class _Drawn:
    """A project's curve, and what it would have been on other test texts: (RESAMPLES, P), None where unknown."""

    curve: Curve
    resampled: np.ndarray | None
    test: str | None  # equal for equal test texts with equal labels


def side_by_side(
    projects: Sequence[Project], reports: Sequence[Report], targets: Sequence[float] = ()
) -> list[dict[str, Any] | None]:
    """What each project's curve of its headline metric says; None for one without a curve.

    {"metric", "labels": the range that all curves have in common, None where there is none, "area": the mean height
    over it, "targets": labels that reach each, on the project's whole curve, "has_intervals", "against_first": how much
    larger the area is than the first project's, {"project", "value", "low", "high", "is_paired"}}. "against_first" is
    None for the first project and where labels or metrics differ, "area" where "labels" is.
    """
    drawn = [_drawn(project, report) for project, report in zip(projects, reports, strict=True)]
    curves = [one.curve for one in drawn if one is not None]
    try:
        ends = efficiency.common_range(curves) if curves else None
    except ValueError:
        ends = None
    x = None if ends is None else efficiency.grid(curves, *ends)
    first = next((number for number, one in enumerate(drawn) if one is not None), None)
    found: list[dict[str, Any] | None] = []
    for number, (one, report) in enumerate(zip(drawn, reports, strict=True)):
        if one is None or first is None:
            found.append(None)
            continue
        areas, others = _areas(one, x), _areas(drawn[first], x)
        rival = None if number == first or not _can_compare(report, reports[first]) else reports[first]["project"]
        found.append(
            {
                "metric": headline(report),
                "labels": None if ends is None else list(ends),
                "area": None if areas is None else asdict(efficiency.estimate(*areas)),
                "targets": [
                    asdict(efficiency.reached_by(target, *one.curve, () if one.resampled is None else one.resampled))
                    for target in targets
                ],
                "has_intervals": one.resampled is not None,
                "against_first": None
                if rival is None or areas is None or others is None
                else {"project": rival, **_difference(areas, others), "is_paired": _is_paired(one, drawn[first])},
            }
        )
    return found


def _can_compare(report: Report, other: Report) -> bool:
    return headline(report) == headline(other) and set(report["label_names"]) == set(other["label_names"])


def _is_paired(one: _Drawn, other: _Drawn | None) -> bool:
    return other is not None and one.test is not None and one.test == other.test


def _areas(one: _Drawn | None, x: np.ndarray | None) -> tuple[float, np.ndarray | None] | None:
    """The area of a curve over x (G,), and those of its resamples (RESAMPLES,)."""
    if one is None or x is None:
        return None
    labels, values = one.curve
    value = efficiency.area(x, np.interp(x, labels, values))
    if one.resampled is None:
        return value, None
    return value, np.array([efficiency.area(x, np.interp(x, labels, row)) for row in one.resampled])


def _difference(one: tuple[float, np.ndarray | None], other: tuple[float, np.ndarray | None]) -> dict[str, Any]:
    resampled = None if one[1] is None or other[1] is None else one[1] - other[1]
    return asdict(efficiency.estimate(one[0] - other[0], resampled))


def _drawn(project: Project, report: Report) -> _Drawn | None:
    metric = headline(report)
    points = {point["labels_paid"]: point for point in report["points"] if metric in point["metrics"]}
    if not points:
        return None
    paid = sorted(points)  # of several rounds with the same labels, the last
    values = np.array([points[one]["metrics"][metric]["value"] for one in paid], float)
    curve = np.array(paid, float), values
    resampled, test = None, None
    if report["measured_on"] == "test":
        resampled, test = _resampled(project, [points[one]["round"] for one in paid], values)
    return _Drawn(curve, resampled, test)


def _resampled(
    project: Project, rounds: Sequence[int], values: np.ndarray
) -> tuple[np.ndarray, str] | tuple[None, None]:
    """The values (RESAMPLES, P) of these rounds on other test texts, and what tells these texts from others."""
    last = project.store.round(max(rounds))
    context = Context(project, last)
    truth = test_truth(context)
    sums = [_sums(context, number, truth) for number in rounds]
    if not truth or any(one is None for one in sums):
        return None, None
    tops, bottoms = (np.array(columns).T for columns in zip(*(one for one in sums if one), strict=True))  # (N, P) each
    if not np.allclose(tops.sum(0) / np.maximum(bottoms.sum(0), 1), values, atol=1e-6):  # measured otherwise since
        return None, None
    test = fingerprint([sorted(truth.items()), context.config.task.kind])
    rng = rng_for(0, 0, f"curves:{test}")
    n, parts = len(tops), []
    at_once = max(1, min(RESAMPLES, CELLS // n))
    for start in range(0, RESAMPLES, at_once):
        r = min(at_once, RESAMPLES - start)
        rows = rng.integers(0, n, (r, n)) + n * np.arange(r)[:, None]
        weights = np.bincount(rows.ravel(), minlength=r * n).reshape(r, n).astype(np.float64)
        parts.append((weights @ tops) / np.maximum(weights @ bottoms, 1))
    return np.concatenate(parts), test


def _sums(context: Context, number: int, truth: Mapping[str, tuple[str, ...]]) -> tuple[np.ndarray, np.ndarray] | None:
    """What each test text, in the order of ids, adds to the two sides of the headline's fraction: (N,) and (N,).

    None where the round's predictions of them are not all there.
    """
    result = context.project.store.step_results(number).get("evaluate", {})
    if "directory" not in result or not is_whole(directory := context.project.path(result["directory"])):
        return None
    row = {one: number for number, one in enumerate(read_ids(directory / "test"))}
    ids = sorted(truth)
    if not row.keys() >= truth.keys():
        return None
    predicted = load_predictions(directory / "test").probs
    assert predicted is not None
    task = context.config.task
    y, probs = (np.zeros((len(ids), len(task.names)), np.float32) for _ in range(2))
    for column, name in enumerate(task.rename.get(name, name) for name in read_json(directory / "labels.json")):
        if name in task.names:
            probs[:, task.names.index(name)] += predicted[[row[one] for one in ids], column]
    for place, one in enumerate(ids):
        y[place, [task.names.index(label) for label in truth[one]]] = 1
    return _fraction(y, metrics.decide(probs, task.kind), task.kind)


def _fraction(y: np.ndarray, decided: np.ndarray, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Of accuracy, right and all; of micro-F1, twice the hits, and true and decided labels together."""
    if kind == "single":
        return (y == decided).all(1).astype(np.float64), np.ones(len(y))
    return 2 * (y * decided).sum(1), y.sum(1) + decided.sum(1)
