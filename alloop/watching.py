"""Round after round while annotators work: the next one starts before they run out of tasks.

A server that is down or busy is waited for, like answers; what is wrong for good ends the watch.
"""

import time
from collections.abc import Callable, Iterator

from alloop.errors import AlloopError, LockedError, RemoteError, WaitingError
from alloop.hints import hinted_at
from alloop.project import Project
from alloop.rounds import Outcome, run_round

LOOK_S = 0.1  # how often the hint of a webhook is looked for


def watch(
    project: Project,
    every: float,
    until_labels: int | None = None,
    on_step: Callable[[int, str], None] = lambda number, step: None,
    on_wait: Callable[[AlloopError], None] = lambda reason: None,
) -> Iterator[Outcome]:
    """Every round that finishes, until nothing is left to ask about and every task is answered.

    Looks for answers `every` so many seconds, and at once when `alloop serve` was told of some. Holds no lock while it
    waits.
    """
    asks = True
    while True:
        low_water = project.config.round.starts_below if asks else 0
        hinted = hinted_at(project.root / "inbox")
        try:
            outcome = run_round(
                project, low_water=low_water, until_labels=until_labels, command="alloop run --watch", on_step=on_step
            )
        except (WaitingError, LockedError, RemoteError) as error:
            if isinstance(error, RemoteError) and not error.is_temporary:
                raise
            on_wait(error)
            _wait(project, every, hinted)
            continue
        yield outcome
        if not outcome.pushed and not project.store.open_tasks():
            return
        asks = bool(outcome.pushed)  # with nothing left to ask, the last tasks are waited for


def _wait(project: Project, every: float, hinted: float | None) -> None:
    until = time.monotonic() + every
    while (left := until - time.monotonic()) > 0 and hinted_at(project.root / "inbox") == hinted:
        time.sleep(min(LOOK_S, left))
