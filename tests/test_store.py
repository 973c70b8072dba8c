"""Tests of alloop.store."""

import sqlite3
from pathlib import Path

import pytest

from alloop.errors import DataError
from alloop.ingest import text_id
from alloop.records import Annotation, Task
from alloop.store import MIGRATIONS, MetricRow, Store, StoredText


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "alloop.db", "uid")


def row(text: str, number: int = 1, **known: tuple[str, ...]) -> StoredText:
    return StoredText(text_id(text), text, "a.csv", number, f"x{number}", {"channel": "mail"}, **known)


def answer(remote_id: str, text: str, *labels: str, version: str = "", state: str = "labelled") -> Annotation:
    return Annotation(remote_id, version, None, text_id(text), "ann", state, labels, 2.0, "2026-01-01")  # type: ignore[arg-type]


def add(store: Store, *rows: StoredText, split: str = "pool") -> tuple[int, int, int]:
    with store.transaction():
        return store.add_texts(rows, split)


def test_an_equal_text_is_stored_once_and_every_row_remembered(store: Store) -> None:
    assert add(store, row("hello", 1), row(" hello ", 2), row("bye", 3)) == (3, 2, 0)
    assert store.counts() == {"pool": 2, "test": 0}
    assert [external for _, _, external in store.sources([text_id("hello")])[text_id("hello")]] == ["x1", "x2"]


def test_a_text_in_pool_and_test_is_refused_and_nothing_is_stored(store: Store) -> None:
    add(store, row("hello"))
    with pytest.raises(DataError, match="row 2: this text is in the pool texts already: 'hello'"):
        add(store, row("new", 1), row("hello", 2), split="test")
    assert store.counts() == {"pool": 1, "test": 0}


def test_known_labels_become_annotations_and_conflicts_are_counted(store: Store) -> None:
    add(store, row("hello", 1, labels=("a",)), row("hello", 2, labels=("b",)))
    assert store.answers() == {text_id("hello"): [("a.csv", ("a",)), ("a.csv", ("b",))]}
    assert store.conflicting_imports() == 1


def test_other_rows_under_a_known_file_name_are_not_lost(store: Store) -> None:
    add(store, row("hello", 1, labels=("a",)))
    assert add(store, row("bye", 1, labels=("b",))) == (1, 1, 1)
    assert add(store, row("hello", 1, labels=("b",))) == (1, 0, 1)  # corrected
    assert add(store, row("hello", 1, labels=("b",))) == (1, 0, 0)  # the same file again
    assert store.answers() == {text_id("bye"): [("a.csv", ("b",))], text_id("hello"): [("a.csv", ("b",))]}
    assert len(store.sources([text_id("hello")])[text_id("hello")]) == 1


def test_a_true_label_may_come_with_a_later_row_of_the_text(store: Store) -> None:
    add(store, row("hello", 1), row("hello", 2, gold=("a",)))
    assert store.gold([text_id("hello")]) == {text_id("hello"): ("a",)}


def test_an_answer_without_a_version_is_new_only_where_it_differs_from_the_last(store: Store) -> None:
    add(store, row("hello"))
    for labels, new in [(("a",), 1), (("a",), 0), (("b",), 1), (("a",), 1)]:
        with store.transaction():
            assert store.add_annotations("file", [answer("1", "hello", *labels)]) == new
    assert store.answers() == {text_id("hello"): [("ann", ("a",))]}


def test_an_answer_with_a_version_is_stored_once(store: Store) -> None:
    add(store, row("hello"))
    with store.transaction():
        assert store.add_annotations("studio", [answer("1", "hello", "a", version="7")] * 2) == 1


def test_a_deleted_answer_no_longer_stands(store: Store) -> None:
    add(store, row("hello"))
    with store.transaction():
        store.add_annotations("file", [answer("1", "hello", "a"), answer("1", "hello", state="deleted")])
    assert store.answers() == {}


def ask(store: Store, text: str, ask: int, purpose: str, **said: str) -> None:
    """A question of this purpose, answered by each annotator with one label."""
    task = Task(f"uid:{text_id(text)}:{ask}", text_id(text), text, purpose, ask, 1, True)  # type: ignore[arg-type]
    given = [
        Annotation(f"{task.key}#{who}", "1", task.key, task.text_id, who, "labelled", (label,), 2.0, "2026-01-01")
        for who, label in said.items()
    ]
    with store.transaction():
        store.add_tasks([task], {task.key: task.key})
        store.add_annotations("file", given)


def test_a_second_opinion_is_added_and_each_annotator_counts_once(store: Store) -> None:
    add(store, row("hello"))
    ask(store, "hello", 1, "pick", ann="a", bob="b")
    ask(store, "hello", 2, "relabel", cy="b")
    ask(store, "hello", 3, "relabel", ann="b")
    assert store.answers() == {text_id("hello"): [("bob", ("b",)), ("cy", ("b",)), ("ann", ("b",))]}


def test_a_second_opinion_is_added_to_labels_that_came_with_a_file(store: Store) -> None:
    add(store, row("hello", 1, labels=("a",)))
    ask(store, "hello", 1, "relabel", ann="b")
    assert store.answers() == {text_id("hello"): [("a.csv", ("a",)), ("ann", ("b",))]}


@pytest.mark.parametrize("purpose", ["review", "test"])
def test_a_question_asked_anew_replaces_every_answer_before_it(store: Store, purpose: str) -> None:
    add(store, row("hello"))
    ask(store, "hello", 1, "pick", ann="a")
    ask(store, "hello", 2, "relabel", bob="a")
    ask(store, "hello", 3, purpose, cy="b")
    assert store.answers() == {text_id("hello"): [("cy", ("b",))]}
    ask(store, "hello", 4, "relabel", ann="a")
    assert store.answers() == {text_id("hello"): [("cy", ("b",)), ("ann", ("a",))]}


def test_a_repeat_is_no_vote(store: Store) -> None:
    add(store, row("hello"))
    ask(store, "hello", 1, "pick", ann="a")
    ask(store, "hello", 2, "repeat", ann="b")
    assert store.answers() == {text_id("hello"): [("ann", ("a",))]}


def test_a_task_is_answered_by_people_not_by_answers(store: Store) -> None:
    add(store, row("hello"))
    task = Task("uid:t:1", text_id("hello"), "hello", "pick", 1, 1, True)
    given = [
        Annotation(str(i), "1", task.key, task.text_id, who, "labelled", ("a",), None, "2026-01-01")
        for i, who in enumerate(["ann", "ann", "bob"])
    ]
    with store.transaction():
        store.add_tasks([task], {task.key: "r1"})
        store.add_annotations("studio", given)
    assert store.task_answers() == [("uid:t:1", 2, 0)]


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), store.transaction():  # noqa: PT012
        store.add_texts([row("hello")], "pool")
        raise RuntimeError
    assert store.counts()["pool"] == 0


def test_the_latest_test_version_is_the_curve(store: Store) -> None:
    with store.transaction():
        for number in (1, 2):
            store.open_round("{}", 0, {})
            store.add_metrics([MetricRow(number, "test", "old", "accuracy", 0.1 * number, None, None, 9)])
        store.add_metrics([MetricRow(n, "test", "new", "accuracy", 0.5, None, None, 9) for n in (1, 2)])
    assert [(m.round, m.test_version) for m in store.metrics("test")] == [(1, "new"), (2, "new")]


def test_erased_texts_leave_no_byte_behind(store: Store) -> None:
    add(store, row("a secret"), row("hello"))
    with store.transaction():
        store.add_annotations("file", [answer("1", "a secret", "a")])
        assert store.erase_texts([text_id("a secret")]) == 1
    store.vacuum()
    assert all(b"a secret" not in path.read_bytes() for path in store.path.parent.iterdir())


def test_an_answer_stays_paid_for_when_its_text_is_removed_and_an_imported_label_does_not(store: Store) -> None:
    add(store, row("asked"), row("hello"))
    with store.transaction():
        store.add_texts([row("came with a file", labels=("a",))], "pool")
        store.add_annotations("file", [answer("1", "asked", "a"), answer("2", "hello", "a")])
        assert store.answers_paid() == 3
        store.remove_texts([text_id("asked"), text_id("came with a file")])
        assert store.answers_paid() == 2


def test_a_database_of_a_newer_alloop_is_refused(store: Store) -> None:
    connection = sqlite3.connect(store.path)
    connection.execute("INSERT INTO _sqlite_migrations SELECT 99, 'alloop', 'm099_future', '2030-01-01'")
    connection.commit()
    with pytest.raises(DataError, match="newer alloop"):
        Store.open(store.path)


def test_an_older_database_is_backed_up_before_it_is_migrated(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MIGRATIONS, "m099_test", "CREATE TABLE extra (id INTEGER) STRICT")
    assert store.needs_migration
    store.migrate()
    assert not store.needs_migration
    assert (store.path.parent / f"alloop.db.before-{len(MIGRATIONS):03}").exists()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "alloop.db").write_text("no database, just words, and more of them than a header has" * 20)
    with pytest.raises(DataError, match=r"alloop\.db is not a database of alloop"):
        Store.open(tmp_path / "alloop.db")


def test_tables_are_strict(store: Store) -> None:
    tables = sqlite3.connect(store.path).execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'")
    assert {name for name, strict in tables if not strict} <= {"sqlite_schema", "_sqlite_migrations"}


def test_a_job_is_listed_from_its_start_and_has_a_result_once_it_is_finished(store: Store) -> None:
    with store.transaction():
        killed = store.add_job("tune", {"rank": 8})
        done = store.add_job("tune", {"rank": 16})
        store.add_job("adapt", {})
    with store.transaction():
        store.finish_job(done, {"value": 0.9})
    assert [(job.id, job.config, job.result) for job in store.jobs("tune")] == [
        (killed, {"rank": 8}, None),
        (done, {"rank": 16}, {"value": 0.9}),
    ]
    assert [job.seconds is None for job in store.jobs("tune")] == [True, False]
