"""The texts that divide a committee."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np

from alloop.errors import ModelError
from alloop.records import Kind
from alloop.strategies import Picks, Pool
from alloop.strategies._uncertainty import best, choices, scores

Measure = Literal["kl", "max-kl", "vote-entropy", "consensus-entropy"]


@dataclass(frozen=True)
class Committee:
    """The texts on which models trained on the same labels disagree most (query by committee, Seung et al. 1992).

    Scores are in nats, for a multi-label task the mean over the labels. The members differ in their seeds, or learn
    from resamples of the labels where no seed matters.

    measure: "kl", the mean divergence of a member from the mean of all (McCallum & Nigam 1998); "max-kl", that of the
    farthest member; "vote-entropy", of the members' most likely labels (Dagan & Engelson 1995), where many texts tie;
    "consensus-entropy", of the mean, which also picks texts that all members find doubtful. All but "kl" are modAL's.
    members: how many models are trained, each at the cost of one.
    """

    measure: Measure = "kl"
    members: int = 5

    needs: ClassVar[tuple[str, ...]] = ("members",)
    scores_each: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.members < 2:
            raise ValueError("members must be above 1: a single model agrees with itself")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        if pool.members is not None and len(pool.members) < 2:
            raise ModelError("the model is no committee: it has one member", "train it again: alloop round --abandon")
        return best(scores(pool, partial(_disagreement, measure=self.measure, kind=pool.kind), "members"), n, rng)


plugin = Committee


def _disagreement(members: np.ndarray, measure: Measure, kind: Kind) -> np.ndarray:
    """score (M,) of members (E, M, C)."""
    from scipy.special import entr, rel_entr

    said = choices(members, kind)  # (E, M, L, C)
    consensus = said.mean(0)
    if measure == "consensus-entropy":
        divided = entr(consensus).sum(-1)
    elif measure == "vote-entropy":
        votes = said.argmax(-1)[..., None] == np.arange(said.shape[-1])
        divided = entr(votes.mean(0)).sum(-1)
    else:
        divergence = rel_entr(said, consensus).sum(-1)
        divided = divergence.max(0) if measure == "max-kl" else divergence.mean(0)
    return np.asarray(divided.mean(-1))
