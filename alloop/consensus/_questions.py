"""Votes as arrays, and back: what rules that estimate probabilities share.

A task of one label per text is one question with C answers. Of several labels per text, each label is a question of
its own, with the answers no and yes.
"""

from collections.abc import Callable, Mapping, Sequence
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


def decide(
    votes: Votes,
    kind: Kind,
    labels: Sequence[str],
    probs: Mapping[str, np.ndarray] | None,
    judge: Callable[[Ballots], np.ndarray],
) -> Decided:
    """The likeliest labels by the probabilities (N, C) that `judge` finds; confidence is theirs.

    Of several labels per text it is that of the label one is least sure of. Answers that are equally likely are left to
    the plain votes.
    """
    ids = sorted(votes)
    plain = Majority()(votes, kind, labels)
    known = probs or {}
    if kind == "single":
        column = {label: at for at, label in enumerate(labels)}
        found = judge(_ballots(votes, ids, lambda said: column[said[0]], _model(known, ids, len(labels))))  # (N, C)
        return {one: _likeliest(row, plain[one][0], labels) for one, row in zip(ids, found, strict=True)}
    model = _model(known, ids, len(labels))
    yes = np.empty((len(ids), len(labels)))
    for at, label in enumerate(labels):
        two = np.stack([1 - model[:, at], model[:, at]], axis=1)
        yes[:, at] = judge(_ballots(votes, ids, lambda said, label=label: int(label in said), two))[:, 1]  # type: ignore[misc]
    return {one: _standing(row, plain[one][0], labels) for one, row in zip(ids, yes, strict=True)}


def _model(known: Mapping[str, np.ndarray], ids: Sequence[str], width: int) -> np.ndarray:
    nothing = np.full(width, np.nan)
    return np.array([known.get(one, nothing) for one in ids], dtype=float).reshape(len(ids), width)


def _ballots(
    votes: Votes, ids: Sequence[str], answer_of: Callable[[tuple[str, ...]], int], probs: np.ndarray
) -> Ballots:
    names = sorted({annotator for said in votes.values() for annotator, _ in said})
    number = {name: at for at, name in enumerate(names)}
    rows = [(row, number[who], answer_of(said)) for row, one in enumerate(ids) for who, said in votes[one]]
    text, annotator, answer = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Ballots(text, annotator, answer, (len(ids), probs.shape[1]), probs)


def _likeliest(row: np.ndarray, plain: tuple[str, ...], labels: Sequence[str]) -> tuple[tuple[str, ...], float]:
    best = float(row.max())
    even = [label for label, p in zip(labels, row, strict=True) if p >= best - EVEN]
    return (plain if plain[0] in even else (even[0],)), min(best, 1.0)


def _standing(row: np.ndarray, plain: tuple[str, ...], labels: Sequence[str]) -> tuple[tuple[str, ...], float]:
    stands = [label in plain if abs(p - 0.5) <= EVEN else p > 0.5 for label, p in zip(labels, row, strict=True)]
    return tuple(label for label, it in zip(labels, stands, strict=True) if it), float(np.maximum(row, 1 - row).min())
