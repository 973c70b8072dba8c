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
        for point in fit(replace(job, train=train, dev=dev)).get("curve", ()):
            if "dev_loss" in point:
                losses.setdefault(point["step"], []).append(point["dev_loss"])
    if not losses:
        raise ConfigError("this tuner does not look at held-back examples while it trains", "set choose_steps = 0")
    return [{"step": step, "dev_loss": float(np.mean(losses[step]))} for step in sorted(losses)]


def split(examples: Sequence[Example], folds: int, seed: int) -> np.ndarray:
    """The fold (N,) of each example: as many of each answer in each, and equal texts in one."""
    answers = {example.text: example.labels for example in examples}
    texts = list(answers)
    drawn = [texts[row] for row in np.random.default_rng(seed).permutation(len(texts))]
    drawn.sort(key=answers.__getitem__)  # stable: at random within an answer
    fold = {text: position % folds for position, text in enumerate(drawn)}
    return np.array([fold[example.text] for example in examples])
