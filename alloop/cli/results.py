"""What the labels have bought, and the use of it: status, report, predict, export."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from alloop.cli.shared import AsJson, Dir, app, open_project, say, show
from alloop.errors import UsageError


@app.command()
def status(directory: Dir = Path(), as_json: AsJson = False) -> None:
    """Say where the project stands and what to do next."""
    from alloop import reports

    found = reports.status(open_project(directory))
    show(found) if as_json else print(reports.status_text(found))


@app.command()
def report(
    directories: Annotated[list[Path] | None, typer.Argument(metavar="[DIR]...", help="Projects.")] = None,
    as_json: AsJson = False,
    png: Annotated[Path | None, typer.Option(help="Draw the curve into this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page that needs no network into this file.")] = None,
    target: Annotated[list[float] | None, typer.Option(help="A value to reach; may be repeated.")] = None,
) -> None:
    """Show the label-efficiency curve, with its intervals; of several projects, also how they differ."""
    from alloop import figures, livecurves, reports

    projects = [open_project(one) for one in directories or [Path()]]
    found = [reports.report(project) for project in projects]
    for one, says in zip(found, livecurves.side_by_side(projects, found, target or ()), strict=True):
        one["efficiency"] = says
    if png is not None:
        figures.curve_png(found, png)
        say(f"Drew {png}.")
    if html is not None:
        from alloop import pages  # here: the other forms of a report do without it

        pages.write_page(found, html)
        say(f"Wrote {html}.")
    if as_json:
        show(found[0] if len(found) == 1 else found)
    elif png is html is None:
        print(figures.curve_text(found))


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
    project = open_project(Path(arguments[0]) if len(arguments) == 2 else Path())
    answers = predicting.predict(project, outgoing.texts_of(project, arguments[-1]))
    if as_json:
        show([{"text": a.text, "labels": a.labels, "probabilities": a.probabilities} for a in answers])
    else:
        outgoing.write_answers(answers, project.config, sys.stdout)


@app.command()
def export(
    directory: Dir = Path(),
    labels: Annotated[Path | None, typer.Option(help=".csv .tsv .jsonl .parquet, or a directory.")] = None,
    model: Annotated[Path | None, typer.Option(help="A directory for the last model, to use anywhere.")] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="With --model: also as ONNX.")] = False,
    whole: Annotated[Path | None, typer.Option("--project", help="A .tar.gz that runs on another machine.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --labels.")] = False,
) -> None:
    """Take labels, the model or the whole project elsewhere."""
    from alloop import leaving, outgoing, reports

    if onnx and model is None:
        raise UsageError("--onnx says how to write the model, but not where", "add --model DIR")
    if labels is model is whole is None:
        raise UsageError("say what to export", "--labels FILE, --model DIR, or --project FILE.tar.gz")
    project = open_project(directory)
    if labels is not None:
        say(f"Wrote {outgoing.export_labels(project, labels, overwrite=overwrite)} rows to {labels}.")
        again = reports.command("round", directory)
        if unread := reports.status(project)["labels"]["unread"]:
            say(f"note: {unread} new answers are not among them; {again} --no-push reads them")
        elif reports.is_read_by_rounds_only(project):
            say(f"note: answers since the last round are not among them; {again} --no-push reads them")
    if model is not None:
        say(f"Wrote the model to {leaving.export_model(project, model, onnx=onnx)}. How to use it: README.md there.")
    if whole is not None:
        outgoing.export_project(project, whole)
        say(f"Packed the project into {whole}. There: tar xf {whole.name}")
