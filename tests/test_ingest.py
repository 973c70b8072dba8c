"""Values survive as they stand in the file; what is wrong with a file is said with its name, row and value."""

import gzip
import json

import pytest

from alloop import ingest
from alloop.errors import DataError
from alloop.ingest import Columns, Counts, inspect, parse_labels, read, text_id

VALUES = [
    "no",
    "null",
    "NA",
    "N/A",
    "nan",
    "None",
    "007",
    "1.0",
    "1e5",
    "true",
    "2024-01-02",
    "2024-01-02T03:04:05Z",
    "-",
]
FILES = ["d.csv", "d.tsv", "d.json", "d.jsonl", "d.csv.gz", "d.json.gz", "d.jsonl.gz", "d.parquet"]


def write(path, rows):
    """Rows of the columns text and label, by means that owe nothing to alloop."""
    suffix = path.name.split(".")[1]
    if suffix == "parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return str(path)
    if suffix in ("csv", "tsv"):
        between = "," if suffix == "csv" else "\t"
        lines = [between.join(rows[0])] + [between.join(f'"{v}"' for v in row.values()) for row in rows]
        content = "\r\n".join(lines) + "\r\n"
    elif suffix == "json":
        content = json.dumps(rows, indent=2)
    else:
        content = "\n".join(map(json.dumps, rows))
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return str(path)


def put(tmp_path, content, name="t.csv"):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(tmp_path / name)


def rows_of(source, **options):
    columns = inspect(source)
    return [(row.text, row.labels) for row in read(source, columns, **options)]


def error_of(source, columns=None, **options):
    with pytest.raises(DataError) as raised:
        list(read(source, columns or inspect(source), **options))
    assert source in raised.value.message
    return f"{raised.value.message} / {raised.value.hint}"


@pytest.mark.parametrize("name", FILES)
def test_values_that_look_like_something_else_stay_strings(tmp_path, name):
    source = write(tmp_path / name, [{"text": value, "label": value} for value in VALUES])
    assert rows_of(source) == [(value, (value,)) for value in VALUES]


@pytest.mark.parametrize("name", FILES)
def test_blank_texts_are_skipped_and_counted_and_empty_labels_are_unknown(tmp_path, name):
    source = write(
        tmp_path / name, [{"text": t, "label": la} for t, la in [("a", "x"), ("", "x"), ("  ", ""), ("b", " ")]]
    )
    counts = Counts()
    rows = list(read(source, inspect(source), counts=counts))
    assert [(row.row, row.text, row.labels) for row in rows] == [(1, "a", ("x",)), (4, "b", None)]
    assert (counts.rows, counts.empty, counts.empty_rows, counts.labelled, counts.labels) == (4, 2, [2, 3], 1, {"x": 1})


@pytest.mark.parametrize("name", ["d.json", "d.jsonl"])
def test_json_numbers_keep_their_digits_and_types_may_mix(tmp_path, name):
    values = (
        '{"text": 1e5}',
        '{"text": 1.0, "label": 7}',
        '{"text": true, "label": null}',
        '{"text": "x", "label": "y"}',
    )
    content = f"[{','.join(values)}]" if name == "d.json" else "\n".join(values)
    assert rows_of(put(tmp_path, content, name)) == [("1e5", None), ("1.0", ("7",)), ("true", None), ("x", ("y",))]


def test_lists_of_labels_are_read_from_json_and_parquet(tmp_path):
    rows = [{"text": "t", "label": ["a", "b"]}, {"text": "u", "label": []}, {"text": "v", "label": None}]
    for name in ("d.json", "d.jsonl", "d.parquet"):
        source = write(tmp_path / name, rows)
        assert [labels for _, labels in rows_of(source, kind="multi")] == [("a", "b"), (), None]
        assert "row 1" in error_of(source, kind="single")


@pytest.mark.parametrize(
    ("cell", "kind", "labels"),
    [
        ("a|b", "single", ("a|b",)),
        (" a ", "single", ("a",)),
        ("", "single", None),
        ([], "single", None),
        ("a| b |a||", "multi", ("a", "b")),
        ("", "multi", None),
        (None, "multi", None),
        ("[]", "multi", ()),
        ('["a|b"]', "multi", ("a|b",)),
        (["a", "a"], "multi", ("a",)),
        (7, "single", ("7",)),
    ],
)
def test_labels_of_a_cell(cell, kind, labels):
    assert parse_labels(cell, kind) == labels


def test_class_labels_of_a_saved_data_set_become_names(tmp_path, monkeypatch):
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    saved = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    saved.save_to_disk(str(tmp_path / "saved"))
    expected = [("a", ("pos",)), ("b", ("neg",)), ("c", None)]
    assert rows_of(str(tmp_path / "saved")) == expected

    asked = []

    def load(name, config, split, streaming):
        asked.append((name, config, split, streaming))
        return saved.to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert rows_of("hf:owner/name") == expected
    assert rows_of("hf:owner/name/en:test") == expected
    assert {*asked} == {("owner/name", None, "train", True), ("owner/name", "en", "test", True)}


def test_a_hub_that_cannot_be_reached_is_an_error_with_a_hint(monkeypatch):
    import datasets

    def load(*args, **options):
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(DataError, match="hf:owner/name cannot be read: ConnectionError: Couldn't reach") as raised:
        inspect("hf:owner/name")
    assert "network" in str(raised.value.hint)


def test_reading_leaves_no_trace_in_the_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for name in FILES:
        rows_of(write(tmp_path / name, [{"text": "a", "label": "x"}]))
    assert not (tmp_path / "cache").exists()


# Which column is what


@pytest.mark.parametrize(
    ("header", "text", "label", "id", "metadata"),
    [
        ("text,label", ("text",), "label", None, ()),
        ("id,Message,Category,channel", ("Message",), "Category", "id", ("channel",)),
        ("title,body,tag", ("title", "body"), "tag", None, ()),
        ("label,label_text,text", ("text",), "label_text", None, ("label",)),
        ("a,b,c,d", ("c",), None, None, ("a", "b", "d")),  # the longest
    ],
)
def test_columns_are_guessed_and_the_guess_is_told(tmp_path, header, text, label, id, metadata):  # noqa: A002
    columns = inspect(
        put(tmp_path, f"{header}\n" + ",".join(["x", "yy", "longest", "z"][: header.count(",") + 1]) + "\n")
    )
    assert (columns.text, columns.label, columns.id, columns.metadata) == (text, label, id, metadata)
    assert columns.notes[0] == f"text column: {' and '.join(text)} (guessed)"


def test_columns_that_are_given_are_not_guessed_and_must_exist(tmp_path):
    source = put(tmp_path, "text,label,other\nt,l,o\n")
    columns = inspect(source, text=["other"], label="", metadata=[])
    assert columns == Columns(("other",))
    with pytest.raises(DataError, match="no column lable") as raised:
        inspect(source, label="lable")
    assert raised.value.hint == "did you mean label? Its columns are: text, label, other"
    assert inspect(source, label="gone", metadata=["gone", "other"], partial=True).label is None


def test_several_text_columns_are_joined_by_a_newline(tmp_path):
    source = put(tmp_path, "title,body\nHello,World\n,Only body\n")
    assert [text for text, _ in rows_of(source)] == ["Hello\nWorld", "Only body"]


def test_metadata_and_external_ids_travel_with_the_text(tmp_path):
    source = put(tmp_path, "uid,text,channel,empty\n007,hello,mail,\n")
    (row,) = read(source, inspect(source))
    assert (row.external_id, row.metadata, row.file) == ("007", {"channel": "mail"}, source)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_in_a_csv_is_noticed_and_told(tmp_path, delimiter):
    source = put(tmp_path, f'text{delimiter}label\n"Hello, you; there"{delimiter}x\n')
    assert rows_of(source) == [("Hello, you; there", ("x",))]
    assert any("separated by" in note for note in inspect(source).notes)


def test_a_first_line_of_data_is_not_taken_for_names(tmp_path):
    with pytest.raises(DataError, match="seems to be data"):
        inspect(put(tmp_path, "my parcel has not arrived,shipping\nplease give me my money back,billing\n"))


# Odd but fine


def test_odd_but_sound_csv(tmp_path):
    source = put(tmp_path, b'\xef\xbb\xbftext,label\r\n"a ""q"",\r\nb",x\r\n\r\nnul\0byte,y\r\n' + "שלום 👋,z".encode())
    assert rows_of(source) == [('a "q",\r\nb', ("x",)), ("nul\0byte", ("y",)), ("שלום 👋", ("z",))]


def test_a_text_of_a_megabyte_is_fine(tmp_path):
    text = "é" * 1_000_000
    for name in FILES:
        assert rows_of(write(tmp_path / name, [{"text": text, "label": "x"}])) == [(text, ("x",))]


def test_json_lines_may_be_called_json_and_unicode_line_ends_do_not_end_a_line(tmp_path):
    assert rows_of(put(tmp_path, '{"text": "a\u2028b"}\n{"text": "c"}\n', "t.json")) == [
        ("a\u2028b", None),
        ("c", None),
    ]


def test_a_text_file_has_a_text_on_each_line(tmp_path):
    assert rows_of(put(tmp_path, 'one, "two"\r\n\n three\n', "t.txt")) == [('one, "two"', None), (" three", None)]


def test_limit_ends_the_reading(tmp_path):
    assert len(rows_of(put(tmp_path, "text\n\n" + "a\n" * 10), limit=3)) == 3


def test_the_id_of_a_text_ignores_normal_form_and_outer_space():
    assert text_id("cafe\u0301") == text_id(" café\n")
    assert text_id("café") != text_id("cafe")
    assert len(text_id("")) == 3 + 32


# What is wrong with a file


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text,label\na,x\nb\n", ["row 2 (line 3): 1 fields, but 2 columns", '["b"]']),
        ('text,label\n"a\nb",x\n\nc,x,y\n', ["row 2 (line 5): 3 fields"]),
        ('text,label\na,x\n"b,x\nc,x\n', ["row 2 (line 3)", "never closed"]),
        ('text,label\n"a" b,x\n', ["row 1 (line 2)", "after a closing quote"]),
        ("text,label\n", ["no rows"]),
        ("", ["is empty"]),
        ("text,text\na,b\n", ["more than one column text"]),
        ("text,label\na,x\ncafé,x\n".encode("latin1"), ["line 3", "0xe9", "iconv -f latin1 -t utf-8"]),
        ("text,label\na,x\n“b”,x\n".encode("cp1252"), ["line 3", "iconv -f windows-1252"]),
        ("text,label\na,x\n".encode("utf-16"), ["UTF-16", "iconv -f utf-16"]),
        ("text,label\na,x\n".encode("utf-16-le"), ["UTF-16"]),
        (gzip.compress(b"text\na\n", mtime=0), ["compressed", ".csv.gz"]),
    ],
)
def test_a_bad_csv_is_named_with_its_row(tmp_path, content, said):
    message = error_of(put(tmp_path, content), Columns(("text",)))
    assert all(part in message for part in said), message


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ('{"text": "a"}\n\n{"text": \n', "t.jsonl", ["row 2 (line 3)", "not JSON"]),
        ('{"text": "a"}\n["b"]\n', "t.jsonl", ['row 2 (line 2): ["b"] is not an object']),
        ('{"text": "\\ud83d"}\n', "t.jsonl", ["row 1", "\\ud83d is half of a character"]),
        ('{"text": ["a"]}\n', "t.jsonl", ["row 1", '["a"]', "not a string"]),
        ('[{"text": "a"}, {"text": "b"', "t.json", ["row 2", "not JSON"]),
        ('[{"text": "a"}, 7]', "t.json", ["row 2", "is not an object"]),
        ('{"data": [{"text": "a"}]}', "t.json", ["one object", "jq '.\"data\"'"]),
        ("[]", "t.json", ["no rows"]),
        (b"PAR1 rubbish", "t.parquet", ["cannot be read"]),
        (gzip.compress(b"text\n" + b"a\n" * 999, mtime=0)[:-12], "t.csv.gz", ["damaged", "gzip -t"]),
        (b"text\na\n", "t.csv.gz", ["damaged"]),
        ("text", "t.xlsx", ["no kind that can be read", ".parquet"]),
        ("text", "t", ["no kind"]),
    ],
)
def test_other_bad_files_are_named_too(tmp_path, content, name, said):
    message = error_of(put(tmp_path, content, name), Columns(("text",)))
    assert all(part in message for part in said), message


def test_a_missing_file_names_its_neighbour(tmp_path):
    put(tmp_path, "text\na\n", "tickets.csv")
    with pytest.raises(DataError, match="there is no file") as raised:
        inspect(str(tmp_path / "ticket.csv"))
    assert "tickets.csv" in str(raised.value.hint)


def test_a_directory_is_no_file_and_several_splits_are_named(tmp_path):
    with pytest.raises(DataError, match="is a directory"):
        inspect(str(tmp_path))
    put(tmp_path, '{"splits": ["train", "test"]}', "dataset_dict.json")
    with pytest.raises(DataError, match="train, test"):
        inspect(str(tmp_path))


@pytest.mark.parametrize("name", FILES)
def test_a_label_outside_the_label_set_names_row_value_and_the_nearest(tmp_path, name):
    source = write(tmp_path / name, [{"text": "a", "label": "billing"}, {"text": "b", "label": "biling"}])
    message = error_of(source, labels=["billing", "other"])
    assert "row 2" in message
    assert 'unknown label "biling" / did you mean billing? The labels are: billing, other' in message


def test_read_checks_the_text_column_too(tmp_path):
    assert "no column message" in error_of(put(tmp_path, "text\na\n"), Columns(("message",)))


def test_rows_across_many_batches_are_all_there_in_order(tmp_path):
    texts = [f"text {i} " + "x" * (i % 300) for i in range(2_500)]
    for name in FILES:
        source = write(tmp_path / name, [{"text": text, "label": "x"} for text in texts])
        rows = list(read(source, Columns(("text",))))
        assert [row.text for row in rows] == texts
        assert rows[-1].row == 2_500
    assert ingest.BATCH < 2_500
