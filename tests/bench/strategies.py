"""Every registered strategy on pools of 25,000, 50,000 and 100,000 texts: seconds and peak memory, a process for each.

    python tests/bench/strategies.py [--sizes 25000 50000 100000] [--only coreset badge] [--out strategies.jsonl]

The pool is made up: 384 dimensions and 77 labels in as many clusters, 500 labelled texts, a batch of 50; with 8 draws
or members for a strategy that needs them. `s` is the call alone, with its libraries loaded; `MB` the peak of the
process with the pool in it.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

SIZES = (25_000, 50_000, 100_000)
DIMENSIONS, LABELS, LABELLED, BATCH, DRAWS = 384, 77, 500, 50, 8
MINUTES = 10  # for one strategy and size, at most
TARGET_S = {  # at 100,000
    **dict.fromkeys(("margin", "entropy", "least-confidence", "random"), 0.3),
    **dict.fromkeys(("cal", "cluster-margin", "egl", "falcun"), 10),
    **dict.fromkeys(("coreset", "dropquery", "badge"), 60),
    **dict.fromkeys(("herding", "typiclust", "probcover"), 90),
}
TARGET_MB = 4_000


def made_up(size: int, needs: tuple[str, ...], kind: Any) -> Any:
    """A pool with what `needs` names: unlike clusters, around which a model is less sure the farther out a text is."""
    from alloop.strategies import Labelled, Pool, needed_of_labelled

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(LABELS, DIMENSIONS)).astype(np.float32)
    label = rng.integers(0, LABELS, size + LABELLED)
    x = rng.standard_normal((size + LABELLED, DIMENSIONS), np.float32)
    x += centres[label]
    logits = x @ centres.T / 60
    probs = np.exp(logits - logits.max(1, keepdims=True))
    probs /= probs.sum(1, keepdims=True)
    arrays = {"embeddings": x, "frozen": x, "probs": probs}
    given: dict[str, Any] = {name: array[:size] for name, array in arrays.items() if name in needs}
    for name in {"samples", "members"} & set(needs):
        drawn = probs[None, :size] * rng.random((DRAWS, size, LABELS), np.float32)
        given[name] = drawn / drawn.sum(2, keepdims=True)
    seen = {name: arrays[name][size:] for name in needed_of_labelled(needs)}
    labelled = Labelled(
        [f"t1-l{row}" for row in range(LABELLED)],
        np.eye(LABELS, dtype=np.float32)[label[size:]],
        **seen,
        asked_in=np.arange(LABELLED) // BATCH + 1,
        at_random=np.arange(LABELLED) % 10 == 0,
    )
    if "labels.embeddings" in needs:
        given["label_embeddings"] = centres
    ids = [f"t1-{row:06}" for row in range(size)]
    return Pool(ids, ids, kind, labelled=labelled, **given)


def measure(name: str, size: int) -> dict[str, Any]:
    """In this process."""
    from alloop.strategies import strategies

    strategy = strategies.build(name)
    needs, kind = (*strategy.needs, *getattr(strategy, "uses", ())), getattr(strategy, "kinds", ("single",))[0]
    strategy(made_up(2 * BATCH, needs, kind), BATCH, np.random.default_rng(1))  # so that its libraries are loaded
    pool = made_up(size, needs, kind)
    before = time.perf_counter()
    picks = strategy(pool, BATCH, np.random.default_rng(1))
    seconds = time.perf_counter() - before
    assert len(set(picks.index.tolist())) == BATCH
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)
    return {"strategy": name, "texts": size, "s": round(seconds, 2), "MB": round(peak)}


def in_process(name: str, size: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", name, str(size)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MINUTES * 60)
    except subprocess.TimeoutExpired:
        return {"strategy": name, "texts": size, "failed": f"not done in {MINUTES} minutes"}
    if done.returncode:
        return {"strategy": name, "texts": size, "failed": (done.stderr.strip().splitlines() or ["killed"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    from alloop.strategies import strategies

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--only", nargs="+", default=strategies.names())
    parser.add_argument("--out", help="a file of JSON lines to add to")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.child[0], int(given.child[1]))))
        return
    for name in given.only:
        for size in given.sizes:
            row = in_process(name, size) | {"load": round(os.getloadavg()[0], 1)}
            target = TARGET_S.get(name) if size == SIZES[-1] else None
            missed = target and ("failed" in row or row["s"] > target or row["MB"] > TARGET_MB)
            told = row.get("failed") or f"{row['s']:8.2f} s {row['MB']:6} MB"
            wanted = f"   target {target} s: {'MISSED' if missed else 'met'}" if target else ""
            print(f"{name:18} {size:8,} {told}   load {row['load']}{wanted}", flush=True)
            if given.out:
                with open(given.out, "a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
