"""Runs each job in a process of its own."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from alloop.errors import AlloopError


@dataclass(frozen=True)
class Subprocess:
    """Runs each job in a process of its own: memory is given back after it, a crash in it costs only the job.

    timeout_s: seconds after which a job is stopped; 0 = never.
    """

    timeout_s: float = 0.0

    def run(self, job: Path) -> None:
        command = [sys.executable, "-m", "alloop.work", str(job)]
        try:
            # stderr stays the terminal's, for the progress bar; a failed job leaves its reason in error.txt
            code = subprocess.run(command, timeout=self.timeout_s or None, check=False).returncode
        except subprocess.TimeoutExpired as error:
            raise AlloopError(
                f"the job took longer than {self.timeout_s:g} s and was stopped",
                "raise timeout_s in [options.subprocess], or take a smaller model.base",
            ) from error
        if code:
            reason = job / "error.txt"
            message, _, hint = reason.read_text().partition("\n") if reason.exists() else ("", "", "")
            died = f"the job's process ended with code {code}" + (" (out of memory?)" if code == -9 else "")
            raise AlloopError(message or died, hint or "run it again; finished steps are not repeated")


plugin = Subprocess
