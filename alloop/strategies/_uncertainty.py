"""What the uncertainty strategies share: modAL's measures, row by row, as scores where higher = more worth labelling.

modAL measures classifiers; `Said` is the classifier that has already answered. Only modAL's functions are used: its
learners answer an unfitted model with plausible zeros.
"""

from collections.abc import Callable, Iterator

import numpy as np

from alloop.errors import ModelError
from alloop.strategies import Picks, Pool

CHUNK = 65_536  # rows at a time: modAL copies what it measures, and probs may be memory-mapped and larger than memory


class Said:
    """A classifier, to modAL, whose texts are already probabilities."""

    def predict_proba(self, probs: np.ndarray) -> np.ndarray:
        return probs


def scores(pool: Pool, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """score (N,): `measure` of the probs (M, C) of M texts at a time, in single precision at least.

    Half-precision probs would tie where the ranking is decided. Raises ModelError for probs that are no numbers.
    """
    found = np.empty(len(pool), np.float64)
    for start, probs in _chunks(pool):
        found[start : start + CHUNK] = measure(probs)
    return found


def checked_probs(pool: Pool) -> np.ndarray:
    """A copy of probs (N, C) in single precision. Raises ModelError as `scores` does."""
    return np.concatenate([probs.astype(np.float32) for _, probs in _chunks(pool)])


def _chunks(pool: Pool) -> Iterator[tuple[int, np.ndarray]]:
    """The first row and the probs (M, C) of M texts at a time."""
    if pool.probs is None:
        raise ModelError(
            "there are no probabilities to pick by", "label some texts of two labels, then run: alloop round"
        )
    for start in range(0, len(pool), CHUNK):
        probs = np.asarray(pool.probs[start : start + CHUNK])  # (M, C)
        probs = probs.astype(np.promote_types(probs.dtype, np.float32), copy=False)
        bad = ~np.isfinite(probs).all(1)
        if bad.any():
            first = start + int(bad.argmax())
            raise ModelError(
                f"the model's probabilities of the text {pool.ids[first]} are not all numbers: {pool.probs[first]}",
                "training diverged: lower the tuner's learning rate, then run: alloop round",
            )
        yield start, probs


def best(score: np.ndarray, n: int, rng: np.random.Generator) -> Picks:
    """The n highest scores, best first. Equal scores come in an order drawn from `rng`.

    Drawn, because a model that knows little says the same of many texts: then the picks are a random sample of them,
    not always the texts with the lowest ids.
    """
    lowest = np.partition(score, len(score) - n)[len(score) - n]
    candidates = np.flatnonzero(score >= lowest)  # n, or more where texts tie for the last place
    order = np.lexsort((rng.permutation(len(candidates)), -score[candidates]))[:n]
    index = candidates[order]
    return Picks(index, score[index])
