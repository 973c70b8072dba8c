"""Annotators weighed by their confusion matrices. One library, one file: crowd-kit is known here."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from alloop.consensus import Decided, Votes, can_compare
from alloop.consensus._questions import Ballots, Judged, decide, mean_over_questions
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
        return decide(votes, kind, labels, None, self._judged)

    def qualities(
        self, votes: Votes, kind: Kind, labels: Sequence[str], probs: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, float]:
        """annotator -> how likely their next label is right, 0-1; nothing where nobody can be compared."""
        return mean_over_questions(votes, kind, labels, None, self._qualities) if can_compare(votes) else {}

    def _judged(self, ballots: Ballots) -> Judged:
        fitted = self._fitted(ballots).probas_
        probs = np.zeros(ballots.shape)  # (N, C); answers that nobody gave have no column there
        probs[np.ix_(fitted.index.to_numpy(), fitted.columns.to_numpy(dtype=int))] = fitted.to_numpy()
        return Judged.by(probs)

    def _qualities(self, ballots: Ballots) -> dict[int, float]:
        fitted = self._fitted(ballots)
        right: dict[int, float] = {}
        for (annotator, answer), given in fitted.errors_.iterrows():  # given (C,): how often they say it, by the truth
            right[int(annotator)] = right.get(int(annotator), 0.0) + float(given[answer] * fitted.priors_[answer])
        return right

    def _fitted(self, ballots: Ballots) -> Any:
        import pandas as pd
        from crowdkit.aggregation import DawidSkene as CrowdKit

        table = pd.DataFrame({"task": ballots.text, "worker": ballots.annotator, "label": ballots.answer})
        with warnings.catch_warnings():  # it calls pandas in ways that pandas means to give up
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            return CrowdKit(n_iter=self.iterations, tol=self.tolerance).fit(table)


plugin = DawidSkene
