"""Live suggestions in Label Studio: serve, studio connect."""

from pathlib import Path
from typing import Annotated

import typer

from alloop.cli.shared import Dir, app, open_project, say

Port = Annotated[int, typer.Option(min=0, max=65_535, help="The port of alloop serve.")]
PORT = 9090


@app.command()
def serve(
    directory: Dir = Path(),
    host: Annotated[str, typer.Option(help="Which address to answer on.")] = "127.0.0.1",
    port: Port = PORT,
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
            say('note: [annotate] suggest is "none": the tasks that alloop asks get no suggestions')
        say(f"Next, in another terminal: {connect}")

    serving.serve(Suggester(directory, say), host, port, on_start, say)
