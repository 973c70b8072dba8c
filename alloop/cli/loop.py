"""The loop itself: round, run, label."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alloop.cli.shared import (
    Dir,
    app,
    open_project,
    open_to_run,
    say,
    say_next,
    say_outcome,
    say_step,
    telling_how_to_go_on,
)
from alloop.errors import AlloopError, UsageError

if TYPE_CHECKING:
    from alloop.project import Project
    from alloop.rounds import Outcome


@app.command("round")
def round_(
    directory: Dir = Path(),
    now: Annotated[bool, typer.Option("--now", help="Go on with the answers that are there.")] = False,
    no_push: Annotated[bool, typer.Option("--no-push", help="Train and evaluate, ask nothing.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Close the open round; its labels stay.")] = False,
) -> None:
    """Run one round, or go on with the one that was interrupted."""
    from alloop import rounds

    project = open_to_run(directory)
    if abandon:
        number = rounds.abandon_round(project)
        say("No round is open." if number is None else f"Closed round {number}; its labels stay.")
        return
    with telling_how_to_go_on(project):
        outcome = rounds.run_round(project, push=not no_push, go_on=now, on_step=say_step)
    say_outcome(project, outcome)
    say_next(project)


@app.command()
def run(
    directory: Dir = Path(),
    rounds: Annotated[int | None, typer.Option(min=1, help="Stop after this many rounds.")] = None,
    until_labels: Annotated[int | None, typer.Option(min=2, help="Stop with this many training labels.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for annotators between rounds.")] = False,
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks of --watch.")] = 5.0,
) -> None:
    """Run several rounds, until the stopping rule says stop that run.stop names, if it names one."""
    if rounds is None and until_labels is None and not watch and not _names_a_rule(directory):
        raise UsageError(
            "say when to stop",
            '--rounds N, --until-labels N, --watch, or in alloop.toml a rule: [run] stop = "kappa"',
        )
    from alloop.reports import stopped_words

    project = open_to_run(directory)
    with telling_how_to_go_on(project):
        for done, outcome in enumerate(_outcomes(project, every if watch else None, until_labels), 1):
            say_outcome(project, outcome)
            if outcome.stopped is not None:
                say(stopped_words(project, **outcome.stopped))
            is_over = not outcome.pushed and not watch
            if done == rounds or (until_labels is not None and outcome.labels >= until_labels) or is_over:
                break
    say_next(project)


def _names_a_rule(directory: Path) -> bool:
    from alloop import config
    from alloop.project import CONFIG

    path = directory / CONFIG
    return path.exists() and config.load(path).run.stop is not None


def _outcomes(project: "Project", every: float | None, until_labels: int | None) -> "Iterator[Outcome]":
    """One round after the other; given a number of seconds, it looks for answers that often between them."""
    from alloop.rounds import run_round
    from alloop.watching import watch

    if every is not None:
        waits = Waits(every)
        for outcome in watch(project, every, until_labels, say_step, waits):
            yield outcome
            waits.said = None
    while every is None:
        yield run_round(project, until_labels=until_labels, command="alloop run", on_step=say_step)


class Waits:
    """Says why one waits, once between two rounds; on a terminal in one line that is written over."""

    def __init__(self, every: float) -> None:
        self.every = every
        self.said: type[AlloopError] | None = None

    def __call__(self, reason: AlloopError) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[Kwaiting: {reason.message}; Ctrl-C stops", end="", file=sys.stderr, flush=True)
        elif self.said is not type(reason):
            say(f"waiting: {reason.message}; looking again every {self.every:g} s, Ctrl-C stops")
        self.said = type(reason)


@app.command()
def label(directory: Dir = Path()) -> None:
    """Label the waiting batch in the terminal."""
    from alloop.annotators import terminal

    project = open_project(directory)
    config = project.config
    if config.annotate.backend != "terminal":
        raise AlloopError(
            f"this project's annotator is {config.annotate.backend!r}, not the terminal",
            'set [annotate] with = "terminal"; tasks that were pushed before stay where they are',
        )
    done = terminal.session(project.desk(config), withdrawn=project.store.withdrawn_keys())
    skipped = f", {done.skipped} skipped" if done.skipped else ""
    say(f"{done.annotator}: {done.answered} labelled{skipped}, {done.left} left.")
    say_next(project)
