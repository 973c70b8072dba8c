"""Texts doubtful in many labels at once, whose labels are unlike any that were seen together."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.errors import ModelError
from alloop.records import Kind
from alloop.strategies import Picks, Pool, refuse_other_kinds
from alloop.strategies._geometry import parts
from alloop.strategies._uncertainty import best, numbers


@dataclass(frozen=True)
class Cvirs:
    """Category vector inconsistency and ranking of scores (Reyes, Morell & Ventura 2018), for tasks of several labels.

    The score is s * v, both from 0 to 1. s: over the labels, the mean share of the pool that is further from p = 0.5
    (Borda's count of the ranks). v: over the labelled texts, the mean distance between their labels and those with
    p >= 0.5: the entropy distance, normalised (the information that the two sets of labels do not share), and 1 for
    opposite sets. small-text's score is another one: it computes this distance and returns Hamming's, takes the order
    of the rows for their ranks, and measures doubt by the sum of the other labels' p, not by the paper's |2p - 1|.
    """

    needs: ClassVar[tuple[str, ...]] = ("probs",)
    scores_each: ClassVar[bool] = True
    kinds: ClassVar[tuple[Kind, ...]] = ("multi",)

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        from scipy.stats import rankdata

        refuse_other_kinds("cvirs", self, pool.kind)
        if pool.probs is None or pool.labelled is None or not len(pool.labelled.ids):
            raise ModelError(
                "there are no predictions and labelled texts to compare", 'set round.cold_start = "kmeans"'
            )
        probs = numbers(pool.probs, pool.ids)  # (N, C)
        rank = rankdata(np.abs(2 * probs - 1), axis=0)  # (N, C), 1 for the most doubtful
        doubt = (len(probs) - rank).mean(1) / max(1, len(probs) - 1)
        strange = np.empty(len(probs))
        for part in parts(len(probs), 4 * len(pool.labelled.y)):
            strange[part] = _distance(probs[part] >= 0.5, pool.labelled.y > 0).mean(1)
        return best(doubt * strange, n, rng)


plugin = Cvirs


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distance (N, M), 0 to 1, between sets of labels (N, C) and (M, C), true or false."""
    from scipy.special import entr

    one, other = one.astype(np.float64), other.astype(np.float64)
    both, neither = one @ other.T, (1 - one) @ (1 - other).T  # (N, M), as the next two
    only, missing = one @ (1 - other).T, (1 - one) @ other.T
    labels = one.shape[1]
    joint = entr(both / labels) + entr(neither / labels) + entr(only / labels) + entr(missing / labels)
    share, its = one.mean(1)[:, None], other.mean(1)  # (N, 1), (M,)
    apart = entr(share) + entr(1 - share) + entr(its) + entr(1 - its)
    distance = np.divide(2 * joint - apart, joint, out=np.zeros_like(joint), where=joint > 1e-12)
    return np.where(both + neither == 0, 1.0, np.clip(distance, 0, 1))
