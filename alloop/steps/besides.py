"""What some tuners learn from besides the project's own labels, and whether it is there."""

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from alloop.config import Config
from alloop.project import Project
from alloop.tuning._directory import read_about
from alloop.work import TunerSpec


@dataclass(frozen=True)
class Besides:
    """Fields of a FitJob, and a line of JSON for each thing that a round should remember of them.

    `told_by` stands for what the job depends on and does not hold.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    told_by: dict[str, Any] = field(default_factory=dict)


def besides(project: Project, spec: TunerSpec, taken: Collection[str]) -> Besides:
    """What a tuner wants, `spec` being one that `Project.located` returned.

    `taken` are the texts that have a label or were asked about: they may judge the model, as test texts do. The others
    are taken in the order of their ids, which are hashes: a random sample, and nearly the same one in the next round.
    """
    tuner = spec.build()
    found = Besides()
    if wanted := int(getattr(tuner, "unlabelled", 0)):
        ids = list(islice((one for one in project.store.pool_ids() if one not in taken), wanted))
        found.fields["unlabelled"] = [text.text for text in project.store.texts(ids)]
        found.counts["unlabelled"] = len(ids)
    if teacher := spec.options.get("teacher"):
        found.told_by["teacher"] = read_about(Path(teacher))["files"]  # their checksums
    return found


def check_tuner(project: Project, config: Config) -> None:
    """Raise where the config's tuner cannot learn the config's task, before a round does any long work."""
    spec = project.tuner(config)
    if check := getattr(spec.build(), "check_task", None):
        check(config.task.kind, config.task.names)
