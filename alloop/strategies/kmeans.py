"""Texts that stand for the pool, before there is a model to ask."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._geometry import representatives, unit_rows


@dataclass(frozen=True)
class KMeans:
    """One text from each of n clusters of the pool: the text nearest to the centre, the largest cluster first.

    Clusters unit-length embeddings with scikit-learn's k-means, in mini-batches (Sculley 2010) above 10,000 texts.
    The batch is spread over the pool, which makes a good start (Yuan et al. 2020); texts labelled already are not
    looked at. The score is the share of the pool in the cluster, so the share that the text stands for. Where fewer
    clusters than n can be told apart the next nearest texts fill the batch, with a score of 0.
    """

    needs: ClassVar[tuple[str, ...]] = ("embeddings",)

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        return representatives(unit_rows(pool), n, rng)


plugin = KMeans
