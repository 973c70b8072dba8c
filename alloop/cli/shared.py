"""What all commands share: the typer app, how words and data are printed, how a project is opened."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alloop.errors import ConfigError, ModelError, WaitingError
from alloop.progress import PART_OF

if TYPE_CHECKING:
    from alloop.intake import Intake
    from alloop.project import Project
    from alloop.rounds import Outcome

app = typer.Typer(
    name="alloop",
    help="From a pile of unlabelled text to a classifier people can trust, in the fewest labels.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Texts = list[str] | None
Dir = Annotated[Path, typer.Argument(metavar="[DIR]", help="The project's directory.", show_default="here")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def say(words: str) -> None:
    """Words for people."""
    print(words, file=sys.stderr, flush=True)


def show(data: Any) -> None:
    """Data for programs."""
    print(json.dumps(data, ensure_ascii=False, indent=1))


def open_project(directory: Path) -> "Project":
    from alloop.project import Project

    return Project.open(directory)


def open_to_run(directory: Path) -> "Project":
    """The project; one that has only a config yet, and names its files there, is loaded first."""
    from alloop import intake

    if intake.is_ready_to_load(directory):
        project, done = intake.create(directory)
        say_intake(done)
        return project
    return open_project(directory)


@contextmanager
def telling_how_to_go_on(project: "Project") -> Iterator[None]:
    """Hints that name the project, and what to do with a round whose own settings are wrong."""
    from alloop import reports

    again = reports.command("round", project.root)
    try:
        yield
    except WaitingError as error:
        clear_line()
        raise WaitingError(
            error.message, f"{reports.status(project)['next']}, or without the rest: {again} --now"
        ) from None
    except (ConfigError, ModelError) as error:
        clear_line()
        row = project.store.unfinished_round()
        if row is None or not project.store.step_results(row.number):
            raise
        keeps = f"an edit of alloop.toml reaches the next round; to close this one: {again} --abandon"
        raise type(error)(error.message, f"{error.hint}; {keeps}" if error.hint else keeps) from error


def say_hub(sources: Sequence[str | None]) -> None:
    for source in sources:
        if source and source.startswith("hf:"):  # it may take half a minute to give up without a network
            say(f"note: asking the Hugging Face Hub for {source.removeprefix('hf:')}")


def say_intake(done: "Intake") -> None:
    for note in done.notes:
        say(f"note: {note}")
    words = [f"{done.new} texts"]
    if done.duplicates:
        words.append(f"{done.duplicates} exact duplicates, stored once")
    if done.labelled:
        words.append(f"{done.labelled} with a known label")
    if done.conflicting:
        words.append(f"{done.conflicting} with several known labels that differ")
    if done.held_out:
        words.append(f"{done.held_out} of them held out for measuring")
    if done.test:
        words.append(f"{done.test} test texts")
    say("Read " + "; ".join(words) + ".")


def say_step(number: int, step: str) -> None:
    say_progress(f"round {number}: {step}")


def say_progress(words: str) -> None:
    """Where long work stands, on a terminal: in one line that a bar, which says it too, or the outcome replaces."""
    PART_OF.set(words)
    if sys.stderr.isatty():
        print(f"\r\033[K{words}…", end="", file=sys.stderr, flush=True)


def say_outcome(project: "Project", outcome: "Outcome") -> None:
    from alloop import reports

    clear_line()
    say(reports.outcome_text(project, outcome.number))


def clear_line() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)


def say_next(project: "Project") -> None:
    from alloop import reports

    say(f"Next: {reports.status(project)['next']}")
