"""What is wrong with the labels and texts, and what to do about it: audit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alloop.cli.shared import AsJson, Dir, app, clear_line, open_project, say, say_next, say_progress, show
from alloop.errors import UsageError

if TYPE_CHECKING:
    from alloop.project import Project


@app.command()
def audit(
    directory: Dir = Path(),
    tuner: Annotated[
        str | None, typer.Option(help="Judge labels by this tuner.", show_default="features, in seconds")
    ] = None,
    shown: Annotated[int, typer.Option("--show", min=0, help="So many of each kind in the terminal.")] = 5,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with the texts into this file.")] = None,
    push: Annotated[bool, typer.Option("--push", help="Ask annotators again about suspicious labels, blind.")] = False,
    most: Annotated[int | None, typer.Option(min=1, help="With --push: so many.")] = None,
    share: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="With --push: so much of all labels.", show_default="contradicted ones, up to 0.1"
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Read what they said, with what is answered yet; exit 3 if nothing is.")
    ] = False,
) -> None:
    """Find suspicious labels, duplicates and gaps; send labels back to annotators."""
    if push and apply:
        raise UsageError("--push asks and --apply reads the answers", "one after the other")
    if (most is not None or share is not None) and not push:
        raise UsageError("--most and --share say how much to push", "add --push")
    if most is not None and share is not None:
        raise UsageError("--most and --share both say how much to push", "leave one out")
    if html is not None and (push or apply):
        raise UsageError("--html shows what was found", "run it without --push and --apply")
    project = open_project(directory)
    if push:
        _push(project, most, share, tuner, as_json)
    elif apply:
        _apply(project, tuner, as_json)
    else:
        _look(project, tuner, shown, as_json, html)


def _look(project: "Project", tuner: str | None, shown: int, as_json: bool, html: Path | None) -> None:
    from alloop import auditing
    from alloop.auditing import page, words
    from alloop.reports import command

    if html is not None:
        page.check(html)
    found = auditing.audit(project, tuner, say_progress)
    clear_line()
    if html is not None:
        page.write_page(found, html)
        say(f"Wrote {html}.")
    if as_json:
        show(found)
    elif html is None:
        print(words.as_text(found, shown))
    again = command("audit", project.root)
    review: dict[str, Any] | None = found["review"]
    if review is not None and not review["applied"]:
        say(f"{words.review_words(review)}. What they changed: {again} --apply")
    elif found["suspicious"]["n"]:
        say(f"To have the suspicious labels looked at again: {again} --push")


def _push(project: "Project", most: int | None, share: float | None, tuner: str | None, as_json: bool) -> None:
    from alloop.auditing import review
    from alloop.reports import command

    done = review.push(project, most, share, tuner, say_progress)
    clear_line()
    again = f"{command('audit', project.root)} --apply"
    if done["pushed"]:
        rest = " (the rest of a push that was cut short)" if done["resumed"] else ""
        texts = "text" if done["pushed"] == 1 else "texts"
        say(f"Asked again about {done['pushed']:,} {texts} in: {project.config.annotate.backend}{rest}.")
        say(f"When they are answered: {again}")
    elif done["open"]:
        say(f"Nothing new: {done['open']:,} reviewed texts are not answered yet. With what is there: {again}")
    else:
        say("Nothing to review: every suspicious label was reviewed before, or is of a random text to measure by.")
    if as_json:
        show(done)


def _apply(project: "Project", tuner: str | None, as_json: bool) -> None:
    from alloop.auditing import review, words

    found = review.apply(project, tuner, say_progress)
    clear_line()
    if as_json:
        show(found)
    else:
        for sentence in words.applied_words(found):
            print(sentence)
    say_next(project)
