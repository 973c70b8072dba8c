"""Committees: further models of the same job, each in a directory inside the first one's."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from alloop.seeds import rng_for, seed_for
from alloop.tuning import FitJob, Predictions


def fit_committee(
    fit: Callable[[FitJob, Path], dict[str, Any]], job: FitJob, out: Path, resample: bool
) -> dict[str, Any]:
    """Fit the model and `job.members - 1` more, which differ in their seeds; return what was measured of the first.

    With `resample`, for models that no seed changes, the others also learn from as many examples drawn with replacement
    (Abe & Mamitsuka 1998).
    """
    measured = fit(job, out)
    for member in range(1, job.members):
        directory = _directory(out, member)
        directory.mkdir()
        train = job.train
        if resample:
            rng = rng_for(job.seed, member, "resample")
            train = [train[row] for row in rng.integers(len(train), size=len(train))]
        fit(replace(job, train=train, seed=seed_for(job.seed, member, "member")), directory)
    return measured


def predict_committee(predict: Callable[[Path], Predictions], model: Path, needs: Sequence[str]) -> Predictions:
    """The first model's predictions, with `members` (E, N, C) if they are needed."""
    predictions = predict(model)
    if "members" not in needs:
        return predictions
    all_predictions, member = [predictions], 1
    while _directory(model, member).is_dir():
        all_predictions.append(predict(_directory(model, member)))
        member += 1
    return replace(predictions, members=np.asarray([one.probs for one in all_predictions]))


def _directory(model: Path, member: int) -> Path:
    return model / f"member-{member}"
