"""Texts come in: a new project from files, more texts for an old one. All rows of a call are stored, or none."""

import hashlib
import heapq
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomlkit

from alloop import config as configs
from alloop import ingest, studio
from alloop.config import Config
from alloop.errors import ConfigError, DataError, did_you_mean
from alloop.project import CONFIG, DATABASE, Project, check_plugins
from alloop.reports import command
from alloop.store import Store, StoredText

TEMPLATE = """\
# What is asked, of which texts, and how each round goes. An edit takes effect in the next round.
# Every key is explained in the README; a misspelt one is an error.

[task]
kind = "single"  # one label per text; "multi" for any number

[data]

[model]
base = "minilm"  # or a directory, or a name on the Hugging Face Hub
tuner = "lora"  # "features" is quicker, "tfidf" needs no pretrained model

[round]
cold_start = "kmeans"  # how texts are picked before there is a model
strategy = "auto"  # and from then on
batch = 25  # texts a round
random_share = 0.1  # of them drawn at random, to measure by

[evaluate]

[annotate]
with = "terminal"  # "label-studio" for the browser, "file" for spreadsheets, "simulated" where true labels are known
"""


@dataclass
class Intake:
    """What a call read, for the user to check."""

    rows: int = 0
    new: int = 0
    labelled: int = 0
    gold: int = 0
    empty: int = 0
    conflicting: int = 0
    held_out: int = 0
    test: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def duplicates(self) -> int:
        return self.rows - self.new


def create(
    root: Path,
    *,
    source: Path | None = None,
    data: Sequence[str] = (),
    labels: Sequence[str] = (),
    kind: str | None = None,
    text: Sequence[str] = (),
    label: str | None = None,
    metadata: Sequence[str] | None = None,
    test: str | None = None,
    holdout: int | None = None,
    batch: int | None = None,
    annotate: str | None = None,
) -> tuple[Project, Intake]:
    """A new project in `root`, with a config made from `source` and these settings; or with the config that is there.

    Nothing is left behind when it fails. Raises DataError naming file and row, ConfigError naming the key.
    """
    if (root / DATABASE).exists():
        raise ConfigError(f"{root} is a project already", f"more texts: {command('add', root)} FILE")
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file, not a directory", "name another directory")
    has_config = (root / CONFIG).exists()
    settings = (source, *labels, kind, *text, label, *(metadata or ()), test, holdout, batch, annotate)
    if has_config and any(one is not None for one in settings):
        raise ConfigError(
            f"{root / CONFIG} is there already and says all this", f"edit it, and then: {command('init', root)}"
        )
    if labels:
        _check_labels(labels)
    template = root / CONFIG if has_config else source and template_at(source)
    if template is not None:
        check_plugins(configs.load(template), template)  # its own mistakes, with their lines, before ours
    here = studio.running() if annotate is None and template is None else None
    document = tomlkit.parse(template.read_text(encoding="utf-8") if template else TEMPLATE)
    beside = template.parent if template else Path()
    files = [str(one) for one in data] or [_resolved(beside, one) for one in _get(document, "data", "files", [])]
    if not files:
        raise ConfigError("no texts were given", f"{command('init', root)} --data FILE")
    test = test or (_resolved(beside, one) if (one := _get(document, "evaluate", "test", None)) else None)
    base = _get(document, "model", "base", "")
    if not has_config and base not in ("", "minilm") and (beside / base).is_dir():
        _set(document, "model", "base", _relative(root, str(beside / base)))  # one in the other project's directory
    _set(document, "task", "kind", kind)
    _set(document, "data", "text", list(text) or None)
    _set(document, "data", "label", label)
    _set(document, "data", "metadata", None if metadata is None else list(metadata))
    _set(document, "evaluate", "holdout", holdout)
    _set(document, "round", "batch", batch)
    _set(document, "annotate", "with", annotate or (here and "label-studio"))
    if not has_config:
        _set(document, "data", "files", [_relative(root, file) for file in files])
        _set(document, "evaluate", "test", test and _relative(root, test))
    if test and _get(document, "evaluate", "holdout", 0):
        raise ConfigError("there is both a test file and a holdout", "leave out --test or --holdout")
    done = Intake()
    if here:
        done.notes.append(f"annotators work in the Label Studio that runs at {here.url}; --with terminal if not")
    columns = _inspect(files[0], _table(document, "data"), done)
    _set(document, "data", "text", list(columns.text) if len(columns.text) > 1 else columns.text[0])
    _set(document, "data", "label", columns.label)
    if labels:
        _set(document, "task", "labels", list(labels))
    elif not _get(document, "task", "labels", None):
        _set(document, "task", "labels", _labels_in(files, columns, document, done))
    content = tomlkit.dumps(document)
    config = configs.parse(content, str(root / CONFIG))
    check_plugins(config)
    new = root if not root.exists() else None
    while new is not None and not new.absolute().parent.exists():
        new = new.absolute().parent
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    attempt = root / f".{DATABASE}.new"
    try:
        for leftover in root.glob(f"{attempt.name}*"):
            leftover.unlink()
        store = Store.create(attempt, uuid.uuid4().hex[:12])
        try:
            with store.transaction():
                _load_all(store, config, files, test, columns, done)
        finally:
            store.close()
        if not has_config:
            (root / CONFIG).write_text(content, encoding="utf-8")
        attempt.rename(root / DATABASE)
    except BaseException:
        for leftover in root.glob(f"{attempt.name}*"):
            leftover.unlink()
        if not has_config:
            (root / CONFIG).unlink(missing_ok=True)
        if new is not None:
            shutil.rmtree(new)
        raise
    return Project.open(root), done


def is_ready_to_load(root: Path) -> bool:
    """Whether a directory holds a config that names its files, and no texts yet, like the projects that are shipped."""
    return (root / CONFIG).exists() and not (root / DATABASE).exists() and bool(configs.load(root / CONFIG).data.files)


def add(project: Project, source: str) -> Intake:
    """More pool texts, with their labels where the label column has some. The test texts never change.

    A text that is held out for measuring may come again; one of the test file may not, as that would flatter.
    """
    config = project.config
    done = Intake()
    with project.lock("alloop add"), project.store.transaction():
        columns = _columns_of(source, config, done, partial=True)
        _load(project.store, source, columns, config, "pool", done)
        _refuse_unknown_truth(project.store, config)
        done.conflicting = project.store.conflicting_imports()
    return done


def _load_all(
    store: Store, config: Config, files: Sequence[str], test: str | None, columns: ingest.Columns, done: Intake
) -> None:
    for position, file in enumerate(files):
        _load(store, file, columns if position == 0 else _columns_of(file, config, done), config, "pool", done)
    if test:
        of_test = Intake()
        _load(store, test, _columns_of(test, config, done), config, "test", of_test)
        done.test = of_test.new
        if not store.test_gold():
            raise DataError(f"{test}: no row has a label, so nothing can be measured with it", _label_hint(config))
    if config.annotate.backend == "simulated" and not done.gold:
        raise DataError(
            f"{files[0]}: the simulated annotator needs true labels, and no row has one", _label_hint(config)
        )
    _refuse_unknown_truth(store, config)
    texts = store.counts()["pool"]
    if config.evaluate.holdout >= texts:
        raise ConfigError(
            f"evaluate.holdout is {config.evaluate.holdout}, there are {texts} texts",
            f"--holdout {texts // 5}, or add texts",
        )
    if config.evaluate.holdout:
        chosen = _smallest(store.pool_ids(), config.evaluate.holdout, config.round.seed)
        store.hold_out(chosen)
        done.held_out = len(chosen)
        texts -= len(chosen)
    if config.round.batch > texts:
        raise ConfigError(
            f"round.batch is {config.round.batch}, the pool has {texts} texts", f"--batch {texts}, or add texts"
        )
    done.conflicting = store.conflicting_imports()


def _refuse_unknown_truth(store: Store, config: Config) -> None:
    """The simulated annotator answers any question it may be asked, or is not asked at all."""
    if config.annotate.backend == "simulated" and (found := store.first_without_gold()):
        file, row = found
        raise DataError(
            f"{file}, row {row}: the simulated annotator needs the true label of every text, and this one has none",
            'leave such rows out, or let people answer: annotate.with = "terminal"',
        )


def _label_hint(config: Config) -> str:
    if config.data.label:
        return f"data.label is {config.data.label!r}: is it the right column?"
    return "name the column with --label-column"


def _load(store: Store, file: str, columns: ingest.Columns, config: Config, split: str, done: Intake) -> None:
    counts = ingest.Counts()
    rows = ingest.read(file, columns, kind=config.task.kind, labels=_allowed(config), counts=counts)
    seen, new, labelled = store.add_texts(
        _stored(rows, config, split, columns.label is not None), split, may_repeat=config.evaluate.holdout > 0
    )
    done.rows += seen
    done.new += new
    done.labelled += labelled
    done.gold += counts.labelled if config.annotate.backend == "simulated" else 0
    done.empty += counts.empty
    if counts.empty:
        shown = ", ".join(map(str, counts.empty_rows))
        more = " and others" if counts.empty > len(counts.empty_rows) else ""
        done.notes.append(f"{file}: {counts.empty} rows without text were left out (row {shown}{more})")
    if not seen:
        raise DataError(f"{file}: no row has a text", "is it the right column? name it with --text-column")


def _stored(rows: Iterable[ingest.Row], config: Config, split: str, has_label_column: bool) -> Iterator[StoredText]:
    is_gold = split == "test" or config.annotate.backend == "simulated"
    empty_is_none = config.data.empty_is_none and config.task.kind == "multi" and has_label_column
    for row in rows:
        labels = row.labels
        if labels is None and empty_is_none:
            labels = ()
        if labels is not None:
            labels = tuple(config.task.rename.get(one, one) for one in labels)
        yield StoredText(
            ingest.text_id(row.text),
            row.text,
            row.file,
            row.row,
            row.external_id,
            row.metadata,
            gold=labels if is_gold else None,
            labels=None if is_gold else labels,
        )


def template_at(source: Path) -> Path:
    """The config that `--from` names: a file, or a project that has one."""
    if source.is_dir() and not (source / CONFIG).exists():
        found = ", ".join(sorted(str(one) for one in source.glob("*.toml")))
        raise ConfigError(f"{source} is a directory without {CONFIG}", f"it has: {found}" if found else None)
    template = source / CONFIG if source.is_dir() else source
    if not template.exists():
        near = did_you_mean(template.name, (one.name for one in template.parent.glob("*.toml")))
        raise ConfigError(
            f"there is no config {template}", f"did you mean {template.with_name(near)}?" if near else None
        )
    return template


def _check_labels(labels: Sequence[str]) -> None:
    """Labels that come from the command line have no line in a config to point at."""
    listed = ", ".join(labels)
    if len(labels) < 2:
        raise ConfigError(f"one label, {listed!r}, is nothing to choose from", "--labels first,second")
    for name in labels:
        if not name or labels.count(name) > 1:
            raise ConfigError(f"a label is {'listed twice' if name else 'empty'} in: {listed}", "--labels first,second")


def _allowed(config: Config) -> list[str]:
    return [*config.task.names, *config.task.rename]


def _columns_of(file: str, config: Config, done: Intake, partial: bool = False) -> ingest.Columns:
    settings = config.data
    return _inspect(file, settings.model_dump(), done, partial)


def _inspect(file: str, settings: Mapping[str, Any], done: Intake, partial: bool = False) -> ingest.Columns:
    """Which column is what, by the settings of `[data]`. All further columns are kept as metadata."""
    text = settings.get("text") or []
    columns = ingest.inspect(
        file,
        text=[text] if isinstance(text, str) else text,
        label=settings.get("label"),
        id=settings.get("id"),
        separator=settings.get("separator", "|"),
        partial=partial,
    )
    shown = settings.get("metadata") or []
    for name in shown:
        if name not in columns.metadata and not partial:
            near = did_you_mean(name, columns.metadata)
            raise DataError(
                f"{file}: there is no further column {name!r}; there are: {', '.join(columns.metadata) or 'none'}",
                f"did you mean {near!r}?" if near else "see data.metadata in the config",
            )
    done.notes += [f"{file}: {note}" for note in columns.notes]
    if others := [name for name in columns.metadata if name not in shown]:
        done.notes.append(f"{file}: annotators do not see: {', '.join(others)}; data.metadata shows columns to them")
    return columns


def _labels_in(files: Sequence[str], columns: ingest.Columns, document: Any, done: Intake) -> list[str]:
    """The labels a file uses, sorted; for a label set nobody wrote down."""
    if columns.label is None:
        raise ConfigError("no labels were given, and the file has no label column", "add --labels first,second,third")
    kind = _get(document, "task", "kind", "single")
    found: set[str] = set()
    for row in ingest.read(files[0], columns, kind=kind, labels=None, counts=ingest.Counts()):
        found.update(row.labels or ())
        if len(found) > 1_000:
            raise ConfigError(f"{files[0]}: column {columns.label!r} has over 1,000 labels", "is it the right column?")
    if len(found) < 2:
        has = f"only one label, {min(found)!r}" if found else "no label"
        raise ConfigError(
            f"{files[0]}: column {columns.label!r} has {has}", "say which there are: --labels first,second"
        )
    done.notes.append(f"labels found in column {columns.label!r}: {', '.join(sorted(found))}")
    return sorted(found)


def _smallest(ids: Iterable[str], n: int, seed: int) -> list[str]:
    """The n ids with the smallest keyed hashes: a random sample that depends on the texts and the seed alone."""
    key = f"alloop holdout {seed}".encode()
    return heapq.nsmallest(n, ids, key=lambda one: hashlib.blake2b(one.encode(), key=key, digest_size=8).digest())


def _resolved(beside: Path, file: str) -> str:
    """A file named in a config is meant relative to it."""
    return file if file.startswith("hf:") or Path(file).is_absolute() else str(beside / file)


def _relative(root: Path, file: str) -> str:
    """How the config in `root` names a file."""
    return file if file.startswith("hf:") else os.path.relpath(file, root)


def _get(document: Any, table: str, key: str, default: Any) -> Any:
    return _table(document, table).get(key, default)


def _table(document: Any, name: str) -> dict[str, Any]:
    return dict(document[name].unwrap()) if name in document else {}


def _set(document: Any, table: str, key: str, value: Any) -> None:
    if value is None:
        return
    if table not in document:
        document[table] = tomlkit.table()
    document[table][key] = value
