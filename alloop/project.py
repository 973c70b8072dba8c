"""A project: one directory with its config, its database, its rounds and its lock.

support-desk/  alloop.toml  alloop.db  .lock  rounds/0001/…  inbox/  bases/  cache/
"""

import fcntl
import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alloop import config as configs
from alloop.annotators import Annotator, Desk, annotators
from alloop.augmenters import Augmenter, augmenters
from alloop.config import Config
from alloop.consensus import consensus_rules
from alloop.errors import ConfigError, LockedError, did_you_mean
from alloop.executors import Executor, executors
from alloop.files import is_whole
from alloop.registry import Registry
from alloop.stopping import stopping
from alloop.store import Store, now
from alloop.strategies import needed_of_pool, refuse_cold_start, refuse_other_kinds, strategies
from alloop.strategies._batches import needs_of_batch, refuse_batch
from alloop.tuning import Mixup, tuners
from alloop.tuning._directory import refuse_needs
from alloop.work import TunerSpec

CONFIG = "alloop.toml"
DATABASE = "alloop.db"
MIXUP = "mixup"  # the augmenter that makes no texts: it is the tuner that mixes
MODELS = ("base", "forth", "back")  # options of augmenters that name a model
BASES = "bases"  # where adapted bases are, in the project


class Project:
    """An opened project. Reading needs no lock; whoever writes holds `lock()`."""

    def __init__(self, root: Path, store: Store) -> None:
        self.root = root
        self.store = store

    @classmethod
    def open(cls, root: Path) -> "Project":
        """The project in a directory. Raises ConfigError where there is none."""
        if not (root / DATABASE).exists():
            if (root / CONFIG).exists():
                raise ConfigError(f"{root} has a config but no texts yet", f"load them with: alloop init {root}")
            raise ConfigError(f"{root} is not a project", f"make one with: alloop init {root} --data FILE")
        return cls(root, Store.open(root / DATABASE))

    @classmethod
    @contextmanager
    def opened(cls, root: Path) -> "Iterator[Project]":
        """The project, and its database closed afterwards: for processes that stay, and for their threads."""
        project = cls.open(root)
        try:
            yield project
        finally:
            project.store.close()

    @property
    def config(self) -> Config:
        """The config as the file has it now; a round keeps its own snapshot."""
        return configs.load(self.root / CONFIG)

    @property
    def name(self) -> str:
        return self.root.resolve().name

    def path(self, relative: str) -> Path:
        return self.root / relative

    def round_path(self, number: int) -> Path:
        return self.root / "rounds" / f"{number:04}"

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """An empty directory of this process inside the project, gone afterwards."""
        path = self.root / "cache" / f"{name}-{os.getpid()}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True, mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _remove_leftovers(self) -> None:
        """Scratch directories of processes that were killed."""
        for path in (self.root / "cache").glob("*-*"):
            number = path.name.rpartition("-")[2]
            if number.isdigit() and not is_alive(int(number)):
                shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def lock(self, command: str) -> Iterator[None]:
        """Nobody else writes meanwhile; the kernel lets go when this process dies, however it dies.

        Raises LockedError saying who holds the project.
        """
        with open(self.root / ".lock", "a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise self._locked(file.read()) from None
            file.truncate(0)
            file.write(json.dumps({"pid": os.getpid(), "since": now(), "command": command}))
            file.flush()
            try:
                self._remove_leftovers()
                self.store.migrate()
                yield
            finally:
                file.truncate(0)

    def _locked(self, holder: str) -> LockedError:
        try:
            who = json.loads(holder)
            message = f"process {who['pid']} holds {self.root} since {who['since']} ({who['command']})"
        except (ValueError, KeyError):  # it has the lock but has not said yet who it is
            message = f"another process holds {self.root}"
        return LockedError(message, "wait until it is done; reading always works: alloop status")

    def desk(self, config: Config, round_number: int | None = None) -> Desk:
        """What the annotator needs to know; the round is the one whose model makes suggestions."""
        return Desk(
            project=self.store.uid,
            inbox=self.root / "inbox",
            kind=config.task.kind,
            label_names={label.name: label.description for label in config.task.labels},
            separator=config.data.separator,
            annotators_per_text=config.annotate.annotators_per_text,
            seed=config.round.seed,
            gold=self.store.gold,
            name=self.name,
            metadata=config.data.metadata,
            model_version="" if round_number is None else f"round-{round_number:04}",
            open_keys=self.store.open_keys,
            standing=self.store.standing_annotations,
        )

    def annotator(self, config: Config) -> Annotator:
        return annotators.build(config.annotate.backend, **annotator_options(config))

    def executor(self, config: Config) -> Executor:
        return executors.build(config.run.executor, **config.options_of(config.run.executor))

    def tuner(self, config: Config) -> TunerSpec:
        """The configured tuner, ready to be built."""
        return self.located(tuner_spec(config))

    def located(self, spec: TunerSpec) -> TunerSpec:
        """A tuner that can be built whatever the current directory is: the project's own base has its whole path.

        Fingerprints take the spec as it was, which stays the same when the project moves.
        """
        own = self.own_base(str(spec.options.get("base", "")))
        return spec if own is None else TunerSpec(spec.name, {**spec.options, "base": str(own)})

    def augmenter(self, config: Config, name: str) -> Augmenter:
        """An augmenter that finds models of the project's own whatever the current directory is, as `located` does."""
        options = config.options_of(name)
        own = {key: self.own_base(value) for key, value in options.items() if key in MODELS and isinstance(value, str)}
        return augmenters.build(name, **options | {key: str(path) for key, path in own.items() if path is not None})

    def learner(self, spec: TunerSpec) -> TunerSpec:
        """A tuner that can be fitted: located, and with the whole paths of its teacher and of other tasks, which only
        training reads. Raises ConfigError where there is no such teacher.
        """
        spec = self.located(spec)
        found: dict[str, Any] = {}
        if teacher := spec.options.get("teacher"):
            found["teacher"] = str(self._model(str(teacher)))
        if others := spec.options.get("others"):
            found["others"] = [one if one.startswith("hf:") else str((self.root / one).absolute()) for one in others]
        return TunerSpec(spec.name, {**spec.options, **found}) if found else spec

    def _model(self, name: str) -> Path:
        """A model directory, or the newest whole model of the project in that directory."""
        path = (self.root / name).absolute()
        for place in (path, path / "alloop"):  # the latter in what `alloop export --model` wrote
            if (place / "model.json").exists():
                return place
        if not (path / DATABASE).exists():
            message = f"teacher = {name!r}: {path} is neither a model directory nor a project"
            raise ConfigError(message, "a relative path is relative to the project's directory")
        with Project.opened(path) as other:
            for row in reversed(other.store.rounds()):
                model = other.store.step_results(row.number).get("train", {}).get("directory")
                if model is not None and is_whole(other.path(model)):
                    return other.path(model)
        raise ConfigError(f"teacher = {name!r}: {path} has no model yet", f"alloop round {shlex.quote(str(path))}")

    def own_base(self, name: str) -> Path | None:
        """Where a base is that the config names relative to the project, None for one from elsewhere.

        What begins with "bases/" is the project's own even where it is missing: it must not be asked of the Hub.
        """
        path = self.root.absolute() / name
        is_own = name.startswith(f"{BASES}/") or (name not in ("", "minilm") and path.is_dir())
        return path if is_own and not Path(name).is_absolute() else None

    def run_job(self, config: Config, write: Callable[[Path], None], out: Path) -> None:
        """Let the executor do a job; its results, and what it measured as `measured.json`, appear in `out`."""
        with self.scratch("job") as job:
            write(job)
            self.executor(config).run(job.absolute())
            for path in (job / "out").iterdir():
                shutil.move(path, out / path.name)
            if (job / "result.json").exists():
                shutil.move(job / "result.json", out / "measured.json")


def is_alive(pid: int) -> bool:
    """Whether a process with this number runs, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def tuner_spec(config: Config) -> TunerSpec:
    """The configured tuner; one with a pretrained base also gets `model.base` and `model.max_tokens`, as written.

    To build one, take `Project.tuner`, which knows where the project's own bases are.
    """
    name = config.model.tuner
    shared: dict[str, Any] = {"base": config.model.base, "max_tokens": config.model.max_tokens}
    known = tuners.options(name)
    options = {key: value for key, value in shared.items() if key in known} | config.options_of(name)
    return TunerSpec(name, options)


def mixup_of(config: Config) -> Mixup | None:
    """What the tuner is to mix, where `augment.use` names mixup."""
    if MIXUP not in config.augment.use:
        return None
    options = augmenters.options(MIXUP) | config.options_of(MIXUP)
    return Mixup(config.augment.per_text, float(options["alpha"]))


def annotator_options(config: Config) -> dict[str, Any]:
    """The annotator's options; one on a server also gets `annotate.url` and `annotate.project`.

    Raises ConfigError where a url or project is given to an annotator that has no use for it.
    """
    name = config.annotate.backend
    known = annotators.options(name)
    given = {"url": config.annotate.url, "project": config.annotate.project}
    for key, value in given.items():
        if value is not None and key not in known:
            raise ConfigError(f"annotate.{key} is set, but the annotator {name!r} has no {key}", "remove it")
    return {key: value for key, value in given.items() if key in known} | config.options_of(name)


def check_plugins(config: Config, path: Path | None = None) -> None:
    """Build every plug-in the config names. Raises ConfigError for one that does not exist, has a wrong option, or
    picks by what the tuner cannot give, or for another kind of task, or as a cold start by what only a model says, or
    mixes what the tuner does not.

    The message names the line where the key stands, if `path` is the file that the config was read from.
    """
    chosen: list[tuple[str, Registry[Any], str]] = [
        ("model.tuner", tuners, config.model.tuner),
        ("round.strategy", strategies, config.round.strategy),
        ("round.cold_start", strategies, config.round.cold_start),
        ("annotate.with", annotators, config.annotate.backend),
        ("annotate.consensus", consensus_rules, config.annotate.consensus),
        ("run.executor", executors, config.run.executor),
        *(("augment.use", augmenters, name) for name in config.augment.use),
        *([] if config.run.stop is None else [("run.stop", stopping, config.run.stop)]),
    ]
    # every rule is asked, whether or not it ends anything
    chosen += [(f"options.{name}", stopping, name) for name in stopping.names() if name in config.options]
    for key, registry, name in chosen:
        try:
            registry.get(name)
        except ConfigError as error:
            raise _misplaced(path, key, f"{key}: {error.message}", error.hint) from None
    used = {name for _, _, name in chosen}
    for name in config.options:
        if name not in used:
            near = did_you_mean(name, used | set(stopping.names()))
            raise _misplaced(
                path,
                f"options.{name}",
                f"[options.{name}] belongs to no plug-in this config uses; it uses: {', '.join(sorted(used))}",
                f"did you mean {near!r}?" if near else "remove the table",
            )
    built: dict[str, Any] = {}
    for key, registry, name in chosen:
        try:
            options = config.options_of(name)
            if registry is tuners:
                options = dict(tuner_spec(config).options)
            elif registry is annotators:
                options = annotator_options(config)
            built[key] = registry.build(name, **options)
            if registry is augmenters and name == MIXUP and not getattr(built["model.tuner"], "mixes", False):
                message = f"mixup mixes vectors that stay as they are, and the tuner {config.model.tuner!r} has none"
                raise ConfigError(message, 'set model.tuner = "features", or take "mixup" out of augment.use')
            if registry is strategies:
                refuse_other_kinds(name, built[key], config.task.kind)
                needs = built[key].needs
                if key == "round.cold_start":
                    refuse_cold_start(name, built[key], config.task.kind)
                else:
                    refuse_batch(name, built[key], config.round)
                    needs = needs_of_batch(built[key].needs, config.round)
                    if config.round.candidates_by == "neighbours":
                        needs = (*needs, "embeddings")
                refuse_needs(config.model.tuner, needed_of_pool(needs), built["model.tuner"].gives)
        except ConfigError as error:
            at = f"options.{name}" if name in config.options else key
            raise _misplaced(path, at, f"{at}: {error.message}", error.hint) from None


def _misplaced(path: Path | None, key: str, message: str, hint: str | None) -> ConfigError:
    if path is None:
        return ConfigError(message, hint)
    place = configs.place_of(path.read_text(encoding="utf-8"), str(path), key)
    return ConfigError(f"{place}: {message}", hint)


def open_project(root: Path | str) -> Project:
    """The project in a directory. Raises ConfigError where there is none."""
    return Project.open(Path(root))
