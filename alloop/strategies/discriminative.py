"""Texts that can be told from the labelled ones."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import labelled_unit_rows, squared_distances, unit_rows

OF_EACH = 10  # texts without a label that one with a label is told from, so that the rest of a large pool costs nothing
STRENGTH = 10.0  # scikit-learn's C, on vectors of length 1


@dataclass(frozen=True)
class Discriminative:
    """Makes what is labelled look like the pool (discriminative active learning, Gissin & Shalev-Shwartz 2019).

    The score is the chance, with even odds before, that the text is one without a label, by a classifier of embeddings
    that learns to tell. It learns anew after each of `turns` parts of the batch, whose texts then count as labelled; a
    score above those of an earlier part is cut to theirs. The classifier is logistic regression instead of the paper's
    small network. Without labelled texts the first pick is the one nearest to the mean, with a score of 1. The labels
    play no part: one per text or several are the same to it.
    """

    turns: int = 10

    needs: ClassVar[tuple[str, ...]] = ("embeddings", "labelled.embeddings")

    def __post_init__(self) -> None:
        if self.turns < 1:
            raise ValueError("turns must be above 0")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        x, seen = unit_rows(pool), labelled_unit_rows(pool)
        index: np.ndarray = np.zeros(0, np.int64)
        score: np.ndarray = np.zeros(0)
        if not len(seen):
            index = squared_distances(x, x.mean(0, keepdims=True)).argmin(0)
            score = np.ones(1)
        while len(index) < n:
            rest = np.setdiff1d(np.arange(len(x)), index)
            chance = _chance_of_no_label(x[rest], np.concatenate([seen, x[index]]), rng)
            part = min(n - len(index), -(-n // self.turns))
            best_first = np.lexsort((rng.permutation(len(rest)), -chance))[:part]
            index = np.append(index, rest[best_first])
            score = np.append(score, chance[best_first])
        return Picks(index, np.minimum.accumulate(score))


plugin = Discriminative


def _chance_of_no_label(x: np.ndarray, labelled: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The chance (N,) of being one of x (N, D) and not of `labelled` (M, D)."""
    from sklearn.linear_model import LogisticRegression

    some = np.sort(rng.choice(len(x), min(len(x), OF_EACH * len(labelled)), replace=False))
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000)
    model.fit(np.concatenate([labelled, x[some]]), np.repeat([0, 1], [len(labelled), len(some)]))
    return np.asarray(model.predict_proba(x)[:, 1], np.float64)
