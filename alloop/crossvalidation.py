"""Cross-validation on a project's own labels: each text is judged by a model that was trained without it.

Everybody who asks sees the same folds: they depend on the labels, the number of folds and the project's seed alone.
Test texts take no part. Models are trained as a round trains them, but start from the base and see no variants.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from alloop import metrics
from alloop.config import Config, restore
from alloop.errors import ConfigError, DataError
from alloop.files import fingerprint
from alloop.metrics import Metric
from alloop.project import CONFIG, MIXUP, Project, tuner_spec
from alloop.records import Example
from alloop.reports import command
from alloop.seeds import rng_for, seed_for
from alloop.steps.besides import besides
from alloop.steps.context import read_json
from alloop.steps.pull import agreed, settled
from alloop.steps.train import held_back
from alloop.store import Resolved
from alloop.tuning import FitJob
from alloop.tuning._folds import without
from alloop.work import TunerSpec, load_predictions, write_fit, write_predict

Interval = dict[str, float | None]  # value, low, high


@dataclass(frozen=True)
class Split:
    """The labelled texts in id order, and the fold each of them is judged in."""

    config: Config
    resolved: tuple[Resolved, ...]
    texts: tuple[str, ...]
    fold: tuple[int, ...]
    folds: int

    @cached_property
    def y(self) -> np.ndarray:
        """The truth (N, C), ones and zeros."""
        names = self.config.task.names
        return np.array([[float(name in one.labels) for name in names] for one in self.resolved])

    @cached_property
    def fingerprint(self) -> str:
        """Stands for all that a result may depend on, besides the tuner."""
        labels = [[one.text_id, one.labels] for one in self.resolved]
        return fingerprint([labels, self.folds, self.config.round.seed, self.config.task.model_dump()])

    @property
    def headline(self) -> str:
        """The name of the metric that decides."""
        return "accuracy" if self.config.task.kind == "single" else "f1_micro"

    @property
    def left_out(self) -> list[str]:
        """What this project's rounds train with and cross-validation does not, in words."""
        use = self.config.augment.use
        more = (["variants"] if set(use) - {MIXUP} else []) + (["mixtures"] if MIXUP in use else [])
        return more + (["a warm start"] if self.config.model.warm_start else [])

    def judged_in(self, fold: int) -> list[int]:
        """The rows of the texts that a fold judges."""
        return [row for row, one in enumerate(self.fold) if one == fold]

    def fit_job(self, fold: int) -> FitJob:
        """What the model that judges a fold is trained on: all the other texts."""
        config = self.config
        learnt = [row for row, one in enumerate(self.fold) if one != fold]
        dev = held_back([self.resolved[row] for row in learnt])
        examples: dict[bool, list[Example]] = {True: [], False: []}  # by whether it is held back
        for row in learnt:
            one = self.resolved[row]
            examples[one.text_id in dev].append(Example(self.texts[row], one.labels))
        return FitJob(
            train=examples[False],
            dev=examples[True] or None,
            kind=config.task.kind,
            labels=config.task.names,
            descriptions={label.name: label.description for label in config.task.labels if label.description},
            seed=seed_for(config.round.seed, fold, "cross-validation"),
        )

    def estimate(self, decided: Sequence[Sequence[int]]) -> Interval:
        """The headline metric of decisions, by row the columns of the labels given, with its 95 % interval.

        The interval is of the texts, as if the models stood: that other labels would have made other models is not in
        it. Texts that a strategy picked are harder than most, so that differences mean more than the value.
        """
        found = metrics.evaluate(self.y, self._as_probs(decided), self.config.task.kind, (), self._rng())
        return _as_json(next(one for one in found if one.name == self.headline))

    def difference(self, decided: Sequence[Sequence[int]], others: Sequence[Sequence[int]]) -> Interval:
        """How much better some decisions are than others on the same texts, with its 95 % interval."""
        one, other = self._as_probs(decided), self._as_probs(others)
        return _as_json(metrics.difference(self.headline, self.y, one, other, self.config.task.kind, self._rng()))

    def _as_probs(self, decided: Sequence[Sequence[int]]) -> np.ndarray:
        probs = np.zeros(self.y.shape)
        for row, columns in enumerate(decided):
            probs[row, list(columns)] = 1
        return probs

    def _rng(self) -> np.random.Generator:
        return rng_for(self.config.round.seed, 0, "cross-validation")


def split(project: Project, folds: int, labels: Sequence[Resolved] | None = None) -> Split:
    """The project's labels, or those given in id order, in `folds` parts. Raises DataError where they are too few."""
    config = project.config
    resolved = settled(_labels(project, config), config.task.kind) if labels is None else labels
    texts = project.store.texts([one.text_id for one in resolved])
    groups = _groups(resolved)
    _check_enough(project, groups, folds)
    fold: dict[str, int] = {}
    rng = rng_for(config.round.seed, 0, "folds")
    for ids in groups.values():
        for text_id in rng.permutation(sorted(ids)).tolist():
            fold[text_id] = len(fold) % folds  # goes on from group to group, so that all folds are of one size
    return Split(config, tuple(resolved), tuple(t.text for t in texts), tuple(fold[t.id] for t in texts), folds)


def _labels(project: Project, config: Config) -> list[Resolved]:
    """What the newest finished pull resolved, or would; under today's names of the labels."""
    store, task = project.store, config.task
    for row in reversed(store.rounds()):
        if "pull" in store.step_results(row.number):
            then = restore(row.config).task
            if then.kind != task.kind:
                raise ConfigError(
                    f"{project.root / CONFIG}: task.kind is {task.kind!r}, the labels were given for {then.kind!r}",
                    "set it back",
                )
            found = store.resolved(row.number, "pool")
            today = [(one, tuple(task.rename.get(label, label) for label in one.labels)) for one in found]
            return [replace(one, labels=labels) for one, labels in today if set(labels) <= set(task.names)]
    test = set(store.test_ids())
    return [one for one in agreed(project, config)[0] if one.text_id not in test]


def _groups(resolved: Sequence[Resolved]) -> dict[str, list[str]]:
    """The ids of the texts of each label; a text of several counts for the rarest, one of none for "none"."""
    count: dict[str, int] = defaultdict(int)
    for one in resolved:
        for label in one.labels:
            count[label] += 1
    groups: dict[str, list[str]] = defaultdict(list)
    for one in resolved:
        groups[min(one.labels, key=lambda label: (count[label], label), default="none")].append(one.text_id)
    return dict(sorted(groups.items()))


def _check_enough(project: Project, groups: Mapping[str, Sequence[str]], folds: int) -> None:
    """Two labels with a text in every fold, so that each model has something to tell apart."""
    sizes = sorted((len(ids) for ids in groups.values()), reverse=True)
    if len([size for size in sizes if size >= folds]) >= 2:
        return
    there = ", ".join(f"{name} {len(ids)}" for name, ids in groups.items()) or "none"
    smaller = f"--folds {sizes[1]}, or " if len(sizes) > 1 and sizes[1] >= 2 else ""
    raise DataError(
        f"{folds} folds need {folds} labelled texts or more of two labels at least; there are: {there}",
        f"{smaller}label more: {command('round', project.root)}",
    )


def spec_of(config: Config, tuner: str) -> TunerSpec:
    """A tuner as it would be if the config named it. Raises ConfigError for an unknown one or a wrong option."""
    model = config.model.model_copy(update={"tuner": tuner})
    spec = tuner_spec(config.model_copy(update={"model": model}))
    spec.build()
    return spec


def run_fold(project: Project, split: Split, spec: TunerSpec, fold: int, also: Sequence[str] = ()) -> dict[str, Any]:
    """Train without a fold and judge it. Returns JSON: what was decided and what it took; writes nothing.

    "decided" has for each row of `split.judged_in(fold)` the columns of its labels. `also` are texts predicted for the
    sake of the time it takes.
    """
    rows = split.judged_in(fold)
    probs, took = judge_fold(project, split, spec, fold, also)
    kind = split.config.task.kind
    return {
        "decided": [np.flatnonzero(row).tolist() for row in metrics.decide(probs, kind)],
        "log_loss": metrics.log_loss(split.y[rows], probs, kind),
        **took,
    }


def judge_fold(
    project: Project, split: Split, spec: TunerSpec, fold: int, also: Sequence[str] = ()
) -> tuple[np.ndarray, dict[str, Any]]:
    """Train without a fold: probs (n, C) of the texts that it judges, and what that took."""
    rows, labelled = split.judged_in(fold), {one.text_id for one in split.resolved}
    judging = {split.resolved[row].text_id for row in rows} | (project.store.asked_ids() - labelled)
    texts = [*(split.texts[row] for row in rows), *also]
    probs, took = fit_and_predict(project, split, spec, split.fit_job(fold), texts, judging)
    return probs[: len(rows)], took


def fit_and_predict(
    project: Project, split: Split, spec: TunerSpec, job: FitJob, texts: Sequence[str], judging: Collection[str]
) -> tuple[np.ndarray, dict[str, Any]]:
    """probs (N, C) of texts by a model trained for them alone, and what that took; `judging` are ids it may not see."""
    executor, spec = project.executor(split.config), project.learner(spec)
    more = besides(project, split.config, spec, {one.text_id for one in split.resolved}, judging)
    job = replace(job, **more.fields)
    job = replace(job, others=without(job.others, [one.text for one in job.dev or ()]))
    with project.scratch("fit") as fit, project.scratch("judge") as judge:
        write_fit(fit, spec, job)
        fit_seconds = _seconds(lambda: executor.run(fit.absolute()))
        write_predict(judge, spec, (fit / "out").absolute(), texts, ("probs",), job.seed)
        predict_seconds = _seconds(lambda: executor.run(judge.absolute()))
        probs = load_predictions(judge / "out").probs
        assert probs is not None
        return np.array(probs), {
            "fit_seconds": fit_seconds,
            "predict_seconds": predict_seconds,
            "predicted": len(texts),
            "bytes": _bytes(fit / "out"),
            "measured": read_json(fit / "result.json"),
        }


def together(split: Split, results: Sequence[Mapping[str, Any]]) -> tuple[list[list[int]], float]:
    """What was decided of every text, in their order, and the log loss, from the results of all folds."""
    decided: list[list[int]] = [[] for _ in split.fold]
    loss = 0.0
    for fold, result in enumerate(results):
        rows = split.judged_in(fold)
        loss += result["log_loss"] * len(rows)
        for row, columns in zip(rows, result["decided"], strict=True):
            decided[row] = columns
    return decided, loss / len(decided)


def record(project: Project, kind: str, config: Mapping[str, Any], do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do a job and write down when it started, when it was finished and what came of it."""
    with project.store.transaction():
        job = project.store.add_job(kind, config)
    result = do()
    with project.store.transaction():
        project.store.finish_job(job, result)
    return result


def _seconds(do: Callable[[], None]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def _as_json(metric: Metric) -> Interval:
    return {"value": metric.value, "low": metric.low, "high": metric.high}


def _bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
