"""The likeliest label by votes and a model, where an annotator errs as often whatever the text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.consensus import Decided, Votes, can_compare
from alloop.consensus._questions import Ballots, Judged, decide, mean_over_questions
from alloop.consensus.majority import Majority
from alloop.records import Kind

ERROR, WORTH = 0.2, 2.0  # how often people err before anything is known of them, and how many answers that weighs
TURNS = 30


@dataclass(frozen=True)
class OneCoin:
    """The likeliest label by all votes and a model at once, with each annotator weighed by how often they err.

    How often is found together with the labels, by expectation-maximisation; the model says how likely each label is
    before anybody votes. So it can set right what a single annotator said, and it does not matter that only doubtful
    texts have several votes: take it with `round.relabel_share`. Confidence is the probability of the label. A text of
    which no model has said anything goes by its votes: so do those of the newest batch, as far as no model picked them,
    and all texts that measure. Of several labels per text each is a question of its own. Dawid & Skene 1979 with one
    rate for each annotator; with a model, Raykar et al. 2010.
    """

    needs: ClassVar[tuple[str, ...]] = ("probs",)
    settles: ClassVar[bool] = True  # even votes say less than the model and the annotators' rates

    def __call__(
        self, votes: Votes, kind: Kind, labels: Sequence[str], probs: Mapping[str, np.ndarray] | None = None
    ) -> Decided:
        if not can_compare(votes):
            return Majority()(votes, kind, labels)
        return decide(votes, kind, labels, probs, lambda ballots: Judged.by(_chances(ballots)[0]))

    def qualities(
        self, votes: Votes, kind: Kind, labels: Sequence[str], probs: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, float]:
        """annotator -> how likely their next label is right, 0-1; nothing where nobody can be compared."""
        if not can_compare(votes):
            return {}
        return mean_over_questions(
            votes, kind, labels, probs, lambda ballots: dict(enumerate((1 - _chances(ballots)[1]).tolist()))
        )


def _chances(ballots: Ballots) -> tuple[np.ndarray, np.ndarray]:
    prior = np.where(np.isnan(ballots.probs), 1 / ballots.shape[1], ballots.probs)
    return chances(ballots.text, ballots.annotator, ballots.answer, prior)


def chances(
    question: np.ndarray, who: np.ndarray, answer: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How likely each of C answers to each question is (N, C), and how often each annotator errs (A,).

    By V votes: on which question, whose, for which answer. `prior` (N, C) is what a model says.
    """
    n, c = prior.shape
    start = np.log(np.clip(np.asarray(prior, np.float64), 1e-6, 1))
    counts = np.bincount(who)
    rate: np.ndarray = np.full(len(counts), ERROR)
    for _ in range(TURNS):
        wrong, right = np.log(rate / (c - 1))[who], np.log(1 - rate)[who]  # (V,)
        logs = start + np.bincount(question, wrong, n)[:, None]
        np.add.at(logs, (question, answer), right - wrong)
        logs -= logs.max(1, keepdims=True)
        found = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
        errors = np.bincount(who, 1 - found[question, answer])
        rate = np.clip((errors + ERROR * WORTH) / (counts + WORTH), 0.01, 0.9)
    return found, rate


plugin = OneCoin
