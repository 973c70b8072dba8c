"""What the benchmarks of whole rounds share: data sets as files, projects made of them, rounds with a clock."""

import csv
import gzip
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Rows = list[tuple[str, str]]  # text, label

CONFIG = """\
# the shipped defaults, besides the data and who answers
[task]
labels = {labels}
[data]
files = ["pool.csv"]
text = "text"
label = "label"
[model]
tuner = "{tuner}"
[round]
seed = {seed}
candidates = {candidates}
[evaluate]
test = "test.csv"
[annotate]
with = "simulated"
"""


def read_rows(path: Path) -> Rows:
    """Text and label of every row of a CSV, plain or gzipped."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def write_rows(path: Path, rows: Rows) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


def pool_and_test(data: Path, name: str, texts: int | None = None, rehearse: int = 0) -> tuple[Rows, Rows]:
    """A data set's train.csv.gz and test.csv.gz, the former without the texts of the latter, which alloop refuses.

    `texts` cuts the pool to a random sample, always the same one. With `rehearse` the test file stays unread: so many
    texts of the training file take its place.
    """
    from alloop.ingest import text_id

    pool = read_rows(data / name / "train.csv.gz")
    if rehearse:
        random.Random(1).shuffle(pool)
        test, pool = pool[:rehearse], pool[rehearse:]
    else:
        test = read_rows(data / name / "test.csv.gz")
    tested = {text_id(text) for text, _ in test}
    pool = [(text, label) for text, label in pool if text_id(text) not in tested]
    if texts is not None and texts < len(pool):
        pool = random.Random(0).sample(pool, texts)
    return pool, test


def make_project(
    root: Path, pool: Rows, test: Rows, seed: int = 0, tuner: str = "lora", candidates: int = 50_000
) -> Any:
    """A project with a simulated annotator; the one that is there already where a run was interrupted."""
    import alloop

    if (root / "alloop.db").exists():
        return alloop.open_project(root)
    root.mkdir(parents=True, exist_ok=True)
    write_rows(root / "pool.csv", pool)
    write_rows(root / "test.csv", test)
    labels = json.dumps(sorted({label for _, label in pool}), ensure_ascii=False)
    (root / "alloop.toml").write_text(CONFIG.format(labels=labels, tuner=tuner, seed=seed, candidates=candidates))
    return alloop.create(root)[0]


def import_seconds(tuner: str = "lora") -> float:
    """Import all that a round imports, and load the base model; returns the seconds."""
    started = time.perf_counter()
    import modAL.uncertainty  # noqa: F401
    import sklearn.cluster
    import sklearn.linear_model  # noqa: F401

    import alloop.rounds
    import alloop.tuning.lora  # noqa: F401

    if tuner != "tfidf":
        import peft  # noqa: F401

        from alloop.tuning._bases import load_base

        load_base("minilm")
    return time.perf_counter() - started


def timed_round(project: Any, until_labels: int | None = None) -> dict[str, Any]:
    """Run one round: its number, training labels, seconds in all and by step."""
    from alloop.rounds import run_round

    started = time.perf_counter()
    outcome = run_round(project, until_labels=until_labels)
    seconds = time.perf_counter() - started
    steps = project.store.step_seconds(outcome.number)
    return {
        "round": outcome.number,
        "labels": outcome.labels,
        "pushed": outcome.pushed,
        "resumed": outcome.resumed,
        "seconds": round(seconds, 3),
        "steps": {name: round(value, 3) for name, value in steps.items()},
    }


def accuracies(project: Any) -> dict[int, float]:
    """Training labels -> accuracy on the test texts, of every round so far."""
    import alloop

    points = alloop.report(project)["points"]
    return {point["labels"]: point["metrics"]["accuracy"]["value"] for point in points}


def append(out: Path | None, record: dict[str, Any]) -> None:
    """Add a line of JSON to a file, where one is named."""
    if out is not None:
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def done(out: Path | None) -> list[dict[str, Any]]:
    """What an earlier, interrupted run has appended."""
    if out is None or not out.exists():
        return []
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Right-aligned columns."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
