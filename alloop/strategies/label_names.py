"""Texts of every label before any has one, by what the labels are called."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from alloop.errors import ModelError
from alloop.strategies import Picks, Pool
from alloop.strategies._batches import make_batch
from alloop.strategies._geometry import in_turn, rows, unit_rows
from alloop.strategies.kmeans import KMeans

SHARPNESS = 20.0  # of a cosine, to make a probability of it; which label is the likeliest does not depend on it


@dataclass(frozen=True)
class LabelNames:
    """A cold start that finds texts of each label by its name, and description where it has one.

    The cosine of a text's embedding and that of "name: description", less its mean over the pool, makes zero-shot
    probabilities (the setting of Yin et al. 2019); with the mean, one name might be the nearest to nearly all texts.
    Each label in turn, the one with the fewest labels first, gets a text that it is the likeliest of, by `kmeans`
    within the label: the texts most like a name are like each other, and those between two names are odd. It is as good
    as the names are telling: write them out, and describe them. The scores only tell the order: they fall evenly from
    1. It may also go on once there are labels.
    """

    needs: ClassVar[tuple[str, ...]] = ("embeddings", "labels.embeddings")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        probs = zero_shot(pool)
        return in_turn(make_batch(KMeans(), replace(pool, probs=probs), n, rng, balance=True).index)


plugin = LabelNames


def zero_shot(pool: Pool) -> np.ndarray:
    """probs (N, C), rows sum to 1: how like each label's name a text is, more than others are."""
    from scipy.special import softmax

    if pool.label_embeddings is None:
        raise ModelError("there are no embeddings of the labels' names", 'set round.cold_start = "kmeans"')
    names = rows(pool.label_embeddings, [f"of label {c}" for c in range(len(pool.label_embeddings))])  # (C, D)
    names /= np.maximum(np.linalg.norm(names, axis=1, keepdims=True), 1e-12)
    likeness = unit_rows(pool).astype(np.float64) @ names.T  # (N, C)
    return np.asarray(softmax(SHARPNESS * (likeness - likeness.mean(0)), axis=1), np.float32)
