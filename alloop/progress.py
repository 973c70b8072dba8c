"""Progress bars on stderr, for work that takes more than a second. Silent when nobody watches."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

PART_OF: ContextVar[str] = ContextVar("PART_OF", default="")  # what the next bars belong to: "trial 3"


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yields `advance(n)`. The bar appears after a second, on a terminal only, and goes away when done."""
    if not sys.stderr.isatty():
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(f"{PART_OF.get()}: {what}" if PART_OF.get() else what, total=total)
    with bar:
        yield lambda n: bar.advance(task, n)
