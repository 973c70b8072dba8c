"""Runs jobs in this process."""

from dataclasses import dataclass
from pathlib import Path

from alloop.work import run_job


@dataclass(frozen=True)
class Inline:
    """Runs jobs in this process, where the loaded base model stays in memory between them."""

    def run(self, job: Path) -> None:
        run_job(job)


plugin = Inline
