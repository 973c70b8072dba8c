"""Adapt the base to the project's texts: adapt."""

from pathlib import Path
from typing import Annotated

import typer

from alloop.cli.shared import AsJson, Dir, app, open_to_run, say, say_next, show


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
        say("note: lower perplexity is no promise of a better classifier; the curve will tell.")
    elif not found.has_helped:
        say("The perplexity did not fall, so model.base stays as it is.")
    else:
        say("model.base was changed meanwhile, so it was left alone.")
    say_next(project)
    if as_json:
        show({"adapted": found.base, "used": found.is_used, "new": found.is_new, **about})
