"""Whole loops with a simulated annotator, over strategies, tuners and seeds, by the engine that runs live rounds.

DIR/  settings.json  pool/  runs/margin.lora.0.json  projects/…  summary.json  curves.csv  curves.png  curves.html

Every run has a seed of its own and copies the same texts, so that runs of one seed differ in nothing but what is
compared. What is finished is kept: after a kill the same call goes on, and a call with more strategies, tuners or seeds
does what is missing. Anything else that a result depends on must be as it was.
"""

import fcntl
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alloop import config as configs
from alloop.annotators.simulated import Simulated
from alloop.config import Config
from alloop.errors import ConfigError, DataError, LockedError, UsageError, did_you_mean
from alloop.executors import executors
from alloop.files import is_whole, publish, write_whole
from alloop.intake import Intake
from alloop.project import DATABASE, Project, check_plugins, tuner_spec
from alloop.registry import Registry
from alloop.reports import metric_words
from alloop.simulating.clock import Clock, duration_words
from alloop.simulating.results import annotators_words, summarise, write_curves, write_summary
from alloop.simulating.run import POOL, PROJECTS, RANDOM, RUNS, Run, result_of
from alloop.simulating.source import Setup, Source, load, setup
from alloop.simulating.workers import LOGS, Order, cores, finish_all
from alloop.stopping import stopping
from alloop.strategies import strategies
from alloop.tuning import tuners
from alloop.tuning._vectors import write_vectors
from alloop.work import load_predictions, write_predict

SETTINGS = "settings.json"
LOCK = ".lock"
VECTORS = "vectors"
BUDGET = 200  # labels, unless said, but no more than half of the pool
MOST_WORKERS = 8  # unless said: each holds its own base in memory

Say = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """What is compared, over how many labels and seeds. Empty strategies or tuners: the config's own."""

    strategies: Sequence[str] = ()
    tuners: Sequence[str] = ()
    budget: int | None = None
    seeds: int = 5
    metric: str | None = None
    targets: Sequence[float] = ()
    workers: int | None = None
    keep: bool = False


def _silent(words: str) -> None:
    return None


def simulate(
    out: Path, source: Source, study: Study, on_note: Say = _silent, on_round: Say = _silent, on_run: Say = _silent
) -> dict[str, Any]:
    """Do the runs that are missing, and say what all of them show: the JSON of `alloop simulate`, files in `out`.

    Raises ConfigError for an unknown plug-in or an `out` with other settings before any work, DataError naming the
    file whose labels are missing, LockedError while another process works in `out`, and what a run raises.
    """
    study = _checked(source, study)
    with _loaded(out, source, study, on_note) as pool:
        shared = setup(out, source)
        if "features" in study.tuners:
            shared = shared.with_vectors(out / VECTORS)
        texts, batch = pool.store.counts()["pool"], shared.config.round.batch
        budget = study.budget or max(batch, min(BUDGET, texts // 2))
        if budget > texts:
            raise UsageError(f"the budget is {budget} labels, the pool has {texts} texts", f"--budget {texts}")
        runs = [
            Run(strategy, tuner, seed)
            for tuner, strategy, seed in itertools.product(study.tuners, study.strategies, range(study.seeds))
        ]
        own = {run: shared.config_of(run) for run in runs}
        for run in runs[:: study.seeds]:
            check_plugins(own[run])
        finished = {run: result for run in runs if (result := result_of(out, run)) is not None}
        orders = [Order(run, own[run].snapshot(), budget, study.keep) for run in runs if run not in finished]
        workers = max(1, min(study.workers or min(cores(), MOST_WORKERS), len(orders)))
        clock = Clock(runs, finished, -(-budget // batch) + 1, workers)
        if any(order.run.tuner == "features" for order in orders):
            _read_once(out / VECTORS, pool, shared, on_note)
        if orders:
            on_note(annotators_words(annotators(own[runs[0]])))
            on_note(f"{clock.words()}; {workers} at a time, {budget} labels each in batches of {batch}")
        metric = study.metric or ("accuracy" if shared.config.task.kind == "single" else "f1_micro")
        with closing(finish_all(out, orders, workers)) as done:  # its processes end with us, however that comes
            for run, number, seconds in done:
                if number is not None:
                    clock.round_done(run, number, seconds)
                    on_round(f"{clock.words()}; {run}: round {number} done")
                    continue
                clock.run_done(run)
                on_run(f"{clock.words()}; {_ended(out, run, metric)}")
        shutil.rmtree(out / LOGS, ignore_errors=True)
        if not study.keep:
            _remove_projects(out, runs)
        results = [result for run in runs if (result := result_of(out, run)) is not None]
        found = summarise(results, metric, study.targets)
        found = {"budget": budget, "batch": batch, "annotators": annotators(own[runs[0]]), **found}
        write_summary(out, found)
        write_curves(out, found, metric)
    return {"runs": results, **found}


def annotators(config: Config) -> dict[str, Any]:
    """Who labels in the runs: {"annotators_per_text", "annotators", "error_rate", "skip_rate", "consensus"}."""
    one = Simulated(**config.options_of("simulated"))
    rates = {"error_rate": one.error_rate, "skip_rate": one.skip_rate}
    asked = {"annotators_per_text": config.annotate.annotators_per_text, "annotators": one.annotators}
    return {**asked, **rates, "consensus": config.annotate.consensus}


def _checked(source: Source, study: Study) -> Study:
    """The study with its strategies and tuners named; what is wrong with it is said before any work."""
    values = source.values()
    round_ = configs.Round.model_validate(values.get("round", {}))
    model = configs.Model.model_validate(values.get("model", {}))
    names = (
        list(dict.fromkeys(study.strategies or (round_.strategy, RANDOM))),
        list(dict.fromkeys(study.tuners or (model.tuner,))),
    )
    registries: tuple[Registry[Any], Registry[Any]] = (strategies, tuners)
    for registry, wanted in zip(registries, names, strict=True):
        for name in wanted:
            registry.get(name)
    _check_options(source, {*names[0], *names[1]})
    batch = source.batch or round_.batch
    if study.budget is not None and study.budget < batch:
        raise UsageError(f"the budget is {study.budget} labels, a batch has {batch}", f"--batch {study.budget}")
    return replace(study, strategies=names[0], tuners=names[1])


def _check_options(source: Source, compared: set[str]) -> None:
    """A table of options belongs to a plug-in that the config or a run uses; a misspelt one is not passed over."""
    if source.template is None:
        return
    config = configs.load(source.template)
    used = {*compared, config.round.cold_start, *config.augment.use, "simulated"}
    used |= {config.round.strategy, config.model.tuner, config.run.executor}
    used |= {config.annotate.backend, config.annotate.consensus}
    for name in config.options:
        if name not in used and name not in stopping.names():
            near = did_you_mean(name, used)
            raise ConfigError(
                f"{source.template}: [options.{name}] belongs to no plug-in used here: {', '.join(sorted(used))}",
                f"did you mean {near!r}?" if near else "remove the table",
            )


@contextmanager
def _loaded(out: Path, source: Source, study: Study, on_note: Say) -> Iterator[Project]:
    """The pool of this simulation, loaded if it was not yet, and nobody else at work in the directory."""
    wanted = json.loads(json.dumps({"version": 1, "budget": study.budget, "keep": study.keep, **source.settings()}))
    if out.exists() and not (out.is_dir() and (_is_ours(out) or not any(out.iterdir()))):
        raise ConfigError(f"{out} is there already, and is no simulation", "--out with another name")
    made = _first_missing(out)
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone_in(out):
        is_new = not (out / SETTINGS).exists()
        if is_new:
            write_whole(out / SETTINGS, json.dumps(wanted, ensure_ascii=False, indent=1) + "\n")
        _check_settings(out, wanted)
        if not (out / POOL / DATABASE).exists():
            shutil.rmtree(out / POOL, ignore_errors=True)  # an attempt that was killed
            try:
                for note in _notes(load(out, source)):
                    on_note(note)
            except BaseException:
                if is_new:
                    _remove(out, made)
                raise
        try:
            with Project.opened(out / POOL) as pool:
                yield pool
        except (ConfigError, DataError, UsageError):
            if is_new and not (out / RUNS).exists():  # so that what was wrong can be corrected
                _remove(out, made)
            raise


def _is_ours(out: Path) -> bool:
    return (out / SETTINGS).exists() or [one.name for one in out.iterdir()] == [LOCK]


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Raises LockedError while another process simulates there; the kernel lets go when a process dies."""
    with open(out / LOCK, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"another alloop simulate works in {out}", "wait until it is done") from None
        yield


def _check_settings(out: Path, wanted: Mapping[str, Any]) -> None:
    there = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    different = [_change(key, there.get(key), wanted[key]) for key in wanted if there.get(key) != wanted[key]]
    if different:
        raise ConfigError(
            f"{out} has runs with other settings: {'; '.join(different)}",
            f"--out with another name, or remove it: rm -r {out}",
        )


def _change(key: str, before: Any, after: Any) -> str:
    """A setting and its two values, where these mean something to people."""
    if isinstance(before, bool | int | None) and isinstance(after, bool | int | None):
        was, is_ = (("not given" if one is None else json.dumps(one)) for one in (before, after))
        return f"{key} was {was}, is {is_}"
    return f"{key} differs"


def _remove(out: Path, made: Path | None) -> None:
    """Leave no more than there was."""
    shutil.rmtree(made or out)
    if made is None:
        out.mkdir(mode=0o700)


def _first_missing(path: Path) -> Path | None:
    """The outermost directory that would be made, None where the directory is there."""
    made = None if path.exists() else path.absolute()
    while made is not None and not made.parent.exists():
        made = made.parent
    return made


def _notes(done: Intake) -> list[str]:
    of_test = f", {done.test or done.held_out} test texts" if done.test or done.held_out else ""
    return [*(f"note: {note}" for note in done.notes), f"Read {done.new - done.held_out} pool texts{of_test}."]


def _read_once(directory: Path, pool: Project, shared: Setup, on_note: Say) -> None:
    """Let the tuner `features` find the vector of every text there, read once for all runs.

    A vector's last bits depend on which texts are read together, so that live rounds may differ by as much. A pool
    above `round.candidates` is left to the runs, which read a part of it.
    """
    ids = [*pool.store.pool_ids(), *pool.store.test_ids()]
    if len(ids) > shared.config.round.candidates or is_whole(directory):
        return
    spec = tuner_spec(shared.config_of(Run(RANDOM, "features", 0)))
    texts = [text.text for text in pool.store.texts(ids)]
    on_note(f"Reading {len(texts):,} texts once for all runs of features.")

    def fill(attempt: Path) -> None:
        with pool.lock("alloop simulate"), pool.scratch("vectors") as job:
            write_predict(job, spec, None, texts, ("embeddings",), 0)
            executors.build("subprocess").run(job.absolute())  # so that the memory is free again for the workers
            vectors = load_predictions(job / "out").embeddings
            assert vectors is not None
            write_vectors(attempt, spec.options["base"], spec.options["max_tokens"], texts, vectors)

    publish(directory, fill)


def _remove_projects(out: Path, finished: Sequence[Run]) -> None:
    """Also what a kill left between a run's result and the end of its project; unfinished runs of others stay."""
    for run in finished:
        shutil.rmtree(out / PROJECTS / run.name, ignore_errors=True)
    if (out / PROJECTS).exists() and not any((out / PROJECTS).iterdir()):
        (out / PROJECTS).rmdir()


def _ended(out: Path, run: Run, metric: str) -> str:
    result = result_of(out, run) or {}
    point = (result.get("points") or [{}])[-1]
    value = point.get("metrics", {}).get(metric)
    reached = f": {metric_words(metric)} {value['value']:.3f} at {point['labels']} labels" if value else ""
    return f"{run}{reached}, {duration_words(result.get('seconds', 0.0))}"


def words(found: Mapping[str, Any], is_replay: bool) -> list[str]:
    """What the table leaves open, in sentences."""
    said = []
    rows = found["summary"]
    if not any(one["strategy"] == RANDOM for one in rows):
        said.append(f"note: nothing to compare with; the same command with --strategy {RANDOM} too adds those runs.")
    if rows[0]["seeds"] < 2:
        said.append("note: one seed says nothing of chance; --seeds 5 adds the others.")
    if is_replay:
        said.append(
            "note: only texts that were labelled took part, most of them picked by a strategy, so that differences on"
            " all texts may be larger."
        )
    return said
