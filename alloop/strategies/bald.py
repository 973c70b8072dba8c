"""The texts on which models that all fit the labels contradict each other."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from alloop.records import Kind
from alloop.strategies import Picks, Pool
from alloop.strategies._uncertainty import best, entropy, scores


@dataclass(frozen=True)
class Bald:
    """The texts whose label would tell most about the model (BALD: Houlsby et al. 2011, eq. 2), by drawn models.

    The score is the mutual information in nats of the label and the model: the entropy of the mean of the samples less
    the mean of their entropies. A text that every sample finds doubtful is worth nothing. For a multi-label task it is
    the mean over the labels. Needs a tuner with samples: "features", or "lora" with dropout above 0 (Gal et al. 2017).
    """

    needs: ClassVar[tuple[str, ...]] = ("samples",)
    scores_each: ClassVar[bool] = True

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        return best(scores(pool, partial(_information, kind=pool.kind), "samples"), n, rng)


plugin = Bald


def _information(samples: np.ndarray, kind: Kind) -> np.ndarray:
    """Mutual information (M,) from samples (T, M, C); not below 0, which rounding would allow."""
    samples = samples.astype(np.float64)
    return np.asarray(np.maximum(entropy(samples.mean(0), kind) - entropy(samples, kind).mean(0), 0))
