"""What is simulated: texts with their true labels, from files or from a project, and the config that all runs share."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomlkit

from alloop import config as configs
from alloop import exporting, intake
from alloop.config import Config
from alloop.errors import DataError, UsageError
from alloop.files import fingerprint
from alloop.intake import Intake
from alloop.project import CONFIG, Project
from alloop.reports import command
from alloop.simulating.run import POOL, RANDOM, Run
from alloop.steps.pull import agreed

TEMPLATE = "template.toml"
HELD_OUT = 5  # of a project without test texts, one in so many labelled ones measures

LabelledText = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Source:
    """Where texts and settings come from, as asked for. `project` is a live one, whose labels are replayed."""

    data: Sequence[str] = ()
    test: str | None = None
    labels: Sequence[str] = ()
    kind: str | None = None
    text: Sequence[str] = ()
    label: str | None = None
    config: Path | None = None
    project: Path | None = None
    batch: int | None = None
    noise: float | None = None
    annotators: int | None = None

    @property
    def template(self) -> Path | None:
        """The config to start from."""
        where = self.project or self.config
        return where and intake.template_at(where)

    def values(self) -> dict[str, Any]:
        """The tables of that config, or of the one that `init` writes, with the annotators asked for."""
        if self.template is None:
            values = dict(tomlkit.parse(intake.TEMPLATE).unwrap())
        else:
            configs.load(self.template)  # its own mistakes, with their lines, before ours
            values = dict(tomlkit.parse(self.template.read_text(encoding="utf-8")).unwrap())
        simulated = dict(values.get("options", {}).get("simulated", {}))
        if self.noise is not None:
            simulated["error_rate"] = self.noise
        if self.annotators is not None:
            simulated["annotators"] = max(self.annotators, simulated.get("annotators", 1))
            values["annotate"] = {**values.get("annotate", {}), "annotators_per_text": self.annotators}
        if simulated:
            values["options"] = {**values.get("options", {}), "simulated": simulated}
        return values

    def files(self) -> tuple[list[str], str | None]:
        """The files of the pool and the test file: those given, or else those that the config names."""
        values = self.values()
        test = values.get("evaluate", {}).get("test")
        return (
            list(self.data) or [self._found(one) for one in values.get("data", {}).get("files", [])],
            self.test or (test and self._found(test)),
        )

    def _found(self, file: str) -> str:
        """A file named in a config is meant relative to it."""
        assert self.template is not None
        return file if file.startswith("hf:") else str(self.template.parent / file)

    def annotators_per_text(self, values: Mapping[str, Any]) -> int:
        """How many answer each text; one where labels are replayed, which is what several agreed on."""
        return 1 if self.project is not None else int(values.get("annotate", {}).get("annotators_per_text", 1))

    def annotate(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What of the config's [annotate] counts in a simulation, defaults left out but for the first."""
        given = values.get("annotate", {})
        rule = {"consensus": given["consensus"]} if "consensus" in given else {}
        return {"annotators_per_text": self.annotators_per_text(values), **rule}

    def settings(self) -> dict[str, Any]:
        """All that a run's result depends on besides strategy, tuner and seed; as JSON."""
        values = self.values()
        for table, key in (("round", "strategy"), ("round", "seed"), ("model", "tuner"), ("data", "files")):
            values.get(table, {}).pop(key, None)
        values.pop("run", None)
        values["annotate"] = self.annotate(values)
        about: dict[str, Any] = {"config": values, "batch": self.batch, "labels": list(self.labels), "kind": self.kind}
        if self.project is not None:
            with Project.opened(self.project) as project:
                return {**about, "the project's labels": fingerprint(replayed(project))}
        files, test = self.files()
        columns = {"text column": list(self.text), "label column": self.label}
        return {**about, **columns, "data": [_content(one) for one in files], "test": test and _content(test)}


def _content(file: str) -> str:
    """A file's digest, so that it may move but not change; what is no file is told by its name."""
    if not Path(file).is_file():
        return file
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "blake2b").hexdigest()[:32]


@dataclass(frozen=True)
class Setup:
    """The config of the runs but for what makes them different, and the options of every plug-in any may use."""

    config: Config
    options: Mapping[str, Mapping[str, Any]]

    def with_vectors(self, directory: Path) -> "Setup":
        """The same, for the tuner `features` to find the texts' vectors there."""
        options = {**self.options.get("features", {}), "vectors": str(directory.absolute())}
        return replace(self, options={**self.options, "features": options})

    def config_of(self, run: Run) -> Config:
        """A run's config: an ordinary one, with no options but those of its own plug-ins.

        `random` draws at random from the first text on, and each text once: it stands for labelling a random sample.
        """
        shared = self.config
        cold_start, uniformly = shared.round.cold_start, {}
        if run.strategy == RANDOM:
            cold_start = RANDOM
            uniformly = {"batch_mode": "top", "balance": False, "relabel_share": 0.0, "repeat_share": 0.0}
        used = {run.strategy, run.tuner, cold_start, "simulated", shared.annotate.consensus, *shared.augment.use}
        return shared.model_copy(
            update={
                "model": shared.model.model_copy(update={"tuner": run.tuner}),
                "round": shared.round.model_copy(
                    update={"strategy": run.strategy, "cold_start": cold_start, "seed": run.seed, **uniformly}
                ),
                "options": {name: dict(given) for name, given in self.options.items() if name in used},
            }
        )


def load(out: Path, source: Source) -> Intake:
    """Read the texts into the project that every run copies. Raises DataError naming the file where labels miss."""
    values = source.values()
    test: str | None
    if source.project is not None:
        files, test = _written(out, source.project)
        values["data"] = {"text": "text", "label": "label"}
    else:
        files, test = source.files()
        values.get("data", {}).pop("files", None)
    if test:
        values["evaluate"] = {}
    elif not values.get("evaluate", {}).get("holdout"):
        raise UsageError("there are no test texts to measure on", "--test FILE, with its true labels")
    config = None if source.template is None else _write_template(out, source, values)
    done = intake.create(
        out / POOL,
        source=config,
        data=files,
        labels=source.labels,
        kind=source.kind,
        text=source.text,
        label=source.label,
        test=test,
        batch=source.batch,
        annotate="simulated",
    )[1]
    if source.project is not None and not _has_test_labels(source.project):
        done.notes.append(f"no test text has a label: one in {HELD_OUT} of the labelled texts measures instead")
    return done


def _write_template(out: Path, source: Source, values: dict[str, Any]) -> Path:
    """The config to start from, without what only some of the runs use."""
    values["annotate"] = {"with": "simulated", **source.annotate(values)}
    for table in ("options", "run"):
        values.pop(table, None)
    template = out / TEMPLATE
    template.write_text(tomlkit.dumps(values), encoding="utf-8")
    return template


def setup(out: Path, source: Source) -> Setup:
    """What the loaded texts and the config they came with make together."""
    values = source.values()
    loaded = configs.load(out / POOL / CONFIG)
    options = dict(values.get("options", {}))
    if source.project is not None:  # its labels have been through its annotators already
        options.pop("simulated", None)
    base = loaded.model.base
    named = values.get("model", {}).get("base")
    if named and source.template is not None and (found := source.template.parent / named).is_dir():
        base = str(found.absolute())  # the pool names it relative to itself
    asked = source.annotators_per_text(values)
    config = loaded.model_copy(
        update={
            "model": loaded.model.model_copy(update={"base": base}),
            "annotate": loaded.annotate.model_copy(update={"annotators_per_text": asked}),
            "run": configs.Run(keep="metrics"),
        }
    )
    return Setup(config, options)


def replayed(project: Project) -> tuple[list[LabelledText], list[LabelledText]]:
    """A project's pool and test texts that have a label today, with it: what its annotators agreed on is the truth.

    Without labelled test texts, one in HELD_OUT of the others takes their place, whatever its label.
    """
    store, task = project.store, project.config.task
    decided = {one.text_id: one.labels for one in agreed(project, project.config)[0]}
    is_test = set(store.test_ids())
    today = {one: tuple(task.rename.get(name, name) for name in said) for one, said in store.test_gold().items()}
    test = {one: said for one, said in decided.items() if one in is_test}
    test |= {one: said for one, said in today.items() if set(said) <= set(task.names)}
    pool = {one: said for one, said in decided.items() if one not in is_test}
    if not test:
        test = {one: pool.pop(one) for one in sorted(pool)[::HELD_OUT]}  # ids are hashes: a random sample
    if len(pool) < 2 or not test:
        raise DataError(
            f"{project.root} has {len(pool) + len(test)} labelled texts, too few to replay",
            f"label more first: {command('round', project.root)}",
        )
    return _with_texts(project, pool), _with_texts(project, test)


def _has_test_labels(root: Path) -> bool:
    with Project.opened(root) as project:
        measured = {text for text, _ in replayed(project)[1]}
        return any(text.text in measured for text in project.store.texts(project.store.test_ids()))


def _with_texts(project: Project, labels: Mapping[str, tuple[str, ...]]) -> list[LabelledText]:
    ids = sorted(labels)
    return [(text.text, labels[text.id]) for text in project.store.texts(ids)]


def _written(out: Path, root: Path) -> tuple[list[str], str]:
    """A project's labelled texts as files."""
    with Project.opened(root) as project:
        splits = dict(zip(("pool", "test"), replayed(project), strict=True))
    paths = {name: out / f"{name}.jsonl" for name in splits}
    for name, rows in splits.items():
        columns = [{"text": text, "label": list(labels)} for text, labels in rows]
        exporting.write_rows(paths[name], columns, ("text", "label"), overwrite=True)
    return [str(paths["pool"])], str(paths["test"])
