"""How sure a model may be: one number, its temperature, found on labels that it has not learnt from.

Logits divided by it give probabilities that mean what they say (Guo et al. 2017, arXiv:1706.04599); it changes no
decision. Above 1 the model was too sure, below 1 not sure enough.

The labels are few. So the temperature is drawn towards 1 by a prior: its logarithm is normal with SPREAD, which weighs
as much as about ten labels, and keeps it finite where every one of them is predicted rightly. Labels that a strategy
picked because they are hard say that the model is less sure than it may be of the others: a temperature from them is
rather too high than too low (tests/bench/calibration.md).
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from alloop.records import Example, Kind
from alloop.tuning import FitJob
from alloop.tuning._folds import split
from alloop.tuning._linear import ClassWeights, fit_linear, linear_logits
from alloop.tuning._mixup import with_mixed

Calibrate = Literal["folds", "none"]

FROM = 50  # labels; with fewer, what four fifths of them teach is too far from what all of them do
FOLDS = 5
ENOUGH = 1_000  # labels to find one number by; no fold is fitted after these
SPREAD = 0.5  # of the logarithm: half of all models within 1 / 1.4 and 1.4
LEAST, MOST = 0.05, 20.0


def fit_temperature(logits: np.ndarray, y: np.ndarray, kind: Kind) -> float:
    """The temperature of logits (N, C) that makes targets y (N, C) the likeliest, under the prior; 1 without rows.

    In a multi-label task each label of a text is a question of its own, but the text is one observation.
    """
    if not len(logits):
        return 1.0
    from scipy.optimize import minimize_scalar

    z, y = np.asarray(logits, np.float64), np.asarray(y, np.float64)

    def cost(log_temperature: float) -> float:
        scaled = z * np.exp(-log_temperature)
        if kind == "multi":
            losses = (np.logaddexp(0, scaled) - y * scaled).mean(1)
        else:
            scaled = scaled - scaled.max(1, keepdims=True)
            losses = np.log(np.exp(scaled).sum(1)) - (y * scaled).sum(1)
        return float(losses.sum() + 0.5 * (log_temperature / SPREAD) ** 2)

    found = minimize_scalar(cost, bounds=(np.log(LEAST), np.log(MOST)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def linear_temperature(
    job: FitJob, x: Any, y: np.ndarray, strength: float, class_weights: ClassWeights, calibrate: Calibrate
) -> float:
    """The temperature of the linear model that `fit_linear` finds, given all that it was given."""
    if calibrate == "none":
        return 1.0

    def learn(rows: np.ndarray, held: np.ndarray) -> np.ndarray:
        learnt = with_mixed(job, x, y, rows)
        return linear_logits(x[held], fit_linear(*learnt, job.kind, strength, class_weights))

    return fit_temperature(*out_of_fold(job.train, y, learn), job.kind)


def out_of_fold(
    examples: Sequence[Example], y: np.ndarray, learn: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """logits and targets (N, C) of examples by models that have not learnt from them; no rows with fewer than FROM.

    `learn(rows, held_back)` fits a model to some rows and returns its logits for others. Variants of a text, and copies
    of it, would give it away: variants are left out, and copies stay together. A text with a label that its model has
    never seen is left out too: it says how much is unknown to that model, which all the labels together know.
    """
    rows = np.array([row for row, example in enumerate(examples) if not example.is_variant], np.int64)
    fold = split([examples[row] for row in rows], FOLDS, seed=0)
    logits: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    known = 0
    if len(rows) >= FROM:
        for number in range(FOLDS):
            learnt, held = rows[fold != number], rows[fold == number]
            held = held[~(y[held].astype(bool) & ~y[learnt].any(0)).any(1)]
            if len(held) and len(learnt):
                logits.append(learn(learnt, held))
                targets.append(y[held])
                known += len(held)
            if known >= ENOUGH:
                break
    nothing = np.zeros((0, y.shape[1]), np.float32)
    return np.concatenate([nothing, *logits]), np.concatenate([nothing, *targets])
