"""Runs in processes beside each other, each with its share of the cores: two torch processes of two threads on two
cores were 8 to 20 times slower.

Each runs `main`. It reads a run a line from stdin and tells what happens on
stdout, both as JSON. When stdin ends, whoever started it is gone or has had enough, and it stops wherever it is.
"""

import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from alloop import errors
from alloop.config import restore
from alloop.errors import AlloopError
from alloop.simulating.run import Run, finish

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
LOGS = "logs"


@dataclasses.dataclass(frozen=True)
class Order:
    """A run to do: all that another process needs."""

    run: Run
    config: str  # a snapshot
    budget: int
    keep: bool


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def finish_all(
    out: Path, orders: Sequence[Order], workers: int
) -> Generator[tuple[Run, int | None, float], None, None]:
    """Do all runs, in `workers` processes. Yields each finished round as (run, its number, its seconds), each finished
    run as (run, None, 0.0). Raises the AlloopError of the first run that fails. Closed, it ends the processes.
    """
    said: queue.Queue[tuple[Worker, dict[str, Any]]] = queue.Queue()
    waiting = deque(orders)
    threads = max(1, cores() // workers)
    crew = [Worker(out, number, threads, said) for number in range(1, min(workers, len(orders)) + 1)]
    try:
        for worker in crew:
            worker.do(waiting.popleft())
        busy = len(crew)
        while busy:
            worker, message = said.get()
            if "error" in message:
                raise _error(worker.run, message)
            if "died" in message:
                raise AlloopError(
                    f"{worker.run}: the process ended with code {message['died']}"
                    + (" (out of memory?)" if message["died"] == -9 else ""),
                    f"its last words are in {worker.log}; fewer workers take less memory; the same command goes on",
                )
            run = worker.run
            if "round" not in message:
                if waiting:
                    worker.do(waiting.popleft())
                else:
                    busy -= 1
            yield run, message.get("round"), message.get("seconds", 0.0)
    finally:
        for worker in crew:
            worker.stop()


def _error(run: Run, message: Mapping[str, Any]) -> AlloopError:
    kind: type[AlloopError] = getattr(errors, message["error"])
    return kind(f"{run}: {message['message']}", message["hint"])


def _limits(threads: int) -> dict[str, str]:
    """No more threads than the worker's share; fewer of each kind where somebody said so of one."""
    said = [os.environ.get(name, "") for name in THREADS]
    fewest = min(threads, *(int(value) for value in said if value.isdigit())) if any(said) else threads
    return dict.fromkeys(THREADS, str(fewest))


class Worker:
    """A process that does one run after the other."""

    def __init__(self, out: Path, number: int, threads: int, said: "queue.Queue[tuple[Worker, dict[str, Any]]]"):
        self.log = out / LOGS / f"worker-{number}.txt"
        self.log.parent.mkdir(exist_ok=True, mode=0o700)
        self.run: Run
        with open(self.log, "w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", "from alloop.simulating.workers import main; main()", str(out)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env={**os.environ, **_limits(threads)},  # read when torch and numpy are loaded
                start_new_session=True,  # Ctrl-C is for us; closing stdin tells them
            )
        self._listener = threading.Thread(target=self._listen, args=(said,), daemon=True)
        self._listener.start()

    def do(self, order: Order) -> None:
        self.run = order.run
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(dataclasses.asdict(order)) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # it died; the listener says so
            pass

    def _listen(self, said: "queue.Queue[tuple[Worker, dict[str, Any]]]") -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said.put((self, json.loads(line)))
        said.put((self, {"died": self._process.wait()}))

    def stop(self) -> None:
        """A run may be cut off at any line and goes on another time."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue


def main() -> None:
    """A worker's life."""
    out = Path(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints goes to the log
    orders: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin, orders), daemon=True).start()
    while True:
        order = orders.get()
        try:
            run, config = Run(**order["run"]), restore(order["config"])
            for number, seconds in finish(out, run, config, order["budget"], order["keep"]):
                _tell(answers, {"round": number, "seconds": seconds})
            _tell(answers, {})
        except AlloopError as error:
            _tell(answers, {"error": type(error).__name__, "message": error.message, "hint": error.hint})


def _read(orders_in: IO[str], orders: "queue.Queue[dict[str, Any]]") -> None:
    for line in orders_in:
        orders.put(json.loads(line))
    os._exit(0)


def _tell(answers: IO[str], message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()
