"""What the labels so far say of the picking itself: how much a model still gets wrong, whether picks taught anything.

A stand-in answers, not the model: ridge regression from frozen embeddings to labels, whose leave-one-out answers are
exact and cost one decomposition (PRESS, Allen 1974). It is weaker than most tuners, and no label has shaped its inputs,
so that what it says of a labelled text is what it would say of a new one.
"""

from dataclasses import dataclass

import numpy as np

from alloop.records import Kind
from alloop.strategies import Labelled
from alloop.strategies._geometry import unit

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)  # of the ridge; the one with the smallest leave-one-out error is taken
ENOUGH = 100  # labelled texts drawn at random, by which the error is judged alone: its interval is then +- 10 points
FEWEST = 30  # picks, for a mean of theirs to be judged by its standard error
CERTAIN = 1.28  # standard errors: one-sided bounds of 90 %


@dataclass(frozen=True)
class Evidence:
    """How the stand-in does on the M labelled texts.

    error: the share of them, or of those drawn at random where they are enough, that it gets wrong without their own
    label. taught: by how much the labels since then have lowered its squared error on picks, relative to the error it
    had before they were asked about, with the standard error `unsure`; `picks` is their number, `wrong` the share of
    them that it still gets wrong, and `others_wrong` that of the texts that are no picks. Only picks count since which
    the labels have at least doubled: before that there is little that could have taught. All but `error` and `picks`
    are None with fewer than 30 such picks.
    """

    error: float
    picks: int = 0
    wrong: float | None = None
    others_wrong: float | None = None
    taught: float | None = None
    unsure: float | None = None

    @property
    def most(self) -> float:
        """The upper end of what the picks may have taught."""
        return np.inf if self.taught is None or self.unsure is None else self.taught + CERTAIN * self.unsure


def weigh(labelled: Labelled, kind: Kind) -> Evidence:
    """The evidence in labelled texts that have `frozen` embeddings, `asked_in` and `at_random`."""
    assert labelled.frozen is not None
    assert labelled.asked_in is not None
    assert labelled.at_random is not None
    x = unit(labelled.frozen, labelled.ids)
    x = np.concatenate([x, np.ones((len(x), 1), x.dtype)], 1).astype(np.float64)  # (M, D + 1)
    y = labelled.y.astype(np.float64)
    without, strength = _without_own_label(x, y)
    wrong: np.ndarray = (_decided(without, kind) != (y > 0)).any(1)  # (M,)
    at_random = labelled.at_random
    error = float(wrong[at_random].mean() if at_random.sum() >= ENOUGH else wrong.mean())
    _, of, count = np.unique(labelled.asked_in, return_inverse=True, return_counts=True)
    known = (np.cumsum(count) - count)[of]  # (M,) labels of earlier rounds
    is_pick = ~at_random & (labelled.asked_in > 0) & (known > 0)
    picks = is_pick & (len(y) >= 2 * known)
    if picks.sum() < FEWEST:
        return Evidence(error)
    before = _before_they_were_asked(x, y, labelled.asked_in, strength)
    then = ((before.clip(0, 1) - y) ** 2).sum(1)[picks]  # the Brier score of each pick
    less = then - ((without.clip(0, 1) - y) ** 2).sum(1)[picks]
    scale = max(then.sum(), 1e-12)
    unsure = float(less.std(ddof=1) * len(less) ** 0.5 / scale)
    shares = float(wrong[picks].mean()), float(wrong[~is_pick].mean())  # the first labels are never picks by a model
    return Evidence(error, len(less), *shares, float(less.sum() / scale), unsure)


def _without_own_label(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Answers (M, C) of a ridge regression to each row of x (M, F) that has learnt all but that one; its strength."""
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    turned = u.T @ y
    best, least, chosen = y, np.inf, STRENGTHS[0]
    for strength in STRENGTHS:
        shrunk = s**2 / (s**2 + strength)
        leverage = (u**2 @ shrunk)[:, None]  # (M, 1), below 1
        answers = ((u * shrunk) @ turned - leverage * y) / (1 - leverage)
        error = float(((answers - y) ** 2).sum())
        if error < least:
            best, least, chosen = answers, error, strength
    return best, chosen


def _before_they_were_asked(x: np.ndarray, y: np.ndarray, asked_in: np.ndarray, strength: float) -> np.ndarray:
    """Answers (M, C) to each text of a ridge regression that has learnt the labels of earlier rounds."""
    answers = np.full(y.shape, np.nan)
    learnt, seen = strength * np.eye(x.shape[1]), np.zeros((x.shape[1], y.shape[1]))
    for number, rows in [(one, asked_in == one) for one in np.unique(asked_in)]:
        if number > 0 and seen.any():
            answers[rows] = x[rows] @ np.linalg.solve(learnt, seen)
        learnt += x[rows].T @ x[rows]
        seen += x[rows].T @ y[rows]
    return answers


def _decided(answers: np.ndarray, kind: Kind) -> np.ndarray:
    """Booleans (M, C): the likeliest label if "single", every one above a half if "multi"."""
    if kind == "multi":
        return np.asarray(answers > 0.5)
    return np.asarray(np.arange(answers.shape[1]) == answers.argmax(1)[:, None])
