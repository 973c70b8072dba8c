"""A review: suspicious labels go back to annotators, blind, and what they say of them now replaces what was said.

What is to be asked is written down before anybody is asked: a push that was cut short is finished by the next one,
whatever has happened in between, and a task's key makes sure that nobody is asked twice.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alloop import metrics
from alloop.auditing.material import Material, as_y, material
from alloop.auditing.suspects import STAND_IN, judge, suspects
from alloop.crossvalidation import Split, fit_and_predict, spec_of
from alloop.errors import AlloopError, DataError, WaitingError
from alloop.project import Project
from alloop.records import Task
from alloop.reports import command
from alloop.seeds import rng_for
from alloop.steps import pull, stand_in
from alloop.steps.context import Context
from alloop.steps.push import described
from alloop.store import JobRow, RoundRow

KIND = "audit"
SHARE = 0.1  # of the labelled texts, unless asked otherwise
FEWEST_MEASURED = 20  # texts with a label that nobody trained on


@dataclass(frozen=True)
class Review:
    """A batch that was sent back: its job, and how its tasks stand: key -> (labels, skips)."""

    job: JobRow
    tasks: Mapping[str, tuple[int, int]]
    asked: int
    is_applied: bool

    @property
    def answered(self) -> int:
        return sum(labels + skips >= self.asked for labels, skips in self.tasks.values())


def last_review(project: Project) -> Review | None:
    """The review that was pushed last; tasks of texts removed since are no part of it. None where nothing is left."""
    jobs = project.store.jobs(KIND)
    pushed = [one for one in jobs if "tasks" in one.config and one.result is not None]
    if not pushed:
        return None
    keys = {one["key"] for one in pushed[-1].config["tasks"]}
    tasks = {key: (labels, skips) for key, labels, skips in project.store.task_answers() if key in keys}
    if not tasks:
        return None
    is_applied = any(one.config.get("review") == pushed[-1].id and one.result is not None for one in jobs)
    return Review(pushed[-1], tasks, project.config.annotate.annotators_per_text, is_applied)


def state(project: Project) -> dict[str, Any] | None:
    """How the last review stands, as far as answers were read, None before the first one."""
    found = last_review(project)
    if found is None:
        return None
    applied = [
        one.result for one in project.store.jobs(KIND) if one.config.get("review") == found.job.id and one.result
    ]
    return {
        "id": found.job.id,
        "pushed_at": found.job.finished_at,
        "tasks": len(found.tasks),
        "answered": found.answered,
        "applied": applied[-1] if applied else None,
    }


def push(
    project: Project,
    most: int | None = None,
    share: float | None = None,
    tuner: str | None = None,
    on_part: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:
    """Ask annotators again about the most suspicious labels; {"pushed", "open", "resumed"}.

    `most` or `share` says how many; without either, those that the model contradicts, a tenth of the labels at most.
    Nothing is pushed while the last review has tasks without an answer and was not applied. A text is reviewed once;
    without test texts, those drawn at random to measure by are not: looking again only where a model doubts a label
    would flatter models.
    """
    with project.lock("alloop audit --push"):
        unfinished = _cut_short(project)
        if unfinished is not None:
            return {"pushed": _push(project, unfinished), "open": 0, "resumed": True}
        last = last_review(project)
        if last is not None and not last.is_applied and last.answered < len(last.tasks):
            return {"pushed": 0, "open": len(last.tasks) - last.answered, "resumed": False}
        chosen = _chosen(project, most, share, tuner, on_part)
        if not chosen:
            return {"pushed": 0, "open": 0, "resumed": False}
        with project.store.transaction():
            job = project.store.add_job(KIND, {"tuner": tuner or STAND_IN, "tasks": chosen})
        unfinished = next(one for one in project.store.jobs(KIND) if one.id == job)
        return {"pushed": _push(project, unfinished), "open": 0, "resumed": False}


def _cut_short(project: Project) -> JobRow | None:
    jobs = [one for one in project.store.jobs(KIND) if "tasks" in one.config and one.result is None]
    return jobs[-1] if jobs else None


def _chosen(
    project: Project, most: int | None, share: float | None, tuner: str | None, on_part: Callable[[str], None]
) -> list[dict[str, Any]]:
    """What to ask, the most suspicious first: {"key", "text_id", "labels", "suspicion"}, with today's labels."""
    found = material(project)
    on_part("judging labels")
    judged = judge(found, tuner, on_part)
    if judged.missing:
        raise DataError(
            f"there is nothing to review: to judge a label, {judged.missing}",
            f"label more: {command('round', project.root)}",
        )
    ranked = suspects(found.y, judged.probs, found.config.task.kind)
    is_asked_for = most is not None or share is not None
    share = SHARE if share is None else share
    limit = most if most is not None else max(round(share * len(found.resolved)), int(share > 0))
    store = project.store
    left_out, asks = store.reviewed_ids(), store.asks(found.ids)
    if len(found.test) < FEWEST_MEASURED:
        left_out |= _measuring(found)
    rows = [
        int(row)
        for row in ranked.order
        if (is_asked_for or ranked.is_contradicted[row]) and found.ids[row] not in left_out
    ][:limit]
    return [
        {
            "key": f"{store.uid}:{found.ids[row]}:{asks.get(found.ids[row], 0) + 1}",
            "text_id": found.ids[row],
            "labels": list(found.resolved[row].labels),
            "suspicion": round(float(ranked.suspicion[row]), 4),
        }
        for row in rows
    ]


def _push(project: Project, job: JobRow) -> int:
    """Create the tasks that do not exist yet, and note them; the job is finished with that."""
    config, store = project.config, project.store
    there = set(store.pool_ids())  # a text may have been removed since it was chosen
    number = store.last_batch_round() or 0
    tasks = [
        Task(
            key=one["key"],
            text_id=one["text_id"],
            text="",
            purpose="review",
            round=number,
            rank=rank,
            blind=True,
        )
        for rank, one in enumerate(job.config["tasks"], 1)
        if one["text_id"] in there
    ]
    tasks = described(project, config, tasks)
    remote_ids = project.annotator(config).push(tasks, project.desk(config)) if tasks else {}
    with store.transaction():
        store.add_tasks(tasks, remote_ids)
        store.finish_job(job.id, {"tasks": len(tasks), "round": number})
    return len(tasks)


def apply(
    project: Project, tuner: str | None = None, on_part: Callable[[str], None] = lambda words: None
) -> dict[str, Any]:
    """Read the answers to the last review, and say what they changed: the JSON of `alloop audit --apply`.

    "metric" is what a model trained on the labels after the review is better by, with its 95 % interval on the same
    texts; None where nothing can be measured, and "missing" says why. Raises WaitingError where nothing is answered.
    """
    with project.lock("alloop audit --apply"):
        if _cut_short(project) is not None:
            again = f"{command('audit', project.root)} --push"
            raise AlloopError("a review was being sent when it was cut short", f"finish that first: {again}")
        review = last_review(project)
        if review is not None:
            on_part("reading answers")
            _read_answers(project)
            review = last_review(project)  # annotators may also have thrown tasks away
        if review is None:
            again = f"{command('audit', project.root)} --push"
            raise AlloopError(
                "there is no review to apply: none was pushed, or its texts are gone", f"ask annotators first: {again}"
            )
        if not any(labels + skips for labels, skips in review.tasks.values()):
            raise WaitingError(f"none of {len(review.tasks)} reviewed texts is answered", "see: alloop status")
        with project.store.transaction():
            job = project.store.add_job(KIND, {"review": review.job.id, "tuner": tuner or STAND_IN})
        found = material(project)
        result = {**_counted(review, found), **_measured(found, review, tuner, on_part)}
        with project.store.transaction():
            project.store.finish_job(job, result)
        return result


def _read_answers(project: Project) -> None:
    """As a round's pull reads them, for whatever round is open or comes next."""
    config = project.config
    row = RoundRow(0, config.snapshot(), config.round.seed, "", None, None, {})
    context = Context(project, row)
    pulled = pull.do(context)
    with project.store.transaction():
        pull.keep(context, pulled)


def _counted(review: Review, found: Material) -> dict[str, Any]:
    before = {one["key"]: (one["text_id"], _today(found, one["labels"])) for one in review.job.config["tasks"]}
    changed, confirmed, changes = 0, 0, []
    for key, (labels, _) in review.tasks.items():
        text_id, then = before[key]
        now = set(found.labels.get(text_id, ()))
        if not labels or text_id not in found.labels:
            continue
        if now == set(then):
            confirmed += 1
        else:
            changed += 1
            changes.append({"id": text_id, "before": list(then), "after": list(found.labels[text_id])})
    skipped = sum(not labels and skips > 0 for labels, skips in review.tasks.values())
    return {
        "review": review.job.id,
        "tasks": len(review.tasks),
        "answered": changed + confirmed,
        "changed": changed,
        "confirmed": confirmed,
        "skipped": skipped,
        "open": len(review.tasks) - changed - confirmed - skipped,
        "changes": sorted(changes, key=lambda one: str(one["id"])),
    }


def _today(found: Material, labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(found.config.task.rename.get(label, label) for label in labels)


def _measured(found: Material, review: Review, tuner: str | None, on_part: Callable[[str], None]) -> dict[str, Any]:
    """The headline metric with the labels before and after the review, of a model trained on each."""
    config, store = found.config, found.project.store
    nothing: dict[str, Any] = {"metric": None, "measured_on": None, "tuner": tuner or STAND_IN}
    truth, measured_on = dict(found.test), "test"
    if len(truth) < FEWEST_MEASURED:
        drawn = _measuring(found)
        truth, measured_on = {one: found.labels[one] for one in found.ids if one in drawn}, "audit"
    if len(truth) < FEWEST_MEASURED:
        return nothing | {
            "missing": f"that takes {FEWEST_MEASURED} labelled test texts, or as many that were drawn at random"
        }
    reviewed = {
        one["text_id"]: _today(found, one["labels"])
        for one in review.job.config["tasks"]
        if review.tasks.get(one["key"], (0, 0))[0]
    }
    after = [one for one in pull.settled(found.resolved, config.task.kind) if one.text_id not in truth]
    before = [dataclasses.replace(one, labels=reviewed.get(one.text_id, one.labels)) for one in after]
    before = [one for one in before if set(one.labels) <= set(config.task.names)]
    if min(len({one.labels for one in some}) for some in (before, after)) < 2:
        return nothing | {"missing": "that takes texts of two different labels to train on"}
    ids = sorted(truth)
    y = as_y(config, [truth[one] for one in ids])
    texts = [one.text for one in store.texts(ids)]
    probs = []
    for which, labels in (("before", before), ("after", after)):
        on_part(f"training with the labels {which}")
        probs.append(_predicted(found, labels, texts, ids, tuner))
    name = "accuracy" if config.task.kind == "single" else "f1_micro"
    rng = rng_for(config.round.seed, 0, "review")
    values = [_value(name, y, one, found) for one in probs]
    gained = metrics.difference(name, y, probs[1], probs[0], config.task.kind, rng)
    return {
        "metric": name,
        "measured_on": measured_on,
        "n": len(ids),
        "tuner": tuner or STAND_IN,
        "before": values[0],
        "after": values[1],
        "difference": {"value": gained.value, "low": gained.low, "high": gained.high},
        "missing": None,
    }


def _measuring(found: Material) -> set[str]:
    """The texts drawn at random that rounds judge models by."""
    store = found.project.store
    last = store.last_round()
    return set() if last is None else set(store.random_predictions(last.number + 1))


def _value(name: str, y: np.ndarray, probs: np.ndarray, found: Material) -> dict[str, float | None]:
    rng = rng_for(found.config.round.seed, 0, "review")
    every = metrics.evaluate(y, probs, found.config.task.kind, (), rng)
    one = next(metric for metric in every if metric.name == name)
    return {"value": one.value, "low": one.low, "high": one.high}


def _predicted(
    found: Material, labels: Sequence[Any], texts: Sequence[str], ids: Sequence[str], tuner: str | None
) -> np.ndarray:
    config, project = found.config, found.project
    learnt = [text.text for text in project.store.texts([one.text_id for one in labels])]
    if tuner is None:
        y = as_y(config, [one.labels for one in labels])
        model = stand_in.fitted(config, stand_in.vectors(project, config, learnt), y)
        return stand_in.predicted(config, stand_in.vectors(project, config, texts), model)
    parts = Split(config, tuple(labels), tuple(learnt), (0,) * len(labels), 1)
    return fit_and_predict(project, parts, spec_of(config, tuner), parts.fit_job(fold=-1), texts, ids)[0]
