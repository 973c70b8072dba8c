"""Where the model is weak: parts of the texts, by their metadata, on which it is right less often than on the rest.

Many parts are looked at, so that some look weak by chance alone. Those that are named are chosen to hold among them one
false alarm in twenty on average (Benjamini & Hochberg 1995), and their intervals are widened for having been chosen
(Benjamini & Yekutieli 2005).
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from alloop import metrics
from alloop.auditing.material import Material, Section, as_y, missing, section
from alloop.auditing.suspects import Judged
from alloop.config import restore
from alloop.files import is_whole
from alloop.steps.context import read_ids, read_json
from alloop.work import load_predictions

FALSE_ALARMS = 0.05
SMALLEST = 10  # texts of a part, and of the rest
MOST_VALUES = 50  # of a column: one with more names texts, or is a number
PARTS = 4  # of a column of numbers, equally many texts each


@dataclass(frozen=True)
class Slice:
    """Texts that have a value in a column, and how many of them and of the rest are decided rightly."""

    column: str
    value: str
    rows: np.ndarray  # (N,) bool


def slices(material: Material, judged: Judged) -> Section:
    """The weak parts, the weakest first: measured on the test texts where a model predicted them, else out of fold."""
    nothing: tuple[list[str], np.ndarray, str] = ([], np.zeros(0, bool), "test")
    ids, is_right, measured_on = _on_test(material) or nothing
    values = material.project.store.metadata(ids)
    if not any(values.values()):
        ids, is_right, measured_on = material.ids, np.zeros(0, bool), "out of fold"
        values = material.project.store.metadata(ids)
        if not any(values.values()):
            return missing("the texts have no metadata columns")
        if judged.missing:
            return missing(judged.missing)
        decided = metrics.decide(judged.probs, material.config.task.kind)
        is_right = (decided == material.y).all(1)
    parts = _parts([values.get(one, {}) for one in ids])
    if not parts:
        return missing(f"no value of a metadata column has {SMALLEST} texts and leaves {SMALLEST}")
    p_values = np.array([_p_value(is_right[one.rows], is_right[~one.rows]) for one in parts])
    chosen = _chosen(p_values)
    z = NormalDist().inv_cdf(1 - FALSE_ALARMS * len(chosen) / len(parts) / 2) if len(chosen) else 0.0
    items: list[dict[str, Any]] = [
        {"column": parts[at].column, "value": parts[at].value, "p_value": float(p_values[at])}
        | _measured(is_right[parts[at].rows], is_right[~parts[at].rows], z)
        for at in chosen
    ]
    for item, at in zip(items, chosen, strict=True):
        wrong = [ids[row] for row in np.flatnonzero(parts[at].rows & ~is_right)[:3]]
        item["examples"] = material.about(wrong)
    items.sort(key=lambda one: one["difference"]["value"])
    return section(items, len(ids), tested=len(parts), measured_on=measured_on, false_alarms=FALSE_ALARMS)


def _on_test(material: Material) -> tuple[list[str], np.ndarray, str] | None:
    """The labelled test texts and whether the newest model decides each rightly, as its round predicted them."""
    project, task = material.project, material.config.task
    for row in reversed(project.store.rounds()):
        done = project.store.step_results(row.number).get("evaluate", {}).get("directory")
        if done is None or restore(row.config).task.kind != task.kind:
            continue
        directory = project.path(done)
        if not is_whole(directory):
            return None
        probs = load_predictions(directory / "test").probs
        if probs is None or not len(probs):
            return None
        then = [task.rename.get(name, name) for name in read_json(directory / "labels.json")]
        rows = [(row, one) for row, one in enumerate(read_ids(directory / "test")) if one in material.test]
        ids = [one for _, one in rows]
        today = np.zeros((len(rows), len(task.names)), np.float32)
        for column, name in enumerate(then):
            if name in task.names:
                today[:, task.names.index(name)] += np.asarray(probs)[[row for row, _ in rows], column]
        y = as_y(material.config, [material.test[one] for one in ids])
        return ids, (metrics.decide(today, task.kind) == y).all(1), "test"
    return None


def _parts(values: Sequence[Mapping[str, str]]) -> list[Slice]:
    """Every part that is large enough: a value of a column, or a quarter of a column of numbers."""
    found: list[Slice] = []
    for column in dict.fromkeys(name for one in values for name in one):
        given = [one.get(column, "") for one in values]
        groups: dict[str, list[int]] = defaultdict(list)
        for row, value in enumerate(given):
            groups[value].append(row)
        if len(groups) > MOST_VALUES:
            found += _quarters(column, given)
            continue
        for value, rows in sorted(groups.items()):
            if len(rows) >= SMALLEST and len(values) - len(rows) >= SMALLEST:
                found.append(Slice(column, value, _mask(rows, len(values))))
    return found


def _quarters(column: str, given: Sequence[str]) -> list[Slice]:
    numbers = np.array([_number(value) for value in given])
    known = np.isfinite(numbers)
    if known.sum() < 0.9 * len(given):
        return []
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, PARTS + 1)))
    found = []
    for at in range(len(edges) - 1):
        is_last = at == len(edges) - 2
        rows = known & (numbers >= edges[at]) & ((numbers <= edges[at + 1]) if is_last else (numbers < edges[at + 1]))
        if rows.sum() >= SMALLEST and (~rows).sum() >= SMALLEST:
            to = "to" if is_last else "to below"
            found.append(Slice(column, f"{edges[at]:g} {to} {edges[at + 1]:g}", rows))
    return found


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan


def _mask(rows: Sequence[int], n: int) -> np.ndarray:
    mask = np.zeros(n, bool)
    mask[list(rows)] = True
    return mask


def _p_value(part: np.ndarray, rest: np.ndarray) -> float:
    """How likely so few right ones in a part are if it is like the rest (Fisher's exact test, one-sided)."""
    from scipy.stats import hypergeom

    right, n = int(part.sum() + rest.sum()), len(part) + len(rest)
    return float(hypergeom.cdf(int(part.sum()), n, right, len(part)))


def _chosen(p_values: np.ndarray) -> list[int]:
    """Which of these hold at a false discovery rate of FALSE_ALARMS, the surest first."""
    order = np.argsort(p_values, kind="stable")
    limits = FALSE_ALARMS * np.arange(1, len(p_values) + 1) / len(p_values)
    passed = np.flatnonzero(p_values[order] <= limits)
    return [] if not len(passed) else order[: passed[-1] + 1].tolist()


def _measured(part: np.ndarray, rest: np.ndarray, z: float) -> dict[str, Any]:
    """Accuracy of a part and the rest, and their difference with its interval (Newcombe 1998, method 10)."""
    one, other = float(part.mean()), float(rest.mean())
    (low, high), (low_rest, high_rest) = _score_interval(one, len(part), z), _score_interval(other, len(rest), z)
    value = one - other
    return {
        "n": len(part),
        "accuracy": round(one, 4),
        "rest": round(other, 4),
        "difference": {
            "value": round(value, 4),
            "low": round(value - math.hypot(one - low, high_rest - other), 4),
            "high": round(value + math.hypot(high - one, other - low_rest), 4),
        },
    }


def _score_interval(share: float, n: int, z: float) -> tuple[float, float]:
    """Wilson 1927."""
    middle, half = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, (middle - half) / (1 + z**2 / n)), min(1.0, (middle + half) / (1 + z**2 / n))
