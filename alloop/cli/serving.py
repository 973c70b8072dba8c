"""Live suggestions in Label Studio: serve, studio connect."""

from pathlib import Path
from typing import Annotated

import typer

from alloop.cli.shared import Dir, app, open_project, say
from alloop.cli.studio import studio
from alloop.errors import AlloopError

PORT = 9090
BLIND = 'note: [annotate] suggest is "none", so that the tasks alloop asks get no suggestions'


@app.command()
def serve(
    directory: Dir = Path(),
    host: Annotated[str, typer.Option(help="Which address to answer on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Which port to answer on; 0 is any free one.")] = PORT,
) -> None:
    """Show the last model's answers in Label Studio while people label."""
    from alloop import serving
    from alloop.reports import command
    from alloop.suggesting import Suggester

    project = open_project(directory)
    suggest = project.config.annotate.suggest
    project.store.close()

    def on_start(address: str) -> None:
        said_port = address.rpartition(":")[2]
        connect = command("studio connect", directory) + (f" --port {said_port}" if said_port != str(PORT) else "")
        say(f"Suggestions of {project.name} at {address}; Ctrl-C stops.")
        if not serving.is_loopback(host):
            say(f"warning: {host} is open to other machines, and there is no password: anybody there may ask the model")
        if suggest in ("none", 0):
            say(BLIND)
        say(f"Next, in another terminal: {connect}")

    serving.serve(Suggester(directory, say), host, port, on_start, say)


@studio.command()
def connect(
    directory: Dir = Path(),
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port of alloop serve.")] = PORT,
    url: Annotated[str | None, typer.Option(help="Its address, if Label Studio is on another machine.")] = None,
) -> None:
    """Let Label Studio ask `alloop serve` for suggestions while people label."""
    from alloop.annotators.label_studio import LabelStudio

    project = open_project(directory)
    config = project.config
    annotator = project.annotator(config)
    if not isinstance(annotator, LabelStudio):
        raise AlloopError(
            f"this project's annotator is {config.annotate.backend!r}, not Label Studio",
            'set [annotate] with = "label-studio"',
        )
    address = url or f"http://127.0.0.1:{port}"
    done = annotator.connect(address, project.desk(config))
    say(f"Label Studio {'asks' if done.is_new else 'still asks'} {address} for suggestions.")
    if config.annotate.suggest in ("none", 0):
        say(BLIND)
