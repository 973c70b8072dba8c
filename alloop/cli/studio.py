"""A Label Studio of one's own on this machine: studio up, down, status, logs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alloop.cli.shared import AsJson, app, say, show

if TYPE_CHECKING:
    from alloop.studio import Status

studio = typer.Typer(no_args_is_help=True, help="A Label Studio of your own: install it, start it, stop it.")
app.add_typer(studio, name="studio")


@studio.command()
def up(
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Where it answers.", show_default="the last one, or 8080")
    ] = None,
    venv: Annotated[Path | None, typer.Option(help="A virtual environment that has Label Studio.")] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Start Label Studio, installed first if need be. It goes on when this terminal is closed."""
    from alloop import studio as studios

    found = studios.up(port, venv=venv, tell=say)
    say(f"Label Studio {found.version} runs at {found.url}")
    say(f"log in as {found.login.username} with the password {found.login.password}")
    say("Stop it with: alloop studio down")
    if browser:
        import webbrowser

        if not webbrowser.open(found.url):
            say("note: no browser could be opened from here")


@studio.command()
def down() -> None:
    """Stop Label Studio. Its projects and labels stay."""
    from alloop import studio as studios

    say("Stopped. Start it again with: alloop studio up" if studios.down() else "Label Studio was not running.")


@studio.command()
def status(as_json: AsJson = False) -> None:
    """Say whether it runs, where, and how to log in."""
    from alloop import studio as studios

    found = studios.status()
    show(_as_data(found)) if as_json else print(_as_text(found))


@studio.command()
def logs(n: Annotated[int, typer.Option("-n", min=1, help="How many lines.")] = 50) -> None:
    """Show the end of the server's log."""
    from alloop import studio as studios

    print("\n".join(studios.logs(n)))


def _as_data(found: "Status") -> dict[str, object]:
    return {
        "running": found.state == "running",
        "state": found.state,
        "url": found.url,
        "pid": found.pid,
        "version": found.version,
        "username": found.login.username if found.login else None,
        "data": str(found.data),
        "log": str(found.log),
    }


def _as_text(found: "Status") -> str:
    if found.state == "not installed":
        return "Label Studio is not set up here.\nNext: alloop studio up"
    where = f" at {found.url} (process {found.pid})" if found.url else ""
    lines = [f"Label Studio {found.version or ''}".rstrip() + f": {found.state}{where}"]
    if found.login:
        lines.append(f"login: {found.login.username}, password: {found.login.password}")
    lines += [f"data: {found.data}", f"log: {found.log}"]
    if found.state != "running":
        following = {"not answering": "alloop studio logs", "died": "alloop studio logs, then: alloop studio up"}
        lines.append(f"Next: {following.get(found.state, 'alloop studio up')}")
    return "\n".join(lines)
