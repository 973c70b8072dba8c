"""Texts that together resemble the whole pool, or the part of it that the model is unsure of."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import greedy_cover, labelled_unit_rows, parts, squared_distances, unit_rows
from alloop.strategies.margin import unsure

ROOM = 1 << 28  # cells of the kernel, 1 GiB: the whole of it up to 16,384 texts
FEWEST = 256  # texts to resemble, at least
ALIKE = 1e-3  # apart: two labelled texts nearer than this are one


@dataclass(frozen=True)
class Herding:
    """Again and again the text that makes the labelled and picked ones resemble the pool most (Bae et al. 2024).

    MaxHerding: the score is the gain in the mean over the pool of max k(x, s) over labelled and picked s, with
    k = exp(-|x - s|^2 / width^2) of unit-length embeddings and a width of 1. It falls from pick to pick. `weight` =
    "uncertainty" counts each text by one minus its margin (Bae et al. 2025, "Uncertainty Herding"), with the width
    shrinking to the smallest distance of two labelled texts; the paper's temperature scaling is left out. There the
    margin of several labels is that of the closest; it needs a model, while "none" also serves as a cold start.
    scikit-activeml's width is the root of the number of dimensions unless told, where all unit vectors look alike.
    Above 16,384 texts the pool to resemble is a random sample of it, of 2,684 at 100,000; any text may be picked.
    """

    weight: Literal["none", "uncertainty"] = "none"

    @property
    def needs(self) -> tuple[str, ...]:
        return ("embeddings", "labelled.embeddings", *(("probs",) if self.weight == "uncertainty" else ()))

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        x, seen = unit_rows(pool), labelled_unit_rows(pool)  # (N, D), (M, D)
        goal: np.ndarray = np.arange(len(x))  # (T,) the rows to resemble
        if len(x) ** 2 > ROOM:
            goal = np.sort(rng.choice(len(x), min(len(x), max(FEWEST, ROOM // len(x))), replace=False))
        share = np.full(len(goal), 1 / len(goal), np.float32)  # (T,)
        width = 1.0
        if self.weight == "uncertainty":
            weight = unsure(pool)[goal]
            if weight.any():  # a model that is sure of everything leaves a herding that is not weighted
                share *= weight.astype(np.float32)
            width = _smallest_distance(seen)
        kernel = np.empty((len(x), len(goal)), np.float32)  # (N, T)
        for part in parts(*kernel.shape):
            kernel[part] = _kernel(x[part], x[goal], width)
        covered = np.zeros(len(goal), np.float32)  # (T,)
        for part in parts(len(seen), len(goal)):
            np.maximum(covered, _kernel(seen[part], x[goal], width).max(0), out=covered)
        return greedy_cover(
            lambda rows: np.maximum(kernel[rows] - covered, 0) @ share,
            lambda row: np.maximum(covered, kernel[row], out=covered),
            len(x),
            n,
            rng,
        )


plugin = Herding


def _kernel(x: np.ndarray, y: np.ndarray, width: float) -> np.ndarray:
    near = squared_distances(x, y)
    near /= -(width**2)
    return np.asarray(np.exp(near, out=near))


def _smallest_distance(seen: np.ndarray) -> float:
    """Between two of the labelled texts that are not alike; 1 where there are no two."""
    smallest = np.inf
    for part in parts(len(seen), len(seen)):
        squared = squared_distances(seen[part], seen)
        smallest = min(smallest, squared.min(initial=np.inf, where=squared > ALIKE**2))
    return float(np.sqrt(smallest)) if np.isfinite(smallest) else 1.0
