import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from alloop.doctor import Check, examine
from alloop.project import CONFIG, DATABASE, Project
from alloop.rounds import run_round


def looked(project: Project, name: str) -> Check:
    """The one check of that name."""
    (found,) = [check for check in examine(project) if check.name == name]
    return found


def reconfigured(project: Project, old: str, new: str) -> Project:
    path = project.root / CONFIG
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return Project.open(project.root)


def test_a_sound_project_fails_no_check(make_project: Callable[..., Project]) -> None:
    checks = examine(make_project())
    assert [check.message for check in checks if check.ok is False] == []
    assert len({check.name for check in checks}) == len(checks)


def test_the_cost_of_a_round_is_said_in_words(make_project: Callable[..., Project]) -> None:
    project = make_project()
    message = looked(project, "cost").message
    assert message.startswith("a round will take about ")
    assert "training on 8 labels (tried out)" in message
    assert "evaluating 96 texts" in message
    assert "scoring 72 texts" in message
    assert not any((project.root / "cache").iterdir())


def test_the_last_rounds_training_is_the_best_guess(make_project: Callable[..., Project]) -> None:
    project = make_project()
    run_round(project)
    run_round(project)
    assert "training on 16 labels (by the last round)" in looked(project, "cost").message


def test_a_misspelt_key_is_a_failed_check_with_its_line(make_project: Callable[..., Project]) -> None:
    check = looked(reconfigured(make_project(), "batch =", "bacth ="), "config")
    assert check.ok is False
    assert "round.bacth" in check.message
    assert check.hint == "did you mean 'batch'?"


def test_a_plugin_that_does_not_exist_is_a_failed_check(make_project: Callable[..., Project]) -> None:
    check = looked(reconfigured(make_project(), '"margin"', '"margni"'), "config")
    assert check.ok is False
    assert check.hint == "did you mean 'margin'?"


def test_a_batch_larger_than_the_pool_is_a_failed_check(make_project: Callable[..., Project]) -> None:
    check = looked(reconfigured(make_project(), "batch = 8", "batch = 500"), "config")
    assert (check.ok, check.message) == (False, "round.batch is 500, the pool has 72 texts")


def test_a_base_that_is_not_there_is_a_failed_check(make_project: Callable[..., Project], tmp_path: Path) -> None:
    project = reconfigured(make_project(), '"tfidf"', f'"features"\nbase = "{tmp_path}/no-such-model"')
    check = looked(project, "base model")
    assert check.ok is False
    assert "no-such-model" in check.message


def test_a_broken_third_party_plugin_is_named(
    make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alloop.strategies import strategies

    info = tmp_path / "site" / "thirdparty-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[alloop.strategies]\ncoin = no_such_module:Coin\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(strategies.__dict__, "_third_party", raising=False)
    check = looked(make_project(), "plug-ins")
    monkeypatch.delitem(strategies.__dict__, "_third_party", raising=False)
    assert check.ok is False
    assert check.message.startswith("strategies, coin: ModuleNotFoundError")


def test_a_damaged_database_is_a_failed_check(make_project: Callable[..., Project]) -> None:
    project = make_project()
    project.store.close()
    path = project.root / DATABASE
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sources_text'").fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    check = looked(Project.open(project.root), "database")
    assert check.ok is False
    assert "damaged" in check.message


def test_rare_labels_are_named(make_project: Callable[..., Project]) -> None:
    project = make_project(batch=4)
    assert looked(project, "labels").message == "none yet, of 2 labels"
    run_round(project)
    run_round(project)
    check = looked(project, "labels")
    assert check.ok is None
    assert "fewer than 5 examples of" in check.message


def test_the_test_set_is_judged_by_how_sure_it_makes(make_project: Callable[..., Project]) -> None:
    check = looked(make_project(), "test texts")
    assert check.ok is None
    assert check.message.startswith("24: accuracy will be known to ±20.0 points")


def test_a_running_command_is_named(make_project: Callable[..., Project]) -> None:
    project = make_project()
    with project.lock("alloop tune"):
        assert "(alloop tune) works here since" in looked(project, "lock").message
