"""The texts whose label would change the model most."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import rows
from alloop.strategies._uncertainty import best, scores


@dataclass(frozen=True)
class Egl:
    """The texts with the longest gradient to be expected (Settles, Craven & Ray 2007), of the last layer.

    Its gradient for the label c is (p - e_c) [h, 1], so the score is sum_c p_c |p - e_c| times |[h, 1]|. For a
    multi-label task it is the mean over the labels of 2 p (1 - p), times |[h, 1]|. The built-in tuners give embeddings
    of one length: with them the probabilities alone decide. The length is Euclidean, as in the paper; small-text adds
    up absolute values, and over the whole model, which takes a backward pass for each text and label.
    """

    needs: ClassVar[tuple[str, ...]] = ("probs", "embeddings")
    scores_each: ClassVar[bool] = True

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        length = np.sqrt((rows(pool.embeddings, pool.ids) ** 2).sum(1, dtype=np.float64) + 1)  # (N,)
        return best(scores(pool, _of_each_label if pool.kind == "multi" else _of_the_label) * length, n, rng)


plugin = Egl


def _of_the_label(probs: np.ndarray) -> np.ndarray:
    squared = (probs**2).sum(1, keepdims=True) - 2 * probs + 1  # (M, C) of p - e_c
    return np.asarray((probs * np.sqrt(np.maximum(squared, 0))).sum(1))


def _of_each_label(probs: np.ndarray) -> np.ndarray:
    return np.asarray((2 * probs * (1 - probs)).mean(1))
