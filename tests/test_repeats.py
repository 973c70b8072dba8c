"""Tests of alloop.repeats."""

from pathlib import Path

import pytest

from alloop.records import Annotation, Task
from alloop.repeats import self_agreement, self_agreement_words
from alloop.store import Store, StoredText


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "alloop.db", "uid")
    with store.transaction():
        store.add_texts([StoredText(f"t{n}", f"text {n}", "a.csv", n, None, {}) for n in range(12)], "pool")
    return store


def ask(store: Store, n: int, ask: int, purpose: str, **said: str) -> None:
    task = Task(f"uid:t{n}:{ask}", f"t{n}", "", purpose, ask, 1, True)  # type: ignore[arg-type]
    given = [
        Annotation(f"{task.key}#{who}", "1", task.key, task.text_id, who, "labelled", (label,), 2.0, "2026-01-01")
        for who, label in said.items()
    ]
    with store.transaction():
        store.add_tasks([task], {task.key: task.key})
        store.add_annotations("file", given)


def test_whoever_was_never_asked_again_agrees_with_nobody(store: Store) -> None:
    ask(store, 0, 1, "pick", ann="a")
    assert self_agreement(store, {}) is None


def test_each_annotator_is_compared_with_what_they_said_themselves(store: Store) -> None:
    for n in range(10):
        ask(store, n, 1, "pick", ann="a", bob="b")
        ask(store, n, 2, "relabel", cy="a")
        ask(store, n, 3, "repeat", ann="a" if n else "b", **({"bob": "b", "dan": "a"} if n < 2 else {}))
    found = self_agreement(store, {})
    assert found is not None
    assert (found["value"], found["n"]) == (11 / 12, 12)
    first, second = found["annotators"]
    assert (first["annotator"], first["value"], first["n"]) == ("ann", 0.9, 10)
    assert (first["low"], first["high"]) == (pytest.approx(0.5958, abs=1e-4), pytest.approx(0.9821, abs=1e-4))
    assert (second["annotator"], second["value"], second["n"]) == ("bob", 1.0, 2)
    assert self_agreement_words(found).startswith("Asked again without knowing it, annotators say the same in 0.92 (0.")


def test_a_label_that_was_renamed_meanwhile_is_the_same(store: Store) -> None:
    ask(store, 0, 1, "pick", ann="a")
    ask(store, 0, 2, "repeat", ann="b")
    found = self_agreement(store, {"a": "b"})
    assert found is not None
    assert found["value"] == 1
