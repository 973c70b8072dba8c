"""The projects that are shipped run as they are, and are what they say."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from alloop.cli import execute
from alloop.project import Project

SHIPPED = Path(__file__).parent.parent / "projects"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["support-desk", "guest-reviews"])
def test_a_shipped_project_runs_as_it_is(name: str, tmp_path: Path) -> None:
    root = tmp_path / name
    ours = shutil.ignore_patterns("alloop.db*", ".lock", "rounds", "inbox", "cache", "reports")
    shutil.copytree(SHIPPED / name, root, ignore=ours)
    config = root / "alloop.toml"
    config.write_text(config.read_text().replace('tuner = "lora"', 'tuner = "tfidf"'))
    assert execute(["run", str(root), "--rounds", "3"]) == 0
    assert [m.n for m in Project.open(root).store.metrics("test") if m.name == "f1_micro"]


def test_the_support_desk_is_large_enough_and_imbalanced(tmp_path: Path) -> None:
    import csv

    with open(SHIPPED / "support-desk/data/pool.csv", encoding="utf-8", newline="") as file:
        pool = list(csv.DictReader(file))
    with open(SHIPPED / "support-desk/data/test.csv", encoding="utf-8", newline="") as file:
        test = list(csv.DictReader(file))
    counts = Counter(row["label"] for row in pool)
    assert (len(pool), len(test), len(counts)) == (1080, 300, 10)
    assert max(counts.values()) > 4 * min(counts.values())
    assert not {row["text"].strip() for row in pool} & {row["text"].strip() for row in test}
