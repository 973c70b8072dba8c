"""How fast people answer, with numbers that can be checked in one's head."""

from pathlib import Path

import pytest

from alloop.pace import pace, pace_words
from alloop.records import Annotation, Task
from alloop.reports import status, status_text
from alloop.store import Store, StoredText
from tests.test_reports import ALL, DONE, a_round, answer, make, push


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(tmp_path / "alloop.db", "uid")
    with made.transaction():
        made.add_texts([StoredText(f"t{i}", f"text {i}", "f.csv", i, None, {}) for i in range(9)], "pool")
    return made


def say(store: Store, n: int, who: str, seconds: float | None, state: str = "labelled", version: str = "1") -> None:
    task = Task(f"uid:t{n}:1", f"t{n}", "", "pick", 1, n, True)
    one = Annotation(
        f"{who}-{n}",
        version,
        task.key,
        task.text_id,
        who,
        state,
        (),
        seconds,
        f"2026-01-01T00:00:0{n}",  # type: ignore[arg-type]
    )
    with store.transaction():
        store.add_tasks([task], {task.key: "r"})
        store.add_annotations("studio", [one])


def test_labels_an_hour_count_the_time_of_skips(store: Store) -> None:
    say(store, 1, "ann", 10.0)
    say(store, 2, "ann", 20.0, "skipped")
    say(store, 3, "bob", 30.0)
    found = pace(store, 3)
    assert found is not None
    assert (found["answers"], found["labels"], found["seconds"], found["labels_per_hour"]) == (3, 2, 60.0, 120.0)
    speeds = {one["annotator"]: one["labels_per_hour"] for one in found["annotators"]}
    assert speeds == {"ann": 120.0, "bob": 120.0}
    assert found["left"] == {"answers": 3, "seconds": 60.0}
    assert pace_words(found) == (
        "120 labels an hour (ann 120, bob 120); 3 answers left in the batch, about 60 s of work"
    )


def test_a_page_left_open_counts_as_the_longest_answer(store: Store) -> None:
    say(store, 1, "ann", 7200.0)
    found = pace(store, 0)
    assert found is not None
    assert (found["capped"], found["seconds"], found["labels_per_hour"]) == (1, 600.0, 6.0)
    assert pace_words(found) == "6 labels an hour; 1 answer of over 10 min counted as that"


def test_only_answers_that_stand_and_have_a_time_count(store: Store) -> None:
    say(store, 1, "ann", 100.0)
    say(store, 1, "ann", 36.0, version="2")
    say(store, 2, "ann", 10.0)
    say(store, 2, "ann", None, "deleted", version="2")
    say(store, 3, "ann", None)
    found = pace(store, 0)
    assert found is not None
    assert (found["answers"], found["labels_per_hour"]) == (1, 100.0)


def test_without_times_nothing_is_said(store: Store) -> None:
    assert pace(store, 5) is None
    say(store, 1, "ann", None)
    say(store, 2, "ann", 0.0)
    assert pace(store, 5) is None


def test_what_is_left_goes_by_the_latest_answers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alloop.pace.RECENT", 2)
    for n, seconds in enumerate([100.0, 4.0, 6.0], 1):
        say(store, n, "ann", seconds)
    found = pace(store, 10)
    assert found is not None
    assert found["left"]["seconds"] == 50.0


def test_status_says_what_the_batch_still_takes(tmp_path: Path) -> None:
    project = make(tmp_path)
    tasks = push(project, a_round(project, ALL, DONE), "p0", "p1")
    assert "pace" not in status_text(status(project))
    assert status(project)["annotating"] is None
    answer(project, tasks[0])
    assert status(project)["annotating"]["left"] == {"answers": 1, "seconds": 2.0}
    assert "pace     1,800 labels an hour; 1 answer left in the batch, about 2 s of work" in status_text(
        status(project)
    )
