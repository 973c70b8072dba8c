"""Executors: where heavy work runs. A job is a directory that `alloop.work.run_job` understands."""

from pathlib import Path
from typing import Protocol

from alloop.registry import Registry


class Executor(Protocol):
    """Runs one job to its end. Raises AlloopError when the job fails."""

    def run(self, job: Path) -> None:
        """Do the job described in `job/job.json`; its results appear in `job/out`."""
        ...


executors: Registry[Executor] = Registry("executors", "alloop.executors")
