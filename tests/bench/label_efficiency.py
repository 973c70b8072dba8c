"""How many labels each strategy saves, and what each stopping rule would have done: the tables of docs/strategies.md.

    python tests/bench/label_efficiency.py --data ../shared/data --work W

Runs `alloop simulate` for each part below and prints its tables as Markdown. Pools are cut to 4,000 texts and tests to
1,000, MiniLM, batches of 50, a tenth of each at random. What is finished is kept: a stopped run goes on with the same
command. All of it took some hours on two cores; `--part` and `--set` do less.

features    every strategy with frozen features, to 500 labels, 5 seeds, on five sets
lora        random, margin, herding and auto with LoRA, to 300 labels, 3 seeds, on two sets
off-topic   auto, margin and random, 20 seeds, on AG News of which 30 % are questions of TREC with random labels
stopping    auto and random with frozen features to 1,500 labels, 3 seeds: what each rule says, and when
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import loops
import numpy as np

SETS = ("trec", "sms_spam", "agnews", "dbpedia14", "banking77")
NAMES = {
    "trec": "TREC",
    "sms_spam": "SMS Spam",
    "agnews": "AG News",
    "dbpedia14": "DBpedia",
    "banking77": "Banking77",
    "off-topic": "off-topic",
}
MULTI_LABEL = ("cvirs", "label-cardinality")
POOL, TEST = 4_000, 1_000
NEAR = 0.01  # of the fully labelled pool: labelled enough

# near-duplicates may be picked, so that the strategies are compared as they are
CONFIG = """\
[task]
labels = {labels}
[data]
text = "text"
label = "label"
[round]
near_duplicates = "pick"
"""

Run = Mapping[str, Any]


def write_set(data: Path, name: str, work: Path) -> tuple[Path, Path, Path]:
    """A set's pool, its test texts, and a config with its labels, as files."""
    files = work / "data" / f"{name}.csv", work / "data" / f"{name}.test.csv", work / "data" / f"{name}.toml"
    if not files[2].exists():
        files[0].parent.mkdir(parents=True, exist_ok=True)
        pool, test = off_topic(data) if name == "off-topic" else loops.pool_and_test(data, name, POOL)
        random.Random(2).shuffle(test)
        loops.write_rows(files[0], pool)
        loops.write_rows(files[1], test[:TEST])
        files[2].write_text(CONFIG.format(labels=json.dumps(sorted({label for _, label in pool}))))
    return files


def off_topic(data: Path) -> tuple[loops.Rows, loops.Rows]:
    """AG News, and instead of 30 % of it questions of TREC with labels drawn at random; its own test texts."""
    pool, test = loops.pool_and_test(data, "agnews", POOL)
    questions, _ = loops.pool_and_test(data, "trec")
    rng = random.Random(3)
    labels = sorted({label for _, label in pool})
    others = [(text, rng.choice(labels)) for text, _ in rng.sample(questions, int(0.3 * POOL))]
    return rng.sample(pool, POOL - len(others)) + others, test


def simulate(
    arguments: argparse.Namespace, out: Path, name: str, strategies: Sequence[str], tuner: str, **options: int
) -> list[Run]:
    """The finished runs of a set, after doing those that are missing."""
    pool, test, config = write_set(arguments.data, name, arguments.work)
    command = [sys.executable, "-c", "from alloop.cli import main; main()", "simulate", "--from", config]
    command += ["--data", pool, "--test", test, "--tuner", tuner, "--out", out]
    for strategy in strategies:
        command += ["--strategy", strategy]
    for option, value in options.items():
        command += [f"--{option}", str(value)]
    if arguments.workers:
        command += ["--workers", str(arguments.workers)]
    if not arguments.tables:
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([str(one) for one in command], check=True, stdout=subprocess.DEVNULL)
    return [json.loads(path.read_text()) for path in sorted((out / "runs").glob("*.json"))]


def every_strategy() -> list[str]:
    from alloop.strategies import strategies

    return [name for name in strategies.names() if name not in MULTI_LABEL]


def by_strategy(runs: Sequence[Run]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """strategy -> labels (P,) and accuracies (S, P) at them, of the seeds in their order."""
    from alloop import efficiency

    curves: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]] = defaultdict(dict)
    for run in runs:
        x = np.array([point["labels"] for point in run["points"]], float)
        y = np.array([point["metrics"]["accuracy"]["value"] for point in run["points"]])
        curves[run["strategy"]][run["seed"]] = x, y
    every = [curve for seeds in curves.values() for curve in seeds.values()]
    x = efficiency.grid(every, *efficiency.common_range(every))
    seeds = len(curves["random"])
    return {
        name: (x, efficiency.values_at([of[seed] for seed in sorted(of)], x))
        for name, of in sorted(curves.items())
        if len(of) == seeds
    }


def share_to_random(x: np.ndarray, y: np.ndarray, rival: np.ndarray) -> tuple[float, float, float]:
    """The labels to random's last accuracy, of random's own, with the percentile interval over seeds; inf: not there.

    Both are read off the mean curves, made to rise; the seeds are resampled together.
    """
    from alloop import efficiency

    def share(rows: np.ndarray) -> float:
        curve = efficiency.rising(rival[rows].mean(0))
        found = efficiency.reach(float(curve[-1]), x, y[rows].mean(0)[None], np.random.default_rng(0)).labels
        return np.inf if found is None else found / x[-1]

    rng = np.random.default_rng(0)
    drawn = sorted(share(rows) for rows in rng.integers(0, len(y), (1_000, len(y))))
    return share(np.arange(len(y))), drawn[24], drawn[975]


def efficiency_tables(parts: Mapping[str, Sequence[Run]]) -> list[str]:
    """The area of every strategy on every set less random's, and the labels to random's last accuracy."""
    from alloop import efficiency

    found = {name: by_strategy(runs) for name, runs in parts.items()}
    areas = {
        name: {one: [efficiency.area(x, row) for row in y] for one, (x, y) in of.items()} for name, of in found.items()
    }
    names = sorted(
        {one for of in areas.values() for one in of},
        key=lambda one: -mean(mean(of[one]) if one in of else 0 for of in areas.values()),
    )
    rows, saved = [], []
    for one in names:
        cells, shares = [], []
        for name, of in areas.items():
            if one not in of:
                cells.append("–")
                shares.append("–")
                continue
            if one == "random":
                estimate = efficiency.mean(of[one])
                cells.append(f"{100 * estimate.value:.1f} ± {100 * half(estimate):.1f}")
                shares.append("1")
                continue
            duel = efficiency.duel(of[one], of["random"])
            cells.append(f"{100 * duel.value:+.1f} ± {100 * half(duel):.1f}")
            x, y = found[name][one]
            shares.append(share_words(*share_to_random(x, y, found[name]["random"][1])))
        all_of = [mean(of[one]) - mean(of["random"]) for of in areas.values() if one in of]
        rows.append([f"`{one}`", *cells, f"{100 * mean(all_of):+.1f}" if len(all_of) == len(areas) else "–"])
        saved.append([f"`{one}`", *shares])
    head = ["strategy", *(NAMES[name] for name in parts)]
    lines = ["`auto` beside the best other strategy of each set, difference of areas in points, by seed:", ""]
    for name, of in areas.items():
        if "auto" in of:
            best = max((one for one in of if one != "auto"), key=lambda one: mean(of[one]))
            duel = efficiency.duel(of["auto"], of[best])
            lines.append(f"- {NAMES[name]}: {100 * duel.value:+.1f} ± {100 * half(duel):.1f} (`{best}`)")
    return [markdown([*head, "mean"], rows), markdown(head, saved), "\n".join(lines)]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def half(estimate: Any) -> float:
    return float("nan") if estimate.low is None else float(estimate.high - estimate.value)


def share_words(value: float, low: float, high: float) -> str:
    shown = ["> 1" if np.isinf(one) else f"{one:.2f}" for one in (value, low, high)]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


def notes(runs: Sequence[Run]) -> str:
    """How auto decided, over all runs."""
    said = [point["note"] or "" for run in runs if run["strategy"] == "auto" for point in run["points"][1:-1]]
    at_random = sum(note.startswith("at random") for note in said)
    example = next((note for note in reversed(said) if note.startswith("at random")), "")
    return f"`auto` drew {at_random} of {len(said)} batches at random" + (f'. It says: "{example}"' if example else "")


def stopping_table(parts: Mapping[str, Sequence[Run]], full: Mapping[str, float]) -> str:
    """What each rule did over all runs, against the first round within a point of the fully labelled pool."""
    from alloop.stopping import stopping

    rows = []
    runs = [(full[name], run) for name, of in parts.items() for run in of]
    for name in stopping.names():
        if name == "budget":
            continue
        rule, spent, lost, early, ratio, never = stopping.build(name), [], [], 0, [], 0
        for best, run in runs:
            history = [seen_of(point) for point in run["points"]]
            values = [point["metrics"]["accuracy"]["value"] for point in run["points"]]
            stop = next((n for n in range(len(history)) if rule(history[: n + 1]).stop), None)
            needed = labels_needed(run, best)
            if stop is None:
                never += 1
                continue
            spent.append(history[stop].labels)
            lost.append(best - values[stop])
            early += needed is None or history[stop].labels < needed
            if needed is not None:
                ratio.append(history[stop].labels / needed)
        rows.append(
            [
                f"`{name}`",
                f"{len(runs) - never} of {len(runs)}",
                f"{median(spent):.0f}" if spent else "–",
                f"{100 * mean(lost):+.1f}" if lost else "–",
                f"{early}" if spent else "–",
                f"{median(ratio):.2f} (of {len(ratio)})" if ratio else "–",
            ]
        )
    head = [
        "rule",
        "fired in",
        "labels then, median",
        "points below full",
        "too early",
        "labels spent / needed, median",
    ]
    needed = [labels_needed(run, best) for best, run in runs]
    came = [labels for labels in needed if labels is not None]
    words = f"{len(came)} of {len(runs)} runs came within a point of the fully labelled pool"
    return f"{words}, the middle one at {median(came):.0f} labels.\n\n{markdown(head, rows)}"


def labels_needed(run: Run, best: float) -> int | None:
    """The labels of a run's first round that is near the best accuracy."""
    points = ((point["labels"], point["metrics"]["accuracy"]["value"]) for point in run["points"])
    return next((labels for labels, value in points if value >= best - NEAR), None)


def seen_of(point: Mapping[str, Any]) -> Any:
    """A run's point as stopping rules see it."""
    from alloop.metrics import Metric
    from alloop.stopping import Seen

    of = point["stopping"]
    stop = {
        name: Metric(name, of[name], None, None, 0)
        for name in ("kappa", "change", "delta_f", "uncertainty")
        if of[name] is not None
    }
    split = {"stop": stop}
    for name, given in (("batch", {"accuracy": of["batch_accuracy"]}), ("test", point["metrics"])):
        split[name] = {key: Metric(key, **value) for key, value in given.items() if value is not None}
    return Seen(point["round"], point["labels"], point["seconds_annotating"], split)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the directory of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="where the simulations go")
    parser.add_argument("--part", action="append", choices=("features", "lora", "off-topic", "stopping"))
    parser.add_argument("--set", action="append", choices=SETS, help="all sets of a part unless said")
    parser.add_argument("--workers", type=int, help="processes, as of alloop simulate")
    parser.add_argument("--tables", action="store_true", help="run nothing, show what is there")
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sets = arguments.set or SETS
    for part in arguments.part or ("features", "lora", "off-topic", "stopping"):
        print(f"\n## {part}\n")
        where = arguments.work / part
        if part == "features":
            few = {"budget": 500, "batch": 50, "seeds": 5}
            runs = {name: simulate(arguments, where / name, name, every_strategy(), "features", **few) for name in sets}
            print("\n\n".join(efficiency_tables(runs)))
        elif part == "lora":
            four, few = ("random", "margin", "herding", "auto"), {"budget": 300, "batch": 50, "seeds": 3}
            both = [name for name in sets if name in ("trec", "banking77")]
            runs = {name: simulate(arguments, where / name, name, four, "lora", **few) for name in both}
            print("\n\n".join(efficiency_tables(runs)))
        elif part == "off-topic":
            few = {"budget": 500, "batch": 50, "seeds": 20}
            found = simulate(arguments, where, part, ("random", "auto", "margin"), "features", **few)
            print("\n\n".join([*efficiency_tables({part: found}), last_accuracies(found), notes(found)]))
        else:
            many = {"budget": 1_500, "batch": 50, "seeds": 3}
            runs = {
                name: simulate(arguments, where / name, name, ("auto", "random"), "features", **many) for name in sets
            }
            full = {name: fully_labelled(arguments, where / f"{name}-full", name) for name in sets}
            print(", ".join(f"{NAMES[name]} {value:.3f}" for name, value in full.items()), "\n")
            print(stopping_table(runs, full))


def last_accuracies(runs: Sequence[Run]) -> str:
    from alloop import efficiency

    found = by_strategy(runs)
    words = []
    for one, (_, y) in found.items():
        duel = efficiency.duel(y[:, -1], found["random"][1][:, -1])
        words.append(f"`{one}` {100 * y[:, -1].mean():.1f} ({100 * duel.value:+.1f} ± {100 * half(duel):.1f})")
    return "last accuracy (less random's, by seed): " + ", ".join(words)


def fully_labelled(arguments: argparse.Namespace, out: Path, name: str) -> float:
    """The accuracy with every label of the pool."""
    pool, _, _ = write_set(arguments.data, name, arguments.work)
    from alloop.ingest import text_id

    texts = len({text_id(text) for text, _ in loops.read_rows(pool)})
    run = simulate(arguments, out, name, ("random",), "features", budget=texts, batch=texts, seeds=1)[0]
    return float(run["points"][-1]["metrics"]["accuracy"]["value"])


if __name__ == "__main__":
    main()
