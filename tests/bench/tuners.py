"""Every tuner on the same labels: the grids their defaults were chosen from, and the table of what they give.

    python tests/bench/tuners.py recipes --data ../shared/data --out /tmp/recipes.jsonl [--part 0/2] [--only setfit]
    python tests/bench/tuners.py table   --data ../shared/data --out /tmp/table.jsonl   [--part 0/2] [--only lora,full]
    python tests/bench/tuners.py heads   --data ../shared/data --out /tmp/heads.jsonl
    python tests/bench/tuners.py seconds --data ../shared/data --out /tmp/s.jsonl
    python tests/bench/tuners.py show    --recipes /tmp/recipes.jsonl --table /tmp/table.jsonl --seconds /tmp/s.jsonl

`show` writes tests/bench/tuners.md, and puts the rows into docs/tuners.md and docs/tuners/.

A fit is one JSON line; what is there already is not run again. Labels are drawn at random from one end of a shuffled
training file; `recipes` judges on rows from its other end, `table` on the test file, 1,000 texts of it at most. A
(set, labels, seed) is the same draw for every tuner. The fits of a tuner on a set run in a process of their own, whose
peak memory is measured. Two processes with OMP_NUM_THREADS=1 (`--part 0/2` and `1/2`) are faster than one with two
threads. `seconds` fits each twice on 200 labels of trec, of which the second counts: for an idle machine.
"""

import argparse
import csv
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

JUDGED = 1_000
STEPS_240 = {"steps": 240, "epochs": 6.0}
RECIPE_SETS, RECIPE_LABELS, RECIPE_SEEDS = ("sms_spam", "dbpedia14"), 64, 1
RECIPE_TOKENS = 32  # half of what dbpedia14 has: a fit in half the time


def rates(*values: float, **others: Any) -> list[dict[str, Any]]:
    return [{"learning_rate": value, **others} for value in values]


RECIPES: dict[str, list[dict[str, Any]]] = {  # tuner: the settings that were tried, 6 at most
    "lora": rates(5e-4, 1e-3, 2e-3),
    "full": [*rates(3e-5, 1e-4, 2e-4), {"learning_rate": 1e-4, **STEPS_240}],
    "freeze": [*rates(1e-4, 3e-4, layers=2), *rates(1e-4, 3e-4, layers=4)],
    "bitfit": [*rates(2e-3, 5e-3, 1e-2), {"learning_rate": 5e-3, **STEPS_240}],
    "adapter": [*rates(5e-4, 1e-3, 2e-3), {"learning_rate": 1e-3, **STEPS_240}],
    "ia3": [*rates(3e-3, 1e-2, 3e-2), {"learning_rate": 1e-2, **STEPS_240}],
    "prompt": [*rates(3e-3, 1e-2, 3e-2), {"learning_rate": 1e-2, **STEPS_240}],
    "p-tuning": [*rates(1e-3, 3e-3, 1e-2), {"learning_rate": 3e-3, **STEPS_240}],
    "prefix": [*rates(3e-3, 1e-2, 3e-2), {"learning_rate": 1e-2, **STEPS_240}],
    "setfit": [*rates(3e-5, 1e-4, 2e-4), {"learning_rate": 1e-4, **STEPS_240}],
    "cloze": [*rates(3e-5, 1e-4, 2e-4), {"learning_rate": 1e-4, **STEPS_240}],
}
ALL = ("tfidf", "features", "label-names", *RECIPES, "distill", "multitask")
BESIDE = {"trec": "banking77", "banking77": "trec"}  # what multitask learns beside a set: 1,000 texts of the other one
TABLE = [  # tuners, set, labels, seeds
    *((ALL, name, labels, 3) for labels in (64, 200) for name in ("trec", "banking77")),
    (("lora", "full", "features", "setfit"), "trec", 500, 3),
    *((("lora", "full", "features", "setfit"), name, 500, 1) for name in ("agnews", "goemotions")),
]

Row = tuple[str, tuple[str, ...]]  # text, labels


@lru_cache(maxsize=4)
def rows_of(data: Path, name: str, file: str) -> list[Row]:
    with gzip.open(data / name / f"{file}.csv.gz", "rt", encoding="utf-8", newline="") as opened:
        return [(row["text"], tuple(filter(None, row["label"].split("|")))) for row in csv.DictReader(opened)]


def drawn(data: Path, part: str, name: str, labels: int, seed: int) -> tuple[list[Row], list[Row], list[str]]:
    """The rows to learn from, those to judge by, and texts that nobody labelled."""
    train = rows_of(data, name, "train")
    order = np.random.default_rng(seed).permutation(len(train))
    if part == "recipes":
        judged = [train[row] for row in order[-JUDGED:]]
    else:
        test = rows_of(data, name, "test")
        judged = [test[row] for row in np.random.default_rng(0).permutation(len(test))[:JUDGED]]
    known = {text for text, _ in judged}
    rest = [train[row] for row in order if train[row][0] not in known]
    return rest[:labels], judged, [text for text, _ in rest[labels : labels + 2_000]]


def fit(data: Path, part: str, tuner: str, options: Mapping[str, Any], name: str, labels: int, seed: int) -> Any:
    """One fit, what it decided of the texts it is judged by, and what it took."""
    from alloop import metrics
    from alloop.records import Example
    from alloop.tuning import FitJob, tuners

    learnt, judged, unlabelled = drawn(data, part, name, labels, seed)
    names = tuple(sorted({label for _, given in rows_of(data, name, "train") for label in given}))
    kind: Any = "multi" if any(len(given) != 1 for _, given in judged) else "single"
    job = FitJob([Example(*row) for row in learnt], kind, names, seed, unlabelled=unlabelled)
    options = {**options, **({"max_tokens": RECIPE_TOKENS} if part == "recipes" else {})}
    with tempfile.TemporaryDirectory() as out, tempfile.TemporaryDirectory() as teacher:
        if tuner == "distill":  # its teacher has learnt from the same labels; the seconds of that do not count
            tuners.build("lora").fit(job, Path(teacher))
            options["teacher"] = teacher
        if tuner == "multitask":
            job = replace(job, others=[beside(data, name, seed)])
        built = tuners.build(tuner, **options)
        started = time.perf_counter()
        measured = built.fit(job, Path(out))
        fitted = time.perf_counter()
        probs = built.predict(Path(out), [text for text, _ in judged], ("probs",), seed).probs
        predicted = time.perf_counter()
        size = sum(path.stat().st_size for path in Path(out).rglob("*") if path.is_file())
    assert probs is not None
    truth = [[names.index(label) for label in given] for _, given in judged]
    said = [np.flatnonzero(row).tolist() for row in metrics.decide(np.asarray(probs), kind)]
    return {
        "kind": kind,
        "score": round(score(name, kind, truth, said), 4),
        "truth": truth,
        "decided": said,
        "fit_seconds": round(fitted - started, 2),
        "texts_per_second": round(len(judged) / (predicted - fitted)),
        "trainable_parameters": measured.get("trainable_parameters"),
        "bytes": size,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def beside(data: Path, name: str, seed: int) -> Any:
    from alloop.records import Example
    from alloop.tuning import OtherTask

    learnt, _, _ = drawn(data, "table", BESIDE[name], 1_000, seed)
    names = tuple(sorted({label for _, given in learnt for label in given}))
    return OtherTask(BESIDE[name], "single", names, [Example(*row) for row in learnt])


def score(name: str, kind: str, truth: Sequence[Sequence[int]], said: Sequence[Sequence[int]]) -> float:
    """Accuracy; micro F1 for several labels, macro F1 for spam, of which there is little."""
    if name == "sms_spam":
        both = [(set(a), set(b)) for a, b in zip(truth, said, strict=True)]
        labels = {one for a, _ in both for one in a}
        return float(np.mean([_f1(*_counts([(a & {x}, b & {x}) for a, b in both])) for x in sorted(labels)]))
    return estimate(kind, counts_of(truth, said))


def counts_of(truth: Sequence[Sequence[int]], said: Sequence[Sequence[int]]) -> np.ndarray:
    """(N, 3): of each text right, wrong and missed labels."""
    pairs = [(set(a), set(b)) for a, b in zip(truth, said, strict=True)]
    return np.array([(len(a & b), len(b - a), len(a - b)) for a, b in pairs], float)


def estimate(kind: str, counts: np.ndarray) -> float:
    """Accuracy or micro F1 from (…, N, 3)."""
    return float(counts[:, 0].mean()) if kind == "single" else _f1(*counts.sum(0))


def _counts(pairs: Sequence[tuple[set[int], set[int]]]) -> np.ndarray:
    return np.array([(len(a & b), len(b - a), len(a - b)) for a, b in pairs], float).sum(0)


def _f1(right: float, wrong: float, missed: float) -> float:
    return float(2 * right / max(1.0, 2 * right + wrong + missed))


def wanted(part: str) -> Iterator[dict[str, Any]]:
    """All fits of a part, those of one process beside each other."""
    if part == "recipes":
        for tuner, settings in RECIPES.items():
            for options in settings:
                for name in RECIPE_SETS:
                    for seed in range(RECIPE_SEEDS):
                        about = {"tuner": tuner, "options": options, "set": name}
                        yield {**about, "labels": RECIPE_LABELS, "seed": seed}
    if part == "heads":  # as the table, with the head as slow as where labels are few
        for tuner in ("lora", "full", "freeze"):
            for seed in range(3):
                slow = {"head_learning_rate": 1e-3}
                yield {"tuner": tuner, "options": slow, "set": "banking77", "labels": 200, "seed": seed}
    if part == "seconds":
        for tuner in ALL:
            for seed in range(2):  # the first one waits for libraries and the base
                yield {"tuner": tuner, "options": {}, "set": "trec", "labels": 200, "seed": seed}
    for names, name, labels, seeds in TABLE if part == "table" else []:
        for tuner in names:
            for seed in range(seeds):
                yield {"tuner": tuner, "options": {}, "set": name, "labels": labels, "seed": seed}


def key(one: Mapping[str, Any]) -> str:
    return json.dumps([one[name] for name in ("tuner", "options", "set", "labels", "seed")], sort_keys=True)


def group(one: Mapping[str, Any]) -> str:
    """Fits that share a process: they differ in their seeds only."""
    return json.dumps([one[name] for name in ("tuner", "options", "set", "labels")], sort_keys=True)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(arguments: argparse.Namespace) -> None:
    """The fits that are missing, group by group, each in a new process."""
    number, parts = map(int, arguments.part.split("/"))
    groups = list(dict.fromkeys(group(one) for one in wanted(arguments.command)))
    if arguments.only:
        groups = [one for one in groups if json.loads(one)[0] in arguments.only.split(",")]
    for one in groups[number::parts]:
        done = {key(line) for line in read(arguments.out)}
        missing = [fit for fit in wanted(arguments.command) if group(fit) == one and key(fit) not in done]
        if missing:
            command = [sys.executable, __file__, "group", json.dumps(missing), "--of", arguments.command]
            command += ["--data", str(arguments.data), "--out", str(arguments.out)]
            if subprocess.run(command, check=False).returncode:
                print(f"failed: {one}", file=sys.stderr, flush=True)


def run_group(arguments: argparse.Namespace) -> None:
    for one in json.loads(arguments.fits):
        found = fit(
            arguments.data, arguments.of, *(one[name] for name in ("tuner", "options", "set", "labels", "seed"))
        )
        with arguments.out.open("a") as file:
            file.write(json.dumps({**one, **found}) + "\n")
        print(one["tuner"], one["options"], one["set"], one["labels"], one["seed"], found["score"], flush=True)


def interval(
    fits: Sequence[Mapping[str, Any]], against: Sequence[Mapping[str, Any]] | None = None
) -> tuple[float, ...]:
    """Mean over the seeds, or mean difference, with 95 % of 2,000 resamples of seeds, and of texts within them."""
    rng = np.random.default_rng(0)
    kind = fits[0]["kind"]
    ours = [counts_of(one["truth"], one["decided"]) for one in fits]
    theirs = None if against is None else [counts_of(one["truth"], one["decided"]) for one in against]

    def value(seeds: Sequence[int], rows: Any) -> float:
        found = [estimate(kind, ours[s][rows]) - (estimate(kind, theirs[s][rows]) if theirs else 0) for s in seeds]
        return float(np.mean(found))

    n, k = len(ours[0]), len(ours)
    resampled = [value(rng.integers(k, size=k), rng.integers(n, size=n)) for _ in range(2_000)]
    return value(range(k), slice(None)), *np.quantile(resampled, (0.025, 0.975)).tolist()


ABOUT = """# Every tuner: the grids of their defaults, and what they give

Written by `tests/bench/tuners.py show`. MiniLM, labels drawn at random, every tuner on the same draws; no tuner saw the
unlabelled texts but `distill`, whose teacher is a `lora` model of the same labels. What it means is in
[docs/tuners.md](../../docs/tuners.md).

Kept from the grids: the setting with the best mean, but the shorter one where twice the steps gained under 1.5 points
(`full`, `adapter`, `cloze`; `ia3` is quick and kept them); and `lora` as it was, as its grid on four other sets found
0.002 unstable ([recipe.md](recipe.md)).
Peak memory is that of the process that fitted all seeds one after the other, with libraries and base. The fits ran on
several commits of one day; those that a change in between concerned (the head's rate, with 77 labels) ran anew.
"""


def show(arguments: argparse.Namespace) -> str:
    parts = [ABOUT]
    table = read(arguments.table)
    for names, name, labels, seeds in TABLE:
        fits = [one for one in table if (one["set"], one["labels"]) == (name, labels)]
        if not fits:
            continue
        metric = "F1 (micro)" if fits[0]["kind"] == "multi" else "accuracy"
        many = f"{seeds} seeds" if seeds > 1 else "1 seed"
        parts.append(f"\n## {name}, {labels} labels, {many}, {len(fits[0]['truth']):,} test texts\n")
        parts.append(f"| tuner | {metric} (95 %) | against `lora` | learns | on disk | peak memory |")
        parts.append("|---|---|---|---|---|---|")
        by_tuner = {tuner: [one for one in fits if one["tuner"] == tuner] for tuner in names}
        rows = [(interval(found), tuner, found) for tuner, found in by_tuner.items() if len(found) == seeds]
        for (mean, low, high), tuner, found in sorted(rows, key=lambda row: -row[0][0]):
            parts.append(
                f"| `{tuner}` | {mean:.3f} ({low:.3f}–{high:.3f}) | {_beside(found, by_tuner)} | {_costs(found)} |"
            )
    seconds = second_fits(read(arguments.seconds))
    if "lora" in seconds:
        parts.append("\n## Seconds, on 200 labels of trec, one after the other\n")
        parts.append("| tuner | a fit | times `lora`'s | texts predicted a second |\n|---|---|---|---|")
        for tuner, one in sorted(seconds.items(), key=lambda row: row[1]["fit_seconds"]):
            ratio = one["fit_seconds"] / seconds["lora"]["fit_seconds"]
            parts.append(f"| `{tuner}` | {one['fit_seconds']:.1f} s | {ratio:.2f} | {one['texts_per_second']:,} |")
    recipes = read(arguments.recipes)
    parts.append(
        f"\n## Grids\n\n{RECIPE_LABELS} labels, {RECIPE_SEEDS} seed, judged on rows of the training files, texts cut "
        f"to {RECIPE_TOKENS} tokens.\n"
    )
    parts.append("| tuner | setting | " + " | ".join(RECIPE_SETS) + " | mean |")
    parts.append("|---|---|" + "---|" * (len(RECIPE_SETS) + 1))
    for tuner, settings in RECIPES.items():
        for options in settings:
            found = [one for one in recipes if (one["tuner"], one["options"]) == (tuner, options)]
            means = [np.mean([one["score"] for one in found if one["set"] == name]) for name in RECIPE_SETS if found]
            if found:
                cells = " | ".join(f"{mean:.3f}" for mean in [*means, np.mean(means)])
                parts.append(f"| `{tuner}` | {', '.join(f'{k} {v:g}' for k, v in options.items())} | {cells} |")
    return "\n".join(parts)


SUMMARY = [("trec", 64), ("trec", 200), ("banking77", 64), ("banking77", 200)]  # the columns of a tuner's row
HEADER = [
    "| tuner | "
    + " | ".join(f"{name}, {labels}" for name, labels in SUMMARY)
    + " | a fit | learns | on disk | memory |",
    "|---|" + "---|" * (len(SUMMARY) + 4),
]


def second_fits(lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["tuner"]: one for one in lines if one["seed"] == 1}


def summary(table: Sequence[Mapping[str, Any]], seconds: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """By tuner its row: accuracies, and what a fit on 200 labels of trec takes. The best mean comes first."""
    rows: list[tuple[float, str, str]] = []
    for tuner in ALL:
        found = [
            [one for one in table if (one["tuner"], one["set"], one["labels"]) == (tuner, *column)]
            for column in SUMMARY
        ]
        if all(found):
            means = [interval(fits) for fits in found]
            cells = [f"{mean:.3f} ({low:.2f}–{high:.2f})" for mean, low, high in means]
            took = f"{seconds[tuner]['fit_seconds']:.1f} s" if tuner in seconds else "–"
            rows.append(
                (float(np.mean([one[0] for one in means])), tuner, " | ".join([*cells, took, _costs(found[1])]))
            )
    return {tuner: f"| [`{tuner}`]({{}}{tuner}.md) | {cells} |" for _, tuner, cells in sorted(rows, reverse=True)}


def put(page: Path, lines: Sequence[str]) -> None:
    """Replace what stands between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition("<!-- measured -->")
    _, _, after = rest.partition("<!-- /measured -->")
    inside = "\n".join(lines)
    page.write_text(f"{before}<!-- measured -->\n{inside}\n<!-- /measured -->{after}", encoding="utf-8")


def write(arguments: argparse.Namespace) -> None:
    root = Path(__file__).parents[2]
    (root / "tests/bench/tuners.md").write_text(show(arguments) + "\n", encoding="utf-8")
    rows = summary(read(arguments.table), second_fits(read(arguments.seconds)))
    put(root / "docs/tuners.md", [*HEADER, *(row.format("tuners/") for row in rows.values())])
    for tuner, row in rows.items():
        put(root / f"docs/tuners/{tuner}.md", [*HEADER, row.format("")])


def _beside(found: list[dict[str, Any]], by_tuner: Mapping[str, list[dict[str, Any]]]) -> str:
    lora = by_tuner.get("lora", [])
    if found[0]["tuner"] == "lora" or len(lora) != len(found):
        return ""
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(*interval(found, lora))


def _costs(found: list[dict[str, Any]]) -> str:
    def middle(name: str) -> float:
        return float(np.median([one[name] or 0 for one in found]))

    trained = f"{middle('trainable_parameters'):,.0f}" if found[0]["trainable_parameters"] else "–"
    peak = max(one["peak_mb"] for one in found)
    return f"{trained} | {middle('bytes') / 1e6:.2f} MB | {peak:,} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("recipes", "table", "heads", "seconds", "group"):
        command = commands.add_parser(name)
        command.add_argument("--data", type=Path, required=True, help="the directory of the data sets")
        command.add_argument("--out", type=Path, required=True, help="JSON lines, one a fit")
        command.add_argument("--part", default="0/1", help="this process's share of the fits")
        command.add_argument("--only", default="", help="these tuners only, with commas between them")
        if name == "group":
            command.add_argument("fits")
            command.add_argument("--of", required=True)
    command = commands.add_parser("show")
    command.add_argument("--recipes", type=Path, required=True)
    command.add_argument("--table", type=Path, required=True)
    command.add_argument("--seconds", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "show":
        write(arguments)
    else:
        (run_group if arguments.command == "group" else run)(arguments)


if __name__ == "__main__":
    main()
