"""Second opinions and hidden repeats: which labelled texts a batch asks about again, in place of new ones.

ActiveLab (Goh & Mueller 2023, arXiv:2301.11856) says on one scale how much is to be gained from another answer about a
text that has some, and about one that has none. Its probabilities are the stand-in's, for both: they are to come from
one model that has not learnt from the labels it judges.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from alloop.consensus import is_tied
from alloop.records import Kind
from alloop.seeds import rng_for
from alloop.steps.context import Context
from alloop.steps.pull import seen_labels, usable_votes
from alloop.steps.stand_in import out_of_sample, vectors
from alloop.store import PickRow

MOST_ASKED = 5  # questions about a text, and votes on it: one that divides people goes on doing so
REPEAT_AFTER = 3  # rounds until an annotator may have forgotten the answer
FOLDS = 5

Said = Sequence[tuple[str, tuple[str, ...]]]  # of one text: annotator, labels


def ties(context: Context, most: int) -> list[PickRow]:
    """Texts on which the votes are divided evenly, at most so many: each is asked about again once."""
    votes = _votes(context)
    asks = context.project.store.asks(list(votes))
    found = [one for one in _askable(context, votes) if asks.get(one, 0) < 2 and is_tied(votes[one], _kind(context))]
    return [PickRow(one, 0, None, "tie", None, None, "relabel") for one in found[:most]]


def repeats(context: Context, most: int) -> list[PickRow]:
    """Labelled texts that their annotators are to answer once more without knowing it, drawn at random."""
    store, number = context.project.store, context.round.number
    votes = _votes(context)
    is_open = store.unfinished_ids(context.config.annotate.annotators_per_text)
    there = [one for one in store.asked_once(number - REPEAT_AFTER) if one in votes and one not in is_open]
    rng = rng_for(context.round.seed, number, "repeat")
    drawn = sorted(rng.choice(len(there), min(most, len(there)), replace=False))
    return [PickRow(there[row], 0, None, "repeat", None, None, "repeat") for row in drawn]


def second_opinions(
    context: Context, rivals: Sequence[PickRow], left_out: set[str]
) -> tuple[list[PickRow], list[PickRow]]:
    """The rivals, picks of new texts, that stay, and labelled texts in place of those that are worth less than they.

    None of the latter is one that is `left_out`.
    """
    store, config = context.project.store, context.config
    resolved = store.resolved(context.round.number, "pool")
    votes = _votes(context)
    may = {one for one in _askable(context, votes) if one not in left_out}
    if not rivals or not may or len(seen_labels(resolved)) < 2:
        return list(rivals), []
    names = config.task.names
    ids = [one.text_id for one in resolved]
    y = np.array([[name in one.labels for name in names] for one in resolved], np.float32)
    texts = [text.text for text in store.texts([*ids, *(rival.text_id for rival in rivals)])]
    x = vectors(context.project, config, texts)
    probs, new = out_of_sample(config, x[: len(ids)], y, x[len(ids) :], FOLDS, context.seed("relabel"))
    of_labelled, of_new = activelab([votes[one] for one in ids], probs, new, config.task.kind, names)
    worst_first = np.argsort(of_new, kind="stable")
    best_first = [row for row in np.argsort(-of_labelled, kind="stable") if ids[row] in may]
    won = list(
        takewhile(lambda pair: of_labelled[pair[0]] > of_new[pair[1]], zip(best_first, worst_first, strict=False))
    )
    lost = {int(rival) for _, rival in won}
    chosen = [PickRow(ids[row], 0, float(of_labelled[row]), "activelab", None, None, "relabel") for row, _ in won]
    return [rival for place, rival in enumerate(rivals) if place not in lost], chosen


def activelab(
    votes: Sequence[Said], probs: np.ndarray, new: np.ndarray, kind: Kind, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """How much is to be gained from another answer, 0 to 1: about texts with votes (N,), and about new ones (M,).

    probs (N, C) and new (M, C) are the same model's. For several labels per text each label is a question by itself,
    and a text counts with the mean over labels: whoever answers, answers all of them.
    """
    given = [[(who, [names.index(label) for label in labels]) for who, labels in said] for said in votes]
    if kind == "single":
        return _gains([[(who, labels[0]) for who, labels in said] for said in given], probs, new)
    each = [
        _gains(
            [[(who, int(label in labels)) for who, labels in said] for said in given],
            np.stack([1 - probs[:, label], probs[:, label]], axis=1),
            np.stack([1 - new[:, label], new[:, label]], axis=1),
        )
        for label in range(len(names))
    ]
    return np.mean([one for one, _ in each], axis=0), np.mean([one for _, one in each], axis=0)


def _gains(
    votes: Sequence[Sequence[tuple[str, int]]], probs: np.ndarray, new: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For votes for one of C classes each; cleanlab's scores are lower where an answer is worth more."""
    import io
    import warnings
    from contextlib import redirect_stdout

    from cleanlab.multiannotator import get_active_learning_scores

    # it warns and prints that few annotators have answered the same texts, which is why one asks
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        of_labelled, of_new = get_active_learning_scores(_table(votes), _inside(probs), _inside(new))
    return 1 - of_labelled, 1 - of_new


def _table(votes: Sequence[Sequence[tuple[str, int]]]) -> np.ndarray:
    """(N, A), a column for each annotator, NaN where they said nothing; a file's second row of a text is one more."""
    columns: dict[tuple[str, int], int] = {}
    cells: list[tuple[int, int, int]] = []
    for row, said in enumerate(votes):
        seen: Counter[str] = Counter()
        for who, label in said:
            cells.append((row, columns.setdefault((who, seen[who]), len(columns)), label))
            seen[who] += 1
    table = np.full((len(votes), len(columns)), np.nan)
    for row, column, label in cells:
        table[row, column] = label
    return table


def _inside(probs: np.ndarray) -> np.ndarray:
    """Rows that sum to 1 in double precision, no class impossible."""
    clipped = np.clip(np.asarray(probs, np.float64), 1e-9, 1)
    return np.asarray(clipped / clipped.sum(1, keepdims=True))


def _votes(context: Context) -> dict[str, Said]:
    """The votes of every text that this round learns from."""
    task, store = context.config.task, context.project.store
    usable, _ = usable_votes(store.answers(), task.names, task.rename, task.kind)
    return {one.text_id: usable[one.text_id] for one in store.resolved(context.round.number, "pool")}


def _askable(context: Context, votes: dict[str, Said]) -> list[str]:
    """The labelled texts that may be asked about again, in id order.

    Not those with an open question, nor those asked about often enough. Nor random texts where they are all there is to
    measure by: looking again only where a model doubts a label would flatter models.
    """
    store = context.project.store
    asks = store.asks(list(votes))
    closed = store.unfinished_ids(context.config.annotate.annotators_per_text)
    if not store.counts()["test"]:
        closed |= {one for one, (_, at_random) in store.asked_how(context.round.number).items() if at_random}
    return [
        one
        for one, said in votes.items()
        if one not in closed and len(said) < MOST_ASKED and asks.get(one, 0) < MOST_ASKED
    ]


def _kind(context: Context) -> Kind:
    return context.config.task.kind
