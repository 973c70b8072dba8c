"""Hints: any number of them are one, and none is lost."""

from pathlib import Path

from alloop.hints import hinted_at, leave_hint


def test_there_is_no_hint_before_the_first(tmp_path: Path) -> None:
    assert hinted_at(tmp_path / "inbox") is None
    leave_hint(tmp_path / "inbox")
    assert hinted_at(tmp_path / "inbox") is not None


def test_each_hint_is_later_than_the_last(tmp_path: Path) -> None:
    times = []
    for _ in range(20):
        leave_hint(tmp_path)
        times.append(hinted_at(tmp_path))
    assert times == sorted(set(times))
    assert [path.name for path in tmp_path.iterdir()] == ["hint"]
