"""Texts in and out of a project: init, add, remove."""

from pathlib import Path
from typing import Annotated

import typer

from alloop.cli.shared import (
    Texts,
    app,
    open_project,
    say,
    say_hub,
    say_intake,
    say_next,
    say_outcome,
    say_step,
    telling_how_to_go_on,
)
from alloop.errors import UsageError


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
    annotate_with: Annotated[
        str | None, typer.Option("--with", help="Where people label: terminal, label-studio, file, simulated.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="How many texts a round asks about.")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="A config, or a project, to start from.")] = None,
    start: Annotated[bool, typer.Option("--round", help="Pick the first batch at once.")] = False,
) -> None:
    """Make a project of texts to label. Annotators work in the Label Studio of `alloop studio up` if it runs."""
    from alloop import intake

    say_hub([*(data or ()), test])
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
    say_intake(done)
    config = project.config
    say(f"labels: {', '.join(config.task.names)}")
    if not (config.evaluate.test or config.evaluate.holdout):
        say("note: there are no test texts, so the curve will rest on the random share of each batch alone;")
        say("      --test FILE, or --holdout with a number of them, makes it more certain")
    say(f"Made the project {project.name}; its settings are in {directory / 'alloop.toml'}.")
    if start:
        from alloop.rounds import run_round

        with telling_how_to_go_on(project):
            say_outcome(project, run_round(project, command="alloop init", on_step=say_step))
    say_next(project)


@app.command()
def add(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The project's directory.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="More texts, with known labels where it has them.")],
) -> None:
    """Add texts to a project."""
    from alloop import intake

    project = open_project(directory)
    say_hub([file])
    say_intake(intake.add(project, file))
    say_next(project)


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
    project = open_project(directory)
    gone = remove_texts(project, one or (), source=file, erase=erase)
    say(f"{'Erased' if erase else 'Removed'} {gone} texts.")
    if erase:
        say("The files that they came from are yours and were not touched.")
