"""The loop's own share of a round: everything but model arithmetic, at 100 labels on a pool of TREC's size.

    python tests/bench/overhead.py --data ../shared/data --work /tmp/overhead [--out /tmp/overhead.jsonl] [--profile]

Model arithmetic is what passes inside the `fit` and `predict` of the tuner (the default, lora). Imports and loading the
base are done before and shown apart. No test file is read: 500 texts of the training file take its place. `--profile`
runs one more round under cProfile and lists where the overhead goes; its seconds are larger than the measured ones, and
the clock stands still while the model works, so only the own time of a function means something.
The project runs to 75 labels first (not measured) and is kept in --work; rounds are measured on copies of it.
"""

import argparse
import cProfile
import pstats
import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

import loops
from side_by_side import prepare

TARGET = 0.05


class Clocked:
    """A tuner whose seconds are counted."""

    def __init__(self, tuner: Any, profiler: cProfile.Profile | None) -> None:
        self.tuner, self.profiler = tuner, profiler

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tuner, name)

    def _timed(self, name: str, *arguments: Any) -> Any:
        if self.profiler:
            self.profiler.disable()
        started = time.perf_counter()
        try:
            return getattr(self.tuner, name)(*arguments)
        finally:
            SECONDS[name] += time.perf_counter() - started
            CALLS[name] += 1
            if self.profiler:
                self.profiler.enable()

    def fit(self, *arguments: Any) -> Any:
        return self._timed("fit", *arguments)

    def predict(self, *arguments: Any) -> Any:
        return self._timed("predict", *arguments)


SECONDS = {"fit": 0.0, "predict": 0.0}
CALLS = {"fit": 0, "predict": 0}


def one_round(root: Path, copy: Path, profiler: cProfile.Profile | None = None) -> dict[str, Any]:
    """The seconds of the round at 100 labels: in all, by step, in the model."""
    import alloop
    from alloop.tuning import tuners

    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root, copy)
    project = alloop.open_project(copy)
    build = tuners.build
    tuners.build = lambda name, **options: Clocked(build(name, **options), profiler)  # type: ignore[method-assign]
    SECONDS.update(fit=0.0, predict=0.0)
    CALLS.update(fit=0, predict=0)
    try:
        if profiler:
            profiler.enable()
        found = loops.timed_round(project)
    finally:
        if profiler:
            profiler.disable()
        tuners.build = build  # type: ignore[method-assign]
    model_s = sum(SECONDS.values())
    return {
        **found,
        "fit_s": round(SECONDS["fit"], 3),
        "predict_s": round(SECONDS["predict"], 3),
        "calls": dict(CALLS),
        "overhead_s": round(found["seconds"] - model_s, 3),
        "overhead": round(1 - model_s / found["seconds"], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the directory of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="where the projects go")
    parser.add_argument("--set", default="trec")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON lines, one a round")
    arguments = parser.parse_args()

    pool, test = loops.pool_and_test(arguments.data, arguments.set, rehearse=500)
    imports_s = loops.import_seconds()
    root = arguments.work / arguments.set
    prepare(root, pool, test, seed=0)
    copy = arguments.work / "turn"
    found = [one_round(root, copy) for _ in range(arguments.repeat)]
    for one in found:
        loops.append(arguments.out, {"set": arguments.set, "imports_s": round(imports_s, 2), **one})
    steps = list(found[0]["steps"])
    rows = [
        [
            one["labels"],
            *(one["steps"][step] for step in steps),
            one["seconds"],
            one["fit_s"],
            one["predict_s"],
            one["overhead_s"],
            f"{one['overhead']:.1%}",
        ]
        for one in found
    ]
    print(loops.table(["labels", *steps, "round", "fit", "predict", "overhead", "share"], rows))
    share = median(one["overhead"] for one in found)
    print(
        f"\noverhead {share:.1%} of the round (target: below {TARGET:.0%}); imports and base {imports_s:.1f} s, apart"
    )
    if arguments.profile:
        profiler = cProfile.Profile()
        one_round(root, copy, profiler)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
