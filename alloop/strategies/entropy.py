"""The texts of which the model knows the least over all labels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._uncertainty import Said, best, scores


@dataclass(frozen=True)
class Entropy:
    """The texts whose probabilities have the highest entropy in nats (Shannon 1948), by modAL's `classifier_entropy`.

    For a multi-label task it is the mean over the labels of the entropy of (p, 1 - p): the labels are independent, so
    their entropies add up.
    """

    needs: ClassVar[tuple[str, ...]] = ("probs",)
    scores_each: ClassVar[bool] = True

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        return best(entropies(pool), n, rng)


plugin = Entropy


def entropies(pool: Pool) -> np.ndarray:
    """The score (N,) of every text."""
    return scores(pool, _mean_of_labels if pool.kind == "multi" else _entropy)


def _entropy(probs: np.ndarray) -> np.ndarray:
    from modAL.uncertainty import classifier_entropy

    return np.asarray(classifier_entropy(Said(), probs))


def _mean_of_labels(probs: np.ndarray) -> np.ndarray:
    yes_or_no = np.stack([probs, 1 - probs], -1)  # (M, C, 2)
    mean: np.ndarray = _entropy(yes_or_no.reshape(-1, 2)).reshape(probs.shape).mean(1)
    return mean
