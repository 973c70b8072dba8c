"""What the stopping rules say of a project, round by round. Nothing ends by it but what names a rule in `run.stop`."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from alloop.config import Config, restore
from alloop.errors import ConfigError
from alloop.metrics import Metric
from alloop.stopping import Advice, Seen, stopping
from alloop.store import Store


def history(store: Store, current: int | None = None) -> list[Seen]:
    """What every round with a model had cost and measured, oldest first; up to `current`, which need not be finished.

    A round with as many labels as the one before is left out: a second model of the same labels agrees with the first
    for no merit of theirs. So are abandoned rounds.
    """
    measured: dict[int, dict[str, dict[str, Metric]]] = defaultdict(lambda: defaultdict(dict))
    for split in ("test", "audit", "stop", "batch"):
        for row in store.metrics(split):
            measured[row.round][split][row.name] = Metric(row.name, row.value, row.low, row.high, row.n)
    found: list[Seen] = []
    trained_on = 0
    for one in store.rounds():
        is_over = one.finished_at is not None and one.abandoned_at is None
        if current is not None and (one.number > current or not (is_over or one.number == current)):
            continue
        if current is None and not is_over:
            continue
        results = store.step_results(one.number)
        if "labels" not in results.get("train", {}):
            continue
        spent = one.summary | results.get("evaluate", {})
        labels = results["train"]["labels"]
        if labels != trained_on:
            trained_on = labels
            if restore(one.config).evaluate.holdout:
                labels += spent.get("labels_test", 0)
            found.append(Seen(one.number, labels, spent.get("seconds_annotating", 0.0), measured[one.number]))
    return found


def _can_be_built(name: str) -> bool:
    """Whether a rule loads. One of a third party that does not must not take everybody's `status` away."""
    try:
        stopping.build(name)
    except Exception:
        return False
    return True


def advise(config: Config, name: str, seen: Sequence[Seen]) -> Advice:
    """What one rule says after the last of these rounds. Raises ConfigError for options that it lacks."""
    try:
        rule = stopping.build(name, **config.options_of(name))
    except ConfigError as error:
        raise ConfigError(f"options.{name}: {error.message}", error.hint) from None
    return rule(seen)


def advice(config: Config, seen: Sequence[Seen]) -> dict[str, dict[str, Any]]:
    """What every rule says: name -> {"stop", "since", "evidence", "first"}, as JSON can hold it.

    "since" is the round from which on it has said so without a break, "first" where it would have ended a run:
    {"round", "labels"}. Both are None where there is no such round.
    """
    found = {}
    asked_for = {config.run.stop, *config.options}
    for name in stopping.names():
        if name not in asked_for and not _can_be_built(name):
            continue
        said = [advise(config, name, seen[: n + 1]) for n in range(len(seen))]
        last = said[-1] if said else advise(config, name, [])
        first = next((one for one, words in zip(seen, said, strict=True) if words.stop), None)
        since = None
        for one, words in zip(reversed(seen), reversed(said), strict=True):
            if not words.stop:
                break
            since = one.round
        found[name] = {
            "stop": last.stop,
            "since": since,
            "evidence": last.evidence,
            "first": first and {"round": first.round, "labels": first.labels},
        }
    return found
