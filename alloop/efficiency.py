"""What curves of quality by labels say of strategies: areas, labels to reach a target, differences over seeds.

A curve is the labels x (P,), rising, and the values y (P,) of one run; between its points it is a straight line.
Runs that differ only in their seed are a sample of the runs there could be, and their intervals are over seeds:
Student's t for means, the percentile bootstrap (Efron 1979) for the labels that reach a target, which are no mean. With
few seeds the bootstrap's intervals are too short. A single seed has none of these. A live project is a single run: its
intervals are what the caller's resamples of the test texts make them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1_000
EQUAL = 1e-12  # areas closer than that are ties: sums of the same numbers in another order

Curve = tuple[np.ndarray, np.ndarray]  # labels (P,), values (P,)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, None where there is nothing to draw it from, such as a single seed."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Reached:
    """How many labels reach a target; None is "more than the runs had". An end of the interval may be None so, too.

    Where a curve has reached the target at its first point, fewer labels may have been enough.
    """

    target: float
    labels: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Duel:
    """How much larger the areas of one are than those of another, by seed."""

    value: float
    low: float | None
    high: float | None
    wins: int
    ties: int
    losses: int


def common_range(curves: Sequence[Curve]) -> tuple[float, float]:
    """The labels from and to which every curve goes. Raises ValueError where there are none such."""
    low, high = max(float(x[0]) for x, _ in curves), min(float(x[-1]) for x, _ in curves)
    if low > high:
        raise ValueError(f"one curve begins at {low:g} labels, another ends at {high:g}")
    return low, high


def grid(curves: Sequence[Curve], low: float, high: float) -> np.ndarray:
    """Every number of labels (G,) in the range at which a curve has a point, and the range's ends."""
    points = np.concatenate([x for x, _ in curves])
    return np.asarray(np.unique(np.concatenate([points[(points >= low) & (points <= high)], [low, high]])))


def values_at(curves: Sequence[Curve], x: np.ndarray) -> np.ndarray:
    """The curves' values (S, G) at these labels, which are in their range."""
    return np.array([np.interp(x, *curve) for curve in curves])


def area(x: np.ndarray, y: np.ndarray) -> float:
    """The area under a curve by the trapezoid rule, divided by its width: the mean value on the way."""
    return float(y[0]) if len(x) == 1 else float(np.trapezoid(y, x) / (x[-1] - x[0]))


def mean(values: Sequence[float] | np.ndarray) -> Estimate:
    """The mean of a value by seed, with Student's t interval."""
    estimate, half = float(np.mean(values)), half_width(np.asarray(values)[:, None])
    return Estimate(estimate, *((None, None) if half is None else (estimate - half[0], estimate + half[0])))


def half_width(values: np.ndarray) -> np.ndarray | None:
    """Half of Student's 95 % interval for the mean of each column of values (S, G); None for a single row."""
    seeds = len(values)
    if seeds < 2:
        return None
    from scipy.special import stdtrit  # importing scipy.stats takes ten times as long

    return np.asarray(stdtrit(seeds - 1, 0.975) * values.std(0, ddof=1) / math.sqrt(seeds))


def duel(areas: Sequence[float], others: Sequence[float]) -> Duel:
    """One strategy's areas against another's of the same seeds, in the same order."""
    differences = np.asarray(areas, float) - np.asarray(others, float)
    found = mean(differences)
    wins, losses = int((differences > EQUAL).sum()), int((differences < -EQUAL).sum())
    return Duel(found.value, found.low, found.high, wins, len(differences) - wins - losses, losses)


def reach(target: float, x: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> Reached:
    """The fewest labels at which the mean of the curves values (S, G), made to rise, reaches a target.

    The interval resamples the seeds.
    """
    seeds = len(values)
    drawn = rng.integers(0, seeds, (RESAMPLES, seeds)) if seeds > 1 else ()
    return reached_by(target, x, values.mean(0), (values[rows].mean(0) for rows in drawn))


def reached_by(target: float, x: np.ndarray, y: np.ndarray, resampled: Iterable[np.ndarray]) -> Reached:
    """The fewest labels at which one curve, made to rise, reaches a target; the interval is that of other draws of it.

    Without other draws there is none.
    """
    found = _first_at(target, x, rising(y))
    ends = sorted(_first_at(target, x, rising(one)) for one in resampled)
    if not ends:
        return Reached(target, _or_none(found), None, None)
    # no interpolation between ranks: a resample that never gets there is infinitely far away
    last = len(ends) - 1
    low, high = ends[math.floor(0.025 * last)], ends[math.ceil(0.975 * last)]
    return Reached(target, _or_none(found), _or_none(low), _or_none(high))


def estimate(value: float, resampled: np.ndarray | None) -> Estimate:
    """A value with the percentile interval of other draws of it (R,); None for none of them."""
    if resampled is None or not len(resampled):
        return Estimate(value, None, None)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def rising(y: np.ndarray) -> np.ndarray:
    """The curve nearest to y by least squares that never falls: pool adjacent violators (Ayer et al. 1955)."""
    blocks: list[list[float]] = []  # mean, length
    for value in y:
        blocks.append([float(value), 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            last, length = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + last * length) / (before[1] + length)
            before[1] += length
    return np.repeat([one for one, _ in blocks], [int(length) for _, length in blocks])


def _first_at(target: float, x: np.ndarray, y: np.ndarray) -> float:
    """Where a curve that never falls reaches the target; infinity where it does not."""
    at = int(np.searchsorted(y, target))
    if at == len(y):
        return math.inf
    if at == 0:
        return float(x[0])
    return float(x[at - 1] + (target - y[at - 1]) / (y[at] - y[at - 1]) * (x[at] - x[at - 1]))


def _or_none(labels: float) -> float | None:
    return None if math.isinf(labels) else labels
