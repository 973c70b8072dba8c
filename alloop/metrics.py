"""How good a model is, from its probabilities and the truth: point estimates, and intervals for the ones that count.

Without the truth: how far two models agree, and how sure one is.

Every measure is a function of counts and sums over rows, so a resample is a vector of how often each row counts, and
all resamples are measured by a few matrix products. The sample itself is the resample in which each row counts once:
one piece of code gives the estimate and its interval. scikit-learn's definitions, without the second its import takes.

The decision is the most likely label for single-label tasks, every label with p >= 0.5 for multi-label ones.
Averages ("macro", "weighted") go over the labels that occur in the truth or among the decisions, which is
scikit-learn's default, so that perfect decisions score 1 on any sample; an undefined ratio is 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from alloop.errors import ModelError
from alloop.records import Kind

RESAMPLES = 1_000
BINS = 15  # of the calibration error, equally wide: Guo et al. 2017
CELLS = 4_000_000  # of resamples x rows at a time: 32 MB


@dataclass(frozen=True)
class Metric:
    """An estimate from n texts with its 95 % interval, where it has one. A label's own is named `f1[billing]`."""

    name: str
    value: float
    low: float | None
    high: float | None
    n: int


def evaluate(
    y: np.ndarray, probs: np.ndarray, kind: Kind, labels: Sequence[str], rng: np.random.Generator
) -> list[Metric]:
    """Every measure of probs (N, C) against the truth y (N, C) of ones and zeros.

    With 95 % percentile bootstrap intervals (Efron 1979): accuracy, balanced_accuracy, f1_macro, f1_micro, matthews,
    log_loss, ece, and for multi-label tasks subset_accuracy and hamming_loss. An interval is widened to hold its own
    estimate where resampling is biased (ece: noise only ever adds to it), and None for a single row, whose resamples
    are all the same. Without: precision, recall and the rest of F1 by macro, micro, weighted and by label.

    For multi-label tasks accuracy is scikit-learn's, the share of texts with exactly the right labels, and the same as
    subset_accuracy; balanced_accuracy, matthews, log_loss and ece are means over the labels.

    Raises ValueError without rows, as there is nothing to estimate, and for a single-label row without one label;
    ModelError for probs that are not all numbers.
    """
    counted = _prepare(y, probs, kind)
    n = len(y)
    estimate = counted.headline(np.ones((1, n)))
    resampled = _resample(counted.headline, n, rng) if n > 1 else {}
    metrics = []
    for name, values in estimate.items():
        metrics.append(_with_interval(name, float(values[0]), resampled.get(name), n))
    rest = _by_average_and_label(counted.table(np.ones((1, n))), labels)
    return metrics + [Metric(name, value, None, None, n) for name, value in rest.items() if name not in estimate]


def calibration_error(y: np.ndarray, probs: np.ndarray, kind: Kind, rng: np.random.Generator) -> Metric:
    """The measure ece alone, with its interval."""
    counted = _prepare(y, probs, kind)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"ece": counted.calibration_error(weights)}

    n = len(y)
    resampled = _resample(measure, n, rng)["ece"] if n > 1 else None
    return _with_interval("ece", float(measure(np.ones((1, n)))["ece"][0]), resampled, n)


def difference(
    name: str, y: np.ndarray, probs: np.ndarray, others: np.ndarray, kind: Kind, rng: np.random.Generator
) -> Metric:
    """How much higher one of the measures with an interval is for `probs` than for `others`, on the same rows.

    Every resample measures both (a paired bootstrap): what makes a text hard for both does not widen the interval.
    """
    one, other = _prepare(y, probs, kind), _prepare(y, others, kind)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {name: one.headline(weights)[name] - other.headline(weights)[name]}

    n = len(y)
    resampled = _resample(measure, n, rng)[name] if n > 1 else None
    return _with_interval(name, float(measure(np.ones((1, n)))[name][0]), resampled, n)


def agreement(before: np.ndarray, after: np.ndarray, kind: Kind) -> dict[str, float]:
    """How far two models decide alike about the same texts, from probs (N, C) each: kappa, change, delta_f.

    kappa is one minus the disagreements over those that chance would bring, both summed over the labels, each with the
    shares in which the models give it. With one label per text that is Cohen's (1960); with several, the mean of the
    labels' kappas, weighted so that a label which hardly ever occurs hardly counts. change is the share of texts whose
    decision is not the same. delta_f is 1 - macro-F1 of the one as judged by the other (Altschuler & Bloodgood 2019).
    One that is not defined is not there: kappa where both models say the same of all texts, delta_f where they give no
    label. Raises ValueError without rows and ModelError for probs that are not all numbers.
    """
    _refuse(before)
    _refuse(after)
    one, other = decide(before, kind), decide(after, kind)
    n = len(one)
    share, others = one.mean(0), other.mean(0)  # (C,)
    by_chance = float((share * (1 - others) + others * (1 - share)).sum())
    changed = one != other  # (N, C)
    table = _Table((one * other).sum(0), one.sum(0), other.sum(0), np.array([n]))
    found = {"change": float(changed.any(1).mean())}
    if by_chance > 0:
        found["kappa"] = 1 - float(changed.sum()) / n / by_chance
    if table.occurs.any():
        found["delta_f"] = 1 - float(_mean(table.f1(), table.occurs))
    return found


def uncertainty(probs: np.ndarray, kind: Kind) -> float:
    """The mean entropy of probs (N, C), 0-1: over the most it could be; of each label by itself for multi-label tasks.

    Raises ValueError without rows and ModelError for probs that are not all numbers.
    """
    _refuse(probs)
    p = np.asarray(probs, np.float64)
    if kind == "multi":
        return float((_surprise(p) + _surprise(1 - p)).mean() / np.log(2))
    return float(_surprise(p).sum(1).mean() / np.log(p.shape[1]))


def decide(probs: np.ndarray, kind: Kind) -> np.ndarray:
    """The decisions (N, C), ones and zeros, that probs (N, C) lead to."""
    if kind == "multi":
        return (probs >= 0.5).astype(np.float64)
    decisions = np.zeros(probs.shape)
    decisions[np.arange(len(probs)), probs.argmax(1)] = 1
    return decisions


def log_loss(y: np.ndarray, probs: np.ndarray, kind: Kind) -> float:
    """The measure of that name alone, without its interval."""
    return float(_prepare(y, probs, kind).losses.mean())


def confusion(y: np.ndarray, probs: np.ndarray, kind: Kind) -> np.ndarray:
    """Counts of rows, whole numbers: (C, C) for single, a row for each true label and a column for each decided one.

    For multi (C, 4), a row for each label: true positives, false positives, false negatives, true negatives.
    """
    c = y.shape[1]
    if kind == "multi":
        truth, decided = y > 0, probs >= 0.5
        cells = (truth & decided, ~truth & decided, truth & ~decided, ~truth & ~decided)
        return np.stack([cell.sum(0) for cell in cells], 1)
    return np.bincount(y.argmax(1) * c + probs.argmax(1), minlength=c * c).reshape(c, c)


@dataclass(frozen=True)
class _Table:
    """By resample and label, (R, C): hits, rows with the label in truth, rows with it decided. rows (R, 1)."""

    hits: np.ndarray
    true: np.ndarray
    decided: np.ndarray
    rows: np.ndarray

    @property
    def occurs(self) -> np.ndarray:
        return np.asarray(self.true + self.decided > 0)

    def f1(self) -> np.ndarray:
        return _ratio(2 * self.hits, self.true + self.decided)


@dataclass(frozen=True)
class _Counted:
    """What the rows add to each sum. `weights` (R, N) says how often each row counts in each resample."""

    kind: Kind
    truth: np.ndarray  # (N, C) ones and zeros
    decisions: np.ndarray  # (N, C) ones and zeros
    losses: np.ndarray  # (N,)
    bins: np.ndarray  # (N,), or (N, C) for multi
    gaps: np.ndarray  # outcome minus confidence, as bins

    def table(self, weights: np.ndarray) -> _Table:
        hits = weights @ (self.truth * self.decisions)
        return _Table(hits, weights @ self.truth, weights @ self.decisions, weights.sum(1, keepdims=True))

    def headline(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """name -> (R,)."""
        table, rows = self.table(weights), weights.sum(1)  # (R,)
        exact = weights @ (self.truth == self.decisions).all(1) / rows
        multi = self.kind == "multi"
        measures = {
            "accuracy": exact,
            "balanced_accuracy": _balanced_accuracy_of_labels(table) if multi else _balanced_accuracy(table),
            "f1_macro": _mean(table.f1(), table.occurs),
            "f1_micro": _ratio(2 * table.hits.sum(1), table.true.sum(1) + table.decided.sum(1)),
            "matthews": _matthews_of_labels(table) if multi else _matthews(table),
            "log_loss": weights @ self.losses / rows,
            "ece": self.calibration_error(weights),
        }
        if multi:
            wrong = (table.true + table.decided - 2 * table.hits).sum(1)
            measures |= {"subset_accuracy": exact, "hamming_loss": wrong / (rows * table.true.shape[1])}
        return measures

    def calibration_error(self, weights: np.ndarray) -> np.ndarray:
        """(R,) the expected calibration error: how far each bin's confidence is from how often it is right.

        Of the chosen label for single-label tasks; of p, averaged over the labels, for multi-label ones.
        """
        total = np.zeros(len(weights))
        columns = self.bins.reshape(len(self.bins), -1)  # (N, 1 or C)
        for bins, gaps in zip(columns.T, self.gaps.reshape(columns.shape).T, strict=True):
            by_bin = np.where(bins[:, None] == np.arange(BINS), gaps[:, None], 0.0)  # (N, BINS)
            total += np.abs(weights @ by_bin).sum(1)
        return np.asarray(total / columns.shape[1] / weights.sum(1))


def _surprise(p: np.ndarray) -> np.ndarray:
    """-p ln p, 0 at 0."""
    return np.asarray(p * np.log(1 / np.where(p > 0, p, 1)))


def _refuse(probs: np.ndarray) -> None:
    if not len(probs):
        raise ValueError("there are no rows to measure")
    if not np.isfinite(probs).all():
        raise ModelError("the model's probabilities are not all numbers", "train it again, with a lower learning rate")


def _prepare(y: np.ndarray, probs: np.ndarray, kind: Kind) -> _Counted:
    _refuse(probs)
    truth = (y > 0).astype(np.float64)
    tiny = np.finfo(probs.dtype if probs.dtype.kind == "f" else np.float64).eps  # scikit-learn's limit for a p of 0
    probs = np.asarray(probs, np.float64)
    log = np.log(np.clip(probs, tiny, 1 - tiny))
    if kind == "multi":
        losses = -np.where(truth > 0, log, np.log(np.clip(1 - probs, tiny, 1 - tiny))).mean(1)
        return _Counted(kind, truth, decide(probs, kind), losses, _bin(probs), truth - probs)
    alone = truth.sum(1) == 1
    if not alone.all():
        row = int((~alone).argmax())
        raise ValueError(f"row {row} of a single-label task has {int(truth[row].sum())} labels")
    rows, choice = np.arange(len(y)), probs.argmax(1)
    confidence = probs[rows, choice]
    return _Counted(
        kind, truth, decide(probs, kind), -log[truth > 0], _bin(confidence), truth[rows, choice] - confidence
    )


def _with_interval(name: str, value: float, resampled: np.ndarray | None, n: int) -> Metric:
    if resampled is None:
        return Metric(name, value, None, None, n)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Metric(name, value, min(value, float(low)), max(value, float(high)), n)


def _bin(confidence: np.ndarray) -> np.ndarray:
    """The bin of each p: above its lower end and up to its upper one."""
    return np.asarray(np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1))


def _resample(
    measure: Callable[[np.ndarray], dict[str, np.ndarray]], n: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """name -> (RESAMPLES,), from rows drawn with replacement."""
    at_once = max(1, min(RESAMPLES, CELLS // n))
    parts = []
    for start in range(0, RESAMPLES, at_once):
        r = min(at_once, RESAMPLES - start)
        drawn = rng.integers(0, n, (r, n)) + n * np.arange(r)[:, None]
        parts.append(measure(np.bincount(drawn.ravel(), minlength=r * n).reshape(r, n).astype(np.float64)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _by_average_and_label(table: _Table, labels: Sequence[str]) -> dict[str, float]:
    """Of the sample itself: precision, recall and F1, averaged and of each label."""
    tops = {"precision": table.hits, "recall": table.hits, "f1": 2 * table.hits}
    below = {"precision": table.decided, "recall": table.true, "f1": table.true + table.decided}
    found = {}
    for name, top in tops.items():
        by_label = _ratio(top, below[name])  # (1, C)
        found[f"{name}_macro"] = float(_mean(by_label, table.occurs)[0])
        found[f"{name}_micro"] = float(_ratio(top.sum(1), below[name].sum(1))[0])
        found[f"{name}_weighted"] = float(_ratio((by_label * table.true).sum(1), table.true.sum(1))[0])
        found |= {f"{name}[{label}]": float(by_label[0, c]) for c, label in enumerate(labels)}
    return found


def _balanced_accuracy(table: _Table) -> np.ndarray:
    """(R,) the mean recall of the labels that occur in the truth."""
    return _mean(_ratio(table.hits, table.true), table.true > 0)


def _balanced_accuracy_of_labels(table: _Table) -> np.ndarray:
    """(R,) the mean over the labels of the mean recall of yes and no, of the one that occurs where one does not."""
    no = table.rows - table.true
    right_no = table.rows - table.true - table.decided + table.hits
    recalls = np.stack([_ratio(table.hits, table.true), _ratio(right_no, no)], -1)  # (R, C, 2)
    return np.asarray(_mean(recalls, np.stack([table.true, no], -1) > 0).mean(1))


def _matthews(table: _Table) -> np.ndarray:
    """(R,) the correlation of truth and decisions (Gorodkin 2004); 0 where either is always the same label."""
    rows = table.rows[:, 0]
    covariance = table.hits.sum(1) * rows - (table.true * table.decided).sum(1)
    spread = (rows**2 - (table.true**2).sum(1)) * (rows**2 - (table.decided**2).sum(1))
    return _ratio(covariance, np.sqrt(spread))


def _matthews_of_labels(table: _Table) -> np.ndarray:
    """(R,) the mean over the labels of the correlation of truth and decision."""
    covariance = table.hits * table.rows - table.true * table.decided
    spread = table.true * (table.rows - table.true) * table.decided * (table.rows - table.decided)
    return np.asarray(_ratio(covariance, np.sqrt(spread)).mean(1))


def _ratio(top: np.ndarray, below: np.ndarray) -> np.ndarray:
    """0 where there is nothing below."""
    return np.asarray(np.divide(top, below, out=np.zeros_like(below), where=below > 0))


def _mean(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean over the last axis of the values that count."""
    return _ratio((values * counts).sum(-1), counts.sum(-1).astype(np.float64))
