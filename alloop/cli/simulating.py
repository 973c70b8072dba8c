"""Whole loops with a simulated annotator: simulate."""

from pathlib import Path
from typing import Annotated

import typer

from alloop.cli.shared import AsJson, Texts, app, clear_line, say, say_hub, say_progress, show
from alloop.errors import UsageError


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Where the results go; the same command goes on there.")],
    data: Annotated[list[str] | None, typer.Option(help="A file of texts with their true labels.")] = None,
    test: Annotated[str | None, typer.Option(help="A labelled file to measure on.")] = None,
    labels: Annotated[
        str, typer.Option(help="The labels, separated by commas.", show_default="those in the file")
    ] = "",
    multi: Annotated[bool, typer.Option("--multi", help="A text may have several labels, or none.")] = False,
    text_column: Annotated[Texts, typer.Option(help="Where the text is; several are joined.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Where the true labels are.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="A config, or a project, for everything else: errors, cold start, …")
    ] = None,
    project: Annotated[Path | None, typer.Option(help="Replay this project's own labels; it is only read.")] = None,
    strategy: Annotated[
        Texts, typer.Option(help="A strategy; may be repeated.", show_default="the config's, random")
    ] = None,
    tuner: Annotated[Texts, typer.Option(help="A tuner; may be repeated.", show_default="the config's")] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Labels of each run.", show_default="200, half of the pool at most")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="How many texts a round asks about.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each strategy and tuner.")] = 5,
    target: Annotated[list[float] | None, typer.Option(help="A value to reach; may be repeated.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="What curves show.", show_default="accuracy; f1_micro with --multi")
    ] = None,
    noise: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of wrong answers.", show_default="the config's, 0")
    ] = None,
    annotators: Annotated[
        int | None, typer.Option(min=1, help="How many answer each text; annotate.consensus decides.", show_default="1")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; they share the cores.", show_default="a core each, 8 at most")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the projects of the runs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try strategies and tuners on texts whose labels are known, in whole loops with a simulated annotator."""
    from alloop import pages, plots, simulating
    from alloop.simulating.results import as_text
    from alloop.simulating.source import Source

    if project is not None and (data or test or source is not None or text_column or label_column or labels or multi):
        raise UsageError("a project has its own texts, labels and config", "leave the other options out")
    if project is not None and (noise is not None or annotators is not None):
        raise UsageError("a project's labels are replayed as they are", "leave --noise and --annotators out")
    if project is None and not data and source is None:
        raise UsageError("say which texts", "--data FILE --test FILE, or --project DIR")
    say_hub([*(data or ()), test])
    found = simulating.simulate(
        out,
        Source(
            data=data or (),
            test=test,
            labels=[label.strip() for label in labels.split(",")] if labels else (),
            kind="multi" if multi else None,
            text=text_column or (),
            label=label_column,
            config=source,
            project=project,
            batch=batch,
            noise=noise,
            annotators=annotators,
        ),
        simulating.Study(
            strategies=strategy or (),
            tuners=tuner or (),
            budget=budget,
            seeds=seeds,
            metric=metric,
            targets=target or (),
            workers=workers,
            keep=keep,
        ),
        on_note=say,
        on_round=say_progress,
        on_run=_say_run,
    )
    clear_line()
    show(found) if as_json else print(as_text(found))
    for words in simulating.words(found, project is not None):
        say(words)
    if plots.is_installed():
        pages.write_simulation(found, out / "curves.html")
        say(f"Wrote {out / 'summary.json'}, curves.csv, curves.png and curves.html.")
    else:
        say(f"Wrote {out / 'summary.json'}, curves.csv and curves.png.")
        say("note: curves.html needs plotly; pip install 'alloop[html]', and the same command writes it")


def _say_run(words: str) -> None:
    clear_line()
    say(words)
