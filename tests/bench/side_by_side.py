"""One round at 100 labels in alloop and in small-text 1.4.1, in turns on the same machine, with the same weights.

    python tests/bench/small_text_round.py --install /tmp/small-text
    python tests/bench/side_by_side.py --data ../shared/data --work /tmp/beside --small-text /tmp/small-text \\
        --out /tmp/beside.jsonl [--seeds 1] [--repeat 2]

For every seed alloop first runs to 75 labels with the next 25 answered (not timed); small-text is given the same 75.
Then, in turns and each in a process of its own: alloop's whole round (pull, train on 100, evaluate, score the pool,
select, push, record), and small-text's query of 25 and retraining on 100. Imports and small-text's tokenizing of the
pool are shown apart. alloop's query_s is score and select; it predicts 1,000 pool texts in evaluate already, so that
only round_s can be compared. The target: at most an eighth of small-text's time, at no worse accuracy. Wants an idle
machine; about 5 minutes a turn. A stopped run goes on with the same command. `--rehearse 500` leaves the test file
unread.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import mean, median
from typing import Any

import loops

START = 75


def prepare(root: Path, pool: loops.Rows, test: loops.Rows, seed: int) -> None:
    """A project that has finished the round at 75 labels, and its 75 labelled texts as start.csv."""
    project = loops.make_project(root, pool, test, seed)
    last = project.store.last_round()
    labels = last.summary.get("labels", -1) if last is not None else -1
    while labels < START:
        labels = loops.timed_round(project)["labels"]
    resolved = project.store.resolved(project.store.last_round().number, "pool")
    texts = project.store.texts([one.text_id for one in resolved])
    rows = [(text.text, one.labels[0]) for text, one in zip(texts, resolved, strict=True)]
    loops.write_rows(root / "start.csv", rows)


def alloop_round(root: Path) -> dict[str, Any]:
    """The next round of a copy of a prepared project, in this process."""
    import alloop

    imports_s = loops.import_seconds()
    project = alloop.open_project(root)
    found = loops.timed_round(project)
    import torch

    return {
        "library": "alloop",
        "labels": found["labels"],
        "imports_s": round(imports_s, 2),
        "train_s": found["steps"]["train"],
        "query_s": round(found["steps"]["score"] + found["steps"]["select"], 3),
        "round_s": found["seconds"],
        "steps": found["steps"],
        "accuracy": round(loops.accuracies(project)[found["labels"]], 4),
        "threads": torch.get_num_threads(),
    }


def last_json(command: list[str]) -> dict[str, Any]:
    """What a process prints as its last line."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the directory of the data sets")
    parser.add_argument("--work", type=Path, help="where the projects go")
    parser.add_argument("--small-text", type=Path, help="its environment, made by small_text_round.py --install")
    parser.add_argument("--out", type=Path, help="JSON lines, one a turn")
    parser.add_argument("--set", default="trec")
    parser.add_argument("--pool", type=int, help="cut the pool to so many texts")
    parser.add_argument("--rehearse", type=int, default=0, metavar="N", help="N training texts as test texts")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--epochs", type=int, help="small-text's; see small_text_round.py")
    parser.add_argument("--one-round", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_round:
        print(json.dumps(alloop_round(arguments.one_round)))
        return
    if not (arguments.data and arguments.work and arguments.small_text):
        parser.error("--data, --work and --small-text are needed")

    pool, test = loops.pool_and_test(arguments.data, arguments.set, arguments.pool, arguments.rehearse)
    print(f"{arguments.set}: pool {len(pool)}, test {len(test)}", flush=True)
    found = [one for one in loops.done(arguments.out) if one["set"] == arguments.set]
    here = Path(__file__).parent
    for seed in range(arguments.seeds):
        root = arguments.work / f"{arguments.set}-{seed}"
        prepare(root, pool, test, seed)
        for turn in range(arguments.repeat):
            copy = arguments.work / "turn"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(root, copy)
            ours = [sys.executable, str(here / "side_by_side.py"), "--one-round", str(copy)]
            theirs = [str(arguments.small_text / "bin" / "python"), str(here / "small_text_round.py")]
            theirs += [f"--{name}={root / name}.csv" for name in ("pool", "test", "start")] + [f"--seed={seed}"]
            theirs += [f"--epochs={arguments.epochs}"] if arguments.epochs else []
            for command, library in ((ours, "alloop"), (theirs, "small-text 1.4.1")):
                place = {"set": arguments.set, "seed": seed, "turn": turn, "library": library}
                if not any(place.items() <= one.items() for one in found):
                    one = {**last_json(command), **place}
                    loops.append(arguments.out, one)
                    found.append(one)
                    print(f"seed {seed}, turn {turn}, {library}: {one['round_s']:.1f} s", flush=True)

    names = ["seed", "turn", "library", "labels", "imports_s", "query_s", "train_s", "round_s", "accuracy", "threads"]
    print("\n" + loops.table(names, [[one[name] for name in names] for one in found]))
    ours_s, theirs_s, our_accuracy, their_accuracy = (
        middle([one[key] for one in found if (one["library"] == "alloop") == is_ours])
        for key, middle in (("round_s", median), ("accuracy", mean))
        for is_ours in (True, False)
    )
    print(f"\nround: {ours_s:.1f} s against {theirs_s:.1f} s, 1/{theirs_s / ours_s:.1f} of the time (target: 1/8)")
    print(f"accuracy: {our_accuracy:.3f} against {their_accuracy:.3f}")


if __name__ == "__main__":
    main()
