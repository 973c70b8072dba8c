"""Runs each job in a process of its own, or in several that train together."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from alloop.errors import AlloopError


@dataclass(frozen=True)
class Subprocess:
    """Runs each job in a process of its own: memory is given back after it, a crash in it costs only the job.

    timeout_s: seconds after which a job is stopped; 0 = never. processes: how many train together, on a GPU each, by
    `accelerate`; each computes its share of a step's batch, so that a larger batch pays off, and only the first one
    predicts.
    """

    timeout_s: float = 0.0
    processes: int = 1

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise ValueError("processes must be above 0")

    def run(self, job: Path) -> None:
        started = _start(job, self.processes)
        try:
            code = _first_failure(started, self.timeout_s)
        except subprocess.TimeoutExpired as error:
            raise AlloopError(
                f"the job took longer than {self.timeout_s:g} s and was stopped",
                "raise timeout_s in [options.subprocess], or take a smaller model.base",
            ) from error
        finally:
            for process in started:
                process.kill()
                process.wait()
        if code:
            reason = job / "error.txt"
            message, _, hint = reason.read_text().partition("\n") if reason.exists() else ("", "", "")
            died = f"the job's process ended with code {code}" + (" (out of memory?)" if code == -9 else "")
            died += "".join(f"; {words}" for words in _last_words(job))
            raise AlloopError(message or died, hint or "run it again; finished steps are not repeated")


plugin = Subprocess


def _start(job: Path, processes: int) -> list[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "alloop.work", str(job)]
    # stderr stays the terminal's, for the progress bar; a failed job leaves its reason in error.txt
    if processes == 1:
        return [subprocess.Popen(command)]
    threads = max(1, (os.cpu_count() or 1) // processes)  # more than there are cores, and all wait for each other
    team = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _port()}
    started = []
    for rank in range(processes):
        one = {"OMP_NUM_THREADS": threads} | os.environ | team | {"RANK": rank, "LOCAL_RANK": rank}
        env = {name: str(value) for name, value in one.items()}
        with (job / f"stderr-{rank}.txt").open("wb") if rank else nullcontext() as aside:  # one progress bar is enough
            started.append(subprocess.Popen([*command, "together"], env=env, stderr=aside))
    return started


def _last_words(job: Path) -> list[str]:
    """What the processes that say nothing on the terminal said last: of a crash, its reason."""
    said = [path.read_text(errors="replace").split("\n") for path in sorted(job.glob("stderr-*.txt"))]
    return [last for lines in said if (last := next((line for line in reversed(lines) if line.strip()), ""))]


def _first_failure(started: Sequence[subprocess.Popen[bytes]], timeout_s: float) -> int:
    """The exit code of the first process that fails, as soon as it does: the others wait for it. 0 if none did."""
    if len(started) == 1:
        return started[0].wait(timeout_s or None)
    end = time.monotonic() + timeout_s if timeout_s else float("inf")
    while True:
        codes = [process.poll() for process in started]
        if failed := [code for code in codes if code]:
            return failed[0]
        if None not in codes:
            return 0
        if time.monotonic() > end:
            raise subprocess.TimeoutExpired("alloop.work", timeout_s)
        with suppress(subprocess.TimeoutExpired):
            started[codes.index(None)].wait(0.2)


def _port() -> int:
    """A port of this machine that is free now."""
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return int(some.getsockname()[1])
