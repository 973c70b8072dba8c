"""The texts between two labels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._uncertainty import Said, best, scores


@dataclass(frozen=True)
class Margin:
    """The texts whose two most likely labels are the closest (Scheffer et al. 2001), by modAL's `classifier_margin`.

    modAL's margin is lower for texts more worth labelling; the score is 1 - margin. For a multi-label task each label
    is a choice between yes and no with the margin |2p - 1|, and the text's is that of its closest label: modAL's
    `min_confidence` (Esuli & Sebastiani 2009), given these margins as confidences.
    """

    needs: ClassVar[tuple[str, ...]] = ("probs",)
    scores_each: ClassVar[bool] = True

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        return best(unsure(pool), n, rng)


plugin = Margin


def unsure(pool: Pool) -> np.ndarray:
    """1 - margin (N,), from 0 for a text whose label is certain to 1 for one between two labels."""
    return scores(pool, _closest_label if pool.kind == "multi" else _two_labels)


def _two_labels(probs: np.ndarray) -> np.ndarray:
    from modAL.uncertainty import classifier_margin

    return 1 - np.asarray(classifier_margin(Said(), probs))


def _closest_label(probs: np.ndarray) -> np.ndarray:
    from modAL.multilabel import min_confidence

    rows, margin = min_confidence(Said(), np.abs(2 * probs - 1), n_instances=len(probs))
    return 1 - np.asarray(margin[np.argsort(rows)])  # all rows were asked for, and come in another order
