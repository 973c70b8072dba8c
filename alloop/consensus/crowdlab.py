"""Annotators and a model weighed together. One library, one file: cleanlab's multiannotator is known here."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from alloop.consensus import Decided, Votes
from alloop.consensus._questions import Ballots, Judged, decide, mean_over_questions, vote_shares
from alloop.records import Kind

NUDGE = 1e-9  # breaks an exact tie in favour of the label given first, and changes nothing else


@dataclass(frozen=True)
class Crowdlab:
    """The likeliest label by the answers and a model together, each weighed by how often it agrees with the others.

    The model is one that has not learnt from the text's label: the one that picked it, or once it is labelled a linear
    one of the other texts; confidence is the weighted mean of all that was said. Take it where a text has few answers
    and the model is worth listening to. A text of which no model has said anything keeps its plain votes: so do those
    of the first batch until the next round but one, and all texts that measure, so that no model has a part in the
    truth that it is judged by. Of several labels per text each is a question of its own. Goh, Tkachenko & Mueller 2022;
    through cleanlab.
    """

    needs: ClassVar[tuple[str, ...]] = ("probs",)

    def __call__(
        self, votes: Votes, kind: Kind, labels: Sequence[str], probs: Mapping[str, np.ndarray] | None = None
    ) -> Decided:
        return decide(votes, kind, labels, probs, _judged)

    def qualities(
        self, votes: Votes, kind: Kind, labels: Sequence[str], probs: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, float]:
        """annotator -> cleanlab's estimate of how good their labels are, 0-1; nothing where nobody can be compared."""
        return mean_over_questions(votes, kind, labels, probs, _qualities)


def _judged(ballots: Ballots) -> Judged:
    """By cleanlab where a model knows the text, by plain votes where none does."""
    probs = vote_shares(ballots)  # (N, C)
    answer = probs.argmax(1)
    asked = _cleanlab(ballots)
    if asked is None:
        return Judged.by(probs)
    rows, given, info = asked
    probs[rows] = 0  # of answers that nobody gave cleanlab says nothing, unless it prefers one
    for column in range(given.shape[1]):
        said = ~np.isnan(given[:, column])
        quality = info["detailed_label_quality"].to_numpy()[said, column]
        probs[rows[said], given[said, column].astype(int)] = quality
    answer[rows] = info["label_quality"][
        "consensus_label"
    ]  # it need not be the likeliest: annotators are weighed again
    probs[rows, answer[rows]] = info["label_quality"]["consensus_quality_score"]
    return Judged.by(probs, answer)


def _qualities(ballots: Ballots) -> dict[int, float]:
    asked = _cleanlab(ballots, of_annotators=True)
    if asked is None:
        return {}
    _, _, info = asked
    stats = info["annotator_stats"]
    total: dict[int, float] = {}
    labelled: dict[int, float] = {}
    for (annotator, _), quality, n in zip(
        stats.index, stats["annotator_quality"], stats["num_examples_labeled"], strict=True
    ):
        if not np.isnan(quality):
            total[int(annotator)] = total.get(int(annotator), 0.0) + float(quality) * float(n)
            labelled[int(annotator)] = labelled.get(int(annotator), 0.0) + float(n)
    return {one: total[one] / labelled[one] for one in total}


def _cleanlab(ballots: Ballots, of_annotators: bool = False) -> tuple[np.ndarray, np.ndarray, dict[str, Any]] | None:
    """The rows that a model knows, what each column said of them (n, M), and what cleanlab makes of it.

    None where no such text has two votes. Rows of a file that label one text are columns of their own.
    """
    import pandas as pd
    from cleanlab.multiannotator import get_label_quality_multiannotator

    known = ~np.isnan(ballots.probs).any(1)  # (N,)
    if not known.any() or np.bincount(ballots.text, minlength=len(known))[known].max() < 2:
        return None
    rows = np.flatnonzero(known)
    place = np.cumsum(known) - 1  # (N,) a text's row among those
    cells: dict[tuple[int, int], dict[int, int]] = {}  # (annotator, how many-eth time) -> row -> answer
    for text, annotator, answer in zip(ballots.text, ballots.annotator, ballots.answer, strict=True):
        if known[text]:
            time = 0
            while place[text] in cells.setdefault((int(annotator), time), {}):
                time += 1
            cells[int(annotator), time][int(place[text])] = int(answer)
    columns = sorted(cells)
    given = np.full((len(rows), len(columns)), np.nan)  # (n, M)
    for number, column in enumerate(columns):
        given[list(cells[column].keys()), number] = list(cells[column].values())
    with warnings.catch_warnings():  # it says what it thinks of odd tables, in warnings and in print
        warnings.simplefilter("ignore")
        info = get_label_quality_multiannotator(
            pd.DataFrame(given, columns=pd.MultiIndex.from_tuples(columns)),
            _without_ties(ballots, rows),
            return_annotator_stats=of_annotators,
            verbose=False,
        )
    return rows, given, info


def _without_ties(ballots: Ballots, rows: np.ndarray) -> np.ndarray:
    """The model's probabilities (n, C), so that it prefers one of the answers that were given most often.

    Where both the votes and the model are exactly even, cleanlab would draw from the global generator.
    """
    probs: np.ndarray = ballots.probs[rows].astype(float)
    shares = vote_shares(ballots)[rows]
    most = shares == shares.max(1, keepdims=True)  # (n, C)
    among = np.where(most, probs, -1)
    even = among == among.max(1, keepdims=True)
    first = np.full(ballots.shape[0], -1)
    for text, answer in zip(ballots.text[::-1], ballots.answer[::-1], strict=True):
        at = np.searchsorted(rows, text)
        if at < len(rows) and rows[at] == text and even[at, answer]:
            first[text] = answer
    for at in np.flatnonzero(even.sum(1) > 1):
        probs[at, first[rows[at]]] += NUDGE
    return probs


plugin = Crowdlab
