"""Is a second opinion worth more than a new text? Whole loops at equal cost, every answer counted.

    python tests/bench/relabel.py run --data DATA --work W --part chosen      # the set that settings were chosen on
    python tests/bench/relabel.py run --data DATA --work W --part reported
    python tests/bench/relabel.py show --work W > tests/bench/relabel.md

A run is a project with the tuner `features`, ten simulated annotators and the strategy `margin`, which ends when its
answers are spent. All arms of a seed have the same pool, first batch and annotators, whose errors depend on the text
and the annotator alone. At the end other consensus rules decide from the same answers. Each finished run is a line of
W/relabel.jsonl; what is there is not run again, and a run that was cut off starts again.
"""

import argparse
import io
import itertools
import json
import random
import shutil
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import loops
import numpy as np

from alloop.steps import relabel, train

POOL, TEST = 4_000, 1_000
BATCH, BUDGET = 50, 600  # answers
FEWEST = 3  # seeds of a row
ANNOTATORS = 10
NOISE: dict[str, list[float]] = {
    "10 to 35 %": [round(float(rate), 4) for rate in np.linspace(0.10, 0.35, ANNOTATORS)],
    "10 %": [0.10] * ANNOTATORS,
    "20 %": [0.20] * ANNOTATORS,
    "35 %": [0.35] * ANNOTATORS,
}
ARMS: dict[str, dict[str, Any]] = {  # answers to each new text, the share of second opinions, the rule of consensus
    "all new": {},
    "three answers each": {"asked": 3},
    "relabel 0.5": {"share": 0.5},
    "relabel 0.3": {"share": 0.3},
    "relabel 0.5, crowdlab": {"share": 0.5, "rule": "crowdlab"},
    "relabel 0.5, one-coin": {"share": 0.5, "rule": "one-coin"},
    "relabel 0.3, one-coin": {"share": 0.3, "rule": "one-coin"},
    "relabel 0.5, one-coin, from a half": {"share": 0.5, "rule": "one-coin", "half": True},
    "relabel 0.5, ties learnt": {"share": 0.5, "ties": True},
    "three answers each, one-coin": {"asked": 3, "rule": "one-coin"},
    "ActiveLab 0.5": {"share": 0.5, "by": "activelab"},
}
REPORTED = [
    "all new",
    "three answers each",
    "three answers each, one-coin",
    "relabel 0.5, one-coin",
]
PARTS: dict[str, list[tuple[str, str, str, range]]] = {
    "reported": list(itertools.product(["trec", "agnews"], ["10 to 35 %", "35 %"], REPORTED, [range(5)])),
    "chosen": list(itertools.product(["dbpedia14"], ["10 to 35 %", "35 %"], ARMS, [range(3)])),
    "by rate": list(itertools.product(["trec", "agnews"], ["10 %", "20 %"], REPORTED, [range(5)])),
}
CONFIG = """\
[task]
labels = {labels}
[data]
files = ["../../{name}.csv"]
text = "text"
label = "label"
[model]
tuner = "features"
[round]
seed = {seed}
batch = {batch}
strategy = "margin"
cold_start = "random"
random_share = 0.0
near_duplicates = "pick"
relabel_share = {share}
relabel_by = "{by}"
[evaluate]
test = "../../{name}.test.csv"
[annotate]
with = "simulated"
annotators_per_text = {asked}
consensus = "{rule}"
[run]
keep = "metrics"
[options.features]
vectors = "{vectors}"
[options.simulated]
annotators = {annotators}
error_rate = {rates}
"""

ABOUT = f"""\
# Second opinions or new texts, at equal cost

`relabel.py`: `features`, strategy `margin`, {ANNOTATORS} simulated annotators, {BUDGET} answers in batches of {BATCH};
pools of {POOL:,} texts, {TEST:,} to test with. `all new` asks once about each text; `three answers each` takes the
majority of three, and asks again about ties; `relabel` asks again about at most that share of a batch, where a label is
in doubt. `final` is the accuracy when the answers are spent, `area` the mean height of the curve against answers, in %;
differences are paired by seed, in points, with Student's 95 % interval.

The settings were chosen on dbpedia14. `from a half`: only labels more likely wrong than right. `ActiveLab`: the whole
share, by cleanlab's scores. `ties learnt`: models learn from evenly split texts too.
"""

Votes = Sequence[Sequence[tuple[str, int]]]
ENOUGH, LEARNT = relabel.doubtful_from, train.learnt_from


def with_ties(context: Any) -> Any:
    """What a round learns from, texts whose votes are evenly split too."""
    return context.project.store.resolved(context.round.number, "pool")


@contextmanager
def silent() -> Iterator[None]:
    """cleanlab warns of and prints what it thinks of a table where few have answered the same."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def prepared(data: Path, name: str, work: Path) -> Path:
    """The files of a set, and the vectors of its texts; returns where the vectors are."""
    from alloop.tuning._vectors import write_vectors
    from alloop.tuning.features import Features

    vectors = work / f"{name}.vectors"
    if not vectors.exists():
        pool, test = loops.pool_and_test(data, name, POOL)
        random.Random(2).shuffle(test)
        loops.write_rows(work / f"{name}.csv", pool)
        loops.write_rows(work / f"{name}.test.csv", test[:TEST])
        texts = list(dict.fromkeys(text.strip() for text, _ in [*pool, *test[:TEST]]))
        x = Features().predict(None, texts, ("embeddings",), 0).embeddings
        assert x is not None
        attempt = vectors.with_suffix(".new")
        shutil.rmtree(attempt, ignore_errors=True)
        attempt.mkdir()
        write_vectors(attempt, "minilm", 128, texts, x)
        attempt.rename(vectors)
    return vectors


def one_run(data: Path, work: Path, name: str, noise: str, arm: str, seed: int) -> dict[str, Any]:
    import alloop

    started = time.perf_counter()
    vectors = prepared(data, name, work)
    root = work / "runs" / "now"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    asked = int(ARMS[arm].get("asked", 1))
    labels = sorted({label for _, label in loops.read_rows(work / f"{name}.csv")})
    settings = {
        "labels": json.dumps(labels),
        "name": name,
        "seed": seed,
        "batch": -(-BATCH // asked),
        "share": ARMS[arm].get("share", 0.0),
        "by": ARMS[arm].get("by", "doubt"),
        "asked": asked,
        "rule": ARMS[arm].get("rule", "majority"),
        "vectors": vectors.absolute(),
        "annotators": ANNOTATORS,
        "rates": NOISE[noise],
    }
    (root / "alloop.toml").write_text(CONFIG.format(**settings))
    project = alloop.create(root)[0]
    relabel.doubtful_from = (lambda config, error: 0.5) if ARMS[arm].get("half") else ENOUGH
    train.learnt_from = with_ties if ARMS[arm].get("ties") else LEARNT
    points: list[dict[str, Any]] = []
    while not points or points[-1]["labels_paid"] < BUDGET:
        loops.timed_round(project)
        points = alloop.report(project)["points"]
    found = {
        "set": name,
        "noise": noise,
        "arm": arm,
        "seed": seed,
        "points": [
            {
                "paid": point["labels_paid"],
                "labels": point["labels"],
                "accuracy": point["metrics"]["accuracy"]["value"],
            }
            for point in points
        ],
        "rules": other_rules(project, labels, seed),
    }
    project.store.close()
    shutil.rmtree(root)
    return {**found, "seconds": round(time.perf_counter() - started, 1)}


def other_rules(project: Any, labels: Sequence[str], seed: int) -> dict[str, dict[str, float]]:
    """What each consensus rule makes of the last round's answers: right labels, and the accuracy of what they teach."""
    from alloop.steps.stand_in import fitted, out_of_fold, vectors
    from alloop.tuning._linear import linear_logits

    store, config = project.store, project.config
    answers = store.answers()
    ids = [one.text_id for one in store.resolved(store.rounds()[-1].number, "pool")]
    votes = [[(who, labels.index(said[0])) for who, said in answers[one]] for one in ids]
    truth = np.array([labels.index(store.gold([one])[one][0]) for one in ids])
    test = store.test_gold()
    x = vectors(project, config, [text.text for text in store.texts([*ids, *test])])
    right = np.array([labels.index(one[0]) for one in test.values()])
    eye = np.eye(len(labels), dtype=np.float32)
    majority = most_given(votes)
    probs = out_of_fold(config, x[: len(ids)], eye[majority], 5, seed)
    decided: dict[str, np.ndarray] = {"majority": majority}
    if any(len(said) > 1 for said in votes):
        decided["dawid-skene"] = dawid_skene(votes)
        decided["crowdlab"] = crowdlab(votes, probs)
    decided["the truth"] = truth
    found = {}
    for rule, y in decided.items():
        said = linear_logits(x[len(ids) :], fitted(config, x[: len(ids)], eye[y])).argmax(1)
        found[rule] = {"right": float((y == truth).mean()), "accuracy": float((said == right).mean())}
    return found


def most_given(votes: Votes) -> np.ndarray:
    return np.array([Counter(label for _, label in said).most_common(1)[0][0] for said in votes])


def dawid_skene(votes: Votes) -> np.ndarray:
    import pandas as pd
    from crowdkit.aggregation import DawidSkene

    rows = [(text, who, label) for text, said in enumerate(votes) for who, label in said]
    found = DawidSkene(n_iter=100).fit_predict(pd.DataFrame(rows, columns=["task", "worker", "label"]))
    return found.sort_index().to_numpy()


def crowdlab(votes: Votes, probs: np.ndarray) -> np.ndarray:
    from cleanlab.multiannotator import get_label_quality_multiannotator

    names = sorted({who for said in votes for who, _ in said})
    table = np.full((len(votes), len(names)), np.nan)
    for row, said in enumerate(votes):
        for who, label in said:
            table[row, names.index(who)] = label
    with silent():
        found = get_label_quality_multiannotator(
            table, np.asarray(probs, np.float64), return_annotator_stats=False, return_detailed_quality=False
        )
    return found["label_quality"]["consensus_label"].to_numpy()


def run(arguments: argparse.Namespace) -> None:
    out = arguments.work / "relabel.jsonl"
    arguments.work.mkdir(parents=True, exist_ok=True)
    there = {(one["set"], one["noise"], one["arm"], one["seed"]) for one in loops.done(out)}
    cells = [(name, noise, arm, seed) for name, noise, arm, seeds in PARTS[arguments.part] for seed in seeds]
    for cell in sorted(cells, key=lambda one: (one[3], one[0])):  # seed by seed: cut off, it says something of all
        if cell not in there and (not arguments.arm or cell[2] in arguments.arm):
            loops.append(out, one_run(arguments.data, arguments.work, *cell))
            print(*cell, flush=True)


def show(arguments: argparse.Namespace) -> None:
    runs = loops.done(arguments.work / "relabel.jsonl")
    print(ABOUT)
    groups: dict[tuple[str, str], dict[str, dict[int, Any]]] = defaultdict(lambda: defaultdict(dict))
    for one in runs:
        groups[one["set"], one["noise"]][one["arm"]][one["seed"]] = one
    of = " | ".join(f"{value} | − all new | − three answers" for value in ("final", "area"))
    print(f"| set | annotators err | arm | seeds | texts | {of} |\n{'|---' * 11}|")
    for (name, noise), arms in sorted(groups.items()):
        for arm in ARMS:
            if len(arms.get(arm, {})) >= FEWEST:
                print(row(name, noise, arm, arms))
    print("\nThe last round's answers decided by other rules: how many labels are right, and the accuracy of what they")
    print("teach. `the truth`: the same texts without any error, which is what was lost to errors.\n")
    print("| set | annotators err | arm | rule | labels right | accuracy |\n|---|---|---|---|---|---|")
    for (name, noise), arms in sorted(groups.items()):
        for arm in REPORTED:
            for rule in ("majority", "dawid-skene", "crowdlab", "the truth"):
                mine = [one["rules"][rule] for one in arms.get(arm, {}).values() if rule in one["rules"]]
                if len(mine) >= FEWEST:
                    right, accuracy = (100 * np.mean([one[key] for one in mine]) for key in ("right", "accuracy"))
                    print(f"| {name} | {noise} | {arm} | {rule} | {right:.1f} % | {accuracy:.1f} |")


def row(name: str, noise: str, arm: str, arms: Mapping[str, Mapping[int, Any]]) -> str:
    mine = arms[arm]
    cells = [name, noise, arm, len(mine), f"{np.mean([one['points'][-1]['labels'] for one in mine.values()]):.0f}"]
    for value in (final, area):
        cells.append(f"{100 * np.mean([value(one) for one in mine.values()]):.1f}")
        for rival in REPORTED[:2]:
            other = arms.get(rival, {}) if rival != arm else {}
            cells.append(difference([value(mine[seed]) - value(other[seed]) for seed in sorted(mine) if seed in other]))
    return "| " + " | ".join(map(str, cells)) + " |"


def final(one: Mapping[str, Any]) -> float:
    """The accuracy when the budget was spent, on the line between the two rounds around it."""
    return float(np.interp(BUDGET, *curve(one)))


def area(one: Mapping[str, Any]) -> float:
    from alloop import efficiency

    x = np.arange(2 * BATCH, BUDGET + 1, BATCH, dtype=float)
    return efficiency.area(x, np.interp(x, *curve(one)))


def curve(one: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    return [point["paid"] for point in one["points"]], [point["accuracy"] for point in one["points"]]


def difference(values: Sequence[float]) -> str:
    from alloop import efficiency

    if not values:
        return ""
    found = efficiency.mean([100 * value for value in values])
    interval = "" if found.low is None else f" ({found.low:+.1f} to {found.high:+.1f})"
    return f"{found.value:+.1f}{interval}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    does = commands.add_parser("run")
    does.add_argument("--data", type=Path, required=True)
    does.add_argument("--work", type=Path, required=True)
    does.add_argument("--part", choices=PARTS, required=True)
    does.add_argument("--arm", choices=ARMS, action="append")
    does.set_defaults(work_on=run)
    shows = commands.add_parser("show")
    shows.add_argument("--work", type=Path, required=True)
    shows.set_defaults(work_on=show)
    arguments = parser.parse_args()
    arguments.work_on(arguments)
