"""Record: what the round was; the round is finished."""

import shutil
from collections import Counter
from typing import Any

from alloop.steps.context import Context


def do(context: Context) -> dict[str, Any]:
    _prune(context)
    store = context.project.store
    purposes = Counter("test" if store_split == "test" else "train" for store_split in _splits(context))
    trained = store.resolved(context.round.number, "pool")
    random_ids = store.random_ids()
    return {
        "labels": len(trained),
        "labels_test": purposes["test"],
        "labels_audit": sum(one.text_id in random_ids for one in trained),
        "seconds_annotating": store.annotating_seconds(),
        "strategy": context.results["select"].get("strategy"),
        "pushed": context.results["push"].get("tasks", 0),
    }


def _splits(context: Context) -> list[str]:
    if not context.config.evaluate.holdout:
        return ["test"] * len(context.project.store.test_gold())
    return ["test"] * len(context.project.store.resolved(context.round.number, "test"))


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
