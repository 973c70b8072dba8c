import signal
import subprocess
import sys

import pytest

from alloop.files import append_lines, fingerprint, is_whole, publish, read_lines, write_whole


def fill(out):
    (out / "a.txt").write_text("one")
    (out / "deep").mkdir()
    (out / "deep" / "b.txt").write_text("two")


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def refuse(out):
    raise AssertionError("filled again")


def test_a_published_directory_is_whole_and_holds_what_was_written(tmp_path):
    assert publish(tmp_path / "final", fill) == tmp_path / "final"
    assert is_whole(tmp_path / "final")
    assert (tmp_path / "final" / "deep" / "b.txt").read_text() == "two"


def test_a_whole_directory_is_not_filled_again(tmp_path):
    publish(tmp_path / "final", fill)
    publish(tmp_path / "final", refuse)
    assert (tmp_path / "final" / "a.txt").read_text() == "one"


def test_an_error_in_fill_leaves_nothing_visible(tmp_path):
    with pytest.raises(AssertionError, match="filled again"):
        publish(tmp_path / "final", refuse)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    assert not is_whole(tmp_path / "final")


def test_a_kill_in_fill_leaves_nothing_visible_and_the_next_attempt_clears_up(tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
from alloop.files import publish
def fill(out):
    (out / "half.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
publish(Path(sys.argv[1]) / "final", fill)
"""
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "final").exists()
    publish(tmp_path / "final", fill)
    assert names(tmp_path) == ["final"]
    assert names(tmp_path / "final") == ["a.txt", "deep", "manifest.json"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda final: (final / "a.txt").unlink(),
        lambda final: (final / "a.txt").write_text("0ne"),
        lambda final: (final / "manifest.json").unlink(),
        lambda final: (final / "manifest.json").write_text('{"a.t'),
    ],
    ids=["file gone", "file changed", "manifest gone", "manifest torn"],
)
def test_a_damaged_directory_is_replaced(tmp_path, damage):
    publish(tmp_path / "final", fill)
    damage(tmp_path / "final")
    assert not is_whole(tmp_path / "final")
    publish(tmp_path / "final", fill)
    assert is_whole(tmp_path / "final")
    assert (tmp_path / "final" / "a.txt").read_text() == "one"


def test_publishing_leaves_the_neighbours_alone(tmp_path):
    publish(tmp_path / "train-1", fill)
    publish(tmp_path / "train-12", fill)
    publish(tmp_path / "train-2", fill)
    assert names(tmp_path) == ["train-1", "train-12", "train-2"]


def test_what_is_published_is_for_its_owner_alone(tmp_path):
    publish(tmp_path / "final", fill)
    assert (tmp_path / "final").stat().st_mode & 0o077 == 0


def test_lines_come_back_as_they_were_added(tmp_path):
    append_lines(tmp_path / "in" / "x.jsonl", [{"n": 1}, {"text": "ü\n\u2028漢"}])
    append_lines(tmp_path / "in" / "x.jsonl", [{"n": 3}])
    assert list(read_lines(tmp_path / "in" / "x.jsonl")) == [{"n": 1}, {"text": "ü\n\u2028漢"}, {"n": 3}]


def test_a_torn_last_line_is_not_read_and_is_cut_off_by_the_next_one(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"n": 1}\n{"n": 2')
    assert list(read_lines(path)) == [{"n": 1}]
    append_lines(path, [{"n": 3}])
    assert path.read_text() == '{"n": 1}\n{"n": 3}\n'


def test_a_file_of_nothing_but_a_torn_line_holds_nothing(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"n"')
    assert list(read_lines(tmp_path / "x.jsonl")) == []
    append_lines(tmp_path / "x.jsonl", [{"n": 1}])
    assert list(read_lines(tmp_path / "x.jsonl")) == [{"n": 1}]


def test_no_file_has_no_lines(tmp_path):
    assert list(read_lines(tmp_path / "none.jsonl")) == []


def test_write_whole_replaces_the_content_and_leaves_nothing_beside_it(tmp_path):
    write_whole(tmp_path / "x.txt", "old and longer")
    write_whole(tmp_path / "x.txt", "new\r\n")
    assert (tmp_path / "x.txt").read_bytes() == b"new\r\n"
    assert names(tmp_path) == ["x.txt"]


def test_a_fingerprint_does_not_depend_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})
    assert len(fingerprint("ü")) == 12
