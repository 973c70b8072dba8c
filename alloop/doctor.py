"""Looks a project over before the long wait: what is missing or broken, what is thin, and what a round will cost.

Every check answers for itself: trouble in one part of a project becomes a failed check, never a failed examination.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from alloop.annotators import Examines
from alloop.config import Config
from alloop.errors import AlloopError
from alloop.project import Project, check_plugins
from alloop.records import Example
from alloop.reports import command, lock_holder
from alloop.shelf import FAMILIES
from alloop.steps.evaluate import STOP_SET
from alloop.store import RoundRow, Store
from alloop.strategies import needed, needed_of_pool, strategies
from alloop.strategies._batches import needs_of_batch
from alloop.tuning import FitJob, Tuner

FEW_TEST_TEXTS = 200  # the accuracy is then known to 7 points at best
RARE = 5  # examples of a label below which it can hardly be learnt
NEEDED_MB = 200  # beside the predictions: models, database and its write-ahead log
SAMPLES = (64, 512)  # texts to time; the second only where the first went by too fast to say much


@dataclass(frozen=True)
class Check:
    """What one look found. `ok` is None for a remark; `hint` is what can be done, where there is something."""

    name: str
    ok: bool | None
    message: str
    hint: str | None = None


def examine(project: Project) -> list[Check]:
    """Every check, in the order in which trouble should be put right. Changes nothing; trains once on one batch."""
    looks: list[tuple[str, Callable[[Project], Check | Iterable[Check]]]] = [
        ("config", _config),
        ("plug-ins", _plugins),
        ("database", _database),
        ("lock", _lock),
        ("disk", _disk),
        ("texts", _texts),
        ("labels", _labels),
        ("test texts", _test_texts),
        ("device", _device),
        ("base model", _base),
        ("annotator", _annotator),
        ("cost", _cost),
    ]
    return [check for name, look in looks for check in _looked(name, look, project)]


def _looked(name: str, look: Callable[[Project], Check | Iterable[Check]], project: Project) -> Iterator[Check]:
    """What a look finds; where it breaks off, that too."""
    try:
        found = look(project)
        if isinstance(found, Check):
            yield found
        else:
            yield from found
    except AlloopError as error:
        yield Check(name, False, error.message, error.hint)
    except Exception as error:  # a library's or a plug-in's own: to say so is what a doctor is for
        yield Check(name, False, f"{type(error).__name__}: {error}", "it may be a bug of alloop or of a plug-in")


def _config(project: Project) -> Check:
    config = project.config
    check_plugins(config)
    if config.round.batch > project.store.counts()["pool"]:
        return Check(
            "config",
            False,
            f"round.batch is {config.round.batch}, the pool has {project.store.counts()['pool']} texts",
            f"lower round.batch, or run: {command('add', project.root)} FILE",
        )
    picks = f"{config.round.cold_start}, then {config.round.strategy}"
    return Check("config", True, f"{config.model.tuner}; {picks}; {config.annotate.backend}")


def _plugins(project: Project) -> Check | list[Check]:
    """Every plug-in that is installed loads, also those this project does not use."""
    loaded, broken = 0, []
    for family, registry in FAMILIES.items():
        try:
            names = registry.names() if registry is not None else []
        except AlloopError as error:
            broken.append(Check("plug-ins", False, error.message, error.hint))
            continue
        for name in names:
            try:
                assert registry is not None
                registry.options(name)
                loaded += 1
            except Exception as error:  # whatever a third party's module raises when it is imported
                hint = "reinstall or uninstall the package it came with"
                broken.append(Check("plug-ins", False, f"{family}, {name}: {type(error).__name__}: {error}", hint))
    return broken or Check("plug-ins", True, f"all {loaded} load: {command('plugins', Path())}")


def _database(project: Project) -> Check:
    store = project.store
    size = store.path.stat().st_size / 1e6
    if (trouble := store.trouble()) is not None:
        return Check("database", False, f"{store.path} is damaged: {trouble}", "restore it from a backup")
    if store.needs_migration:
        hint = f"the next command that writes does it: {command('round', project.root)}"
        return Check("database", None, "an older alloop wrote it; it will be brought up to date", hint)
    return Check("database", True, f"sound, {size:.1f} MB (SQLite {Store.sqlite_version})")


def _lock(project: Project) -> Check:
    holder = lock_holder(project)
    if holder is None:
        return Check("lock", True, "nobody is at work here")
    return Check("lock", None, f"process {holder['pid']} ({holder['command']}) works here since {holder['since']}")


def _disk(project: Project) -> Check:
    free = shutil.disk_usage(project.root).free / 1e6
    texts = min(project.store.counts()["pool"], project.config.round.candidates)
    needed = NEEDED_MB + texts * 4 * (len(project.config.task.names) + 384) / 1e6  # probabilities and embeddings
    writable = os.access(project.root, os.W_OK)
    if free < needed or not writable:
        message = (
            f"{free:,.0f} MB are free, a round may need {needed:,.0f} MB" if writable else "it cannot be written to"
        )
        return Check("disk", False, f"{project.root}: {message}", "free some space, or move the project")
    return Check("disk", True, f"{free / 1000:,.0f} GB free")


def _texts(project: Project) -> Check:
    pool = project.store.counts()["pool"]
    left = pool - project.store.taken_count()
    if not left:
        message = f"none of the {pool:,} texts of the pool is left to ask about"
        return Check("texts", None, message, f"{command('add', project.root)} FILE")
    return Check("texts", True, f"{pool:,} in the pool, {left:,} of them never asked about")


def _labels(project: Project) -> Check:
    """What the newest round trains on, label by label."""
    names = project.config.task.names
    row = _newest(project, "pull")
    counts = project.store.label_counts(row.number) if row is not None else {}
    if not counts:
        return Check("labels", None, f"none yet, of {len(names)} labels", command("round", project.root))
    by_rarity = sorted((counts.get(name, 0), name) for name in names)
    if by_rarity[0][0] < RARE:
        rare = [f"{name!r} ({n})" for n, name in by_rarity if n < RARE]
        more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
        message = f"fewer than {RARE} examples of {', '.join(rare[:5])}{more}"
        return Check("labels", None, message, "rounds go on finding more; or set augment.balance = true")
    most, least = by_rarity[-1], by_rarity[0]
    message = f"{most[0]:,} of {most[1]!r} down to {least[0]:,} of {least[1]!r}"
    if most[0] > 10 * least[0]:
        return Check("labels", None, f"{message}: macro-F1 says more than accuracy", "or set augment.balance = true")
    return Check("labels", True, message)


def _test_texts(project: Project) -> Check:
    n = project.store.counts()["test"]
    if n == 0:
        share = project.config.round.random_share
        hint = "give init a --test FILE, or set evaluate.holdout before init"
        if share:
            return Check("test texts", None, f"none: the curve will rest on {share:.0%} of each batch alone", hint)
        return Check("test texts", False, "none, and no random share: nothing can be measured", hint)
    width = 1.96 * sqrt(0.25 / n) * 100  # the widest, at an accuracy of one half
    message = f"{n:,}: accuracy will be known to ±{width:.1f} points, or ±{width * 0.6:.1f} where it is 0.9"
    if n < FEW_TEST_TEXTS:
        return Check("test texts", None, message, f"{FEW_TEST_TEXTS} or more make the curve steadier")
    return Check("test texts", True, message)


def _device(project: Project) -> Check:
    import torch

    from alloop.pretrained import best_device
    from alloop.tuning._encoding import has_fast_bfloat16

    device = best_device()
    precision = "bfloat16 in hardware" if has_fast_bfloat16(device) else "float32, as bfloat16 is not in hardware"
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory / 2**30
        return Check("device", True, f"{torch.cuda.get_device_name(device)}, {memory:.0f} GiB, {precision}")
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    message = f"processor with {threads} of {cores} threads, {precision} (no CUDA)"
    if threads > cores:
        return Check("device", None, f"{message}: more threads than cores are slow", f"export OMP_NUM_THREADS={cores}")
    return Check("device", True, message)


def _base(project: Project) -> Check:
    spec = project.tuner(project.config)
    if "base" not in spec.options:
        return Check("base model", True, f"{spec.name} needs none")
    from alloop.tuning._bases import load_base

    start = time.perf_counter()
    base = load_base(str(spec.options["base"]))
    millions = sum(parameter.numel() for parameter in base.network.parameters()) / 1e6
    took = f"loaded in {time.perf_counter() - start:.1f} s"
    named = Path(base.name).name if Path(base.name).is_absolute() else base.name
    return Check("base model", True, f"{named}: {millions:.1f} M parameters, {base.width} dimensions, {took}")


def _annotator(project: Project) -> Iterator[Check]:
    """What the annotator says of its backend, where it can say something."""
    config = project.config
    annotator = project.annotator(config)
    if isinstance(annotator, Examines):
        desk = project.desk(config, project.store.last_batch_round())
        yield from (Check(found.name, found.ok, found.message, found.hint) for found in annotator.examine(desk))


def _cost(project: Project) -> Check:
    """Times a few of the project's own texts, and the training by the last round or, without one, on made-up labels."""
    config, store = project.config, project.store
    counts = store.counts()
    ids = [one for one, _ in zip(store.pool_ids(), range(SAMPLES[-1]), strict=False)]  # by hash: at random
    texts = [text.text for text in store.texts(ids)]
    if not texts:
        return Check("cost", None, "no texts to measure with", f"{command('add', project.root)} FILE")
    tuner = project.tuner(config).build()
    strategy = strategies.build(config.round.strategy, **config.options_of(config.round.strategy))
    needs = needed_of_pool(needs_of_batch(needed(strategy, tuner.gives), config.round))
    with project.scratch(f"doctor-{os.getpid()}") as out:
        fitted = _fit_seconds(tuner, config, texts, out)
        per_probs = _seconds_per_text(tuner, out, texts, ("probs",))
        per_score = _seconds_per_text(tuner, out, texts, needs) if needs and needs != ("probs",) else per_probs
    labels, training, how = _training(project, config, fitted)
    asked = min(counts["pool"], STOP_SET) + counts["test"]
    scored = min(counts["pool"] - store.taken_count(), config.round.candidates) if needs else 0
    costs = [
        (training, f"training on {labels:,} labels ({how})"),
        (per_probs * asked, f"evaluating {asked:,} texts"),
        (per_score * scored, f"scoring {scored:,} texts"),
    ]
    total = sum(seconds for seconds, _ in costs)
    words = ", ".join(f"{_seconds(seconds)} {what}" for seconds, what in costs if seconds)
    augmented = f"; {', '.join(config.augment.use)} comes on top" if config.augment.use else ""
    return Check("cost", True, f"a round will take about {_seconds(total)}: {words}{augmented}")


def _fit_seconds(tuner: Tuner, config: Config, texts: Sequence[str], out: Path) -> float:
    """Seconds to train on one batch of texts, whose labels are made up; the model stays in `out`."""
    names = config.task.names
    examples = [Example(text, (names[i % len(names)],)) for i, text in enumerate(texts[: max(2, config.round.batch)])]
    if len(examples) == 1:
        examples.append(Example("another text", (names[1],)))
    start = time.perf_counter()
    tuner.fit(FitJob(train=examples, kind=config.task.kind, labels=names, seed=config.round.seed), out)
    return time.perf_counter() - start


def _seconds_per_text(tuner: Tuner, model: Path, texts: Sequence[str], needs: tuple[str, ...]) -> float:
    tuner.predict(model, texts[:8], needs, 0)  # loads what is loaded once
    taken, n = 0.0, 1
    for size in SAMPLES:
        n = len(texts[:size])
        start = time.perf_counter()
        tuner.predict(model, texts[:size], needs, 0)
        taken = time.perf_counter() - start
        if taken > 0.5:
            break
    return taken / n


def _training(project: Project, config: Config, fitted: float) -> tuple[int, float, str]:
    """How many labels the next round will train on, in how many seconds, and how that is known."""
    row = _newest(project, "train")
    trained = project.store.step_results(row.number)["train"] if row is not None else {}
    if row is not None and trained.get("labels"):
        last = project.store.step_seconds(row.number)["train"]
        labels = trained["labels"] + config.round.batch
        return labels, last * labels / trained["labels"], "by the last round"
    return config.round.batch, fitted, "tried out"


def _newest(project: Project, step: str) -> RoundRow | None:
    """The newest round that finished a step."""
    rows = reversed(project.store.rounds())
    return next((row for row in rows if step in project.store.step_results(row.number)), None)


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
