"""Rows written to a file that appears whole or not at all, in the kinds of files that `ingest` reads.

The suffix decides: .csv, .tsv, .jsonl and .ndjson (each also with .gz), .parquet; no suffix is a directory for
`datasets.load_from_disk`. What was exported and is read again gives the same strings.
"""

import csv
import gzip
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from alloop.errors import DataError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
BATCH = 10_000  # rows


def write_rows(
    path: str | Path,
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    separator: str = "|",
    overwrite: bool = False,
) -> int:
    """Write `columns` of every row, streaming, and return the number of rows.

    A value that a row lacks is missing, as None is. Values are strings, numbers, booleans, None, or lists of strings:
    in CSV these are joined by `separator`, or written as a JSON list where that could not be undone. Parquet and data
    sets take the type of a column from the first 10,000 rows.
    """
    path = Path(path)
    check_writable(path, overwrite=overwrite)
    write = {".csv": _write_table, ".tsv": _write_table, ".parquet": _write_parquet, "": _write_dataset}
    with _appearing(path) as attempt:
        return write.get(_suffix_of(path), _write_json_lines)(attempt, iter(rows), columns, separator)


def check_writable(path: str | Path, *, overwrite: bool = False) -> None:
    """Raise DataError where `write_rows` would refuse: ask before the long work whose result is to be written."""
    path = Path(path)
    if _suffix_of(path) not in (*SUFFIXES, ""):
        raise DataError(
            f"{path} is of no kind that can be written",
            f"end the name in {', '.join(SUFFIXES)}, or in none of them for a data set directory",
        )
    if not path.exists():
        return
    if path.is_dir() and not (_suffix_of(path) == "" and (path / "dataset_info.json").exists()):
        raise DataError(f"{path} is a directory", "choose another name")
    if not overwrite:
        raise DataError(f"{path} is there already", f"choose another name, or remove it: rm -r {path}")
    if _suffix_of(path) == "" and not path.is_dir():
        raise DataError(f"{path} is a file, but a name without a suffix stands for a directory", "choose another name")


def joined(labels: Sequence[str], separator: str = "|") -> str:
    """Labels in one cell of a CSV, from which `ingest.parse_labels` makes the same labels again."""
    can_be_split = labels and not any(separator in label or label.startswith("[") for label in labels)
    return separator.join(labels) if can_be_split else json.dumps(list(labels), ensure_ascii=False)


def _write_table(attempt: Path, rows: Iterator[Mapping[str, Any]], columns: Sequence[str], separator: str) -> int:
    count = 0
    with _text_file(attempt) as file:
        # Python 3.11 puts a lone \r into quotes only if the line end contains one.
        writer = csv.writer(file, delimiter="\t" if _suffix_of(attempt) == ".tsv" else ",", lineterminator="\r\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_as_cell(row.get(column), separator) for column in columns])
            count += 1
    return count


def _write_json_lines(attempt: Path, rows: Iterator[Mapping[str, Any]], columns: Sequence[str], separator: str) -> int:
    count = 0
    with _text_file(attempt) as file:
        for row in rows:
            file.write(json.dumps({column: row.get(column) for column in columns}, ensure_ascii=False) + "\n")
            count += 1
    return count


def _write_parquet(attempt: Path, rows: Iterator[Mapping[str, Any]], columns: Sequence[str], separator: str) -> int:
    import pyarrow.parquet

    count = 0
    tables = _tables(rows, columns, separator)
    first = next(tables)
    with pyarrow.parquet.ParquetWriter(attempt, first.schema, compression="zstd") as writer:
        for table in chain([first], tables):
            writer.write_table(table)
            count += len(table)
    return count


def _write_dataset(attempt: Path, rows: Iterator[Mapping[str, Any]], columns: Sequence[str], separator: str) -> int:
    """Holds all rows in memory, as Arrow does: about as much as the texts are long."""
    import datasets
    import pyarrow

    datasets.disable_progress_bars()
    dataset = datasets.Dataset(pyarrow.concat_tables(_tables(rows, columns, separator)))
    dataset.save_to_disk(str(attempt))
    return len(dataset)


def _tables(rows: Iterator[Mapping[str, Any]], columns: Sequence[str], separator: str) -> Iterator[Any]:
    """Arrow tables of BATCH rows, all of the schema of the first; one without rows where there are none."""
    import pyarrow

    schema = None
    while (batch := list(islice(rows, BATCH))) or schema is None:
        values = {column: [row.get(column) for row in batch] for column in columns}
        if schema is None:
            schema = pyarrow.schema([(column, _arrow_type(values[column])) for column in columns])
        for column in columns:
            if schema.field(column).type == pyarrow.string():
                values[column] = [None if v is None else _as_cell(v, separator) for v in values[column]]
        yield pyarrow.table(values, schema=schema)


def _arrow_type(values: Sequence[Any]) -> Any:
    import pyarrow

    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {list, tuple}:
        return pyarrow.list_(pyarrow.string())
    if kinds == {bool}:
        return pyarrow.bool_()
    if kinds == {int}:
        return pyarrow.int64()
    if kinds and kinds <= {int, float}:
        return pyarrow.float64()
    return pyarrow.string()


def _as_cell(value: Any, separator: str) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return joined(value, separator)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _suffix_of(path: Path) -> str:
    """The suffix that tells the kind, without .gz; a .gz around anything but text is none of ours."""
    suffix, inner = path.suffix.lower(), path.with_suffix("").suffix.lower()
    return inner if suffix == ".gz" and inner in (".csv", ".tsv", ".jsonl", ".ndjson") else suffix


@contextmanager
def _text_file(attempt: Path) -> Iterator[IO[str]]:
    with open(attempt, "wb") as file:
        if attempt.suffix.lower() == ".gz":
            # No name and no time: the same rows give the same bytes.
            packed = gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0)
            with packed, io.TextIOWrapper(packed, encoding="utf-8", newline="") as text:
                yield text
        else:
            with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
                yield text


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A name beside `path`, with its suffixes, which takes its place after the block; nothing stays of a failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        attempt = Path(scratch) / path.name
        yield attempt
        for written in [*attempt.rglob("*"), attempt]:
            _sync(written)
        if path.is_dir():
            path.rename(Path(scratch) / "before")  # a directory cannot be replaced in one move
        attempt.replace(path)
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
