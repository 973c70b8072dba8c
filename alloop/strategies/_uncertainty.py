"""What the uncertainty strategies share: modAL's measures, row by row, as scores where higher = more worth labelling.

modAL measures classifiers; `Said` is the classifier that has already answered. Only modAL's functions are used: its
learners answer an unfitted model with plausible zeros.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from alloop.errors import ModelError
from alloop.records import Kind
from alloop.strategies import Picks, Pool

Opinions = Literal["probs", "samples", "members"]
CHUNK = 65_536  # rows at a time: modAL copies what it measures, and probs may be memory-mapped and larger than memory


class Said:
    """A classifier, to modAL, whose texts are already probabilities."""

    def predict_proba(self, probs: np.ndarray) -> np.ndarray:
        return probs


def scores(pool: Pool, measure: Callable[[np.ndarray], np.ndarray], of: Opinions = "probs") -> np.ndarray:
    """score (N,): `measure` of the probs (M, C) of M texts at a time, in single precision at least.

    With `of`, of the samples (T, M, C) or the members (E, M, C). Half-precision probs would tie where the ranking is
    decided. Raises ModelError for probs that are no numbers.
    """
    said = getattr(pool, of)
    if said is None:
        raise ModelError(
            f"there are no {'probabilities' if of == 'probs' else of} to pick by",
            "label some texts of two labels, then run: alloop round",
        )
    found = np.empty(len(pool), np.float64)
    size = max(1, CHUNK // (len(said) if said.ndim == 3 else 1))
    for start in range(0, len(pool), size):
        probs = np.asarray(said[..., start : start + size, :])  # (M, C) or (T, M, C)
        probs = probs.astype(np.promote_types(probs.dtype, np.float32), copy=False)
        bad = ~np.isfinite(probs).all(-1).reshape(-1, probs.shape[-2]).all(0)  # (M,)
        if bad.any():
            first = start + int(bad.argmax())
            raise ModelError(
                f"the model's probabilities of the text {pool.ids[first]} are not all numbers: {said[..., first, :]}",
                "training diverged: lower the tuner's learning rate, then run: alloop round",
            )
        found[start : start + size] = measure(probs)
    return found


def entropy(probs: np.ndarray, kind: Kind) -> np.ndarray:
    """Entropy (...) in nats of probs (..., C); for a multi-label task the mean over the labels, of (p, 1 - p)."""
    from scipy.special import entr

    if kind == "multi":
        return np.asarray((entr(probs) + entr(1 - probs)).mean(-1))
    return np.asarray(entr(probs).sum(-1))


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
