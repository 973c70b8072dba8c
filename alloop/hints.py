"""A hint that annotators have answered: a file in the project's inbox, whose time says when. Any number are one hint.

A hint is never the truth: Label Studio gives up on a webhook after a second and does not repeat it. Who is hinted looks
for answers earlier than otherwise, and who is not still looks.
"""

import os
import time
from pathlib import Path

HINT = "hint"


def leave_hint(inbox: Path) -> None:
    """Say that there may be answers now. Takes microseconds, and the inbox need not exist."""
    inbox.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, now = inbox / HINT, time.time_ns()
    path.touch(mode=0o600)
    os.utime(path, ns=(now, now))  # touch() alone has the clock's coarse tick: two hints would be one


def hinted_at(inbox: Path) -> float | None:
    """When the last hint came, in seconds since the epoch; None where none ever did.

    Ask before pulling, and pull again once it has changed: a hint that comes during a pull is not lost.
    """
    try:
        return (inbox / HINT).stat().st_mtime_ns / 1e9
    except FileNotFoundError:
        return None
