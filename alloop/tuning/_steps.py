"""How many steps to train for, by cross-validation: where labels are too few for some to be held back.

Each fold is left out of one training, which looks at it as at held-back examples and is not ended by what it sees. The
number of steps with the lowest loss, averaged over the folds, is that of a training on all examples.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from alloop.errors import ConfigError
from alloop.records import Example
from alloop.tuning import FitJob
from alloop.tuning._folds import split, without


def looks_at_folds(fit: Callable[[FitJob], dict[str, Any]], job: FitJob, folds: int) -> list[dict[str, float]]:
    """What was seen of examples left out of training, by `fit`'s curves: points {"step", "dev_loss"}, means of folds.

    Variants are left out altogether: nobody knows which example they are variants of, and they would give it away.
    """
    examples = [example for example in job.train if not example.is_variant]
    fold = split(examples, folds, job.seed)
    losses: dict[float, list[float]] = {}
    for number in range(fold.max() + 1):
        train = [example for example, its in zip(examples, fold, strict=True) if its != number]
        dev = [example for example, its in zip(examples, fold, strict=True) if its == number]
        for point in fit(_part(job, train, dev)).get("curve", ()):
            if "dev_loss" in point:
                losses.setdefault(point["step"], []).append(point["dev_loss"])
    if not losses:
        raise ConfigError("this tuner does not look at held-back examples while it trains", "set choose_steps = 0")
    return [{"step": step, "dev_loss": float(np.mean(losses[step]))} for step in sorted(losses)]


def _part(job: FitJob, train: Sequence[Example], dev: Sequence[Example]) -> FitJob:
    return replace(job, train=train, dev=dev, others=without(job.others, [one.text for one in dev]))
