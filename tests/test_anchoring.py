"""Whether people follow the model, with numbers that can be checked in one's head."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from alloop.anchoring import anchoring, anchoring_words, wilson
from alloop.figures import curve_text
from alloop.project import Project
from alloop.records import Annotation, Task
from alloop.reports import report
from alloop.rounds import run_round
from alloop.store import MIGRATIONS, PickRow, Store, StoredText

SURE = {"cat": 0.9, "dog": 0.1}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(tmp_path / "alloop.db", "uid")
    with made.transaction():
        made.add_texts([StoredText(f"t{i}", f"text {i}", "f.csv", i, None, {}) for i in range(40)], "pool")
        made.open_round("{}", 0, {})
        made.open_round("{}", 0, {})
    return made


def ask(
    store: Store,
    n: int,
    *answers: str,
    shown: bool = True,
    purpose: str = "pick",
    number: int = 1,
    predicted: dict[str, float] | None = SURE,
) -> None:
    """A task about text n, answered by annotators a0, a1, …; labels of one answer are joined by +."""
    task = Task(f"uid:t{n}:1", f"t{n}", "", purpose, number, n, not shown)  # type: ignore[arg-type]
    given = [
        Annotation(
            f"{n}-{i}",
            "1",
            task.key,
            task.text_id,
            f"a{i}",
            "labelled",
            tuple(filter(None, one.split("+"))),
            1.0,
            "2026",
        )
        for i, one in enumerate(answers)
    ]
    with store.transaction():
        store.add_picks(number, [PickRow(task.text_id, n, None, "margin", None, predicted, "pick")])
        store.add_tasks([task], {task.key: "r"})
        store.add_annotations("studio", given)


def test_agreement_is_compared_between_shown_and_hidden(store: Store) -> None:
    for n in range(10):
        ask(store, n, "cat" if n < 9 else "dog")
    for n in range(10, 20):
        ask(store, n, "cat" if n < 16 else "dog", shown=False)
    found = anchoring(store, "single", {})
    assert found is not None
    assert (found["shown"]["value"], found["shown"]["n"]) == (0.9, 10)
    assert (found["hidden"]["value"], found["hidden"]["n"]) == (0.6, 10)
    difference = found["difference"]
    assert difference["value"] == pytest.approx(0.3)
    # Newcombe 1998, method 10: with l1 = .5958, u1 = .9821, l2 = .3127, u2 = .8318
    assert difference["low"] == pytest.approx(0.3 - (0.3042**2 + 0.2318**2) ** 0.5, abs=2e-4)
    assert difference["high"] == pytest.approx(0.3 + (0.0821**2 + 0.2873**2) ** 0.5, abs=2e-4)
    assert anchoring_words(found) == (
        "Annotators agree with a suggestion they see in 0.90 (0.60–0.98) of 10 answers, with one they do not see in "
        "0.60 (0.31–0.83) of 10 answers: a difference of +0.30 (-0.08 to +0.60). Picks only."
    )


def test_the_score_interval_is_wilsons() -> None:
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(1.0, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert wilson(0.0, 20)[0] == 0.0


def test_random_and_test_texts_and_cold_starts_are_left_out(store: Store) -> None:
    ask(store, 0, "cat")
    ask(store, 1, "cat", shown=False)
    ask(store, 2, "dog", shown=False, purpose="random")
    ask(store, 3, "dog", shown=False, purpose="test")
    ask(store, 4, "dog", predicted=None)
    found = anchoring(store, "single", {})
    assert found is not None
    assert (found["shown"]["n"], found["hidden"]["n"], found["hidden"]["value"]) == (1, 1, 1.0)


def test_answers_count_but_texts_make_sure(store: Store) -> None:
    ask(store, 0, "cat", "dog")
    ask(store, 1, "cat", "cat")
    found = anchoring(store, "single", {})
    assert found is not None
    assert (found["shown"]["value"], found["shown"]["n"], found["shown"]["texts"]) == (0.75, 4, 2)
    assert (found["shown"]["low"], found["shown"]["high"]) == wilson(0.75, 2)


def test_only_rounds_that_did_both_are_compared(store: Store) -> None:
    ask(store, 0, "dog", shown=False)  # round 1 showed none
    ask(store, 1, "cat", number=2)
    ask(store, 2, "cat", number=2, shown=False)
    found = anchoring(store, "single", {})
    assert found is not None
    assert (found["hidden"]["value"], found["hidden"]["n"]) == (1.0, 1)


def test_where_all_are_shown_there_is_nothing_to_compare_with(store: Store) -> None:
    ask(store, 0, "cat")
    found = anchoring(store, "single", {})
    assert found is not None
    assert (found["hidden"], found["difference"]) == (None, None)
    assert "set suggest = 0.5 in [annotate]" in anchoring_words(found)


def test_several_labels_agree_only_as_a_whole(store: Store) -> None:
    both = {"cat": 0.9, "dog": 0.5}
    ask(store, 0, "dog+cat", predicted=both)
    ask(store, 1, "cat", predicted=both)
    ask(store, 2, "", predicted={"cat": 0.1, "dog": 0.2})
    found = anchoring(store, "multi", {})
    assert found is not None
    assert found["shown"]["value"] == pytest.approx(2 / 3)


def test_a_renamed_label_is_the_same_label(store: Store) -> None:
    ask(store, 0, "feline")
    assert anchoring(store, "single", {})["shown"]["value"] == 0.0  # type: ignore[index]
    assert anchoring(store, "single", {"cat": "feline"})["shown"]["value"] == 1.0  # type: ignore[index]


def test_what_a_waiting_task_shows_now_counts_not_what_it_was_picked_for(store: Store) -> None:
    ask(store, 0, "dog")
    with store.transaction():
        store.note_predicted({"uid:t0:1": {"cat": 0.2, "dog": 0.8}})
    assert anchoring(store, "single", {})["shown"]["value"] == 1.0  # type: ignore[index]


def test_a_database_that_was_not_brought_up_to_date_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(MIGRATIONS, "m003_predicted")
    Store.create(tmp_path / "alloop.db", "uid").close()
    monkeypatch.undo()
    assert anchoring(Store.open(tmp_path / "alloop.db"), "single", {}) is None


def test_suggestions_never_shown_are_no_matter(store: Store) -> None:
    ask(store, 0, "cat", shown=False)
    assert anchoring(store, "single", {}) is None


def test_a_round_notes_what_the_model_says_and_the_report_shows_it(make_project: Callable[..., Project]) -> None:
    project = make_project(more="suggest = 0.5")
    for _ in range(4):
        run_round(project)
    noted = sqlite3.connect(project.root / "alloop.db").execute(
        "SELECT t.predicted = p.predicted FROM tasks t JOIN picks p ON p.round = t.round AND p.text_id = t.text_id"
        " WHERE t.round > 1 AND t.purpose = 'pick'"
    )
    assert {same for (same,) in noted} == {1}
    found = report(project)
    assert found["anchoring"]["shown"]["n"] > 0
    assert found["anchoring"]["hidden"]["n"] > 0
    assert "project: Annotators agree with a suggestion they see in" in curve_text([found])
