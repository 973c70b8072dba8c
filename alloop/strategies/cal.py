"""Texts of which the model says something else than of the labelled texts like them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.errors import ModelError
from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import labelled_unit_rows, parts, squared_distances, unit_rows
from alloop.strategies._uncertainty import best, choices, numbers

LEAST = 1e-12  # of a probability, so that what rounding made 0 gives no infinite divergence


@dataclass(frozen=True)
class Cal:
    """Contrastive active learning (Margatina et al. 2021): close in meaning to labelled texts, far in prediction.

    The score is the mean divergence in nats of the model's prediction of the text from those of its nearest labelled
    texts, KL(p of the neighbour || p of the text); for a multi-label task the mean over the labels. Nearest by
    embeddings of unit length. With few labels the nearest is not near: better once there are some hundred. small-text
    looks for neighbours in the pool too, where it finds the text itself; the paper's have labels.

    neighbours: how many labelled texts are compared.
    """

    neighbours: int = 10

    needs: ClassVar[tuple[str, ...]] = ("probs", "embeddings", "labelled.probs", "labelled.embeddings")
    scores_each: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ValueError("neighbours must be above 0")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        seen = pool.labelled
        if pool.probs is None or seen is None or seen.probs is None or not len(seen.ids):
            raise ModelError(
                "there are no predictions of labelled texts to compare with",
                "label some texts of two labels, then run: alloop round",
            )
        x, known = unit_rows(pool), labelled_unit_rows(pool)  # (N, D), (M, D)
        said = _above_0(choices(numbers(seen.probs, seen.ids), pool.kind))  # (M, L, C)
        k = min(self.neighbours, len(known))
        score = np.empty(len(x))
        for part in parts(len(x), len(known) + k * said[0].size):
            near = np.argpartition(squared_distances(x[part], known), k - 1, axis=1)[:, :k]  # (B, K)
            here = _above_0(choices(numbers(pool.probs[part], pool.ids[part.start :]), pool.kind))  # (B, L, C)
            there = said[near]  # (B, K, L, C)
            divergence = (there * (np.log(there) - np.log(here)[:, None])).sum(-1)  # (B, K, L)
            score[part] = divergence.mean((1, 2))
        return best(score, n, rng)


plugin = Cal


def _above_0(probs: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(probs.astype(np.float64), LEAST))
