"""The command line: parse, make one call, print. Data on stdout, words on stderr."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from alloop.errors import AlloopError, ConfigError, LockedError, ModelError, UsageError, WaitingError

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


def main() -> NoReturn:
    """The `alloop` command."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(execute(sys.argv[1:]))


def execute(arguments: Sequence[str]) -> int:
    """Run a command; returns its exit code. Every expected trouble is an `error:` line and a `hint:` line."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("alloop", list(arguments)) as context:
            command.invoke(context)
        sys.stdout.flush()
        return 0
    except AlloopError as error:
        say(f"{'waiting' if isinstance(error, WaitingError) else 'error'}: {error.message}")
        if error.hint:
            say(f"hint: {error.hint}")
        return error.exit_code
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as error:
        return _misunderstood(error)
    except (KeyboardInterrupt, typer.Abort):
        say("stopped; what was finished is kept, the same command goes on")
        return 130
    except BrokenPipeError:  # `alloop predict … | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        say(f"error: {error.filename or ''}{': ' if error.filename else ''}{error.strerror or error}")
        say("hint: nothing that was recorded is lost; run the command again when there is room and permission")
        return 1


def _misunderstood(error: Any) -> int:
    """What typer says of a command line it cannot read, in our words; without any arguments, the help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        say(error.ctx.get_help())
        return 2
    context = getattr(error, "ctx", None)
    words = error.format_message().rstrip(".")
    say(f"error: {words[:1].lower()}{words[1:]}")
    say(f"hint: {context.command_path if context else 'alloop'} --help")
    return 2


def say(words: str) -> None:
    """Words for people."""
    print(words, file=sys.stderr, flush=True)


def show(data: Any) -> None:
    """Data for programs."""
    print(json.dumps(data, ensure_ascii=False, indent=1))


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(version_of("alloop"))
        raise typer.Exit


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the project will be.")],
    data: Annotated[
        list[str] | None, typer.Option(help="CSV, TSV, JSON, JSON lines, Parquet, or hf:owner/name.")
    ] = None,
    labels: Annotated[str, typer.Option(help="The labels, separated by commas.")] = "",
    multi: Annotated[bool, typer.Option("--multi", help="A text may have several labels, or none.")] = False,
    text_column: Annotated[Texts, typer.Option(help="Where the text is; several are joined.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Where known labels are.")] = None,
    metadata_column: Annotated[Texts, typer.Option(help="Shown to annotators beside the text.")] = None,
    test: Annotated[str | None, typer.Option(help="A labelled file to measure on, never trained on.")] = None,
    holdout: Annotated[int | None, typer.Option(help="Without a test file: measure on this many texts.")] = None,
    annotate_with: Annotated[str | None, typer.Option("--with", help="Annotator: terminal, file, simulated.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="How many texts a round asks about.")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="A config, or a project, to start from.")] = None,
) -> None:
    """Make a project of texts to label."""
    from alloop import intake

    _say_hub([*(data or ()), test])
    project, done = intake.create(
        directory,
        source=source,
        data=data or (),
        labels=[label.strip() for label in labels.split(",")] if labels else (),
        kind="multi" if multi else None,
        text=text_column or (),
        label=label_column,
        metadata=metadata_column,
        test=test,
        holdout=holdout,
        batch=batch,
        annotate=annotate_with,
    )
    _say_intake(done)
    config = project.config
    say(f"labels: {', '.join(config.task.names)}")
    if not (config.evaluate.test or config.evaluate.holdout):
        say("note: there are no test texts, so the curve will rest on the random share of each batch alone;")
        say("      --test FILE, or --holdout with a number of them, makes it more certain")
    say(f"Made the project {project.name}; its settings are in {directory / 'alloop.toml'}.")
    _say_next(project)


@app.command()
def add(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The project's directory.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="More texts, with known labels where it has them.")],
) -> None:
    """Add texts to a project."""
    from alloop import intake

    project = _open(directory)
    _say_hub([file])
    _say_intake(intake.add(project, file))
    _say_next(project)


@app.command()
def remove(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The project's directory.")],
    one: Annotated[Texts, typer.Option("--id", help="A text's id, or your own id of it.")] = None,
    file: Annotated[str | None, typer.Option("--file", help="A file that lists the texts.")] = None,
    erase: Annotated[bool, typer.Option("--erase", help="Delete them and all that was said of them.")] = False,
) -> None:
    """Take texts out of a project."""
    from alloop.outgoing import remove_texts

    if not one and file is None:
        raise UsageError("say which texts", "--id ID, or --file FILE")
    project = _open(directory)
    gone = remove_texts(project, one or (), source=file, erase=erase)
    say(f"{'Erased' if erase else 'Removed'} {gone} texts.")
    if erase:
        say("The files that they came from are yours and were not touched.")


@app.command("round")
def round_(
    directory: Dir = Path(),
    now: Annotated[bool, typer.Option("--now", help="Go on with the answers that are there.")] = False,
    no_push: Annotated[bool, typer.Option("--no-push", help="Train and evaluate, ask nothing.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Close the open round; its labels stay.")] = False,
) -> None:
    """Run one round, or go on with the one that was interrupted."""
    from alloop import rounds

    project = _open_to_run(directory)
    if abandon:
        number = rounds.abandon_round(project)
        say("No round is open." if number is None else f"Closed round {number}; its labels stay.")
        return
    with _telling_how_to_go_on(project):
        outcome = rounds.run_round(project, push=not no_push, go_on=now, on_step=_say_step)
    _say_outcome(project, outcome)
    _say_next(project)


@app.command()
def run(
    directory: Dir = Path(),
    rounds: Annotated[int | None, typer.Option(min=1, help="Stop after this many rounds.")] = None,
    until_labels: Annotated[int | None, typer.Option(min=2, help="Stop with this many training labels.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for annotators between rounds.")] = False,
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks of --watch.")] = 5.0,
) -> None:
    """Run several rounds."""
    if rounds is None and until_labels is None and not watch:
        raise UsageError("say when to stop", "--rounds N, --until-labels N, or --watch")
    project = _open_to_run(directory)
    with _telling_how_to_go_on(project):
        for done, outcome in enumerate(_outcomes(project, every if watch else None, until_labels), 1):
            _say_outcome(project, outcome)
            if done == rounds or (until_labels is not None and outcome.labels >= until_labels) or not outcome.pushed:
                break
    _say_next(project)


def _outcomes(project: "Project", every: float | None, until_labels: int | None) -> "Iterator[Outcome]":
    """One round after the other; between them it waits for annotators, looking `every` so many seconds, if at all."""
    from alloop.rounds import run_round

    waited = False
    while True:
        low_water = None if every is None else project.config.round.low_water
        try:
            yield run_round(
                project, low_water=low_water, until_labels=until_labels, command="alloop run", on_step=_say_step
            )
            waited = False
        except (WaitingError, LockedError) as error:  # somebody may add texts meanwhile
            if every is None:
                raise
            if not waited:
                say(f"waiting: {error.message}; looking again every {every:g} s, Ctrl-C stops")
            waited = True
            time.sleep(every)


@app.command()
def status(directory: Dir = Path(), as_json: AsJson = False) -> None:
    """Say where the project stands and what to do next."""
    from alloop import reports

    found = reports.status(_open(directory))
    show(found) if as_json else print(reports.status_text(found))


@app.command()
def report(
    directories: Annotated[list[Path] | None, typer.Argument(metavar="[DIR]...", help="Projects.")] = None,
    as_json: AsJson = False,
    png: Annotated[Path | None, typer.Option(help="Draw the curve into this file.")] = None,
) -> None:
    """Show the label-efficiency curve, with its intervals."""
    from alloop import figures, reports

    found = [reports.report(_open(one)) for one in directories or [Path()]]
    if png is not None:
        figures.curve_png(found, png)
        say(f"Drew {png}.")
    if as_json:
        show(found[0] if len(found) == 1 else found)
    elif png is None:
        print(figures.curve_text(found))


@app.command()
def label(directory: Dir = Path()) -> None:
    """Label the waiting batch in the terminal."""
    from alloop.annotators import terminal

    project = _open(directory)
    config = project.config
    if config.annotate.backend != "terminal":
        raise AlloopError(
            f"this project's annotator is {config.annotate.backend!r}, not the terminal",
            'set [annotate] with = "terminal"; tasks that were pushed before stay where they are',
        )
    done = terminal.session(project.desk(config), withdrawn=project.store.withdrawn_keys())
    skipped = f", {done.skipped} skipped" if done.skipped else ""
    say(f"{done.annotator}: {done.answered} labelled{skipped}, {done.left} left.")
    _say_next(project)


@app.command()
def predict(
    arguments: Annotated[list[str], typer.Argument(metavar="[DIR] FILE", help="FILE may be - for lines of stdin.")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON with the probability of every label.")] = False,
) -> None:
    """Label a file, or the lines of stdin, with the last round's model."""
    from alloop import outgoing, predicting
    from alloop.reports import command

    if len(arguments) > 2:
        raise UsageError(f"one project and one file, not {len(arguments)} arguments", "alloop predict DIR FILE")
    if len(arguments) == 1 and (Path(arguments[0]) / "alloop.toml").exists():
        raise UsageError("say which texts", f"{command('predict', Path(arguments[0]))} FILE, or - for stdin")
    project = _open(Path(arguments[0]) if len(arguments) == 2 else Path())
    answers = predicting.predict(project, outgoing.texts_of(project, arguments[-1]))
    if as_json:
        show([{"text": a.text, "labels": a.labels, "probabilities": a.probabilities} for a in answers])
    else:
        outgoing.write_answers(answers, project.config, sys.stdout)


@app.command()
def export(
    directory: Dir = Path(),
    labels: Annotated[Path | None, typer.Option(help=".csv .tsv .jsonl .parquet, or a directory.")] = None,
    model: Annotated[Path | None, typer.Option(help="A directory for a copy of the last model.")] = None,
    whole: Annotated[Path | None, typer.Option("--project", help="A .tar.gz that runs on another machine.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --labels.")] = False,
) -> None:
    """Take labels, the model or the whole project elsewhere."""
    from alloop import outgoing, reports

    if labels is model is whole is None:
        raise UsageError("say what to export", "--labels FILE, --model DIR, or --project FILE.tar.gz")
    project = _open(directory)
    if labels is not None:
        say(f"Wrote {outgoing.export_labels(project, labels, overwrite=overwrite)} rows to {labels}.")
        if unread := reports.status(project)["labels"]["unread"]:
            again = reports.command("round", directory)
            say(f"note: {unread} new answers are not among them; {again} --no-push reads them")
    if model is not None:
        say(f"Copied the model to {outgoing.export_model(project, model)}.")
    if whole is not None:
        outgoing.export_project(project, whole)
        say(f"Packed the project into {whole}. There: tar xf {whole.name}")


@app.command()
def doctor(directory: Dir = Path()) -> None:
    """Check everything a round needs, and say what it will cost."""
    from alloop import doctor as doctors

    checks = doctors.examine(_open(directory))
    for check in checks:
        print(f"{ {True: 'ok', False: 'FAIL', None: 'note'}[check.ok]:5} {check.name}: {check.message}")
        if check.hint:
            print(f"      hint: {check.hint}")
    if any(check.ok is False for check in checks):
        raise typer.Exit(1)


@app.command()
def plugins(
    family: Annotated[str | None, typer.Argument(help="strategies, tuners, augmenters, …")] = None,
    name: Annotated[str | None, typer.Argument(help="One plug-in of the family.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what plugs in, with its options."""
    from alloop import shelf

    found = shelf.contents(family, name)
    show(found) if as_json else print(shelf.as_text(found, details=name is not None))


def _open(directory: Path) -> "Project":
    from alloop.project import Project

    return Project.open(directory)


def _open_to_run(directory: Path) -> "Project":
    """The project; one that has only a config yet, and names its files there, is loaded first."""
    from alloop import intake

    if intake.is_ready_to_load(directory):
        project, done = intake.create(directory)
        _say_intake(done)
        return project
    return _open(directory)


@contextmanager
def _telling_how_to_go_on(project: "Project") -> Iterator[None]:
    """Hints that name the project, and what to do with a round whose own settings are wrong."""
    from alloop import reports

    again = reports.command("round", project.root)
    try:
        yield
    except WaitingError as error:
        _clear_line()
        raise WaitingError(
            error.message, f"{reports.status(project)['next']}, or without the rest: {again} --now"
        ) from None
    except (ConfigError, ModelError) as error:
        _clear_line()
        row = project.store.unfinished_round()
        if row is None or not project.store.step_results(row.number):
            raise
        keeps = f"an edit of alloop.toml reaches the next round; to close this one: {again} --abandon"
        raise type(error)(error.message, f"{error.hint}; {keeps}" if error.hint else keeps) from error


def _say_hub(sources: Sequence[str | None]) -> None:
    for source in sources:
        if source and source.startswith("hf:"):  # it may take half a minute to give up without a network
            say(f"note: asking the Hugging Face Hub for {source.removeprefix('hf:')}")


def _say_intake(done: "Intake") -> None:
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


def _say_step(number: int, step: str) -> None:
    if sys.stderr.isatty():  # one line that the outcome replaces
        print(f"\r\033[Kround {number}: {step}…", end="", file=sys.stderr, flush=True)


def _say_outcome(project: "Project", outcome: "Outcome") -> None:
    from alloop import reports

    _clear_line()
    say(reports.outcome_text(project, outcome.number))


def _clear_line() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)


def _say_next(project: "Project") -> None:
    from alloop import reports

    say(f"Next: {reports.status(project)['next']}")
