"""Many small pieces of work, shared with other processes where that pays. The results are the same whoever helps.

This process works all the time. Helpers come when the rest would take it much longer than they take to start; one that
fails, whatever the reason, gives its piece back, and this process does it and meets the error itself. multiprocessing
would run the caller's script again in each process, and leave processes behind when this one is killed: a helper ends
with its input, and Ctrl-C does not reach it.
"""

import os
import pickle
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

PAYS_FROM_S = 20.0  # of work for each helper: to start takes one some seconds, and up to half a gigabyte
PIECE = 8  # items handed over at a time
MOST_HELPERS = 7


def shared(
    work: Callable[[T], R],
    items: Sequence[T],
    advance: Callable[[int], None],
    *,
    processes: int | None = None,
    pays_from_s: float = PAYS_FROM_S,
) -> list[R]:
    """What `work` makes of each item, in order; an item's result must depend on the item alone.

    work: where it cannot be pickled, nobody helps. processes: at most so many, this one included; None = one per core.
    """
    most = min((processes or cores()) - 1, MOST_HELPERS)
    left = deque(range(0, len(items), PIECE))  # where the pieces begin that nobody works on
    found: dict[int, list[R]] = {}
    helpers: list[_Helper[T, R]] = []
    own, start = 0, 0.0
    try:
        while any(helper.is_alive() for helper in helpers) or left:  # in this order: a piece comes back before the end
            try:
                first = left.popleft()
            except IndexError:
                time.sleep(0.01)
                continue
            made = []
            for item in items[first : first + PIECE]:
                made.append(work(item))
                advance(1)
            found[first] = made
            if not own:
                start = time.monotonic()  # not before: the first piece waits for imports
            elif most > 0 and not helpers:
                rest_s = len(left) * (time.monotonic() - start) / own
                if (wanted := min(most, int(rest_s / pays_from_s) if pays_from_s else most)) > 0:
                    helpers = _called(wanted, work, items, left, found, advance)
                    most = len(helpers)  # where nobody can be called, nobody is asked again
            own += 1
    finally:
        for helper in helpers:
            helper.process.kill()
            helper.join()
    return [result for first in sorted(found) for result in found[first]]


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def help_out() -> None:
    """What a helper does: read the work, then pieces of items, and answer each with its results."""
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the work prints is no answer
    work = pickle.load(source)
    while True:
        try:
            items = pickle.load(source)
        except EOFError:
            return
        pickle.dump([work(item) for item in items], answers)
        answers.flush()


class _Helper(Thread, Generic[T, R]):
    """Another process, and the thread that talks to it."""

    def __init__(
        self,
        work: bytes,
        items: Sequence[T],
        left: deque[int],
        found: dict[int, list[R]],
        advance: Callable[[int], None],
    ) -> None:
        super().__init__(daemon=True)
        self.work, self.items, self.left, self.found, self.advance = work, items, left, found, advance
        code = f"import sys; sys.path[:] = {sys.path!r}; from alloop.sharing import help_out; help_out()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # an error is met again here
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self.start()

    def run(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.process, suppress(OSError):  # closing what a dead helper did not read
            with suppress(OSError):
                self.process.stdin.write(self.work)
            while self.left:
                try:
                    first = self.left.popleft()
                except IndexError:
                    return
                try:
                    pickle.dump(self.items[first : first + PIECE], self.process.stdin)
                    self.process.stdin.flush()
                    self.found[first] = pickle.load(self.process.stdout)
                except (OSError, EOFError, pickle.UnpicklingError):
                    self.left.append(first)
                    return
                self.advance(len(self.found[first]))


def _called(
    wanted: int,
    work: Callable[[T], R],
    items: Sequence[T],
    left: deque[int],
    found: dict[int, list[R]],
    advance: Callable[[int], None],
) -> list[_Helper[T, R]]:
    """As many as can be had."""
    helpers: list[_Helper[T, R]] = []
    # what pickle says of a lock, or of a function in a function; what the system says where it has no room
    with suppress(pickle.PicklingError, TypeError, AttributeError, OSError):
        packed = pickle.dumps(work)
        for _ in range(wanted):
            helpers.append(_Helper(packed, items, left, found, advance))
    return helpers
