"""Texts that are given strangely many labels, or strangely few."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.errors import ModelError
from alloop.records import Kind
from alloop.strategies import Picks, Pool, refuse_other_kinds
from alloop.strategies._uncertainty import best, scores


@dataclass(frozen=True)
class LabelCardinality:
    """Label cardinality inconsistency (Li & Guo 2013): how far the number of labels is from the usual one.

    The score is the difference between the number of labels with p >= 0.5 and the mean number of the labelled texts.
    Only for tasks with several labels per text. Many texts tie; which of them are picked is drawn.
    """

    needs: ClassVar[tuple[str, ...]] = ("probs",)
    scores_each: ClassVar[bool] = True
    kinds: ClassVar[tuple[Kind, ...]] = ("multi",)

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        refuse_other_kinds("label-cardinality", self, pool.kind)
        if pool.labelled is None or not len(pool.labelled.ids):
            raise ModelError("there are no labelled texts to compare with", 'set round.cold_start = "kmeans"')
        usual = pool.labelled.y.sum(1).mean()
        return best(scores(pool, lambda probs: np.abs((probs >= 0.5).sum(1) - usual)), n, rng)


plugin = LabelCardinality
