"""Push: questions for annotators, each of them once."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from alloop.annotators import Tended, Tends
from alloop.config import Config
from alloop.project import Project
from alloop.records import Purpose, Task
from alloop.seeds import rng_for
from alloop.steps.context import Context
from alloop.work import load_predictions


@dataclass(frozen=True)
class Pushed:
    """The tasks with their remote ids, and the keys of earlier ones that exist no more.

    `predicted` is what the model says of tasks, new and waiting ones, shown or not: task key -> label -> p.
    """

    tasks: list[Task] = field(default_factory=list)
    remote_ids: dict[str, str] = field(default_factory=dict)
    gone: Collection[str] = ()
    predicted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def do(context: Context) -> Pushed:
    tasks = _tasks(context) if context.room else []
    if not tasks:
        return Pushed()
    annotator = context.project.annotator(context.config)
    desk = context.project.desk(context.config, context.round.number)
    tended = Tended()
    said: dict[str, Mapping[str, float]] = {
        pick.text_id: pick.predicted for pick in context.project.store.picks(context.round.number) if pick.predicted
    }
    known: list[Task] = []
    if isinstance(annotator, Tends):
        waiting, predicted = _waiting(context, annotator.stale)
        said |= predicted
        tended = annotator.tend(waiting, desk)
        known = [task for task in waiting if task.key in tended.current and task.text_id in predicted]
        if annotator.stale == "rescore":
            tasks = _with_rescored(context, tasks, [task for task in waiting if task.key in tended.gone], said)
    remote_ids = annotator.push(tasks, desk)
    return Pushed(
        tasks, remote_ids, tended.gone, {t.key: said[t.text_id] for t in [*tasks, *known] if t.text_id in said}
    )


def _tasks(context: Context) -> list[Task]:
    """Test texts first, those nobody was asked about with today's labels; then the picks, best first."""
    store = context.project.store
    number = context.round.number
    chosen: list[tuple[str, Purpose, Mapping[str, float] | None]] = []
    if context.config.evaluate.holdout:
        since = store.newest_label_since()
        asked = store.asked_since(since)
        if since == 1:  # labels that came with the file are good as long as no label was added since
            asked |= {one.text_id for one in store.resolved(number, "test")}
        chosen += [(one, "test", None) for one in store.test_ids() if one not in asked]
    for pick in store.picks(number):
        chosen.append((pick.text_id, pick.purpose, pick.predicted))
    shows = _shows_suggestion(context, len(chosen))
    ids = [one for one, _, _ in chosen]
    return described(
        context.project,
        context.config,
        [
            Task(
                key=f"{store.uid}:{text_id}:{asks + 1}",
                text_id=text_id,
                text="",
                purpose=purpose,
                round=number,
                rank=rank,
                blind=not (purpose == "pick" and show),
                suggestion=said if purpose == "pick" and show else None,
            )
            for rank, ((text_id, purpose, said), asks, show) in enumerate(
                zip(chosen, _asks(context, ids), shows, strict=True), 1
            )
        ],
    )


def _asks(context: Context, ids: Sequence[str]) -> list[int]:
    asks = context.project.store.asks(ids)
    return [asks.get(one, 0) for one in ids]


def described(project: Project, config: Config, tasks: Sequence[Task]) -> list[Task]:
    """The tasks with their texts, and what annotators see beside them."""
    store, shown = project.store, config.data.metadata
    ids = [task.text_id for task in tasks]
    metadata = store.metadata(ids) if shown else {}
    return [
        dataclasses.replace(
            task, text=text.text, metadata={k: v for k, v in metadata.get(text.id, {}).items() if k in shown}
        )
        for task, text in zip(tasks, store.texts(ids), strict=True)
    ]


def _shows_suggestion(context: Context, n: int) -> list[bool]:
    """Which tasks show the model's answer; only picks of new texts do, whatever this says."""
    share = {"none": 0.0, "all": 1.0}.get(str(context.config.annotate.suggest), context.config.annotate.suggest)
    rng = rng_for(context.round.seed, context.round.number, "suggest")
    return [bool(draw < float(share)) for draw in rng.random(n)]


def _waiting(context: Context, stale: str) -> tuple[list[Task], dict[str, dict[str, float]]]:
    """Earlier picks that nobody has answered, with what the newest model says of them; and that, by text id."""
    rows = context.project.store.stale_tasks(context.round.number)
    model = context.published("train")
    is_asked = model is not None and any(stale == "rescore" or not blind for _, _, _, blind in rows)
    predicted = _predicted(context, [text_id for _, text_id, _, _ in rows]) if is_asked else {}
    tasks = [
        Task(
            key=key,
            text_id=text_id,
            text="",
            purpose="pick",
            round=number,
            rank=rank,
            blind=blind,
            suggestion=None if blind else predicted.get(text_id),
        )
        for rank, (key, text_id, number, blind) in enumerate(rows, 1)
    ]
    return described(context.project, context.config, tasks), predicted


def _predicted(context: Context, ids: Sequence[str]) -> dict[str, dict[str, float]]:
    with context.project.scratch("waiting") as out:
        texts = [text.text for text in context.project.store.texts(ids)]
        context.predict(context.published("train"), texts, ("probs",), out)
        probs = np.array(load_predictions(out).probs)
    names = context.config.task.names
    return {one: dict(zip(names, map(float, row), strict=True)) for one, row in zip(ids, probs, strict=True)}


def _with_rescored(
    context: Context, tasks: Sequence[Task], withdrawn: Sequence[Task], said: Mapping[str, Mapping[str, float]]
) -> list[Task]:
    """The new tasks and, asked anew, those just withdrawn: test texts first, then the least certain of either.

    A random text keeps its place in the queue: it has to stand anywhere, not where the model doubts.
    """
    number = context.round.number
    asks = _asks(context, [task.text_id for task in withdrawn])
    uid = context.project.store.uid
    again = [
        dataclasses.replace(task, key=f"{uid}:{task.text_id}:{n + 1}", round=number)
        for task, n in zip(withdrawn, asks, strict=True)
    ]
    fixed = {rank: task for rank, task in enumerate(tasks) if task.purpose != "pick"}
    free = sorted(
        [*(task for task in tasks if task.purpose == "pick"), *again],
        key=lambda task: _certainty(said.get(task.text_id, {}), context.config.task.kind),
    )
    for rank in sorted(fixed):
        free.insert(rank, fixed[rank])
    return [dataclasses.replace(task, rank=rank) for rank, task in enumerate(free, 1)]


def _certainty(said: Mapping[str, float], kind: str) -> float:
    """The margin between the two likeliest labels; for multi-label the distance of the nearest label from a half."""
    if not said:
        return 0.0
    if kind == "multi":
        return min(abs(p - 0.5) for p in said.values())
    first, second = sorted(said.values(), reverse=True)[:2]
    return first - second


def save(context: Context, pushed: Pushed) -> dict[str, Any]:
    context.project.store.withdraw(pushed.gone)
    context.project.store.add_tasks(pushed.tasks, pushed.remote_ids)
    context.project.store.note_predicted(pushed.predicted)
    if not pushed.tasks:
        return {"skipped": "nothing to ask"}
    return {"tasks": len(pushed.tasks)} | ({"withdrawn": len(pushed.gone)} if pushed.gone else {})
