"""The engine: runs the steps of a round in order, each finished once. A killed round goes on where it stopped."""

import platform
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from alloop.config import restore
from alloop.errors import AlloopError, ConfigError, ModelError, WaitingError
from alloop.project import CONFIG, Project, check_plugins
from alloop.steps import STEPS
from alloop.steps.besides import check_tuner
from alloop.steps.context import Context, published
from alloop.steps.pull import waiting_for
from alloop.store import RoundRow, now


@dataclass(frozen=True)
class Outcome:
    """A finished round, as it was recorded."""

    number: int
    labels: int
    pushed: int
    resumed: bool
    stopped: dict[str, str] | None = None  # by which "rule" of `run.stop`, on what "evidence"


def run_round(
    project: Project,
    *,
    push: bool = True,
    go_on: bool = False,
    low_water: int | None = None,
    until_labels: int | None = None,
    command: str = "alloop round",
    on_step: Callable[[int, str], None] = lambda number, step: None,
) -> Outcome:
    """Run one round, or the rest of the one that was interrupted.

    `push=False` trains and evaluates only; `go_on` does not wait for annotators; `low_water` waits until fewer tasks
    than that are open instead of for the last batch; no more than `until_labels` labels are asked for.
    Raises WaitingError, holding no lock, while too little is answered.
    """
    with project.lock(command):
        row, resumed = _current(project)
        context = Context(project, row, push, go_on, low_water, until_labels)
        finished = context.results
        for step in STEPS:
            if step.name in finished:
                # the pool's predictions were for the picks; what has been asked since is no longer in the pool
                if step.name != "score" or "push" not in finished:
                    published(project, row, step.name)
                continue
            on_step(row.number, step.name)
            started = now()
            try:
                done = step.do(context)
            except (ConfigError, ModelError) as error:
                raise _with_the_way_out(error, project, row) from error
            with project.store.transaction():
                result = step.save(context, done)
                if result is not None:
                    project.store.finish_step(row.number, step.name, started, result)
            if result is None:
                raise waiting_for(context) or WaitingError("annotators have not answered yet")
        summary = project.store.round(row.number).summary
    return Outcome(row.number, summary["labels"], summary["pushed"], resumed, summary.get("stopped"))


def _with_the_way_out(error: AlloopError, project: Project, row: RoundRow) -> AlloopError:
    """An open round keeps the options it began with, so that changing them is only half of the way."""
    if "--abandon" in (error.hint or "") or row.config == project.config.snapshot():
        return error
    way = f"this round began with other settings than {CONFIG} has now; to take these: "
    return type(error)(error.message, f"{way}alloop round {shlex.quote(str(project.root))} --abandon; labels stay")


def abandon_round(project: Project) -> int | None:
    """Close the open round without finishing it; its labels stay. Returns its number, None where none is open."""
    with project.lock("alloop round --abandon"):
        row = project.store.unfinished_round()
        if row is not None:
            with project.store.transaction():
                project.store.abandon_round(row.number)
        return None if row is None else row.number


def _current(project: Project) -> tuple[RoundRow, bool]:
    """The round to run, and whether some of it is done. One that has only waited takes the config as it is now."""
    row = project.store.unfinished_round()
    if row is not None and project.store.step_results(row.number):
        return row, True
    config = project.config
    check_plugins(config, project.root / CONFIG)  # before the long work, not where they are used
    check_tuner(project, config)
    config_here = shlex.quote(str(project.root / CONFIG))
    last = project.store.last_round()
    if last is not None and (before := restore(last.config).task.kind) != config.task.kind:
        raise ConfigError(
            f"{project.root / CONFIG}: task.kind is {config.task.kind!r}, the labels so far were given for {before!r}",
            f"set it back, or make a new project: alloop init NEW --from {config_here}",
        )
    counts = project.store.counts()
    texts = counts["pool"]
    if (config.evaluate.test or config.evaluate.holdout) and not counts["test"]:
        raise ConfigError(
            f"{project.root / CONFIG}: evaluate has test texts, but none were set aside when the project was made",
            f"leave [evaluate] empty, or make a new project: alloop init NEW --from {config_here}",
        )
    if config.round.batch > texts and last is None:
        raise ConfigError(
            f"round.batch is {config.round.batch}, the pool has {texts} texts",
            f"lower round.batch, or run: alloop add {shlex.quote(str(project.root))} FILE",
        )
    with project.store.transaction():
        if row is not None:
            project.store.drop_round(row.number)
        return project.store.open_round(config.snapshot(), config.round.seed, _library_versions()), False


def _library_versions() -> dict[str, str]:
    """The versions of the code and of the libraries that decide results."""
    found = {"python": platform.python_version()}
    for name in ("alloop", "torch", "transformers", "peft", "scikit-learn", "numpy", "modAL-python", "nlpaug"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
