"""One simulated run: an ordinary project with the simulated annotator, rounds until the budget is spent, its curve.

A finished run is one JSON file; its project is deleted. A run that was killed goes on with the project it left.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from alloop.config import Config
from alloop.files import write_whole
from alloop.project import CONFIG, DATABASE, Project
from alloop.reports import report
from alloop.rounds import run_round

POOL = "pool"  # the project whose texts every run copies; it has no rounds
PROJECTS = "projects"
RUNS = "runs"
RANDOM = "random"  # the strategy that others are compared with


@dataclass(frozen=True)
class Run:
    """What makes a run different from the others of its directory."""

    strategy: str
    tuner: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.strategy}.{self.tuner}.{self.seed}"

    def __str__(self) -> str:
        return f"{self.strategy}, {self.tuner}, seed {self.seed}"


def result_of(out: Path, run: Run) -> dict[str, Any] | None:
    """A finished run's JSON, None for another."""
    try:
        found: dict[str, Any] = json.loads((out / RUNS / f"{run.name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def finish(out: Path, run: Run, config: Config, budget: int, keep: bool) -> Iterator[tuple[int, float]]:
    """Do what is left of a run; yields the number and the seconds of each round when it is finished."""
    root = out / PROJECTS / run.name
    if not (root / DATABASE).exists():
        _copy_pool(out / POOL, root, config)
    with Project.opened(root) as project:
        while not _is_over(project):
            outcome = run_round(project, until_labels=budget, command="alloop simulate")
            yield outcome.number, sum(project.store.step_seconds(outcome.number).values())
        write_whole(out / RUNS / f"{run.name}.json", json.dumps(_result(project, run), ensure_ascii=False))
    if not keep:
        shutil.rmtree(root)


def _copy_pool(pool: Path, root: Path, config: Config) -> None:
    attempt = root.with_name(f".{root.name}.new")
    shutil.rmtree(attempt, ignore_errors=True)
    attempt.mkdir(parents=True, mode=0o700)
    with Project.opened(pool) as texts:
        texts.store.backup(attempt / DATABASE)
    (attempt / CONFIG).write_text(as_toml(config), encoding="utf-8")
    attempt.rename(root)


def _is_over(project: Project) -> bool:
    """Whether the last round asked nothing, because the budget is spent or no text is left."""
    row = project.store.last_round()
    return row is not None and row.finished_at is not None and not row.summary["pushed"]


def _result(project: Project, run: Run) -> dict[str, Any]:
    found = report(project)
    rounds = project.store.rounds()
    return {
        "strategy": run.strategy,
        "tuner": run.tuner,
        "seed": run.seed,
        "points": found["points"],
        "rounds": len(rounds),
        "seconds": round(sum(sum(project.store.step_seconds(row.number).values()) for row in rounds), 3),
    }


def as_toml(config: Config) -> str:
    """A config as a file that reads as an equal one."""
    return tomlkit.dumps(_without_none(config.model_dump(by_alias=True)))


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }
