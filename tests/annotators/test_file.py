import csv
import dataclasses
import json

import pytest

from alloop.annotators.file import File
from alloop.errors import ConfigError, DataError

AT = "round-0003.csv"


def rows_of(desk, name=AT):
    with open(desk.inbox / name, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill(desk, *labels, name=AT, **more):
    """Fill in the first rows, as a program would."""
    rows = rows_of(desk)
    for row, label in zip(rows, labels, strict=False):
        row.update({"label": label}, **more)
    with open(desk.inbox / name, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def said(desk, annotator=File()):  # noqa: B008
    return [(one.task_key, one.state, one.labels) for one in annotator.pull("", desk).annotations]


@pytest.fixture
def tasks(make_task):
    return [make_task(1), make_task(2, "zwei, drei; «vier»\nund 😀"), make_task(3)]


def test_a_filled_in_file_comes_back_as_answers(desk, tasks):
    assert File().push(tasks, desk) == {task.key: task.key for task in tasks}
    assert [row["text"] for row in rows_of(desk)] == [task.text for task in tasks]
    fill(desk, "billing", "?", "")
    assert said(desk) == [(tasks[0].key, "labelled", ("billing",)), (tasks[1].key, "skipped", ())]
    (one, _) = File().pull("", desk).annotations
    assert (one.annotator, one.version, one.made_at[-6:]) == ("file", "", "+00:00")


def test_pushing_again_keeps_what_was_filled_in_and_adds_only_what_is_missing(desk, tasks, make_task):
    File().push(tasks[:2], desk)
    fill(desk, "billing", "delivery")
    before = (desk.inbox / AT).read_bytes()
    File().push(tasks[:2], desk)
    assert (desk.inbox / AT).read_bytes() == before
    File().push(tasks, desk)
    File().push([make_task(9, round=4)], desk)
    assert [row["label"] for row in rows_of(desk)] == ["billing", "delivery", ""]
    assert [row["key"] for row in rows_of(desk, "round-0004.csv")] == ["p1:t1-9:1"]
    assert len(said(desk)) == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_what_spreadsheets_do_to_a_file_does_not_matter(desk, tasks, encoding, delimiter):
    File().push(tasks, desk)
    columns = ["my notes", "label", "text", "KEY"]
    with open(desk.inbox / AT, "w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\r\n")
        writer.writerow(columns)
        for task in reversed(tasks):
            writer.writerow(["hm; well", "Billing ", task.text.replace("\n", "\r\n"), task.key])
        writer.writerow(["", "", "", ""])
    assert {labels for _, _, labels in said(desk)} == {("billing",)}
    assert len(said(desk)) == 3


def test_a_wrong_label_is_an_error_that_names_place_value_and_the_nearest_label(desk, tasks):
    File().push(tasks, desk)
    fill(desk, "billing", "delivry")
    with pytest.raises(DataError, match=r"round-0003.csv, row 3: there is no label 'delivry'") as caught:
        File().pull("", desk)
    assert "'delivery'" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("t1-2:1", "t1-77:1", "row 3: nobody asked for the key 'p1:t1-77:1'"),
        ("text number 1", "another text", "row 2: the text is not the one"),
        ("key", "clef", "has no column 'key'"),
        ("label", "etikett", "has no column 'label'"),
        ("p1:t1-1:1", "", "row 2 has no key"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_the_place(desk, tasks, old, new, message):
    File().push(tasks, desk)
    path = desk.inbox / AT
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        File().pull("", desk)


def test_a_file_in_another_encoding_is_an_error_that_says_how_to_save_it(desk, tasks):
    File().push(tasks, desk)
    (desk.inbox / AT).write_bytes((desk.inbox / AT).read_text("utf-8-sig").encode("cp1252", "replace"))
    with pytest.raises(DataError, match="not in UTF-8") as caught:
        File().pull("", desk)
    assert "CSV UTF-8" in caught.value.hint


def test_rows_and_labels_that_are_gone_are_not_answered(desk, tasks):
    File().push(tasks, desk)
    fill(desk, "billing", "account", "delivery")
    lines = (desk.inbox / AT).read_text().splitlines(keepends=True)
    (desk.inbox / AT).write_text("".join([lines[0], lines[-1].replace("delivery", "")]))
    assert said(desk) == []


def test_several_labels_are_joined_and_none_of_them_can_be_said(desk, tasks):
    desk = dataclasses.replace(desk, kind="multi")
    File().push(tasks, desk)
    fill(desk, "billing | account", "none", "?")
    assert [labels for _, _, labels in said(desk)] == [("billing", "account"), (), ()]
    assert [state for _, state, _ in said(desk)] == ["labelled", "labelled", "skipped"]


def test_jsonl_files_say_the_same(desk, tasks):
    desk, annotator = dataclasses.replace(desk, kind="multi"), File(format="jsonl")
    annotator.push(tasks, desk)
    path = desk.inbox / "round-0003.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row, label in zip(rows, ["billing|account", [], None], strict=True):
        row["label"] = label
    path.write_text("\n".join(map(json.dumps, rows)))
    assert [labels for _, _, labels in said(desk, annotator)] == [("billing", "account"), ()]


def test_people_with_copies_answer_side_by_side_and_contradictions_need_names(desk, tasks):
    File().push(tasks, desk)
    fill(desk, "billing", name="round-0003-anna.csv", annotator="anna")
    fill(desk, "account", name="round-0003-bob.csv", annotator="bob")
    found = File().pull("", desk).annotations
    assert {(one.remote_id, one.labels) for one in found} == {
        ("p1:t1-1:1#anna", ("billing",)),
        ("p1:t1-1:1#bob", ("account",)),
    }
    fill(desk, "account", name="round-0003-anna.csv", annotator="")
    fill(desk, "billing", name="round-0003-bob.csv", annotator="")
    with pytest.raises(DataError, match=r"round-0003-bob.csv, row 2 and inbox/round-0003-anna.csv, row 2"):
        File().pull("", desk)


def test_an_answer_with_a_label_that_was_removed_since_is_still_read(desk, tasks):
    File().push(tasks, desk)
    fill(desk, "account")
    later = dataclasses.replace(desk, label_names={"billing": "", "delivery": ""})
    assert said(later)[0][2] == ("account",)


def test_a_word_that_is_also_a_label_is_refused(desk, tasks):
    with pytest.raises(ConfigError, match="skip = 'Billing' is like the label 'billing'") as caught:
        File(skip="Billing").push(tasks, desk)
    assert "options.file" in caught.value.hint


def test_cells_are_neither_formulas_nor_numbers_nor_cut_by_spreadsheets(desk, make_task):
    texts = ["=HYPERLINK(1)", "00123", "a\0b", "long " * 20_000, "3/4", "-x", "'quoted'"]
    File().push([make_task(n, text) for n, text in enumerate(texts)], desk)
    shown = [row["text"] for row in rows_of(desk)]
    assert shown[:3] == ["'=HYPERLINK(1)", "'00123", "a\ufffdb"]
    assert all(len(text) < 32_767 for text in shown)
    fill(desk, *["billing"] * 7)
    assert len(said(desk)) == 7


def test_the_model_s_suggestion_is_shown_unless_the_task_is_blind(desk, make_task):
    guess = {"billing": 0.7, "delivery": 0.3}
    tasks = [make_task(1, suggestion=guess, blind=False), make_task(2, suggestion=guess, metadata={"Label": "x"})]
    File().push(tasks, desk)
    first, second = rows_of(desk)
    assert (first["suggestion"], first["probability"], second["suggestion"]) == ("billing", "0.7", "")
    assert (second["metadata Label"], second["label"]) == ("x", "")


def test_the_note_for_people_lists_the_labels(desk, tasks):
    File().push(tasks, desk)
    note = (desk.inbox / "README.txt").read_text()
    assert "billing  - money" in note
    assert "write: ?" in note
