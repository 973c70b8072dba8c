"""Labels for new texts, from a file, stdin or Python."""

import csv
import io
import json
from collections.abc import Callable
from itertools import islice, repeat
from pathlib import Path

import pytest

import alloop as library
from alloop.project import Project
from tests.command import alloop, done

Make = Callable[..., Project]
Write = Callable[..., str]


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trained(make_project: Make) -> Project:
    project = make_project("p")
    done("run", "p", "--rounds", 3)
    return project


def test_a_file_is_labelled_line_by_line(trained: Project, write_csv: Write) -> None:
    texts = ["the cat, asleep", 'a "tram"\nstops', "the 🐄"]
    write_csv("new.csv", ["text"], [(text,) for text in texts])
    ran = done("predict", "p", "new.csv")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [row["text"] for row in rows] == texts
    assert [row["label"] for row in rows[:2]] == ["animal", "vehicle"]
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)
    assert ran.err == ""


def test_the_lines_of_stdin_are_labelled(trained: Project) -> None:
    ran = done("predict", "p", "-", stdin="the cat sleeps\n\nthe tram stops\n")
    assert [line.split(",")[1] for line in ran.out.splitlines()] == ["label", "animal", "vehicle"]


def test_json_has_the_probability_of_every_label(trained: Project) -> None:
    (said,) = json.loads(done("predict", "p", "-", "--json", stdin="the cat sleeps\n").out)
    assert (said["text"], said["labels"]) == ("the cat sleeps", ["animal"])
    assert sum(said["probabilities"].values()) == pytest.approx(1)
    assert json.loads(done("predict", "p", "-", "--json").out) == []


def test_here_is_the_default_project(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("p")
    assert "animal" in done("predict", "-", stdin="the cat sleeps\n").out


def test_without_a_model_nothing_is_printed(make_project: Make) -> None:
    make_project("p")
    ran = alloop("predict", "p", "-", stdin="the cat sleeps\n")
    assert (ran.code, ran.out) == (1, "")
    assert "error: p has no model yet" in ran.err


def test_a_project_without_texts_to_label_is_a_usage_error(trained: Project) -> None:
    ran = alloop("predict", "p")
    assert ran.code == 2
    assert "hint: alloop predict p FILE" in ran.err


def test_from_python_any_number_of_texts_stream_through(trained: Project) -> None:
    answers = library.predict(trained, repeat("the cat sleeps"))
    assert {answer.labels for answer in islice(answers, 5_000)} == {("animal",)}
