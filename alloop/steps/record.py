"""Record: what the round was; the round is finished."""

import shutil
from typing import Any

from alloop.steps.context import Context
from alloop.steps.evaluate import test_truth


def do(context: Context) -> dict[str, Any]:
    _prune(context)
    store = context.project.store
    trained = {one.text_id for one in store.resolved(context.round.number, "pool")}
    return {
        "labels": len(trained),
        "labels_test": len(test_truth(context)),
        "answers": store.answers_paid(),
        "labels_audit": len(trained & set(store.random_predictions(context.round.number))),
        "seconds_annotating": store.annotating_seconds(),
        "strategy": context.results["select"].get("strategy"),
        "pushed": context.results["push"].get("tasks", 0),
        "stopped": context.stopped,
    }


def _prune(context: Context) -> None:
    """Delete the pool's predictions of old rounds; models and test predictions stay unless only metrics are kept."""
    keep = context.config.run.keep
    if keep == "all":
        return
    rounds = context.project.root / "rounds"
    oldest = context.round.number - (keep if isinstance(keep, int) else 1) + 1
    for directory in sorted(rounds.glob("*/score-*")):
        if int(directory.parent.name) < oldest:
            shutil.rmtree(directory)
    if keep == "metrics":
        for directory in sorted(rounds.glob("*/train-*")):
            if int(directory.parent.name) < oldest:
                shutil.rmtree(directory)


def save(context: Context, summary: dict[str, Any]) -> dict[str, Any]:
    context.project.store.finish_round(context.round.number, summary)
    return summary
