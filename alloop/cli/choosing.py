"""What suits these labels: compare, tune."""

from pathlib import Path
from typing import Annotated

import typer

from alloop.cli.shared import AsJson, Dir, app, clear_line, open_project, say, say_progress, show


@app.command()
def compare(
    directory: Dir = Path(),
    tuner: Annotated[
        list[str] | None, typer.Option(help="A tuner; may be repeated.", show_default="tfidf, features, lora")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts of the labels, each judged by a model of the others.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Compare tuners on your own labels, by cross-validation."""
    from alloop import comparing

    project = open_project(directory)
    found = comparing.compare(project, tuner or comparing.TUNERS, folds, on_fold=say_progress)
    clear_line()
    show(found) if as_json else print(comparing.as_text(found))
    for words in comparing.words(found):
        say(words)


@app.command()
def tune(
    directory: Dir = Path(),
    trials: Annotated[int, typer.Option(min=2, help="Settings to try, the configured ones among them.")] = 20,
    minutes: Annotated[float, typer.Option(min=0, help="Begin no trial after so many.")] = 30.0,
    folds: Annotated[int, typer.Option(min=2, help="Parts of the labels, each judged by a model of the others.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Search the tuner's options, and keep the best."""
    from alloop import searching

    project = open_project(directory)
    found = searching.tune(project, trials, minutes, folds, on_start=say, on_fold=say_progress)
    clear_line()
    show(found) if as_json else print(searching.as_text(found))
    for words in searching.words(found, directory):
        say(words)
