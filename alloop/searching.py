"""Search a tuner's options by cross-validation, and keep the best in `alloop.toml`, with the evidence.

What is configured is tried first, so that the result is never worse by that measure. What trial k tries depends only on
the trials before it and on the project's seed: a killed search goes on to the same end. The trials are rows of the
table `jobs`, and belong together while the labels, the folds and the options that are not searched stay the same;
Optuna only proposes the next one, and only `_propose` knows it.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit.items

from alloop import config as configs
from alloop.comparing import difference_words, left_out_words
from alloop.crossvalidation import Split, record, run_fold, split, together
from alloop.errors import AlloopError, ConfigError
from alloop.figures import table
from alloop.files import fingerprint, write_whole
from alloop.project import CONFIG, Project, check_plugins, tuner_spec
from alloop.reports import metric_words, with_interval
from alloop.seeds import seed_for
from alloop.steps.besides import stamp
from alloop.store import now
from alloop.tuning import Range, Search, tuners
from alloop.work import TunerSpec

AT_RANDOM = 5  # trials after the configured one, before there is anything to go by
SHOWN, WIDTH = 5, 120  # trials in the table, and its characters
RESULT = ("failed", "value", "low", "high", "log_loss", "decided")
MARK = "# alloop tune, "

Options = dict[str, Any]
Trial = dict[str, Any]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Axis:
    """One direction of the search: from `low` to `high` of one option, or along given `values` of several."""

    options: tuple[str, ...]
    low: float
    high: float
    log: bool = False
    whole: bool = True
    values: tuple[tuple[Any, ...], ...] | None = None

    def options_at(self, point: float) -> Options:
        if self.values is not None:
            return dict(zip(self.options, self.values[int(point)], strict=True))
        return {self.options[0]: int(point) if self.whole else float(f"{point:.3g}")}

    def point_of(self, options: Options) -> float:
        value = tuple(options[one] for one in self.options)
        return float(value[0]) if self.values is None else self.values.index(value)


def tune(
    project: Project,
    trials: int = 20,
    minutes: float = 30.0,
    folds: int = 3,
    on_start: Tell = lambda words: None,
    on_fold: Tell = lambda words: None,
) -> dict[str, Any]:
    """Search until there are so many trials, earlier ones for the same labels included: the JSON of `alloop tune`.

    Begins no trial but the configured one when the time is up. Writes the best options into `alloop.toml` if their
    headline metric is higher than the configured ones'. The winner of many trials is partly lucky: its own value, and
    its difference, are too good.
    """
    _check_optuna()
    with project.lock("alloop tune"):
        check_plugins(project.config, project.root / CONFIG)
        parts = split(project, folds)
        search = _Search(project, parts, tuner_spec(parts.config))
        history = search.history()
        on_start(
            f"Tuning {search.spec.name} on {len(parts.texts):,} labels: {trials} trials of {folds} folds,"
            f"{f' of which {len(history)} are done,' if history else ''} no new one after {minutes:g} minutes."
        )
        stop = time.monotonic() + 60 * minutes
        while search.configured(history) is None or (len(history) < trials and time.monotonic() < stop):
            history.append(search.run_trial(history, on_fold))
        found = _found(search, history, trials)
        if found["changed"]:
            _write(project, search.spec, history[found["best"]]["options"], evidence(found))
        row = project.store.unfinished_round()
        return {**found, "open_round": row.number if row and project.store.step_results(row.number) else None}


def _check_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise AlloopError("alloop tune needs optuna, which is not installed", "pip install 'alloop[tune]'") from error


class _Search:
    """What is searched, and where. `today` are the configured values of the options that are searched."""

    def __init__(self, project: Project, parts: Split, spec: TunerSpec) -> None:
        self.project, self.parts, self.spec = project, parts, spec
        self.space = _space(spec, parts.config.model.warm_start)
        options = {**tuners.options(spec.name), **spec.options}
        searched = [one for names in self.space for one in names]
        self.today = {one: options.pop(one) for one in searched}
        stamps = stamp(project, parts.config, spec)
        self.key = fingerprint([parts.fingerprint, spec.name, options, repr(self.space), *stamps])

    def history(self) -> list[Trial]:
        """The finished trials, in order."""
        jobs = [job for job in self.project.store.jobs("tune") if job.result and job.config["search"] == self.key]
        return [{**job.config, **(job.result or {}), "seconds": job.seconds} for job in jobs]

    def configured(self, history: Sequence[Trial]) -> Trial | None:
        """The trial of today's options, None where they are still to be tried."""
        return next((one for one in history if one["options"] == self.today and "failed" not in one), None)

    def run_trial(self, history: Sequence[Trial], on_fold: Tell) -> Trial:
        """The next trial, recorded: today's options if they are still to be tried, or else what promises most."""
        number, is_today = len(history), self.configured(history) is None
        if is_today:
            options, known = self.today, None
        else:
            tried = [one["options"] for one in history]
            axes = [_axis(self.spec, names, allowed, tried) for names, allowed in self.space.items()]
            options = _propose(axes, history, seed_for(self.parts.config.round.seed, number, "tune"))
            known = next((one for one in history if one["options"] == options), None)
        best = max((one["value"] for one in history if "value" in one), default=None)
        words = f"trial {number + 1}" + ("" if best is None else f" (best so far {best:.3f})")

        def judge() -> dict[str, Any]:
            if known is not None:  # it proposes the same options again when there is little to choose from
                return {key: known[key] for key in RESULT if key in known}
            try:
                return self._judge(options, lambda fold: on_fold(f"{words}: {fold}"))
            except AlloopError as error:
                if is_today:
                    raise
                return {"failed": error.message}  # such as by a learning rate that is too high

        about = {"search": self.key, "trial": number, "tuner": self.spec.name, "options": options}
        config = {**about, "folds": self.parts.folds, "labels": len(self.parts.texts)}
        started = time.monotonic()
        result = record(self.project, "tune", config, judge)
        return {**config, **result, "seconds": time.monotonic() - started}

    def _judge(self, options: Options, on_fold: Tell) -> dict[str, Any]:
        spec = TunerSpec(self.spec.name, {**self.spec.options, **options})
        results = []
        for fold in range(self.parts.folds):
            on_fold(f"fold {fold + 1} of {self.parts.folds}")
            results.append(run_fold(self.project, self.parts, spec, fold))
        decided, loss = together(self.parts, results)
        return {**self.parts.estimate(decided), "log_loss": loss, "decided": decided}


def _space(spec: TunerSpec, warm_start: bool) -> dict[tuple[str, ...], Any]:
    """Names of options -> what may be tried. Raises ConfigError for a tuner that does not say."""
    search: Search | None = getattr(tuners.get(spec.name), "search", None)
    if not search:
        known = [name for name in tuners.names() if getattr(tuners.get(name), "search", None)]
        raise ConfigError(
            f"the tuner {spec.name!r} does not say which of its options may be searched",
            f"these do: {', '.join(known)}; see: alloop plugins tuners {spec.name}",
        )
    return {
        (key,) if isinstance(key, str) else key: allowed
        for key, allowed in search.items()
        if isinstance(allowed, Range) or not (allowed.reshapes and warm_start)
    }


def _axis(spec: TunerSpec, names: tuple[str, ...], allowed: Any, tried: Sequence[Options]) -> Axis:
    """What may be tried, stretched to hold what was tried: somebody may have configured it."""
    if isinstance(allowed, Range):
        values = [one[names[0]] for one in tried]
        whole = isinstance(tuners.options(spec.name)[names[0]], int)
        return Axis(names, min(allowed.low, *values), max(allowed.high, *values), allowed.log, whole)
    given = [one if isinstance(one, tuple) else (one,) for one in allowed.values]
    extra = [value for one in tried if (value := tuple(one[name] for name in names)) not in given]
    stretched = [*given, *dict.fromkeys(extra)]
    if given == sorted(given):
        stretched.sort()
    return Axis(names, 0, len(stretched) - 1, values=tuple(stretched))


def _propose(axes: Sequence[Axis], history: Sequence[Trial], seed: int) -> Options:
    """The next options to try, by a tree-structured Parzen estimator (Bergstra et al. 2011)."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space: dict[str, Any] = {}
    for axis in axes:
        kind: Any = optuna.distributions.IntDistribution if axis.whole else optuna.distributions.FloatDistribution
        space[", ".join(axis.options)] = kind(axis.low, axis.high, log=axis.log)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1 + AT_RANDOM)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    place = {
        one["trial"]: float(n) for n, one in enumerate(sorted(history, key=_goodness))
    }  # it only asks for an order
    for one in history:
        point = {", ".join(axis.options): axis.point_of(one["options"]) for axis in axes}
        study.add_trial(optuna.trial.create_trial(params=point, distributions=space, value=place[one["trial"]]))
    chosen = study.ask(space).params
    return {name: value for axis in axes for name, value in axis.options_at(chosen[", ".join(axis.options)]).items()}


def _goodness(trial: Trial) -> tuple[float, float]:
    """Higher is better. Log loss tells apart what a hundred labels leave equal; a failed trial is the worst."""
    return (-1.0, 0.0) if "failed" in trial else (trial["value"], -trial["log_loss"])


def _found(search: _Search, history: Sequence[Trial], asked: int) -> dict[str, Any]:
    before = search.configured(history)
    assert before is not None
    best = max(history, key=lambda one: (*_goodness(one), one is before, -one["trial"]))
    shown = ("trial", "options", *RESULT[:-1], "seconds")
    return {
        "tuner": search.spec.name,
        "metric": search.parts.headline,
        "labels": len(search.parts.texts),
        "folds": search.parts.folds,
        "left_out": search.parts.left_out,
        "trials": [{key: one[key] for key in shown if key in one} for one in history],
        "asked": asked,
        "before": before["trial"],
        "best": best["trial"],
        "difference": search.parts.difference(best["decided"], before["decided"]),
        "changed": best["value"] > before["value"],
    }


def evidence(found: Mapping[str, Any]) -> str:
    """Why the options are what they are, in a line for the config."""
    best, before = found["trials"][found["best"]], found["trials"][found["before"]]
    return (
        f"{MARK}{now()[:10]}: {metric_words(found['metric'])} {with_interval(best)} against {before['value']:.3f}"
        f" before, {found['labels']} labels, {found['folds']} folds, {len(found['trials'])} trials"
    )


def _write(project: Project, spec: TunerSpec, options: Options, comment: str) -> None:
    """Put options into the config, which somebody may have edited meanwhile; what else it says stays as it is."""
    path = project.root / CONFIG
    config = project.config
    by_hand = f"nothing was written; by hand, into [options.{spec.name}]: {json.dumps(options)}"
    if tuner_spec(config) != spec:
        raise ConfigError(
            f"{path} was edited meanwhile: it has another tuner or other options than were searched", by_hand
        )
    after = with_options(path.read_bytes().decode(), spec.name, options, comment)
    wanted = config.model_dump()
    wanted["options"][spec.name] = {**config.options_of(spec.name), **options}
    if configs.parse(after, str(path)).model_dump() != wanted:
        raise ConfigError(f"{path} has [options.{spec.name}] in a form that cannot be edited", by_hand)
    write_whole(path, after)


def with_options(content: str, tuner: str, options: Mapping[str, Any], comment: str) -> str:
    """A config's text with these in `[options.<tuner>]`, below the comment, which replaces an older one of ours."""
    document: Any = tomlkit.parse(content)
    if "options" not in document:
        document["options"] = tomlkit.table(is_super_table=True)
    old = document["options"].get(tuner)
    if isinstance(old, tomlkit.items.InlineTable):  # has no room for a comment
        old = tomlkit.item(old.unwrap())
    body = [] if old is None else [item for item in old.value.body if not item[1].as_string().strip().startswith(MARK)]
    last = max((place for place, (key, _) in enumerate(body, 1) if key is not None), default=0)
    edited = tomlkit.table()
    edited.add(tomlkit.comment(comment.removeprefix("# ")))
    for key, item in body[:last]:
        edited.append(key, item) if key is not None else edited.add(item)
    for option, value in options.items():
        edited[option] = value
    for _, item in body[last:]:  # what stands between this table and the next one
        edited.add(item)
    document["options"][tuner] = edited
    return tomlkit.dumps(document)


def as_text(found: Mapping[str, Any]) -> str:
    """The best trials and the configured one, for reading."""
    best, before = found["trials"][found["best"]], found["trials"][found["before"]]
    good = sorted((one for one in found["trials"] if "value" in one), key=_goodness, reverse=True)
    rows = [one for place, one in enumerate(good) if place < SHOWN or one in (best, before)]
    trials = f"{len(found['trials'])} trials of {found['folds']} folds"
    title = f"{found['tuner']}: the best of {trials} on {found['labels']:,} labels"
    header = ("trial", metric_words(found["metric"]), "log loss", *before["options"])
    cells = [
        (
            f"{one['trial'] + 1}{', as configured' if one is before else ''}",
            with_interval(one),
            f"{one['log_loss']:.3f}",
            *(str(value) for value in one["options"].values()),
        )
        for one in rows
    ]
    return table(title, header, cells, WIDTH, words={0, 1})


def words(found: Mapping[str, Any], root: Path) -> list[str]:
    """What came of it, in sentences."""
    best, before = found["trials"][found["best"]], found["trials"][found["before"]]
    done = len(found["trials"])
    failed = sum("failed" in one for one in found["trials"])
    said = left_out_words(found)
    if failed:
        said.append(f"note: {failed} of {done} trials failed; --json says why.")
    if done < found["asked"]:
        said.append(f"Time was up after {done} of {found['asked']} trials; the same command goes on.")
    if not found["changed"]:
        return [*said, f"No trial had a higher {metric_words(found['metric'])}: the settings were left as they are."]
    said.append(
        f"The best differs by {difference_words(found['difference'])} from what was configured. The best of {done}"
        " trials is partly lucky: expect less of a difference on new texts."
    )
    if (after := best["log_loss"]) > (then := before["log_loss"]):
        said.append(f"note: log loss is worse, {after:.3f} against {then:.3f}: trust its probabilities less.")
    said.append(f"Wrote [options.{found['tuner']}] into {root / CONFIG}.")
    if found["open_round"] is not None:
        said.append(f"Round {found['open_round']} is open and keeps its settings; the next one takes these.")
    return said
