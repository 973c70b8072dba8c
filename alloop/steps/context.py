"""What every step is given: the round, its config, its results so far, and directories made again when damaged."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from alloop.advice import advise, history
from alloop.config import Config, restore
from alloop.errors import DataError
from alloop.files import fingerprint, is_whole
from alloop.project import Project
from alloop.seeds import seed_for
from alloop.store import RoundRow
from alloop.work import write_predict


@dataclass(frozen=True)
class Context:
    """One round of a project while it runs.

    What the command asked for this time: `push` and `until_labels` limit what is asked of annotators, `now` does not
    wait for them, `low_water` waits until fewer tasks than that are open.
    """

    project: Project
    round: RoundRow
    push: bool = True
    now: bool = False
    low_water: int | None = None
    until_labels: int | None = None

    @property
    def room(self) -> int:
        """How many more texts may be asked about."""
        if not self.push or self.stopped is not None:
            return 0
        batch = self.config.round.batch
        if self.until_labels is None:
            return batch
        store = self.project.store
        expected = len(store.resolved(self.round.number, "pool")) + store.open_tasks()
        return max(0, min(batch, self.until_labels - expected))

    @cached_property
    def stopped(self) -> dict[str, str] | None:
        """What `run.stop` names, as {"rule", "evidence"}, where it says stop; known once the round has evaluated."""
        name = self.config.run.stop
        if name is None:
            return None
        said = advise(self.config, name, history(self.project.store, self.round.number))
        return {"rule": name, "evidence": said.evidence} if said.stop else None

    @cached_property
    def config(self) -> Config:
        """The config as it was when the round began."""
        return restore(self.round.config)

    @cached_property
    def selectable(self) -> list[str]:
        """Pool texts that nobody labelled and nobody was asked about, in id order, once the pull is finished."""
        store = self.project.store
        taken = store.asked_ids() | {one.text_id for one in store.resolved(self.round.number, "pool")}
        return [one for one in store.pool_ids() if one not in taken]

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """The results of the round's finished steps."""
        return self.project.store.step_results(self.round.number)

    def seed(self, purpose: str) -> int:
        return seed_for(self.round.seed, self.round.number, purpose)

    def directory(self, step: str, ingredients: Any) -> Path:
        """Where a step publishes what these ingredients make."""
        return self.project.round_path(self.round.number) / f"{step}-{fingerprint(ingredients)}"

    def relative(self, path: Path) -> str:
        return str(path.relative_to(self.project.root))

    def published(self, step: str) -> Path | None:
        """The directory a finished step of this round wrote, None where it was skipped."""
        return published(self.project, self.round, step)

    def predict(self, model: Path | None, texts: Sequence[str], needs: Sequence[str], out: Path) -> None:
        """Predictions for texts as `.npy` files in the directory `out`; none for no texts."""
        if texts:
            spec = self.project.tuner(self.config)
            model = model and model.absolute()
            self.run_job(lambda job: write_predict(job, spec, model, texts, needs, self.seed("predict")), out)

    def run_job(self, write: Callable[[Path], None], out: Path) -> None:
        """Let the executor do a job; its results, and what it measured as `measured.json`, appear in `out`."""
        self.project.run_job(self.config, write, out)


@dataclass(frozen=True)
class Step:
    """`do` is slow, repeatable and writes no database; `save` is short and part of one transaction.

    `save(context, done)` returns the step's result, or None to say that the round has to wait.
    """

    name: str
    do: Callable[[Context], Any]
    save: Callable[[Context, Any], dict[str, Any] | None]


def published(project: Project, row: RoundRow, step: str) -> Path | None:
    """The directory a step wrote, made again where it is missing or damaged; None where it wrote none.

    Raises DataError where the same directory cannot be made any more.
    """
    result = project.store.step_results(row.number).get(step, {})
    if "directory" not in result:
        return None
    directory = project.path(result["directory"])
    if not is_whole(directory):
        from alloop.steps import STEPS  # here, because the steps import this module

        next(one for one in STEPS if one.name == step).do(Context(project, row))
        if not is_whole(directory):
            raise DataError(
                f"{directory} is missing or damaged, and making it again gives something else",
                f"was a text removed since? Go on with: alloop round {project.root} --abandon",
            )
    return directory


def write_ids(directory: Path, ids: Sequence[str]) -> None:
    """The ids that the rows of a directory's arrays belong to."""
    (directory / "ids.txt").write_text("".join(f"{one}\n" for one in ids))


def read_ids(directory: Path) -> list[str]:
    return (directory / "ids.txt").read_text().split()


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
