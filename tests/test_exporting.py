"""What is exported and read again is the same, string by string, in every kind of file."""

import pytest

from alloop import ingest
from alloop.errors import DataError
from alloop.exporting import write_rows

KINDS = ["out.csv", "out.csv.gz", "out.tsv", "out.jsonl", "out.jsonl.gz", "out.ndjson", "out.parquet", "out"]
NASTY = [
    "no",
    "null",
    "NA",
    "nan",
    "007",
    "1.0",
    "1e5",
    "true",
    "2024-01-02",
    "=1+1",
    "#",
    "[]",
    '"',
    "''",
    "a,b;c\td|e",
]
NASTY += [
    "two\nlines",
    "two\r\nlines",
    "one\rcarriage",
    "nul\0byte",
    "שלום עולם",
    "👩‍👧 emoji",
    " padded ",
    "\\u00e9 \\n",
    "\ufeffbom",
]
NASTY += ["line\u2028separator", "x" * 1_000_000]


def read(path, **options):
    columns = ingest.Columns(("text",), "label", ("note",), "id")
    return list(ingest.read(str(path), columns, **options))


@pytest.mark.parametrize("name", KINDS)
def test_every_string_comes_back_as_it_was(tmp_path, name):
    rows = [{"id": str(i), "text": text, "label": "a\nb", "note": text} for i, text in enumerate(NASTY)]
    assert write_rows(tmp_path / name, rows, ["id", "text", "label", "note"]) == len(NASTY)
    back = read(tmp_path / name)
    assert [row.text for row in back] == NASTY
    assert [row.metadata["note"] for row in back] == NASTY
    assert [row.external_id for row in back] == [str(i) for i in range(len(NASTY))]


@pytest.mark.parametrize("name", KINDS)
def test_label_sets_come_back_whether_unknown_empty_or_awkward(tmp_path, name):
    sets = [("a",), None, (), ("a", "b"), ("a|b", "c"), ("[x]",)]
    rows = [{"text": f"text {i}", "label": labels} for i, labels in enumerate(sets)]
    write_rows(tmp_path / name, rows, ["text", "label"])
    assert [row.labels for row in read(tmp_path / name, kind="multi")] == sets


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_there_is_kept_unless_told(tmp_path, name):
    write_rows(tmp_path / name, [{"text": "old"}], ["text"])
    with pytest.raises(DataError, match="is there already"):
        write_rows(tmp_path / name, [{"text": "new"}], ["text"])
    assert [row.text for row in read(tmp_path / name)] == ["old"]
    write_rows(tmp_path / name, [{"text": "new"}], ["text"], overwrite=True)
    assert [row.text for row in read(tmp_path / name)] == ["new"]


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_left_of_an_export_that_fails(tmp_path, name):
    def rows():
        yield {"text": "one"}
        raise KeyError("the store broke")

    with pytest.raises(KeyError):
        write_rows(tmp_path / name, rows(), ["text"])
    assert list(tmp_path.iterdir()) == []


def test_the_same_rows_give_the_same_gzipped_bytes(tmp_path):
    for name in ("one.csv.gz", "two.csv.gz"):
        write_rows(tmp_path / name, [{"text": "same"}], ["text"])
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()


def test_numbers_keep_their_types_in_parquet(tmp_path):
    import pyarrow.parquet

    write_rows(tmp_path / "p.parquet", [{"n": 3, "p": 0.5, "ok": True, "t": None}], ["n", "p", "ok", "t"])
    table = pyarrow.parquet.read_table(tmp_path / "p.parquet")
    assert table.to_pylist() == [{"n": 3, "p": 0.5, "ok": True, "t": None}]
    assert [str(kind) for kind in table.schema.types] == ["int64", "double", "bool", "string"]


@pytest.mark.parametrize("name", KINDS)
def test_no_rows_make_a_file_without_rows(tmp_path, name):
    assert write_rows(tmp_path / name, [], ["text"]) == 0
    assert (tmp_path / name).exists()


def test_an_unknown_suffix_names_the_known_ones(tmp_path):
    with pytest.raises(DataError) as raised:
        write_rows(tmp_path / "out.xlsx", [], ["text"])
    assert ".parquet" in str(raised.value.hint)


def test_a_directory_that_is_no_data_set_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match="is a directory"):
        write_rows(tmp_path / "photos", [{"text": "x"}], ["text"], overwrite=True)
    assert (tmp_path / "photos").is_dir()
