"""The measured curve has become flat."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from alloop.metrics import Metric
from alloop.stopping import Advice, Seen, check_rounds, recent, unmeasured

Z = 1.959964  # 95 %


@dataclass(frozen=True)
class Plateau:
    """Stops when the curve is flat: at most a small gain per 100 labels, at the upper end of its interval.

    The gain is the slope of a straight line through the last rounds, by least squares, with Student's 95 % interval
    from how far the rounds lie off the line. All rounds are measured on the same test texts: what is special about
    these lifts or lowers all of them alike and leaves the slope as it is, so that the intervals of the single rounds
    would be far too wide for it. No curve counts as smoother than one test text can show, 1 / n: few test texts never
    stop it. Without test texts the audit is looked at, whose texts grow in number; there the single rounds' intervals
    count. It is a mean over all models so far, lags behind the last one, and seldom has the texts to stop. The interval
    is that of one look, and a rule looks every round: of simulated curves of 40 rounds that rose twice as fast as
    `gain`, one in eight was stopped.

    gain: what 100 labels have to bring to be worth their price; 0.01 is one more text in a hundred.
    rounds: how many the line goes through; with fewer, the interval is wide.
    metric: where higher is better. Micro-F1 is accuracy where a text has one label.
    """

    gain: float = 0.01
    rounds: int = 5
    metric: Literal["accuracy", "balanced_accuracy", "f1_macro", "f1_micro", "matthews", "subset_accuracy"] = "f1_micro"

    def __post_init__(self) -> None:
        check_rounds(self.rounds, 3)

    def __call__(self, history: Sequence[Seen]) -> Advice:
        split = "test" if history and "test" in history[-1].metrics else "audit"
        found = recent(history, split, [self.metric], self.rounds)
        if not found:
            return unmeasured(f"{self.metric} of {split} texts", self.rounds)
        gain, half = _slope([seen.labels for seen in history[-self.rounds :]], found, _noise(split, found))
        words = f"{100 * gain:+.3f} ({100 * (gain - half):+.3f} to {100 * (gain + half):+.3f}) per 100 labels"
        return Advice(
            100 * (gain + half) < self.gain,
            f"{words} over {self.rounds} rounds (stops with the upper end below {self.gain:g})",
        )


def _noise(split: str, points: Sequence[Metric]) -> float:
    """The least standard deviation of a point about the line."""
    if split == "test":
        return max(1 / one.n for one in points)
    # a few texts that are all right have an interval of no width
    return max(1 / one.n if one.low is None or one.high is None else (one.high - one.low) / 2 / Z for one in points)


def _slope(labels: Sequence[int], points: Sequence[Metric], least: float) -> tuple[float, float]:
    """The slope per label of the line through the points, and half of its 95 % interval."""
    from scipy.special import stdtrit  # importing scipy.stats takes ten times as long

    x = np.array(labels, float)
    y = np.array([one.value for one in points])
    x -= x.mean()
    square = float(x @ x)
    slope = float(x @ y) / square
    free = len(x) - 2
    off = sqrt(float(((y - y.mean() - slope * x) ** 2).sum()) / free)
    return slope, float(stdtrit(free, 0.975)) * max(off, least) / sqrt(square)


plugin = Plateau
