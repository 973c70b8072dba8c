"""Accuracy by labels, and seconds by step, of whole rounds with the shipped defaults on TREC (issue 2, points 3 and 4).

    python tests/bench/trec.py --data ../shared/data --work /tmp/trec --out /tmp/trec.jsonl

The pool is the training file (without the texts that are also in the test file, which alloop refuses), the test texts
are the test file; a simulated annotator answers. Seeds are round.seed. A stopped run goes on with the same command:
finished seeds are in --out, the rounds of an unfinished one in --work. `--rehearse 500` leaves the test file unread and
measures on so many texts of the training file instead; `--set banking77` takes another data set.
Wants an idle machine for the seconds.
"""

import argparse
from pathlib import Path
from statistics import mean, median
from typing import Any

import loops


def one_seed(arguments: argparse.Namespace, pool: loops.Rows, test: loops.Rows, seed: int) -> dict[str, Any]:
    """All rounds until enough texts are labelled and trained on."""
    project = loops.make_project(arguments.work / f"{arguments.set}-{seed}", pool, test, seed)
    rounds: list[dict[str, Any]] = []
    last = project.store.last_round()
    labels, pushed = (last.summary.get("labels", 0) if last else 0), 1  # a stopped run may have got far
    while labels < arguments.labels and pushed:
        one = loops.timed_round(project, arguments.labels)
        rounds.append(one)
        labels, pushed = one["labels"], one["pushed"]
        print(f"seed {seed}, round {one['round']}, {labels} labels: {one['seconds']:.1f} s", flush=True)
    return {"set": arguments.set, "seed": seed, "accuracy": loops.accuracies(project), "rounds": rounds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the directory of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="where the projects go")
    parser.add_argument("--out", type=Path, help="JSON lines, one a seed")
    parser.add_argument("--set", default="trec")
    parser.add_argument("--pool", type=int, help="cut the pool to so many texts")
    parser.add_argument("--rehearse", type=int, default=0, metavar="N", help="N training texts as test texts")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--labels", type=int, default=200)
    arguments = parser.parse_args()

    pool, test = loops.pool_and_test(arguments.data, arguments.set, arguments.pool, arguments.rehearse)
    print(f"{arguments.set}: pool {len(pool)}, test {len(test)}")
    imports_s = loops.import_seconds()
    found = [one for one in loops.done(arguments.out) if one["set"] == arguments.set]
    for seed in range(arguments.seeds):
        if seed not in [one["seed"] for one in found]:
            one = one_seed(arguments, pool, test, seed)
            loops.append(arguments.out, one)
            found.append(one)

    by_labels = [{int(n): value for n, value in one["accuracy"].items()} for one in found]
    points = sorted(set.intersection(*(set(one) for one in by_labels)))
    rows = [
        [one["seed"], *(f"{accuracy[n]:.3f}" for n in points)] for one, accuracy in zip(found, by_labels, strict=True)
    ]
    rows.append(["mean", *(f"{mean(accuracy[n] for accuracy in by_labels):.3f}" for n in points)])
    print("\naccuracy by labels")
    print(loops.table(["seed", *points], rows))

    steps = ["pull", "augment", "train", "evaluate", "score", "select", "push", "record"]
    whole = [one for seed in found for one in seed["rounds"] if not one["resumed"]]
    rows = []
    for labels in sorted({one["labels"] for one in whole}):
        same = [one for one in whole if one["labels"] == labels]
        by_step = [median(one["steps"].get(step, 0.0) for one in same) for step in steps]
        rows.append([labels, *(f"{s:.2f}" for s in by_step), f"{median(one['seconds'] for one in same):.2f}"])
    print("\nseconds by step, median of the seeds (imports and loading the base apart)")
    print(loops.table(["labels", *steps, "round"], rows))
    print(f"\nimports and loading the base: {imports_s:.1f} s, once a process")


if __name__ == "__main__":
    main()
