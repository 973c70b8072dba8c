"""Pull: what people answered, and the one label set of each text that the round trains on."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alloop.annotators import Pulled
from alloop.config import Config, Task
from alloop.consensus import Consensus, Rates, Votes, consensus_rules, is_tied
from alloop.errors import WaitingError
from alloop.files import is_whole
from alloop.project import Project
from alloop.records import Kind
from alloop.steps.context import Context, read_ids, read_json
from alloop.store import Resolved
from alloop.work import load_predictions

OUT_OF_FOLD = "out_of_fold"  # the key, in the result of a score step, of the directory of such probabilities


def do(context: Context) -> Pulled:
    annotator = context.project.annotator(context.config)
    pulled = annotator.pull(context.project.store.cursor(_settings(context)), context.project.desk(context.config))
    asked = [one.text_id or _text_asked(context, one.task_key or "") for one in pulled.annotations]
    known = context.project.store.known_ids([one for one in asked if one])
    ours = [
        dataclasses.replace(one, text_id=text_id)
        for one, text_id in zip(pulled.annotations, asked, strict=True)
        if text_id in known  # an answer to somebody else's task is not ours to judge
    ]
    return dataclasses.replace(pulled, annotations=ours, ignored=pulled.ignored + len(pulled.annotations) - len(ours))


def _text_asked(context: Context, key: str) -> str | None:
    """The text in a key of ours, also of a task whose push was cut short and never recorded: somebody may answer it."""
    project, _, rest = key.partition(":")
    return rest.rpartition(":")[0] if project == context.project.store.uid else None


def _settings(context: Context) -> str:
    """What a cursor belongs to: with other settings the annotator is read from its start."""
    annotate = context.config.annotate
    return json.dumps([annotate.backend, annotate.url, annotate.project])


def keep(context: Context, pulled: Pulled) -> tuple[int, int]:
    """Store what was read, with how far that was; returns how many answers are new and how many tasks gone."""
    store = context.project.store
    backend = context.config.annotate.backend + (f":{pulled.instance}" if pulled.instance else "")
    new = store.add_annotations(backend, pulled.annotations)
    gone = store.withdraw(pulled.gone)
    store.set_cursor(_settings(context), pulled.upto)
    return new, gone


def save(context: Context, pulled: Pulled) -> dict[str, Any] | None:
    """Also what is read while waiting is kept."""
    store = context.project.store
    new, gone = keep(context, pulled)
    if not context.now and waiting_for(context) is not None:
        return None
    task = context.config.task
    store.sync_labels([(one.name, one.description) for one in task.labels], task.rename, context.round.number)
    rows, unused = agreed(context.project, context.config)
    store.add_resolved(context.round.number, rows)
    counts = {"new": new, "resolved": len(rows), "unused": unused, "gone": gone, "ignored": pulled.ignored}
    votes = {"several": sum(one.votes > 1 for one in rows), "tied": sum(one.tied for one in rows)}
    return {**counts, **votes, "upto": pulled.upto}


def agreed(project: Project, config: Config) -> tuple[list[Resolved], int]:
    """What all answers of today come to by the rule of `annotate.consensus`, in id order; how many were of no use."""
    task = config.task
    votes, unused = usable_votes(project.store.answers(), task.names, task.rename, task.kind)
    rule = consensus_rule(config)
    probs = _said_before(project, task) if needs_probs(rule) else None
    decided = rule(votes, task.kind, task.names, probs)
    is_open = not getattr(rule, "settles", False)  # a rule may have more to go by than votes
    rows = [
        Resolved(one, labels, sure, len(votes[one]), is_open and is_tied(votes[one], task.kind))
        for one, (labels, sure) in sorted(decided.items())
    ]
    return rows, unused


def annotator_qualities(project: Project, config: Config, votes: Votes) -> dict[str, float]:
    """annotator -> how good the config's rule takes their labels to be, 0-1; nothing where it does not say."""
    rule, task = consensus_rule(config), config.task
    if not isinstance(rule, Rates):
        return {}
    return rule.qualities(votes, task.kind, task.names, _said_before(project, task) if needs_probs(rule) else None)


def consensus_rule(config: Config) -> Consensus:
    """The rule that a config names, with its options."""
    name = config.annotate.consensus
    return consensus_rules.build(name, **config.options_of(name))


def needs_probs(rule: Consensus) -> bool:
    """Whether a rule weighs a model's probabilities beside the votes."""
    return "probs" in getattr(rule, "needs", ())


def _said_before(project: Project, task: Task) -> dict[str, np.ndarray]:
    """What a model that had not learnt from its label said of each pool text, by text id (C,).

    That is the newest stand-in of earlier rounds, or else the model that picked the text. Texts that measure, which are
    those drawn at random and the test texts, are left out: a model must have no part in the truth that it is judged by.
    """
    store = project.store
    rounds = store.rounds()
    upto = rounds[-1].number + 1 if rounds else 1
    found = {}
    for text_id, said in store.first_predictions(upto).items():
        today = {task.rename.get(name, name): p for name, p in said.items()}
        if set(task.names) <= set(today):
            found[text_id] = np.array([today[name] for name in task.names])
    for row in reversed(rounds):
        if said_of := read_out_of_fold(project, row.number, task):
            found |= said_of
            break
    measuring = {*store.test_ids(), *store.random_predictions(upto)}
    return {text_id: probs for text_id, probs in found.items() if text_id not in measuring}


def read_out_of_fold(project: Project, number: int, task: Task) -> dict[str, np.ndarray]:
    """What the stand-in said of the texts that a round trained on, by text id (C,), each by a model of other texts.

    Nothing where the round did not ask it, where it is gone since, or where it knew other labels.
    """
    result = project.store.step_results(number).get("score", {})
    directory = project.path(result[OUT_OF_FOLD]) if OUT_OF_FOLD in result else None
    if directory is None or not is_whole(directory):
        return {}
    then = [task.rename.get(name, name) for name in read_json(directory / "labels.json")]
    if not set(task.names) <= set(then):
        return {}
    probs = np.asarray(load_predictions(directory).probs)[:, [then.index(name) for name in task.names]]  # (N, C)
    return dict(zip(read_ids(directory), probs, strict=True))


def usable_votes(
    answers: Mapping[str, Sequence[tuple[str, tuple[str, ...]]]],
    names: Sequence[str],
    rename: Mapping[str, str],
    kind: Kind = "multi",
) -> tuple[dict[str, list[tuple[str, tuple[str, ...]]]], int]:
    """The votes in terms of today's labels, and how many had to be left out.

    Those name a label that is not in the set, or several where a text has one.
    """
    usable: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    unused = 0
    for text_id, said in answers.items():
        for annotator, labels in said:
            today = tuple(rename.get(label, label) for label in labels)
            if set(today) <= set(names) and (kind == "multi" or len(today) == 1):
                usable.setdefault(text_id, []).append((annotator, tuple(sorted(today, key=names.index))))
            else:
                unused += 1
    return usable, unused


def learnt_from(context: Context) -> list[Resolved]:
    """What the round resolved of the pool, without what `settled` leaves out."""
    return settled(context.project.store.resolved(context.round.number, "pool"), context.config.task.kind)


def settled(resolved: Sequence[Resolved], kind: Kind) -> list[Resolved]:
    """Without texts of one label whose votes are evenly split: until people say more, a model learns less from them
    than it is misled (docs/consensus.md). Of several labels per text the others are certain, and such a text stays.
    """
    return [one for one in resolved if kind == "multi" or not one.tied]


def seen_labels(resolved: Sequence[Resolved]) -> set[tuple[str, ...]]:
    """The different answers there are; with fewer than two there is nothing to learn."""
    return {one.labels for one in resolved}


def waiting_for(context: Context) -> WaitingError | None:
    """Why the round cannot go on yet, or None. A skip is an answer."""
    asked = context.config.annotate.annotators_per_text
    tasks = context.project.store.task_answers(last_batch=context.low_water is None, reviews=False)
    answered = sum(labelled + skipped >= asked for _, labelled, skipped in tasks)
    if context.low_water is not None:
        enough = len(tasks) - answered < max(1, context.low_water)
    else:
        enough = answered >= context.config.round.wait_for * len(tasks)
    if enough:
        return None
    return WaitingError(
        f"{answered} of {len(tasks)} tasks are answered; what was answered is kept",
        "go on with what is there: alloop round --now",
    )
