"""Texts whose label changes when parts of their embedding are left out."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Labelled, Picks, Pool
from alloop.strategies._geometry import labelled_unit_rows, parts, representatives, unit_rows


@dataclass(frozen=True)
class DropQuery:
    """Texts that a head on the embeddings takes for another when they are dropped out, clustered (Gupte et al. 2024).

    Logistic regression on the unit-length embeddings of the labelled texts says the label of each text, and says it
    again `draws` times with the share `dropout` of the embedding set to 0. Where more than half of the draws say
    something else, the text is a candidate; k-means finds n clusters of these, and each gives the text nearest to its
    centre, the largest first. The score is the share of the candidates in the cluster. Where there are fewer candidates
    than n, the texts that changed the next most often join them, in the order of chance. Labels of a multi-label task
    have a head each, and a text changes where one of them does. Until two labels have been seen all texts are
    candidates, so it also serves as a cold start. What is left of an embedding is scaled up, as by any dropout in
    training; scikit-activeml leaves it short, so that the head's intercepts decide more than they do of whole texts.
    """

    needs: ClassVar[tuple[str, ...]] = ("embeddings", "labelled.embeddings")

    draws: int = 3
    dropout: float = 0.75

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"draws = {self.draws} is less than 1")
        if not 0 < self.dropout < 1:
            raise ValueError(f"dropout = {self.dropout} is not between 0 and 1")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        x = unit_rows(pool)  # (N, D)
        decide = _head(labelled_unit_rows(pool), pool.labelled, pool.kind == "multi")
        changed = np.zeros(len(x), np.int64)  # (N,) draws that say something else
        if decide is not None:
            for part in parts(*x.shape):
                said = decide(x[part])
                for _ in range(self.draws):
                    kept = rng.random(x[part].shape, np.float32) >= self.dropout
                    changed[part] += (decide(x[part] * kept / (1 - self.dropout)) != said).any(1)
        is_candidate = changed > self.draws / 2 if decide is not None else np.ones(len(x), bool)
        missing = n - int(is_candidate.sum())
        if missing > 0:
            others = rng.permutation(np.flatnonzero(~is_candidate))
            is_candidate[others[np.argsort(-changed[others], kind="stable")[:missing]]] = True
        candidates = np.flatnonzero(is_candidate)  # (K,), K >= n
        picks = representatives(x[candidates], n, rng)
        return Picks(candidates[picks.index], picks.score)


plugin = DropQuery


def _head(x: np.ndarray, labelled: Labelled | None, multi: bool) -> Callable[[np.ndarray], np.ndarray] | None:
    """What says of embeddings (N, D) the label (N, 1), or for each label whether it has it (N, C). None for nothing."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if labelled is None or not len(x):
        return None
    columns = labelled.y if multi else labelled.y.argmax(1)[:, None]  # (M, C) or (M, 1)
    heads = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # only what it decides is used, and that is settled early
        for column in columns.T:
            if len(np.unique(column)) > 1:
                heads.append(LogisticRegression(max_iter=200).fit(x, column))
    if not heads:
        return None
    return lambda some: np.stack([head.predict(some) for head in heads], 1)
