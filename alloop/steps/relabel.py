"""Second opinions and hidden repeats: which labelled texts a batch asks about again, in place of new ones.

As in ActiveLab (Goh & Mueller 2023, arXiv:2301.11856) a model that has not learnt from a label, the stand-in, is heard
beside those who gave it. ActiveLab learns how far to trust either from the texts with several votes. Here these are the
ones whose label a model contradicted: on them the model looks worthless. How often people err is therefore found on all
votes at once, where it does not matter why a text was asked about: votes and model alone decided that. ActiveLab's own
scores are there too (`round.relabel_by`).
docs/relabelling.md has what was measured.
"""

from collections.abc import Sequence

import numpy as np

from alloop.config import Config
from alloop.consensus import is_tied
from alloop.consensus.one_coin import chances
from alloop.records import Kind
from alloop.seeds import rng_for
from alloop.steps.activelab import Said, activelab
from alloop.steps.context import Context
from alloop.steps.pull import consensus_rule, needs_probs, seen_labels, settled, usable_votes
from alloop.steps.stand_in import out_of_sample, vectors
from alloop.store import PickRow

MOST_ASKED = 5  # questions about a text, and votes on it: one that divides people goes on doing so
REPEAT_AFTER = 3  # rounds until an annotator may have forgotten the answer
FOLDS = 5


def ties(context: Context, most: int) -> list[PickRow]:
    """Texts on which the votes are divided evenly, at most so many; without a share of second opinions each once.

    With a share, a rule that hears a model decides by itself which of them are in doubt.
    """
    if context.config.round.relabel_share and needs_probs(consensus_rule(context.config)):
        return []
    votes, kind = _votes(context), context.config.task.kind
    asks = context.project.store.asks(list(votes))
    often = MOST_ASKED if context.config.round.relabel_share else 2
    found = [one for one in _askable(context, votes) if asks.get(one, 0) < often and is_tied(votes[one], kind)]
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


def second_opinions(context: Context, most: int, left_out: set[str]) -> list[PickRow]:
    """Texts whose label is less sure than that of a new text would be, at most so many, the most doubtful first.

    By "activelab" so many of those of which another answer is worth most. None of them is one that is `left_out`.
    """
    store, config = context.project.store, context.config
    votes = _votes(context)
    resolved = [one for one in store.resolved(context.round.number, "pool") if one.text_id in votes]
    may = set(_askable(context, votes)) - left_out
    sure = settled(resolved, config.task.kind)
    if not may or len(seen_labels(sure)) < 2:
        return []
    names = config.task.names
    known = {one.text_id for one in sure}
    both = [*sure, *(one for one in resolved if one.text_id not in known)]
    ids = [one.text_id for one in both]
    y = np.array([[name in one.labels for name in names] for one in both], np.float32)
    x = vectors(context.project, config, [text.text for text in store.texts(ids)])
    learnt, others = out_of_sample(
        config, x[: len(sure)], y[: len(sure)], x[len(sure) :], FOLDS, context.seed("relabel")
    )
    probs = np.concatenate([learnt, others])
    said, by = [votes[one] for one in ids], config.round.relabel_by
    if by == "activelab":
        doubt, enough = activelab(said, probs, config.task.kind, names), -1.0  # the whole share
    else:
        doubt, error = doubts(said, y, probs, config.task.kind, names)
        enough = doubtful_from(config, error)
    order = np.argsort(-doubt, kind="stable")
    chosen = [int(row) for row in order if doubt[row] > enough and ids[row] in may][:most]
    return [PickRow(ids[row], 0, float(doubt[row]), by, None, None, "relabel") for row in chosen]


def doubtful_from(config: Config, error: float) -> float:
    """How likely wrong a label has to be for a second opinion to be worth more than a new text.

    A new text's label is wrong as often as people err. Where the consensus counts votes alone it takes two more answers
    to change a label: there it has to be more likely wrong than right.
    """
    return error if needs_probs(consensus_rule(config)) else 0.5


def doubts(
    votes: Sequence[Said], y: np.ndarray, probs: np.ndarray, kind: Kind, names: Sequence[str]
) -> tuple[np.ndarray, float]:
    """How likely labels y (N, C) are wrong (N,), by votes and by probs (N, C) of a model unaware of them.

    And how often the answers are. Of several labels per text each is a question by itself, answered by all who answered
    the text. The text counts with its most doubtful one: most labels clearly do not apply, and a mean would say the
    less the more labels there are.
    """
    text = [row for row, said in enumerate(votes) for _ in said]
    people = {who: number for number, who in enumerate(dict.fromkeys(who for said in votes for who, _ in said))}
    who = [people[one] for said in votes for one, _ in said]
    given = np.array([[name in labels for name in names] for said in votes for _, labels in said], int)  # (V, C)
    if kind == "single":
        right, rates = chances(np.array(text), np.array(who), given.argmax(1), probs)
        return 1 - (right * y).sum(1), float(rates[who].mean())
    c = len(names)
    questions = np.array(text)[:, None] * c + np.arange(c)  # (V, C)
    of_yes = np.asarray(probs).ravel()
    said = np.repeat(np.array(who), c)
    right, rates = chances(questions.ravel(), said, given.ravel(), np.stack([1 - of_yes, of_yes], axis=1))
    return 1 - right[np.arange(y.size), y.ravel().astype(int)].reshape(y.shape).min(1), float(rates[who].mean())


def _votes(context: Context) -> dict[str, Said]:
    """The votes of every text that has a label in this round, and still has votes: a review may have come since."""
    task, store = context.config.task, context.project.store
    usable, _ = usable_votes(store.answers(), task.names, task.rename, task.kind)
    resolved = store.resolved(context.round.number, "pool")
    return {one.text_id: usable[one.text_id] for one in resolved if one.text_id in usable}


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
