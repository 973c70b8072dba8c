"""Annotators weighed by their confusion matrices. One library, one file: crowd-kit is known here."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.consensus import Decided, Votes, can_compare
from alloop.consensus._questions import Ballots, decide
from alloop.consensus.majority import Majority
from alloop.records import Kind


@dataclass(frozen=True)
class DawidSkene:
    """The likeliest label, with each annotator weighed by how often they take which label for which.

    Who errs where is estimated together with the labels, from the votes alone, by expectation-maximisation; confidence
    is the probability of the label. Take it with three votes a text or more and annotators of different care, each with
    dozens of answers; with fewer it is sure of too much, and `majority` is the better choice. Of several labels per
    text each is a question of its own. Dawid & Skene 1979; through crowd-kit. `iterations` is how many steps are made
    at most, `tolerance` the gain in the mean log-likelihood of a vote below which they end.
    """

    iterations: int = 100
    tolerance: float = 1e-5

    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations = {self.iterations} is less than 1")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance = {self.tolerance} is not above 0")

    def __call__(
        self, votes: Votes, kind: Kind, labels: Sequence[str], probs: Mapping[str, np.ndarray] | None = None
    ) -> Decided:
        if not can_compare(votes):
            return Majority()(votes, kind, labels)
        return decide(votes, kind, labels, None, self.posterior)

    def posterior(self, ballots: Ballots) -> np.ndarray:
        """The probability (N, C) of each answer to each text."""
        import pandas as pd
        from crowdkit.aggregation import DawidSkene as CrowdKit

        table = pd.DataFrame({"task": ballots.text, "worker": ballots.annotator, "label": ballots.answer})
        with warnings.catch_warnings():  # it calls pandas in ways that pandas means to give up
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            fitted = CrowdKit(n_iter=self.iterations, tol=self.tolerance).fit_predict_proba(table)
        found = np.zeros(ballots.shape)  # answers that nobody gave have no column there
        found[np.ix_(fitted.index.to_numpy(), fitted.columns.to_numpy(dtype=int))] = fitted.to_numpy()
        return found


plugin = DawidSkene
