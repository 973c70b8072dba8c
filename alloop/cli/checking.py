"""Before the long wait: doctor, plugins."""

from pathlib import Path
from typing import Annotated

import typer

from alloop.cli.shared import AsJson, Dir, app, open_project, show


@app.command()
def doctor(directory: Dir = Path()) -> None:
    """Check everything a round needs, and say what it will cost."""
    from alloop import doctor as doctors

    checks = doctors.examine(open_project(directory))
    for check in checks:
        print(f"{ {True: 'ok', False: 'FAIL', None: 'note'}[check.ok]:5} {check.name}: {check.message}")
        if check.hint:
            print(f"      hint: {check.hint}")
    if any(check.ok is False for check in checks):
        raise typer.Exit(1)


@app.command()
def plugins(
    family: Annotated[str | None, typer.Argument(help="strategies, tuners, augmenters, …")] = None,
    name: Annotated[str | None, typer.Argument(help="One plug-in of the family.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what plugs in, with its options."""
    from alloop import shelf

    found = shelf.contents(family, name)
    show(found) if as_json else print(shelf.as_text(found, details=name is not None))
