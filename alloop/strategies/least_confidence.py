"""The texts where the model expects to be wrong."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._uncertainty import Said, best, scores


@dataclass(frozen=True)
class LeastConfidence:
    """The texts whose most likely label is the least likely (Lewis & Gale 1994), by modAL's `classifier_uncertainty`.

    The score is the model's own chance of being wrong: 1 - max p. For a multi-label task it is the share of the
    labels that the model expects to get wrong, the mean of min(p, 1 - p): modAL's `avg_confidence` (Esuli &
    Sebastiani 2009), which takes the texts with the highest mean and so is given the doubt in each label, not its p.
    """

    needs: ClassVar[tuple[str, ...]] = ("probs",)
    scores_each: ClassVar[bool] = True

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        return best(doubts(pool), n, rng)


plugin = LeastConfidence


def doubts(pool: Pool) -> np.ndarray:
    """The score (N,) of every text."""
    return scores(pool, _doubt if pool.kind == "multi" else _uncertainty)


def _uncertainty(probs: np.ndarray) -> np.ndarray:
    from modAL.uncertainty import classifier_uncertainty

    return np.asarray(classifier_uncertainty(Said(), probs))


def _doubt(probs: np.ndarray) -> np.ndarray:
    from modAL.multilabel import avg_confidence

    rows, mean = avg_confidence(Said(), np.minimum(probs, 1 - probs), n_instances=len(probs))
    return np.asarray(mean[np.argsort(rows)])  # all rows were asked for, and come in another order
