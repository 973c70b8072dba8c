"""Small projects to audit: the labels of animals and vehicles, some turned round, with vectors given by hand."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alloop.ingest import text_id
from alloop.intake import create
from alloop.project import Project
from alloop.store import StoredText
from alloop.tuning._vectors import write_vectors
from tests.conftest import sentences

WRONG = ("the cat sleeps here", "the bus stops here", "the dog sleeps there")  # their labels are turned round
OTHER = {"animal": "vehicle", "vehicle": "animal"}
TRUTH = dict(sentences())
Row = tuple[str, str, Mapping[str, str]]  # text, label, further columns


def audited(
    root: Path,
    rows: Sequence[Row],
    test: Sequence[tuple[str, str]] = (),
    vector: Mapping[str, Sequence[float]] | None = None,
    labels: Sequence[str] = ("animal", "vehicle"),
    annotate: str = "terminal",
    kind: str = "single",
    more: str = "",
) -> Project:
    """A project in `root / "project"`; `vector` says where else a text is than its place.

    With the simulated annotator the labels given are opinions all the same, and the truth is what the sentences say.
    """
    columns = list(dict.fromkeys(name for _, _, about in rows for name in about))
    known = [TRUTH.get(text, label) if annotate == "simulated" else label for text, label, _ in rows]
    pool = [[text, label, *about.values()] for (text, _, about), label in zip(rows, known, strict=True)]
    write(root / "pool.csv", ["text", "label", *columns], pool)
    write(root / "test.csv", ["text", "label"], test)
    texts, given = [text for text, _, _ in rows] + [text for text, _ in test], vector or {}
    (root / "vectors").mkdir(exist_ok=True)
    write_vectors(root / "vectors", "minilm", 128, texts, np.array([unit(given.get(t, place(t))) for t in texts]))
    config = root / "alloop.toml"
    config.write_text(
        f"[task]\nkind = '{kind}'\nlabels = {json.dumps(list(labels))}\n[data]\ntext = 'text'\nlabel = 'label'\n"
        f"[model]\ntuner = 'features'\n[options.features]\nvectors = '{root / 'vectors'}'\n"
        f"[annotate]\nwith = '{annotate}'\n[round]\nbatch = 1\n{more}"
    )
    data, measured = [str(root / "pool.csv")], str(root / "test.csv") if test else None
    project, _ = create(root / "project", source=config, data=data, test=measured)
    if annotate == "simulated":
        stored = [
            StoredText(text_id(text), text, "opinions.csv", n, None, {}, labels=(label,))
            for n, (text, label, _) in enumerate(rows, 1)
            if label
        ]
        with project.store.transaction():
            project.store.add_texts(stored, "pool")
    return project


def labelled(wrong: Sequence[str] = WRONG) -> list[Row]:
    """All sentences, some with the other label."""
    return [(text, OTHER[label] if text in wrong else label, {}) for text, label in sentences()]


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def unit(vector: Sequence[float]) -> np.ndarray:
    return np.asarray(np.array(vector, np.float32) / np.linalg.norm(vector), np.float32)


def place(text: str) -> Sequence[float]:
    """Animals along the first axis, vehicles along the second, all else between, none twice in one place."""
    wiggle = (sum(map(ord, text)) % 17) / 40
    return (1, wiggle, 0) if "sleeps" in text else (wiggle, 1, 0) if "stops" in text else (1, 1, wiggle)
