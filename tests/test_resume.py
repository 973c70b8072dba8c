"""A kill at any line, and a second process that goes on, leave exactly what an undisturbed run leaves."""

import hashlib
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alloop.annotators.simulated import Simulated
from alloop.project import Project
from alloop.steps.context import published
from alloop.store import Store
from tests.resume_driver import in_child, run_rounds

ROUNDS = 3
SAMPLE = 15
AUGMENT = '[augment]\nuse = ["swap-words"]\n'
ALWAYS = f'{AUGMENT}gate = "off"\n'
Snapshot = dict[str, Any]

pytestmark = pytest.mark.slow


@pytest.fixture
def start(make_project: Callable[..., Project]) -> Path:
    """A project before its first round."""
    project = make_project("start", more=ALWAYS)
    project.store.close()
    return project.root


@pytest.fixture
def undisturbed(start: Path) -> tuple[Snapshot, int]:
    """What the rounds leave when nothing happens, and how many kill points they have."""
    root = copy_of(start, "undisturbed")
    points = in_child(lambda: run_rounds(root, ROUNDS, kill_at=0))
    assert points is not None
    return snapshot(root), len(points)


def copy_of(start: Path, name: str) -> Path:
    root = start.parent / name
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(start, root)
    return root


def snapshot(root: Path) -> Snapshot:
    """All rows but their times, all published files, all that the annotator holds but its times."""
    found: Snapshot = {}
    connection = sqlite3.connect(root / "alloop.db")
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        cursor = connection.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        rows = [{k: v for k, v in zip(names, row, strict=True) if not k.endswith("_at")} for row in cursor]
        found[table] = sorted(rows, key=repr)
    connection.close()
    for path in sorted(root.glob("rounds/**/*")):
        if path.is_file():
            found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(root.glob("inbox/*.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found[path.name] = [{k: v for k, v in line.items() if not k.endswith("_at")} for line in lines]
    return found


def killed_and_resumed(start: Path, kill_at: int, damage: Callable[[Path], None] = lambda root: None) -> Snapshot:
    root = copy_of(start, "killed")
    assert in_child(lambda: run_rounds(root, ROUNDS, kill_at)) is None, f"kill point {kill_at} was not reached"
    damage(root)
    in_child(lambda: run_rounds(root, ROUNDS))
    in_child(lambda: used(root))
    return snapshot(root)


def used(root: Path) -> list[str]:
    """Use every round's model and predictions: what was damaged after its round had ended is made again only then."""
    project = Project.open(root)
    return [str(published(project, row, step)) for row in project.store.rounds() for step in ("train", "evaluate")]


def sampled(points: int, n: int = SAMPLE) -> list[int]:
    return sorted(random.Random(points).sample(range(1, points + 1), min(n, points)))


def differences(one: Snapshot, other: Snapshot) -> list[str]:
    return [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]


def test_a_run_is_the_same_twice(start: Path, undisturbed: tuple[Snapshot, int]) -> None:
    root = copy_of(start, "again")
    in_child(lambda: run_rounds(root, ROUNDS))
    assert differences(snapshot(root), undisturbed[0]) == []


def test_a_kill_at_a_sample_of_lines_changes_nothing(start: Path, undisturbed: tuple[Snapshot, int]) -> None:
    expected, points = undisturbed
    for kill_at in sampled(points):
        assert differences(killed_and_resumed(start, kill_at), expected) == [], f"killed at point {kill_at} of {points}"


AGAIN = """annotators_per_text = 2
[options.simulated]
annotators = 4
error_rate = 0.4
"""


def test_a_kill_changes_nothing_where_ties_go_back_and_answers_are_asked_for_again(
    make_project: Callable[..., Project],
) -> None:
    rules = "relabel_share = 0.25\nrepeat_share = 0.25"
    start = make_project("start", rules=rules, more=AGAIN).root
    expected = copy_of(start, "expected")
    rounds = 5
    points = in_child(lambda: run_rounds(expected, rounds, kill_at=0)) or []
    there = [n for n, one in enumerate(points, 1) if one.startswith(f"{rounds} ") and "steps/" in one]
    again = [one for one in snapshot(expected)["tasks"] if one["purpose"] in ("relabel", "repeat")]
    assert {one["purpose"] for one in again} == {"relabel", "repeat"}
    relabelling = [n for n in there if "steps/relabel.py" in points[n - 1] or "steps/push.py" in points[n - 1]]
    for kill_at in random.Random(1).sample(relabelling, 4):
        root = copy_of(start, "killed")
        assert in_child(lambda root=root, kill_at=kill_at: run_rounds(root, rounds, kill_at)) is None  # type: ignore[misc]
        in_child(lambda root=root: run_rounds(root, rounds))  # type: ignore[misc]
        assert differences(snapshot(root), snapshot(expected)) == [], points[kill_at - 1]


@pytest.mark.every_line
def test_a_kill_at_every_line_changes_nothing(start: Path, undisturbed: tuple[Snapshot, int]) -> None:
    expected, points = undisturbed
    for kill_at in range(1, points + 1):
        assert differences(killed_and_resumed(start, kill_at), expected) == [], f"killed at point {kill_at} of {points}"


def delete_directories(root: Path) -> None:
    for directory in root.glob("rounds/*/*"):
        shutil.rmtree(directory)


def truncate_files(root: Path) -> None:
    for path in root.glob("rounds/*/*/**/*"):
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [delete_directories, truncate_files])
def test_a_kill_and_a_damaged_directory_change_nothing(
    damage: Callable[[Path], None], start: Path, undisturbed: tuple[Snapshot, int]
) -> None:
    expected, points = undisturbed
    for kill_at in sampled(points, 4):
        found = differences(killed_and_resumed(start, kill_at, damage), expected)
        # nobody reads the pool's predictions of a round that has ended, so that nobody makes them again
        assert [path for path in found if "/score-" not in path] == []


def test_what_was_scored_is_not_missed_once_the_picks_are_asked(start: Path, undisturbed: tuple[Snapshot, int]) -> None:
    points = in_child(lambda: run_rounds(copy_of(start, "points"), ROUNDS, kill_at=0)) or []
    last = next(n for n, point in enumerate(points, 1) if point.startswith(f"{ROUNDS} steps/record.py:do"))
    found = differences(killed_and_resumed(start, last, delete_directories), undisturbed[0])
    assert [path for path in found if "/score-" not in path] == []


# The test must be able to fail: three ways to get it wrong, each caught.


def push_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A push that does not ask which keys exist."""
    push = Simulated.push

    def push_all(self: Simulated, *arguments: Any) -> dict[str, str]:
        with pytest.MonkeyPatch.context() as blind:
            blind.setattr("alloop.annotators.simulated.read_lines", lambda path: iter(()))
            return push(self, *arguments)

    monkeypatch.setattr(Simulated, "push", push_all)


def publish_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publish that fills the final directory, and takes any directory for a whole one."""

    def publish(final: Path, fill: Callable[[Path], None]) -> Path:
        if not final.exists():
            final.mkdir(parents=True)
            fill(final)
        return final

    for step in ("train", "evaluate", "score"):
        monkeypatch.setattr(f"alloop.steps.{step}.publish", publish)
    monkeypatch.setattr("alloop.steps.context.is_whole", Path.exists)


def mark_outside_the_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """A save whose rows are there before the step counts as finished."""
    finish_step = Store.finish_step

    def finish(self: Store, *arguments: Any) -> None:
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN")
        finish_step(self, *arguments)

    monkeypatch.setattr(Store, "finish_step", finish)


@pytest.mark.parametrize(
    ("breaking", "where"),
    [
        (push_without_looking, "steps/push.py:save"),
        (publish_in_place, "steps/context.py:run_job"),
        (mark_outside_the_transaction, "store.py:finish_step"),
    ],
)
def test_a_broken_engine_is_caught(
    breaking: Callable[[pytest.MonkeyPatch], None], where: str, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch)
    root = copy_of(start, "undisturbed")
    points = in_child(lambda: run_rounds(root, ROUNDS, kill_at=0))
    assert points is not None
    expected = snapshot(root)
    there = [number for number, point in enumerate(points, 1) if where in point]
    assert any(breaks(start, kill_at, expected) for kill_at in there)


def breaks(start: Path, kill_at: int, expected: Snapshot) -> bool:
    """Whether a kill there leaves something else, or a round that cannot go on."""
    try:
        return bool(differences(killed_and_resumed(start, kill_at), expected))
    except AssertionError:
        return True


@pytest.fixture
def gated(make_project: Callable[..., Project]) -> Path:
    """A project whose second round has labels enough for the gate and for every filter."""
    project = make_project("gated", batch=24, more=AUGMENT)
    project.store.close()
    return project.root


def test_a_kill_while_variants_are_judged_changes_nothing(gated: Path) -> None:
    root = copy_of(gated, "gated-undisturbed")
    points = in_child(lambda: run_rounds(root, 2, kill_at=0)) or []
    expected = snapshot(root)
    judging = ("2 steps/augment.py", "2 steps/filters.py", "2 steps/gate.py", "2 steps/stand_in.py")
    places = [n for n, point in enumerate(points, 1) if point.startswith(judging)]
    assert {points[n - 1].split(":")[0] for n in places} == set(judging)
    for at in sampled(len(places), 4):
        copy = copy_of(gated, "gated-killed")
        assert in_child(lambda copy=copy, at=at: run_rounds(copy, 2, places[at - 1])) is None
        in_child(lambda copy=copy: run_rounds(copy, 2))
        assert differences(snapshot(copy), expected) == [], points[places[at - 1] - 1]
