"""The command line as a user meets it, in this process so that it is quick."""

import contextlib
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from alloop import cli


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, data on stdout, words on stderr."""

    code: int
    out: str
    err: str


def alloop(*words: object, stdin: str = "") -> Ran:
    """Run `alloop` with these words."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "stdin", io.StringIO(stdin)),
    ):
        code = cli.execute([str(word) for word in words])
    return Ran(code, out.getvalue(), err.getvalue())


def done(*words: object, stdin: str = "") -> Ran:
    """Run a command that has to succeed."""
    ran = alloop(*words, stdin=stdin)
    assert ran.code == 0, ran.err
    return ran


def change(config: Path, changes: Mapping[str, str]) -> None:
    """Edit a config as a user does: every text on the left becomes the one on the right."""
    content = config.read_text(encoding="utf-8")
    for before, after in changes.items():
        assert before in content, before
        content = content.replace(before, after)
    config.write_text(content, encoding="utf-8")
