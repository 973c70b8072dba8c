"""One million short texts: adding them, `status`, `margin` over them; and a round on a pool of 200,000.

    python tests/bench/large_pool.py --work /tmp/large [--texts 1000000] [--round-texts 200000] [--out /tmp/large.jsonl]
    python tests/bench/large_pool.py --work /tmp/large --only add status     # parts: add status margin round

Texts are drawn from a seeded word list, all different; nothing is read but what the script writes to --work. Adding and
each round run in a process of their own, whose peak memory is theirs alone. The project's database is made anew by
`add`; `status` uses the one that is there. The rounds use the tuner tfidf with the default `round.candidates` (50,000)
and with candidates for all; the labels are three, told by the words.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import loops
import numpy as np

WORDS, LABELS = 20_000, ("alpha", "beta", "gamma")
TARGETS = {
    "add, texts/s": ">= 20,000",
    "add, peak MB": "< 1,500",
    "status, s, whole process": "< 1",
    "status, s, the call": "-",
    "margin of 1,000,000 x 77, s": "< 5",
}
PARTS = ("add", "status", "margin", "round")


def sentences(texts: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """(text, label): 6 to 14 made-up words, frequent ones more often, and a number that makes each text different."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwyp"))
    words = ["".join(rng.choice(letters, rng.integers(3, 9))) for _ in range(WORDS)]
    for start in range(0, texts, 10_000):
        n = min(10_000, texts - start)
        drawn = (WORDS * rng.random((n, 14)) ** 3).astype(int)  # (n, 14)
        lengths = rng.integers(6, 15, n)
        labels = rng.integers(0, len(LABELS), n)
        for row in range(n):
            chosen = [words[i] for i in drawn[row, : lengths[row]]]
            label = LABELS[labels[row]]
            yield f"{' '.join(chosen)} {label if row % 3 else ''} {start + row}", label


def write_csv(path: Path, rows: Iterator[tuple[str, str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write("text,label\n")
        file.writelines(f"{text},{label}\n" for text, label in rows)


def peak_mb() -> float:
    """The most memory this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)


def in_process(part: str, *arguments: Any) -> dict[str, Any]:
    """What `child` returns, run in a process of its own."""
    command = [sys.executable, __file__, "--work", "-", "--child", part, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def child(part: str, arguments: list[str]) -> dict[str, Any]:
    import alloop

    if part == "add":
        project = alloop.open_project(Path(arguments[0]))
        started = time.perf_counter()
        done = alloop.add(project, arguments[1])
        return {"seconds": time.perf_counter() - started, "new": done.new, "peak_mb": peak_mb()}
    if part == "status":
        status = alloop.status  # imports
        started = time.perf_counter()
        status(alloop.open_project(Path(arguments[0])))
        return {"seconds": time.perf_counter() - started}
    project = alloop.open_project(Path(arguments[0]))
    loops.import_seconds("tfidf")
    rounds = [loops.timed_round(project) for _ in range(3)]
    return {"rounds": rounds, "peak_mb": peak_mb()}


def fresh(root: Path, texts: int, candidates: int = 50_000) -> None:
    """A project of the first 1,000 texts in `root`, others to be added."""
    shutil.rmtree(root, ignore_errors=True)
    rows = list(sentences(min(texts, 1_500)))
    loops.make_project(root, rows[:1000], rows[1000:1500], tuner="tfidf", candidates=candidates)


def measure_add(work: Path, texts: int) -> dict[str, Any]:
    source = work / f"texts-{texts}.csv"
    if not source.exists():
        write_csv(source.with_suffix(".new"), sentences(texts, seed=1))
        source.with_suffix(".new").rename(source)
    fresh(work / "million", texts)
    found = in_process("add", work / "million", source)
    return {"add, texts/s": round(found["new"] / found["seconds"]), "add, peak MB": round(found["peak_mb"])}


def measure_status(work: Path) -> dict[str, Any]:
    command = [str(Path(sys.executable).with_name("alloop")), "status", str(work / "million")]
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    inside = in_process("status", work / "million")["seconds"]
    return {"status, s, whole process": round(min(seconds), 3), "status, s, the call": round(inside, 3)}


def measure_margin(rows: int = 1_000_000, labels: int = 77, n: int = 50) -> dict[str, Any]:
    from alloop.strategies import Pool, strategies

    rng = np.random.default_rng(0)
    probs = rng.standard_exponential((rows, labels), dtype=np.float32)
    probs /= probs.sum(1, keepdims=True)
    pool = Pool(range(rows), range(rows), probs=probs)  # type: ignore[arg-type]  margin reads only probs
    strategy = strategies.build("margin")
    strategy(Pool(range(100), range(100), probs=probs[:100]), 5, rng)  # type: ignore[arg-type]  imports
    started = time.perf_counter()
    picks = strategy(pool, n, np.random.default_rng(0))
    seconds = time.perf_counter() - started
    two = np.sort(np.partition(probs, labels - 2, axis=1)[:, -2:], axis=1)
    expected = set(np.argsort(two[:, 1] - two[:, 0], kind="stable")[:n])
    assert len(expected & set(picks.index)) >= n - 1, "margin does not pick the closest margins"
    return {f"margin of {rows:,} x {labels}, s": round(seconds, 2)}


def measure_round(work: Path, texts: int) -> list[dict[str, Any]]:
    """Three rounds each: the cold start, then two with a model."""
    source = work / f"texts-{texts}.csv"
    if not source.exists():
        write_csv(source, sentences(texts, seed=1))
    found = []
    for candidates in (50_000, 10 * texts):
        root = work / f"round-{candidates}"
        fresh(root, texts, candidates)
        config = (root / "alloop.toml").read_text()
        assert f"candidates = {candidates}" in config
        added = in_process("add", root, source)
        done = in_process("round", root)
        found.append({"candidates": min(candidates, texts), "add_s": round(added["seconds"], 2), **done})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where texts and projects go")
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--round-texts", type=int, default=200_000)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--out", type=Path, help="JSON lines")
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments.child[0], arguments.child[1:])))
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"texts": arguments.texts}
    if "add" in arguments.only:
        found |= measure_add(arguments.work, arguments.texts)
    if "status" in arguments.only:
        found |= measure_status(arguments.work)
    if "margin" in arguments.only:
        found |= measure_margin()
    shown = [[name, value, TARGETS.get(name, "-")] for name, value in found.items()]
    print(loops.table(["what", "measured", "target"], shown), flush=True)
    if "round" in arguments.only:
        found["rounds"] = measure_round(arguments.work, arguments.round_texts)
        print(f"\nrounds on {arguments.round_texts + 1000:,} texts, tuner tfidf: seconds by step")
        rows = [
            [one["candidates"], each["round"], *each["steps"].values(), each["seconds"], f"{one['peak_mb']:.0f}"]
            for one in found["rounds"]
            for each in one["rounds"]
        ]
        steps = found["rounds"][0]["rounds"][0]["steps"]
        print(loops.table(["candidates", "round", *steps, "whole", "peak MB"], rows))
    loops.append(arguments.out, found)


if __name__ == "__main__":
    main()
