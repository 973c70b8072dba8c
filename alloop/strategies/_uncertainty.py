"""What the uncertainty strategies share: modAL's measures, row by row, as scores where higher = more worth labelling.

modAL measures classifiers; `Said` is the classifier that has already answered. Only modAL's functions are used: its
learners answer an unfitted model with plausible zeros.
"""

from collections.abc import Callable, Sequence
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
    said = _given(pool, of)
    found = np.empty(len(pool), np.float64)
    size = max(1, CHUNK // (len(said) if said.ndim == 3 else 1))
    for start in range(0, len(pool), size):
        found[start : start + size] = measure(numbers(said[..., start : start + size, :], pool.ids[start:]))
    return found


def checked_probs(pool: Pool) -> np.ndarray:
    """A copy of probs (N, C) in single precision. Raises ModelError as `scores` does."""
    return np.array(numbers(_given(pool, "probs"), pool.ids), np.float32)


def _given(pool: Pool, of: Opinions) -> np.ndarray:
    said: np.ndarray | None = getattr(pool, of)
    if said is None:
        raise ModelError(
            f"there are no {'probabilities' if of == 'probs' else of} to pick by",
            "label some texts of two labels, then run: alloop round",
        )
    return said


def numbers(said: np.ndarray, ids: Sequence[str]) -> np.ndarray:
    """probs (..., M, C) in single precision at least. Raises ModelError, with the text's id, for what is no number."""
    probs = np.asarray(said)
    probs = probs.astype(np.promote_types(probs.dtype, np.float32), copy=False)
    bad = ~np.isfinite(probs).all(-1).reshape(-1, probs.shape[-2]).all(0)  # (M,)
    if bad.any():
        first = int(bad.argmax())
        raise ModelError(
            f"the model's probabilities of the text {ids[first]} are not all numbers: {said[..., first, :]}",
            "training diverged: lower the tuner's learning rate, then run: alloop round",
        )
    return probs


def choices(probs: np.ndarray, kind: Kind) -> np.ndarray:
    """probs (..., C) as a choice between C labels (..., 1, C), or if "multi" as C between yes and no (..., C, 2)."""
    return np.stack([probs, 1 - probs], -1) if kind == "multi" else probs[..., None, :]


def entropy(probs: np.ndarray, kind: Kind) -> np.ndarray:
    """Entropy (...) in nats of probs (..., C); for a multi-label task the mean over the labels."""
    from scipy.special import entr

    return np.asarray(entr(choices(probs, kind)).sum(-1).mean(-1))


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
