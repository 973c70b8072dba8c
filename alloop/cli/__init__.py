"""The command line: parse, make one call, print. Data on stdout, words on stderr. Each module holds a few commands."""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from alloop.cli.shared import app, say
from alloop.errors import AlloopError, WaitingError


def main() -> NoReturn:
    """The `alloop` command."""
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(execute(sys.argv[1:]))


def _stop(*_: object) -> NoReturn:
    say("stopped; what was finished is kept, the same command goes on")
    sys.exit(143)


def execute(arguments: Sequence[str]) -> int:
    """Run a command; returns its exit code. Every expected trouble is an `error:` line and a `hint:` line."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("alloop", list(arguments)) as context:
            command.invoke(context)
        sys.stdout.flush()
        return 0
    except AlloopError as error:
        say(f"{'waiting' if isinstance(error, WaitingError) else 'error'}: {error.message}")
        if error.hint:
            say(f"hint: {error.hint}")
        return error.exit_code
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as error:
        return _misunderstood(error)
    except (KeyboardInterrupt, typer.Abort):
        say("stopped; what was finished is kept, the same command goes on")
        return 130
    except BrokenPipeError:  # `alloop predict … | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        say(f"error: {error.filename or ''}{': ' if error.filename else ''}{error.strerror or error}")
        say("hint: nothing that was recorded is lost; run the command again when there is room and permission")
        return 1


def _misunderstood(error: Any) -> int:
    """What typer says of a command line it cannot read, in our words; without any arguments, the help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        say(error.ctx.get_help())
        return 2
    context = getattr(error, "ctx", None)
    words = error.format_message().rstrip(".")
    say(f"error: {words[:1].lower()}{words[1:]}")
    say(f"hint: {context.command_path if context else 'alloop'} --help")
    return 2


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(version_of("alloop"))
        raise typer.Exit


# isort: off
from alloop.cli import texts, loop, results, auditing, choosing, simulating, checking, studio, serving  # noqa: E402, F401  in the order of --help
