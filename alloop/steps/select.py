"""Select: the texts to ask about, some of them drawn at random, some of them again."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alloop.seeds import rng_for
from alloop.steps import relabel
from alloop.steps.candidates import candidates
from alloop.steps.context import Context, read_ids
from alloop.steps.score import FROZEN, LABELLED, LABELS, is_cold, labelled_ids, strategy_name
from alloop.store import PickRow
from alloop.strategies import Labelled, Pool, strategies
from alloop.strategies._batches import make_batch
from alloop.work import load_predictions


def do(context: Context) -> tuple[list[PickRow], str]:
    """The picks, in the order annotators see them, and what the strategy says about them."""
    scored = context.results["score"]
    if "directory" not in scored and "selectable" not in scored:
        return [], ""
    selectable = context.selectable
    batch = min(context.room, len(selectable))
    rng = rng_for(context.round.seed, context.round.number, "select")
    again = _again(context, batch)
    batch -= len(again)
    at_random = min(_due(context, context.config.round.random_share), batch)
    drawn = sorted(rng.choice(len(selectable), at_random, replace=False))
    random_ids = {selectable[i] for i in drawn}
    pool = _pool(context, selectable, random_ids)
    n = min(batch - at_random, len(pool))
    picks, note = _picked(context, pool, n, len(selectable) - at_random, _to_be_unlike(context, random_ids), rng)
    predicted = _predictions_of(context, [*random_ids, *(pick.text_id for pick in picks)])
    probability = at_random / len(selectable)
    draws = [PickRow(one, 0, None, "random", probability, None, "random") for one in sorted(random_ids)]
    # random ones stand anywhere in the queue, so that half a batch answered holds half of them
    for draw, place in zip(draws, sorted(rng.integers(0, len(picks) + 1, len(draws))), strict=True):
        picks.insert(place, draw)
    # and so do those asked about again, so that nobody can tell them by their place
    for one, place in zip(again, sorted(rng.integers(0, len(picks) + 1, len(again))), strict=True):
        picks.insert(place, one)
    ranked = [
        dataclasses.replace(pick, rank=rank, predicted=predicted.get(pick.text_id))
        for rank, pick in enumerate(picks, 1)
    ]
    return ranked, note


def _again(context: Context, batch: int) -> list[PickRow]:
    """Labelled texts to ask about again, in place of as many new ones.

    Ties come first. Where several people answer each text they go back whatever the share, in half of a batch at most.
    """
    settings = context.config.round
    share, repeats = (_due(context, one) for one in (settings.relabel_share, settings.repeat_share))
    if batch < settings.batch:  # the last texts before a limit are to be new ones too
        share, repeats = (
            min(due, int(part * batch))
            for due, part in ((share, settings.relabel_share), (repeats, settings.repeat_share))
        )
    most = max(share, batch // 2) if context.config.annotate.annotators_per_text > 1 else share
    again = relabel.ties(context, most) if most else []
    if len(again) < share and not is_cold(context):
        again += relabel.second_opinions(context, share - len(again), {one.text_id for one in again})
    asked = {one.text_id for one in again}
    drawn = [one for one in relabel.repeats(context, repeats) if one.text_id not in asked] if repeats else []
    return again + drawn[: batch - len(again)]


def _due(context: Context, share: float) -> int:
    """How many of this batch make up a share; what a round's fraction leaves over comes in a later one."""
    due = share * context.config.round.batch
    before = sum(bool(context.project.store.picks(n)) for n in range(1, context.round.number))
    return int(due * (before + 1) + 1e-9) - int(due * before + 1e-9)


def _pool(context: Context, selectable: Sequence[str], left_out: set[str]) -> Pool:
    """What the strategy sees: the scored texts, without those that were drawn at random."""
    directory = context.published("score")
    if directory is None:
        ids = [one for one in candidates(context, selectable) if one not in left_out]
        return Pool(ids, [text.text for text in context.project.store.texts(ids)], context.config.task.kind)
    scored = read_ids(directory)
    rows = [row for row, one in enumerate(scored) if one not in left_out]
    ids = [scored[row] for row in rows]
    said = load_predictions(directory)
    return Pool(
        ids,
        [text.text for text in context.project.store.texts(ids)],
        context.config.task.kind,
        probs=None if said.probs is None else said.probs[rows],
        embeddings=None if said.embeddings is None else said.embeddings[rows],
        samples=None if said.samples is None else said.samples[:, rows],
        members=None if said.members is None else said.members[:, rows],
        labelled=_labelled(context, directory / LABELLED),
        label_embeddings=load_predictions(directory / LABELS).embeddings,
    )


def _labelled(context: Context, directory: Path) -> Labelled:
    """The texts that have labels, with what was predicted of them into `directory`, if anything was."""
    resolved = context.project.store.resolved(context.round.number, "pool")
    names = context.config.task.names
    y = np.array([[name in one.labels for name in names] for one in resolved], np.float32).reshape(-1, len(names))
    ids = [one.text_id for one in resolved]
    asked = context.project.store.asked_how(context.round.number)
    labelled = Labelled(
        ids,
        y,
        asked_in=np.array([asked.get(one, (0, False))[0] for one in ids], np.int64),
        at_random=np.array([asked.get(one, (0, False))[1] for one in ids], bool),
    )
    if not directory.exists():
        return labelled
    row_of = {one: row for row, one in enumerate(read_ids(directory))}
    rows = [row_of[one] for one in ids]
    said = load_predictions(directory)
    frozen = load_predictions(directory / FROZEN).embeddings
    return dataclasses.replace(
        labelled,
        embeddings=None if said.embeddings is None else said.embeddings[rows],
        probs=None if said.probs is None else said.probs[rows],
        frozen=None if frozen is None else frozen[rows],
    )


def _to_be_unlike(context: Context, random_ids: set[str]) -> list[str] | None:
    """The texts that no pick may nearly equal: the labelled ones, those asked about before, and now at random.

    Not the test texts, which must not decide what is learnt from. None where near-duplicates may be picked.
    """
    if context.config.round.near_duplicates == "pick":
        return None
    store = context.project.store
    asked = store.asked_ids().union(labelled_ids(context), random_ids) & set(store.pool_ids())
    return [text.text for text in store.texts(sorted(asked))]


def _picked(
    context: Context, pool: Pool, n: int, of: int, unlike: Sequence[str] | None, rng: np.random.Generator
) -> tuple[list[PickRow], str]:
    """The strategy's n picks and its note; `of` is how many texts could have been among the candidates."""
    if n == 0:
        return [], ""
    name, settings = strategy_name(context), context.config.round
    strategy = strategies.build(name, **context.config.options_of(name))
    if is_cold(context):
        picks = make_batch(strategy, pool, n, rng, unlike=unlike)
    else:
        mode, beta = settings.batch_mode, settings.batch_beta
        picks = make_batch(strategy, pool, n, rng, mode=mode, beta=beta, balance=settings.balance, unlike=unlike)
    # every text was equally likely to be drawn, so that the model can be judged by these as by the random share
    from_all = settings.candidates_by == "random" or not strategy.needs or of == len(pool)
    uniformly = picks.at_random and from_all
    probability = n / of if uniformly else None
    return [
        PickRow(pool.ids[int(row)], 0, float(score), name, probability, None, "random" if uniformly else "pick")
        for row, score in zip(picks.index, picks.score, strict=True)
    ], picks.note


def _predictions_of(context: Context, ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """What the model says of the chosen texts, by label; nothing without a model."""
    model = context.published("train")
    if model is None or not ids:
        return {}
    wanted = set(ids)
    said: dict[str, np.ndarray] = {}
    directory = context.published("score")
    probs = None if directory is None else load_predictions(directory).probs
    if directory is not None and probs is not None:
        said = {one: probs[row] for row, one in enumerate(read_ids(directory)) if one in wanted}
    rest = sorted(wanted - said.keys())
    if rest:
        with context.project.scratch("picks") as out:
            context.predict(model, [text.text for text in context.project.store.texts(rest)], ("probs",), out)
            said |= dict(zip(rest, np.array(load_predictions(out).probs), strict=True))
    names = context.config.task.names
    return {one: {name: round(float(p), 6) for name, p in zip(names, said[one], strict=True)} for one in ids}


def save(context: Context, done: tuple[list[PickRow], str]) -> dict[str, Any]:
    picks, note = done
    context.project.store.add_picks(context.round.number, picks)
    if not picks:
        return {"skipped": "nothing to pick"}
    again = sum(pick.purpose in ("relabel", "repeat") for pick in picks)
    said = {"picks": len(picks), "strategy": strategy_name(context)}
    return said | ({"again": again} if again else {}) | ({"note": note} if note else {})
