"""What suits these texts and labels: adapt, compare, tune."""

from pathlib import Path
from typing import Annotated

import typer

from alloop.cli.shared import AsJson, Dir, app, clear_line, open_project, open_to_run, say, say_next, say_progress, show


@app.command()
def adapt(
    directory: Dir = Path(),
    minutes: Annotated[
        float, typer.Option(min=0.05, help="Train about so long at most, as judged by the first steps.")
    ] = 5.0,
    epochs: Annotated[float, typer.Option(min=0.01, help="How often each text is read.")] = 3.0,
    as_json: AsJson = False,
) -> None:
    """Let the base model read the unlabelled texts first, for the next rounds to start from."""
    from alloop import adapting
    from alloop.reports import command

    def on_start(base: str, texts: int, held_back: int) -> None:
        say(f"Adapting {base} to {texts:,} pool texts, {held_back:,} held back; about {minutes:g} minutes at most.")

    project = open_to_run(directory)
    found = adapting.adapt(project, epochs=epochs, minutes=minutes, on_start=on_start)
    about = found.about
    if not found.is_new:
        say(f"These texts were adapted to before, with the same options: {found.base}. Nothing was trained.")
    elif about["epochs_trained"] < 0.99 * epochs:
        say(f"note: {minutes:g} minutes were enough for {about['epochs_trained']:g} of {epochs:g} epochs")
    if not about["had_head"]:
        say(f"note: {about['base']} has no head that says words, so one was fitted to it, frozen: that is before;")
        say("      after is with the base trained on, and as many updates of the head")
    ratio = about["perplexity"]["ratio"]
    say(
        f"On {about['held_back']:,} texts that were held back: {adapting.perplexity_words(about)}, "
        f"{ratio['value']:.3f} times as much (95 % interval {ratio['low']:.3f} to {ratio['high']:.3f})."
    )
    if found.is_used:
        say(f'{project.root / "alloop.toml"} says: model.base = "{found.base}"')
        row = project.store.unfinished_round()
        if row is not None and project.store.step_results(row.number):
            say(f"Round {row.number} is open and keeps its base; the next one starts from this.")
        again = command("compare", project.root)
        say(f"note: that promises no better classifier; whether it is one says, before and after: {again}")
    elif not found.has_helped:
        say("The perplexity did not fall, so model.base stays as it is.")
    else:
        say("model.base was changed meanwhile, so it was left alone.")
    say_next(project)
    if as_json:
        show({"adapted": found.base, "used": found.is_used, "new": found.is_new, **about})


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
    say_next(project)


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
    say_next(project)
