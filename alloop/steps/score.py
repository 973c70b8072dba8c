"""Score: what the model says of the pool, and of the labelled texts, as much of it as the strategy needs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alloop.config import Task
from alloop.files import publish
from alloop.project import tuner_spec
from alloop.steps import stand_in
from alloop.steps.candidates import candidates
from alloop.steps.context import Context, read_ids, write_ids
from alloop.steps.pull import OUT_OF_FOLD, consensus_rule, needs_probs, settled
from alloop.strategies import needed, needed_of_labelled, needed_of_pool, refuse_cold_start, strategies
from alloop.strategies._batches import needs_of_batch
from alloop.work import load_predictions

LABELLED = "labelled"  # the directory, beside the pool's predictions, of those of the texts that have labels
FROZEN = "frozen"  # the directory, in that one, of what the bare base says of them
LABELS = "labels"  # and of those of the labels' names
FOLDS = 5  # of the stand-in


def do(context: Context) -> dict[str, Any]:
    return _scored(context) | _out_of_fold(context)


def _out_of_fold(context: Context) -> dict[str, Any]:
    """For a rule of consensus that hears a model: what the stand-in says of each labelled text without its label.

    Of tied texts, what models of all others say.

    A directory of its own, since there may be no scores to put it beside; it is pruned with them.
    """
    config, project = context.config, context.project
    if not needs_probs(consensus_rule(config)):
        return {}
    resolved = project.store.resolved(context.round.number, "pool")
    sure = settled(resolved, config.task.kind)
    if not sure:
        return {}
    known = {one.text_id for one in sure}
    ids = [one.text_id for one in [*sure, *(one for one in resolved if one.text_id not in known)]]
    names = config.task.names
    seed = context.seed("out of fold")

    def fill(out: Path) -> None:
        x = stand_in.vectors(project, config, [text.text for text in project.store.texts(ids)])
        y = np.array([[float(name in one.labels) for name in names] for one in sure], np.float32)  # (N, C)
        learnt, others = stand_in.out_of_sample(config, x[: len(sure)], y, x[len(sure) :], FOLDS, seed)
        np.save(out / "probs.npy", np.concatenate([learnt, others]))
        write_ids(out, ids)
        (out / "labels.json").write_text(json.dumps(names))

    labels = [[one.text_id, one.labels, one.tied] for one in resolved]
    options = [config.model.base, config.model.max_tokens, config.options_of("features")]
    directory = publish(context.directory("score", {OUT_OF_FOLD: labels, "by": [names, options, seed]}), fill)
    return {OUT_OF_FOLD: context.relative(directory)}


def _scored(context: Context) -> dict[str, Any]:
    if not context.room:
        return {"skipped": "nothing will be pushed"}
    config = context.config
    selectable = context.selectable
    if not selectable:
        return {"skipped": "no text is left to pick"}
    name = strategy_name(context)
    strategy = strategies.build(name, **config.options_of(name))
    needs = needed(strategy, tuner_spec(config).build().gives)
    if not is_cold(context):
        needs = needs_of_batch(needs, config.round)
    of_pool, of_labelled = needed_of_pool(needs), needed_of_labelled(needs)
    model = context.published("train")
    if not needs:
        return {"skipped": f"{name} looks at no predictions", "selectable": len(selectable)}
    ids = candidates(context, selectable, "random" if model is None else config.round.candidates_by)
    if model is None:
        refuse_cold_start(name, strategy, config.task.kind)  # a round that was begun before it was asked of the config
    known = _known_predictions(context) if of_pool == ("probs",) else {}
    labelled = labelled_ids(context) if of_labelled else []
    label_texts = _label_texts(config.task) if "labels.embeddings" in needs else []

    def fill(out: Path) -> None:
        texts = context.project.store.texts
        if of_pool:
            rest = [one for one in ids if one not in known]
            context.predict(model, [text.text for text in texts(rest)], of_pool, out)
        write_ids(out, ids)
        if known:
            _merge(out, ids, known)
        if labelled:
            (out / LABELLED).mkdir()
            _predict_labelled(context, model, labelled, of_labelled, out / LABELLED)
        if label_texts:
            (out / LABELS).mkdir()
            context.predict(model, label_texts, ("embeddings",), out / LABELS)

    ingredients = {"model": model and model.name, "ids": ids, "needs": needs, "tuner": tuner_spec(config).name}
    if labelled:
        ingredients["labelled"] = labelled
    if label_texts:
        ingredients["labels"] = label_texts
    directory = publish(context.directory("score", ingredients), fill)
    return {"directory": context.relative(directory), "scored": len(ids), "selectable": len(selectable)}


def _predict_labelled(
    context: Context, model: Path | None, labelled: Sequence[str], needs: Sequence[str], out: Path
) -> None:
    """What the model says of the labelled texts; what the bare base says goes to a directory inside."""
    texts = [text.text for text in context.project.store.texts(labelled)]
    of_model = [one for one in needs if one != FROZEN]
    if of_model:
        context.predict(model, texts, of_model, out)
    write_ids(out, labelled)
    if FROZEN in needs:
        (out / FROZEN).mkdir()
        context.predict(None, texts, ("embeddings",), out / FROZEN)
        write_ids(out / FROZEN, labelled)


def _label_texts(task: Task) -> list[str]:
    """What each label is called, as words: "name: description"."""
    names = [label.name.replace("_", " ") for label in task.labels]
    return [f"{name}: {label.description}".removesuffix(": ") for name, label in zip(names, task.labels, strict=True)]


def strategy_name(context: Context) -> str:
    """The strategy that picks in this round."""
    return context.config.round.cold_start if is_cold(context) else context.config.round.strategy


def is_cold(context: Context) -> bool:
    """Whether there is no model yet."""
    return "directory" not in context.results.get("train", {})


def labelled_ids(context: Context) -> list[str]:
    """The pool's texts that have labels in this round."""
    return [one.text_id for one in context.project.store.resolved(context.round.number, "pool")]


def _known_predictions(context: Context) -> dict[str, np.ndarray]:
    """What the evaluate step of this round has already predicted of pool texts."""
    directory = context.published("evaluate")
    if directory is None:
        return {}
    probs = load_predictions(directory / "stop").probs
    return {} if probs is None else dict(zip(read_ids(directory / "stop"), probs, strict=True))


def _merge(out: Path, ids: Sequence[str], known: Mapping[str, np.ndarray]) -> None:
    """Put the known rows between the new ones, which are those of the other ids, in their order."""
    is_new = np.array([one not in known for one in ids])  # (N,)
    probs = np.empty((len(ids), len(next(iter(known.values())))), np.float32)
    if is_new.any():
        probs[is_new] = load_predictions(out).probs
    if not is_new.all():
        probs[~is_new] = [known[one] for one in ids if one in known]
    np.save(out / "probs.new.npy", probs)
    (out / "probs.new.npy").replace(out / "probs.npy")


def save(context: Context, result: dict[str, Any]) -> dict[str, Any]:
    return result
