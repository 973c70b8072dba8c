"""Runs rounds of a project in a forked child that SIGKILLs itself at a chosen line; used by test_resume.py.

A kill point is a line of the package the first time a round executes it: every line of every round, once.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import alloop

PACKAGE = str(Path(alloop.__file__).parent)


def run_rounds(root: Path, rounds: int, kill_at: int | None = None, **options: Any) -> list[str]:
    """Finish the rounds up to number `rounds`, with these options; dies at kill point `kill_at`, counted from 1.

    With `kill_at=0` it lives, and returns all the kill points as "round module:function:line".
    """
    from alloop.project import Project
    from alloop.rounds import run_round

    project = Project.open(root)
    seen: set[tuple[str, int]] = set()
    points: list[str] = []

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        place = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and place not in seen:
            seen.add(place)
            points.append(f"{number} {place[0].removeprefix(PACKAGE)[1:]}:{frame.f_code.co_name}:{place[1]}")
            if len(points) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    while True:
        last = project.store.last_round()
        number = 1 if last is None else last.number + bool(last.finished_at)
        if number > rounds:
            return points
        seen.clear()
        sys.settrace(None if kill_at is None else trace)
        try:
            run_round(project, **options)
        finally:
            sys.settrace(None)


def in_child(work: Callable[[], list[str]]) -> list[str] | None:
    """Run `work` in a fork; what it returned, or None when it was killed. Raises when it failed by itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writing, "w") as pipe:
                pipe.write("\n".join(work()))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None
    if os.WEXITSTATUS(status):
        raise AssertionError(f"the child ended with {os.WEXITSTATUS(status)}")
    return said.splitlines()
