"""One job, fit, predict or adapt, as a directory: what to do in `job.json` and JSON lines beside it, results in `out/`.

A job never opens the database, so that it can run in any process. `python -m alloop.work JOB` runs one;
`python -m alloop.work JOB together`, in several processes, has them join each other first.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from alloop.errors import AlloopError
from alloop.records import Example
from alloop.tuning import FitJob, Mixup, OtherTask, Predictions, Tuner, tuners
from alloop.tuning._adapting import AdaptJob, adapt
from alloop.tuning._together import is_main, join, leave


@dataclass(frozen=True)
class TunerSpec:
    """A tuner by name, with its options: all that another process needs to build it."""

    name: str
    options: Mapping[str, Any]

    def build(self) -> Tuner:
        return tuners.build(self.name, **self.options)


def write_fit(job: Path, tuner: TunerSpec, fit: FitJob) -> None:
    """Describe a fit in an empty directory."""
    _write_examples(job / "train.jsonl", fit.train)
    if fit.dev is not None:
        _write_examples(job / "dev.jsonl", fit.dev)
    if fit.unlabelled is not None:
        _write_texts(job / "unlabelled.jsonl", fit.unlabelled)
    settings = {
        "kind": fit.kind,
        "labels": fit.labels,
        "seed": fit.seed,
        "descriptions": fit.descriptions,
        "init": None if fit.init is None else str(fit.init),
        "members": fit.members,
        "mixup": None if fit.mixup is None else dataclasses.asdict(fit.mixup),
        "others": [{"name": one.name, "kind": one.kind, "labels": one.labels} for one in fit.others],
    }
    for number, other in enumerate(fit.others):
        _write_examples(job / f"other-{number}.jsonl", other.train)
    _write_job(job, "fit", tuner, settings)


def write_predict(
    job: Path, tuner: TunerSpec, model: Path | None, texts: Sequence[str], needs: Sequence[str], seed: int
) -> None:
    """Describe a prediction in an empty directory."""
    _write_texts(job / "texts.jsonl", texts)
    settings = {"model": None if model is None else str(model), "needs": list(needs), "seed": seed}
    _write_job(job, "predict", tuner, settings)


def write_adapt(job: Path, adaptation: AdaptJob) -> None:
    """Describe the adaptation of a base in an empty directory."""
    settings = {field.name: getattr(adaptation, field.name) for field in dataclasses.fields(adaptation)}
    for name in ("train", "held_back"):
        _write_texts(job / f"{name}.jsonl", settings.pop(name))
    (job / "job.json").write_text(json.dumps({"job": "adapt", "settings": settings}))


def run_job(job: Path) -> None:
    """Do what `job/job.json` says. Fills `job/out`; what a fit or an adaptation measured is in `job/result.json`.

    Of several processes that were asked to do one job together all fit, only the main one predicts, adapts and writes.
    """
    description = json.loads((job / "job.json").read_text())
    if not is_main():
        if description["job"] == "fit":
            with TemporaryDirectory() as nowhere:
                _do(job, description, Path(nowhere))
        return
    out = job / "out"
    out.mkdir()
    measured = _do(job, description, out)
    if measured is not None:
        (job / "result.json").write_text(json.dumps(measured))


def _do(job: Path, description: Mapping[str, Any], out: Path) -> dict[str, Any] | None:
    """Fill `out`; returns what was measured, None of a prediction."""
    settings = description["settings"]
    if description["job"] == "adapt":
        train, held_back = (list(_read_lines(job / f"{name}.jsonl")) for name in ("train", "held_back"))
        return adapt(AdaptJob(train=train, held_back=held_back, **settings), out)
    tuner = TunerSpec(description["tuner"], description["options"]).build()
    if description["job"] == "fit":
        init, others, mixup = settings.pop("init"), settings.pop("others"), settings.pop("mixup")
        settings["labels"] = tuple(settings["labels"])
        fit = FitJob(
            train=_read_examples(job / "train.jsonl"),
            dev=_read_examples(job / "dev.jsonl") if (job / "dev.jsonl").exists() else None,
            unlabelled=list(_read_lines(job / "unlabelled.jsonl")) if (job / "unlabelled.jsonl").exists() else None,
            init=None if init is None else Path(init),
            mixup=None if mixup is None else Mixup(**mixup),
            others=[
                OtherTask(one["name"], one["kind"], tuple(one["labels"]), _read_examples(job / f"other-{number}.jsonl"))
                for number, one in enumerate(others)
            ],
            **settings,
        )
        return tuner.fit(fit, out)
    texts = list(_read_lines(job / "texts.jsonl"))
    model = None if settings["model"] is None else Path(settings["model"])
    needs = settings["needs"]
    save_predictions(out, tuner.predict(model, texts, needs, settings["seed"]), needs)
    return None


def save_predictions(directory: Path, predictions: Predictions, needs: Sequence[str]) -> None:
    """One `.npy` file for every array that was asked for; a tuner may give more."""
    for name in needs:
        np.save(directory / f"{name}.npy", getattr(predictions, name))


def load_predictions(directory: Path) -> Predictions:
    """What `save_predictions` wrote, memory-mapped."""
    names = [field.name for field in dataclasses.fields(Predictions)]
    arrays = {
        name: np.load(directory / f"{name}.npy", mmap_mode="r")
        for name in names
        if (directory / f"{name}.npy").exists()
    }
    return Predictions(**arrays)


def _write_job(job: Path, kind: str, tuner: TunerSpec, settings: Mapping[str, Any]) -> None:
    description = {"job": kind, "tuner": tuner.name, "options": dict(tuner.options), "settings": settings}
    (job / "job.json").write_text(json.dumps(description, ensure_ascii=False))


def _write_texts(path: Path, texts: Sequence[str]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(text) + "\n" for text in texts)


def _write_examples(path: Path, examples: Sequence[Example]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps([e.text, list(e.labels), e.is_variant]) + "\n" for e in examples)


def _read_examples(path: Path) -> list[Example]:
    return [Example(text, tuple(labels), is_variant) for text, labels, is_variant in _read_lines(path)]


def _read_lines(path: Path) -> Iterator[Any]:
    with open(path, encoding="utf-8") as file:
        yield from map(json.loads, file)


def main() -> int:
    """Run the job named on the command line; why it failed goes to its `error.txt`."""
    job = Path(sys.argv[1])
    try:
        if sys.argv[2:] == ["together"]:
            join()
        run_job(job)
        leave()
    except AlloopError as error:
        (job / "error.txt").write_text(f"{error.message}\n{error.hint or ''}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
