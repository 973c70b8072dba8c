"""How long the runs that are left will take, from the rounds that were done."""

from collections.abc import Mapping, Sequence
from typing import Any

from alloop.simulating.run import Run


class Clock:
    """Told of every finished round and run; rounds cost what those of the same strategy and tuner cost so far."""

    def __init__(
        self, runs: Sequence[Run], finished: Mapping[Run, Mapping[str, Any]], rounds: int, workers: int
    ) -> None:
        self.of, self.rounds, self.workers = len(runs), rounds, workers
        self._left = {run: rounds for run in runs if run not in finished}
        self._spent: dict[tuple[str, ...], tuple[float, int]] = {}
        for run, result in finished.items():
            self._note(run, result["seconds"], result["rounds"])

    def _note(self, run: Run, seconds: float, rounds: int) -> None:
        for kind in _kinds(run):
            before = self._spent.get(kind, (0.0, 0))
            self._spent[kind] = (before[0] + seconds, before[1] + rounds)

    def round_done(self, run: Run, number: int, seconds: float) -> None:
        self._note(run, seconds, 1)
        self._left[run] = max(0, self.rounds - number)

    def run_done(self, run: Run) -> None:
        del self._left[run]

    @property
    def seconds_left(self) -> float | None:
        """None before the first round is done."""
        if not self._spent:
            return None
        left = 0.0
        for run, rounds in self._left.items():
            seconds, done = next(self._spent[kind] for kind in _kinds(run) if kind in self._spent)
            left += rounds * seconds / done
        return left / max(1, min(self.workers, len(self._left)))

    def words(self) -> str:
        """Where things stand: "3 of 40 runs; about 12 min left"."""
        stand = f"{self.of - len(self._left)} of {self.of} runs"
        left = self.seconds_left
        return stand if left is None or not self._left else f"{stand}; about {duration_words(left)} left"


def _kinds(run: Run) -> tuple[tuple[str, ...], ...]:
    """The nearest kinds of runs first."""
    return (run.tuner, run.strategy), (run.tuner,), ()


def duration_words(seconds: float) -> str:
    """Seconds as people say them: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
