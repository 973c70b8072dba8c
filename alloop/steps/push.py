"""Push: questions for annotators, each of them once."""

from collections.abc import Mapping
from typing import Any

from alloop.records import Purpose, Task
from alloop.seeds import rng_for
from alloop.steps.context import Context


def do(context: Context) -> tuple[list[Task], dict[str, str]]:
    if not context.room:
        return [], {}
    tasks = _tasks(context)
    if not tasks:
        return [], {}
    annotator = context.project.annotator(context.config)
    return tasks, annotator.push(tasks, context.project.desk(context.config))


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
        purpose: Purpose = "pick" if pick.probability is None else "random"
        chosen.append((pick.text_id, purpose, pick.predicted))
    ids = [one for one, _, _ in chosen]
    asks = store.asks(ids)
    metadata = store.metadata(ids) if context.config.data.metadata else {}
    shows = _shows_suggestion(context, len(chosen))
    return [
        Task(
            key=f"{store.uid}:{text.id}:{asks.get(text.id, 0) + 1}",
            text_id=text.id,
            text=text.text,
            purpose=purpose,
            round=number,
            rank=rank,
            blind=not (purpose == "pick" and show),
            metadata={
                key: value for key, value in metadata.get(text.id, {}).items() if key in context.config.data.metadata
            },
            suggestion=said if purpose == "pick" and show else None,
        )
        for rank, (text, (_, purpose, said), show) in enumerate(zip(store.texts(ids), chosen, shows, strict=True), 1)
    ]


def _shows_suggestion(context: Context, n: int) -> list[bool]:
    """Which tasks show the model's answer; test and random texts never do, whatever this says."""
    share = {"none": 0.0, "all": 1.0}.get(str(context.config.annotate.suggest), context.config.annotate.suggest)
    rng = rng_for(context.round.seed, context.round.number, "suggest")
    return [bool(draw < float(share)) for draw in rng.random(n)]


def save(context: Context, done: tuple[list[Task], dict[str, str]]) -> dict[str, Any]:
    tasks, remote_ids = done
    context.project.store.add_tasks(tasks, remote_ids)
    return {"tasks": len(tasks)} if tasks else {"skipped": "nothing to ask"}
