"""Votes as arrays, and back: what rules that estimate probabilities share.

A task of one label per text is one question with C answers. Of several labels per text, each label is a question of
its own, with the answers no and yes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alloop.consensus import Decided, Votes
from alloop.consensus.majority import Majority
from alloop.records import Kind

EVEN = 1e-6  # probabilities no further apart are equal: sums in another order differ by less


@dataclass(frozen=True)
class Ballots:
    """The votes on one question, by text id and then as they came; V votes, N texts."""

    text: np.ndarray  # (V,) row of the text
    annotator: np.ndarray  # (V,)
    answer: np.ndarray  # (V,) column
    shape: tuple[int, int]  # N texts, C answers
    probs: np.ndarray  # (N, C) what a model says; rows of NaN where it says nothing


@dataclass(frozen=True)
class Judged:
    """What a rule makes of a question: the answer to each text, how likely it is, and which answers are as likely."""

    answer: np.ndarray  # (N,) column
    confidence: np.ndarray  # (N,)
    even: np.ndarray  # (N, C), true for the answer itself

    @classmethod
    def by(cls, probs: np.ndarray, answer: np.ndarray | None = None) -> "Judged":
        """From probabilities (N, C); the likeliest answers unless they are given."""
        answer = probs.argmax(1) if answer is None else answer
        confidence = np.take_along_axis(probs, answer[:, None], axis=1)  # (N, 1)
        return cls(answer, np.clip(confidence[:, 0], 0, 1), np.abs(probs - confidence) <= EVEN)


def decide(
    votes: Votes,
    kind: Kind,
    labels: Sequence[str],
    probs: Mapping[str, np.ndarray] | None,
    judge: Callable[[Ballots], Judged],
) -> Decided:
    """What `judge` answers, as labels; of answers that are as likely, what the plain votes say.

    Of several labels per text, the confidence is that of the label one is least sure of.
    """
    if not votes:
        return {}
    ids = sorted(votes)
    plain = [labels for labels, _ in (Majority()(votes, kind, labels)[one] for one in ids)]
    found = [judge(one) for one in _questions(votes, kind, labels, probs)]
    confidence = np.min([one.confidence for one in found], axis=0)  # (N,)
    if kind == "single":
        said = [_single(found[0], row, plain[row], labels) for row in range(len(ids))]
    else:
        said = [_several(found, row, plain[row], labels) for row in range(len(ids))]
    return {one: (answer, float(sure)) for one, answer, sure in zip(ids, said, confidence, strict=True)}


def mean_over_questions(
    votes: Votes,
    kind: Kind,
    labels: Sequence[str],
    probs: Mapping[str, np.ndarray] | None,
    measure: Callable[[Ballots], Mapping[int, float]],
) -> dict[str, float]:
    """annotator -> what `measure` finds of each, by their number; of several labels per text, the mean over them."""
    names = _annotators(votes)
    found: dict[str, list[float]] = {}
    for one in _questions(votes, kind, labels, probs) if votes else ():
        for number, value in measure(one).items():
            found.setdefault(names[number], []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def vote_shares(ballots: Ballots) -> np.ndarray:
    """The share (N, C) of a text's votes that each answer has."""
    counts = np.zeros(ballots.shape)
    np.add.at(counts, (ballots.text, ballots.answer), 1)
    shares: np.ndarray = counts / counts.sum(1, keepdims=True)
    return shares


def _questions(
    votes: Votes, kind: Kind, labels: Sequence[str], probs: Mapping[str, np.ndarray] | None
) -> Iterator[Ballots]:
    ids = sorted(votes)
    model = _model(probs or {}, ids, len(labels))
    if kind == "single":
        column = {label: at for at, label in enumerate(labels)}
        yield _ballots(votes, ids, lambda said: column[said[0]], model)
        return
    for at, label in enumerate(labels):
        two = np.stack([1 - model[:, at], model[:, at]], axis=1)  # (N, 2)
        yield _ballots(votes, ids, lambda said, label=label: int(label in said), two)  # type: ignore[misc]


def _model(known: Mapping[str, np.ndarray], ids: Sequence[str], width: int) -> np.ndarray:
    nothing = np.full(width, np.nan)
    return np.array([known.get(one, nothing) for one in ids], dtype=float).reshape(len(ids), width)


def _ballots(
    votes: Votes, ids: Sequence[str], answer_of: Callable[[tuple[str, ...]], int], probs: np.ndarray
) -> Ballots:
    number = {name: at for at, name in enumerate(_annotators(votes))}
    rows = [(row, number[who], answer_of(said)) for row, one in enumerate(ids) for who, said in votes[one]]
    text, annotator, answer = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Ballots(text, annotator, answer, (len(ids), probs.shape[1]), probs)


def _annotators(votes: Votes) -> list[str]:
    return sorted({annotator for said in votes.values() for annotator, _ in said})


def _single(found: Judged, row: int, plain: tuple[str, ...], labels: Sequence[str]) -> tuple[str, ...]:
    return plain if found.even[row, labels.index(plain[0])] else (labels[found.answer[row]],)


def _several(found: Sequence[Judged], row: int, plain: tuple[str, ...], labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        label
        for label, one in zip(labels, found, strict=True)
        if (label in plain if one.even[row].all() else one.answer[row] == 1)
    )
