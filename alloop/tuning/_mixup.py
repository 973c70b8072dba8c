"""Rows between rows: mixtures of two texts' vectors, with the same mixture of their labels (Zhang et al. 2018).

For text, of sentence vectors (Guo et al. 2019). A mixture is linear and not of length 1 again: on a linear model its
logits are the mixture of the two logits, which is what it is to learn.

Only texts that people labelled are mixed, never their variants: a variant lies where its parent does, and a text with
many of them would be mixed with itself. So what the two add can be told apart, too.
"""

from typing import Any

import numpy as np

from alloop.seeds import rng_for
from alloop.tuning import FitJob


def with_mixed(job: FitJob, x: Any, y: np.ndarray, rows: np.ndarray | None = None) -> tuple[Any, np.ndarray]:
    """Vectors x (N, D) and targets y (N, C) of the job's examples, all or some rows, and what is mixed of these.

    Mixtures come last, `job.mixup.per_text` of each original, and have soft targets. The same job and rows, the same
    mixtures; without `job.mixup` there are none.
    """
    some, targets = (x, y) if rows is None else (x[rows], y[rows])
    learnt = range(len(y)) if rows is None else rows.tolist()
    originals = np.array([at for at, row in enumerate(learnt) if not job.train[row].is_variant], np.int64)
    if job.mixup is None or len(originals) < 2:
        return some, targets
    rng, alpha = rng_for(job.seed, 0, "mixup"), job.mixup.alpha
    one = np.tile(np.arange(len(originals)), job.mixup.per_text)
    other = (one + rng.integers(1, len(originals), len(one))) % len(originals)  # any but itself
    share = rng.beta(alpha, alpha, (len(one), 1)).astype(np.float32)
    one, other = originals[one], originals[other]
    mixed = [rows_[other] + share * (rows_[one] - rows_[other]) for rows_ in (some, targets)]  # exact where both agree
    return np.concatenate([some, mixed[0]]), np.concatenate([targets, mixed[1]])
