"""What some tuners learn from besides the project's own labels, and whether it is there."""

import shlex
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from alloop import ingest
from alloop.config import Config
from alloop.errors import ConfigError, DataError
from alloop.files import fingerprint
from alloop.project import DATABASE, Project, tuner_spec
from alloop.records import Example, Kind
from alloop.steps.pull import agreed
from alloop.tuning import OtherTask, Tuner
from alloop.tuning._directory import read_about
from alloop.work import TunerSpec


@dataclass(frozen=True)
class Besides:
    """Fields of a FitJob, and what a round should remember of them.

    `told_by` stands for what the job depends on and does not hold.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    told_by: dict[str, Any] = field(default_factory=dict)


def besides(
    project: Project, config: Config, spec: TunerSpec, labelled: Collection[str], judging: Collection[str]
) -> Besides:
    """What a tuner wants, `spec` being one that `Project.learner` returned.

    `labelled` and `judging` are ids of texts; of the latter, and of test texts, the model is to see nothing, because
    they judge it. Texts without a label are taken in the order of their ids, which are hashes: a random sample, and
    nearly the same one in the next round.
    """
    tuner = spec.build()
    _check(tuner, config)
    found = Besides()
    if wanted := int(getattr(tuner, "unlabelled", 0)):
        free = (one for one in project.store.pool_ids() if one not in labelled and one not in judging)
        ids = list(islice(free, wanted))
        found.fields["unlabelled"] = [text.text for text in project.store.texts(ids)]
        found.counts["unlabelled"] = len(ids)
    if teacher := spec.options.get("teacher"):
        found.told_by["teacher"] = read_about(Path(teacher))["files"]  # their checksums
    if others := spec.options.get("others"):
        secret = {*judging, *project.store.test_ids()}
        tasks, left_out = zip(*(_without(_task_in(one, config), secret) for one in others), strict=True)
        found.fields["others"] = tasks
        found.counts["others"] = {
            source: {"labels": len(task.train), "left_out": count}
            for source, task, count in zip(others, tasks, left_out, strict=True)
        }
    return found


def stamp(project: Project, config: Config, spec: TunerSpec) -> list[str]:
    """Stands for what a fit reads besides labels and options, a teacher and other tasks; nothing for most tuners."""
    if not spec.options.get("teacher") and not spec.options.get("others"):
        return []
    more = besides(project, config, project.learner(spec), (), ())
    tasks = [[task.name, [[one.text, one.labels] for one in task.train]] for task in more.fields.get("others", ())]
    return [fingerprint([more.told_by, tasks])]


def check_tuner(project: Project, config: Config) -> None:
    """Raise where the config's tuner cannot learn the config's task, before a round does any long work."""
    spec = project.learner(tuner_spec(config))
    _check(spec.build(), config)
    for source in spec.options.get("others", ()):
        _task_in(source, config)


def _check(tuner: Tuner, config: Config) -> None:
    if check := getattr(tuner, "check_task", None):
        check(config.task.kind, config.task.names)


def _task_in(source: str, config: Config) -> OtherTask:
    """The labelled texts of a file or of another project. Raises DataError where there are not two labels."""
    is_project = (Path(source) / DATABASE).exists()
    if not is_project and not source.startswith("hf:") and not Path(source).exists():
        hint = "a relative path is relative to the project's directory"
        raise ConfigError(f"others: {source} is neither a file nor a project", hint)
    kind, train = _of_project(Path(source)) if is_project else _of_file(source, config)
    labels = tuple(sorted({label for example in train for label in example.labels}))
    if len(labels) < 2:
        there = f"the label {labels[0]} alone" if labels else "no labels"
        again = f"alloop round {shlex.quote(source)}"
        hint = f"label more there: {again}" if is_project else "take it out of others, or name its column label"
        raise DataError(f"others: {source} has {there}; a task has two at least", hint)
    return OtherTask(Path(source).name, kind, labels, train)


def _of_project(root: Path) -> tuple[Kind, list[Example]]:
    """What people said of a project's pool; its own test texts stay its own."""
    with Project.opened(root) as other:
        labels = {one.text_id: one.labels for one in agreed(other, other.config)[0]}
        ids = sorted(labels.keys() - set(other.store.test_ids()))
        return other.config.task.kind, [Example(text.text, labels[text.id]) for text in other.store.texts(ids)]


def _of_file(source: str, config: Config) -> tuple[Kind, list[Example]]:
    """Read as a task of several labels per text: it is of one where every text has one."""
    columns = ingest.inspect(source, separator=config.data.separator)
    rows = ingest.read(source, columns, kind="multi")
    train = [Example(row.text, row.labels) for row in rows if row.labels is not None]
    return ("single" if all(len(one.labels) == 1 for one in train) else "multi"), train


def _without(task: OtherTask, secret: Collection[str]) -> tuple[OtherTask, int]:
    """The task without texts of these ids, and how many there were. Raises DataError where none is left."""
    kept = [one for one in task.train if ingest.text_id(one.text) not in secret]
    if not kept:
        hint = "take it out of others"
        raise DataError(f"others: {task.name} has no text but those that judge this project's model", hint)
    return OtherTask(task.name, task.kind, task.labels, kept), len(task.train) - len(kept)
