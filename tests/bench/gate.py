"""What the gate is worth: with variants always, never, and as the gate decides, on the same labels.

    python tests/bench/gate.py features --data ../shared/data --out /tmp/gate.jsonl
    python tests/bench/gate.py lora     --data ../shared/data --out /tmp/gate.jsonl [--tuner-gate]
    python tests/bench/gate.py show     --out /tmp/gate.jsonl

`show` writes tests/bench/gate.md.

A run is one JSON line; what is there already is not run again. Its labels are drawn at random; a project is made of
them, KNOWN texts of the training file in all and 1,000 test texts, and does the steps pull and augment as a round does
them. Then models learn the same labels with the variants of all augmenters (always), of none (never) and of those that
the gate turned on, and are judged on the test texts. `alone` is what each augmenter by itself does to the test metric:
whether the gate was right. Two more augmenters are planted that break labels: every variant of `other` is a text of
another label, of `half` every second one, the rest slips of the keyboard; the gate judges them unfiltered, which is
harder, and it is counted how many the filters let pass. Every accepted variant is compared again with all test texts
("near_test"), and with all texts of the pool but its parent ("near_pool"): both have to be zero.

`--tuner-gate` also says what the gate decides by the tuner's own cross-validation, which takes as long as 25 fits.
"""

import argparse
import csv
import gzip
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
from scipy.stats import t

from alloop import metrics
from alloop.augmentation import gain_words
from alloop.augmenters import augmenters
from alloop.files import fingerprint, is_whole, publish
from alloop.ingest import text_id
from alloop.intake import create
from alloop.project import Project
from alloop.similar import ALIKE, nearest, shingled
from alloop.steps import augment, gate, pull, stand_in
from alloop.steps.context import Context
from alloop.steps.filters import Around, rejections
from alloop.steps.policies import learnable
from alloop.steps.train import fit_job
from alloop.store import Variant, now
from alloop.tuning import tuners
from alloop.tuning._linear import linear_logits, probabilities
from alloop.tuning._vectors import write_vectors

USE = ("swap-words", "delete-words", "spelling", "keyboard")
SETS = ("trec", "agnews", "banking77", "goemotions", "sms_spam")
LABELS = (32, 100, 300)
SEEDS = 5
LORA_SETS, LORA_LABELS, LORA_SEEDS = ("trec", "agnews"), (32, 100), 3
KNOWN = 2_000
JUDGED = 1_000
MAX_TOKENS = 64

Row = tuple[str, tuple[str, ...]]  # text, labels


def rows_of(data: Path, name: str, file: str, most: int) -> list[Row]:
    """Some rows of a file, drawn at random, each text once."""
    with gzip.open(data / name / f"{file}.csv.gz", "rt", encoding="utf-8", newline="") as opened:
        rows = {row["text"].strip(): tuple(filter(None, row["label"].split("|"))) for row in csv.DictReader(opened)}
    listed = sorted(rows.items())
    return [listed[row] for row in np.random.default_rng(0).permutation(len(listed))[:most]]


@lru_cache(maxsize=1)
def texts_of(data: Path, name: str) -> tuple[list[Row], list[Row], list[Row]]:
    """The rows of the pool, of the test, and others for the planted augmenters; no text is in two of them."""
    test = rows_of(data, name, "test", JUDGED)
    known = {text for text, _ in test}
    train = [row for row in rows_of(data, name, "train", 2 * KNOWN + JUDGED) if row[0] not in known]
    return train[:KNOWN], test, train[KNOWN : 2 * KNOWN]


def with_vectors(data: Path, name: str, out: Path) -> Path:
    """A directory with the vectors of a set's texts, read once."""
    directory = out.with_suffix(".vectors") / name
    if not is_whole(directory):
        texts = [text for rows in texts_of(data, name) for text, _ in rows]
        found = tuners.build("features", max_tokens=MAX_TOKENS).predict(None, texts, ("embeddings",), 0).embeddings
        assert found is not None
        publish(directory, lambda at: write_vectors(at, "minilm", MAX_TOKENS, texts, np.asarray(found)))
    return directory


def a_run(data: Path, out: Path, tuner: str, name: str, labels: int, seed: int, tuner_gate: bool) -> dict[str, Any]:
    """Everything measured of one draw of labels."""
    pool, test, rest = texts_of(data, name)
    drawn = set(np.random.default_rng(seed).permutation(len(pool))[:labels].tolist())
    with tempfile.TemporaryDirectory() as directory, made(Path(directory), pool, drawn, test, tuner, seed) as project:
        known = project.root / "cache" / "vectors" / fingerprint({"base": "minilm", "max_tokens": MAX_TOKENS})
        shutil.copytree(with_vectors(data, name, out), known / "known")
        context = begun(project, seed)
        found: dict[str, Any] = {"tuner": tuner, "set": name, "labels": labels, "seed": seed}
        if tuner == "features":
            found |= {"planted": planted(context, rest)}
        do_step(context, "augment", augment)
        found |= {"gate": context.results["augment"]["gate"], "fates": project.store.variant_fates()}
        found["seconds"] = {job.config["augmenter"]: job.seconds for job in project.store.jobs("gate")}
        score = judge(context, test)
        on = context.results["augment"]["on"]
        found |= {"never": score(()), "always": score(USE), "gate_score": score(on)}
        if tuner == "features":
            found["alone"] = {one: score((one,)) for one in USE}
        if tuner_gate:
            found["by_tuner"] = by_tuner(context)
        return found | leakage(context)


@contextmanager
def made(
    here: Path, pool: Sequence[Row], drawn: set[int], test: Sequence[Row], tuner: str, seed: int
) -> Iterator[Project]:
    """A project in which the drawn rows of the pool have their labels."""
    rows = [(text, "|".join(given) if row in drawn else "") for row, (text, given) in enumerate(pool)]
    files = [write_csv(here / "pool.csv", rows), write_csv(here / "test.csv", [(a, "|".join(b)) for a, b in test])]
    names = sorted({label for _, given in (*pool, *test) for label in given})
    config = {
        "task": {"kind": kind_of(pool), "labels": names},
        "data": {"text": "text", "label": "label"},
        "model": {"tuner": tuner, "max_tokens": MAX_TOKENS},
        "round": {"seed": seed},
        "augment": {"use": list(USE)},
        "annotate": {"with": "file"},
    }
    (here / "alloop.toml").write_text(tomlkit.dumps(config))
    project, _ = create(here / "project", source=here / "alloop.toml", data=[files[0]], test=files[1])
    yield project
    project.store.close()


def write_csv(path: Path, rows: Sequence[tuple[str, str]]) -> str:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return str(path)


def kind_of(rows: Sequence[Row]) -> Any:
    return "multi" if any(len(given) != 1 for _, given in rows) else "single"


def begun(project: Project, seed: int) -> Context:
    """A round that has pulled the labels."""
    with project.store.transaction():
        row = project.store.open_round(project.config.snapshot(), seed, {})
    context = Context(project, row, push=False, now=True)
    do_step(context, "pull", pull)
    return context


def do_step(context: Context, name: str, step: Any) -> None:
    started, done = now(), step.do(context)
    with context.project.store.transaction():
        context.project.store.finish_step(context.round.number, name, started, step.save(context, done))


def judge(context: Context, test: Sequence[Row]) -> Callable[[Sequence[str]], float]:
    """How good a model of the round's labels and some augmenters' variants is on the test texts."""
    project, config = context.project, context.config
    resolved = project.store.resolved(context.round.number, "pool")
    texts = [text for text, _ in test]
    truth = np.array([[float(name in given) for name in config.task.names] for _, given in test])
    known: dict[tuple[str, ...], float] = {}

    def score(use: Sequence[str]) -> float:
        if tuple(use) not in known:
            known[tuple(use)] = round(100 * measure(said(use)), 3)
        return known[tuple(use)]

    def said(use: Sequence[str]) -> np.ndarray:
        job = fit_job(context, resolved, use)
        if config.model.tuner == "features":  # the same model, from vectors that are read once
            x = stand_in.vectors(project, config, [one.text for one in job.train])
            linear = stand_in.fitted(config, x, job.targets(job.train))
            logits = linear_logits(stand_in.vectors(project, config, texts), linear)
            return probabilities(logits, config.task.kind)
        tuner = project.tuner(config).build()
        with tempfile.TemporaryDirectory() as out:
            tuner.fit(job, Path(out))
            probs = tuner.predict(Path(out), texts, ("probs",), 0).probs
        assert probs is not None
        return probs

    def measure(probs: np.ndarray) -> float:
        decided = metrics.decide(np.asarray(probs), config.task.kind)
        if config.task.kind == "single":
            return float((decided == truth).all(1).mean())
        return float(2 * (decided * truth).sum() / (decided + truth).sum())

    return score


def planted(context: Context, rest: Sequence[Row]) -> dict[str, Any]:
    """What the gate says of augmenters that break labels, and how many of their variants the filters let pass."""
    store, round_seed = context.project.store, context.round.seed
    resolved = store.resolved(context.round.number, "pool")
    texts = {text.id: text.text for text in store.texts([one.text_id for one in resolved])}
    rng = np.random.default_rng(round_seed)
    slips = augmenters.build("keyboard")
    other, half = {}, {}
    for place, one in enumerate(resolved):
        strangers = [text for text, given in rest if not set(given) & set(one.labels)]
        broken = strangers[int(rng.integers(len(strangers)))]
        other[one.text_id] = [broken]
        half[one.text_id] = [broken] if place % 2 else slips([texts[one.text_id]], 1, rng)[0]
    read = partial(stand_in.vectors, context.project, context.config)
    variants = {"other": other, "half": half}
    settings = context.config.augment.model_copy(update={"use": list(variants)})
    config = context.config.model_copy(update={"augment": settings})
    there = Context(context.project, replace(context.round, config=config.snapshot()))
    found = {}
    for verdict in gate.verdicts(there, resolved, variants, read):
        name = verdict.augmenter
        rows: list[Variant] = [
            (text_id(text), parent, text, name, "{}", 0, None)
            for parent, made in variants[name].items()
            for text in made
        ]
        whys = Counter((why or "").split(":")[0] for why in rejections(Around(there, resolved, read), rows))
        found[name] = {**verdict.as_json, "fates": whys}
    return found


def by_tuner(context: Context) -> list[dict[str, Any]]:
    """What the gate says by cross-validation of the project's own tuner."""
    settings = context.config.augment.model_copy(update={"gate": "tuner"})
    config = context.config.model_copy(update={"augment": settings})
    there = Context(context.project, replace(context.round, config=config.snapshot()))
    return [one.as_json for one in augment.do(there).verdicts]


def leakage(context: Context) -> dict[str, int]:
    """How many accepted variants are near a test text, or near a text of the pool that is not its parent."""
    store = context.project.store
    resolved = store.resolved(context.round.number, "pool")
    accepted = [
        (parent, text) for name in USE for parent, made in learnable(context, name, resolved).items() for text in made
    ]
    variants = shingled([text for _, text in accepted])
    pool = list(store.pool_ids())
    place = {one: row for row, one in enumerate(pool)}
    parents = np.array([place[parent] for parent, _ in accepted])
    near = {}
    for where, ids, but in (("near_test", store.test_ids(), None), ("near_pool", pool, parents)):
        likest = nearest(variants, shingled([text.text for text in store.texts(ids)]), but)[0]
        near[where] = int((likest >= ALIKE).sum())
    return {"accepted": len(accepted), **near}


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def grid(arguments: argparse.Namespace) -> None:
    """Run what is missing."""
    is_lora = arguments.what == "lora"
    sets, sizes, seeds = (LORA_SETS, LORA_LABELS, LORA_SEEDS) if is_lora else (SETS, LABELS, SEEDS)
    there = {(one["tuner"], one["set"], one["labels"], one["seed"]) for one in read_lines(arguments.out)}
    for seed in range(seeds):  # by seed first: whatever there is time for is a balanced sample
        for name in sets:
            for labels in sizes:
                if (arguments.what, name, labels, seed) in there:
                    continue
                found = a_run(arguments.data, arguments.out, arguments.what, name, labels, seed, arguments.tuner_gate)
                with open(arguments.out, "a", encoding="utf-8") as file:
                    file.write(json.dumps(found) + "\n")
                print(name, labels, seed, found["never"], found["always"], found["gate_score"], flush=True)


def tables(runs: Sequence[dict[str, Any]]) -> str:
    """All that was measured, as markdown."""
    parts = [__doc__.split("\n\n")[0] + " Written by `python tests/bench/gate.py show`.\n"]
    for tuner in ("features", "lora"):
        if some := [run for run in runs if run["tuner"] == tuner]:
            parts += [f"## {tuner}: {len(some)} runs\n", means(some), by_labels(some)]
    judged = [run for run in runs if run["tuner"] == "features"]
    if judged:
        parts += ["## Was the gate right? (features)\n", power(judged), "## Planted augmenters\n", breakers(judged)]
    parts += ["## Variants\n", fates(runs), "## Cost\n", costs(judged)]
    if asked := [run for run in runs if "by_tuner" in run]:
        parts += ["## By the tuner's own cross-validation\n", tuner_table(asked)]
    return "\n".join(parts)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def against(runs: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """The cells of a group of runs: the means, how the others differ from never, and what the gate is behind."""
    never, always, gated = (np.array([run[arm] for run in runs]) for arm in ("never", "always", "gate_score"))
    best = max(never.mean(), always.mean())
    means = (f"{one.mean():.2f}" for one in (never, always, gated))
    return (*means, mean_interval(always - never), mean_interval(gated - never), f"{gated.mean() - best:+.2f}")


HEADER = ("never", "always", "gate", "always − never", "gate − never", "gate − better of both")


def means(runs: Sequence[dict[str, Any]]) -> str:
    """Over all runs and by set. Points of accuracy, of micro-F1 for goemotions."""
    rows = [("all", str(len(runs)), *against(runs))]
    for name in dict.fromkeys(run["set"] for run in runs):
        some = [run for run in runs if run["set"] == name]
        rows.append((name, str(len(some)), *against(some)))
    return table(("set", "runs", *HEADER), rows)


def by_labels(runs: Sequence[dict[str, Any]]) -> str:
    rows = []
    for labels in sorted({run["labels"] for run in runs}):
        some = [run for run in runs if run["labels"] == labels]
        on = np.mean([[one["on"] for one in run["gate"]] for run in some])
        rows.append((str(labels), str(len(some)), *against(some), f"{on:.0%}"))
    return table(("labels", "runs", *HEADER, "augmenters on"), rows)


def power(runs: Sequence[dict[str, Any]]) -> str:
    """Each augmenter by itself: what it did to the test metric, and what the gate had said."""
    rows = []
    for labels in sorted({run["labels"] for run in runs}):
        found = [
            (run["alone"][one["augmenter"]] - run["never"], one)
            for run in runs
            if run["labels"] == labels
            for one in run["gate"]
        ]
        cells = [str(labels), str(len(found))]
        for low, high in ((-np.inf, -1), (-1, 0), (0, 1), (1, 2), (2, np.inf)):
            within = [one["on"] for truth, one in found if low < truth <= high]
            cells.append(f"{np.mean(within):.0%} of {len(within)}" if within else "–")
        evidence = [(truth, 100 * one["value"], 100 * one["low"]) for truth, one in found]
        changed = [(truth, value, low) for truth, value, low in evidence if value > low]
        reach = np.mean([value - low for _, value, low in changed])
        missed = np.mean([truth < low for truth, _, low in changed])
        rows.append((*cells, f"{reach:.1f}", f"{missed:.0%}", str(len(evidence) - len(changed))))
    header = ("labels", "decisions", "on where it cost > 1", "cost 0 to 1", "gained 0 to 1", "gained 1 to 2")
    header += ("gained > 2", "lower bound below the estimate by", "truth below the bound", "no decision changed")
    said = (
        "The truth is the difference on the test texts, which know it to about 0.7 points themselves. Where variants"
        " change no decision in cross-validation there is no interval.\n"
    )
    return f"{table(header, rows)}\n{said}"


def breakers(runs: Sequence[dict[str, Any]]) -> str:
    rows = []
    for kind in ("other", "half"):
        for labels in sorted({run["labels"] for run in runs}):
            some = [run["planted"][kind] for run in runs if run["labels"] == labels]
            refused = sum(not one["on"] for one in some)
            made = sum(sum(one["fates"].values()) for one in some)
            passed = sum(one["fates"].get("", 0) for one in some)
            gain = np.mean([100 * one["value"] for one in some])
            share = f"{refused} of {len(some)} ({refused / len(some):.0%})"
            rows.append((kind, str(labels), share, f"{gain:+.1f}", f"{passed / made:.0%}"))
    planted = [(kind, run) for run in runs for kind in run["planted"]]
    on = [f"{kind}, {run['set']}, {run['labels']}" for kind, run in planted if run["planted"][kind]["on"]]
    n = len(planted)
    said = f"Refused in {n - len(on)} of {n} ({(n - len(on)) / n:.1%}). Not refused: {'; '.join(on) or 'none'}.\n"
    header = ("planted", "labels", "refused", "mean gain it showed", "variants the filters let pass")
    return f"{table(header, rows)}\n{said}"


def fates(runs: Sequence[dict[str, Any]]) -> str:
    total: Counter[str] = Counter()
    for run in runs:
        for by_reason in run["fates"].values():
            total.update(by_reason)
    made = sum(total.values())
    rows = [(reason or "accepted", f"{n:,}", f"{n / made:.2%}") for reason, n in total.most_common()]
    near = [sum(run[where] for run in runs) for where in ("near_test", "near_pool")]
    accepted = sum(run["accepted"] for run in runs)
    said = (
        f"Of {accepted:,} accepted variants of {len(runs)} runs, {near[0]} are near a test text and {near[1]} near"
        " a text of the pool other than their parent.\n"
    )
    return f"{table(('variants', 'n', 'share'), rows)}\n{said}"


def costs(runs: Sequence[dict[str, Any]]) -> str:
    rows = []
    for labels in sorted({run["labels"] for run in runs}):
        seconds = [one for run in runs if run["labels"] == labels for one in run["seconds"].values()]
        rows.append((str(labels), f"{np.median(seconds):.1f}", f"{max(seconds):.1f}"))
    return table(("labels", "seconds of a decision, median", "most"), rows)


def tuner_table(runs: Sequence[dict[str, Any]]) -> str:
    rows = []
    for run in runs:
        for one, other in zip(run["gate"], run["by_tuner"], strict=True):
            says = [f"{'on' if said['on'] else 'off'}: {gain_words(said)}" for said in (one, other)]
            rows.append((f"{run['set']}, {run['labels']}, seed {run['seed']}", one["augmenter"], *says))
    return table(("run", "augmenter", "by features", "by the tuner"), rows)


def mean_interval(values: Sequence[float]) -> str:
    """A mean with its 95 % interval over runs."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return f"{mean:+.2f}"
    reach = float(t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / n**0.5
    return f"{mean:+.2f} ({mean - reach:+.2f} to {mean + reach:+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["features", "lora", "show"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tuner-gate", action="store_true")
    arguments = parser.parse_args()
    if arguments.what == "show":
        Path(__file__).with_name("gate.md").write_text(tables(read_lines(arguments.out)))
    else:
        grid(arguments)


if __name__ == "__main__":
    main()
