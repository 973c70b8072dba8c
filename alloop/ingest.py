"""Rows of texts and labels from users' files, every value exactly the string that stands there.

`inspect` looks at the first rows and decides which column is what; `read` then streams the file. Nothing is inferred:
`no`, `null`, `NA`, `007` and `1e5` stay what they are. `datasets` does the streaming, and reads what has types already
(Parquet, saved data sets, the Hub); CSV and JSON are taken apart here, because its own readers guess types and fill up
rows that are too short without a word. Memory does not grow with the file, and no cache is written.

What can be read, all UTF-8 and plain or gzipped: CSV (split at `,` `;` tab or `|`), TSV, JSON (an array of objects),
JSON lines, text (a line each). Also Parquet, a directory made by `Dataset.save_to_disk`, and a data set on the Hub as
`hf:owner/name[/config][:split]`; where that is CSV or JSON, its values are typed by `datasets`, not by us.
"""

import csv
import gzip
import hashlib
import json
import logging
import math
import os
import re
import tempfile
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from alloop.errors import DataError, did_you_mean
from alloop.records import Kind

LINE_SUFFIXES = (".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".txt")  # each may be followed by .gz
SUFFIXES = (*LINE_SUFFIXES, ".parquet")

# Best first: the first name that the file has is guessed.
TEXT_NAMES = tuple(
    "text texts message sentence body content question comment review "
    "utterance document query tweet post description abstract headline title subject".split()
)
HEADING_NAMES = ("title", "subject", "headline")  # go before the text, where the text is one of the next
BODY_NAMES = ("body", "content", "description", "abstract", "text", "message")
LABEL_NAMES = tuple(
    "label_text label_name label labels category categories intent class target topic topics tag tags sentiment".split()
)
ID_NAMES = ("id", "uid", "uuid", "external_id")

DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
BATCH = 1_000  # rows; also how many rows `inspect` looks at
LONGEST_CELL = 1 << 24  # characters; a cell beyond that is a quote that was never closed
LINE = "\0line"  # the extra column in which our readers tell the line a row begins on


@dataclass(frozen=True, slots=True)
class Row:
    """One row with a text. `row` counts data rows from 1, blank lines left out; the text is untouched.

    `labels` is None where the label is not known; () only in a multi-label task, where the list is there and empty.
    `metadata` has no entry for an empty cell.
    """

    file: str
    row: int
    external_id: str | None
    text: str
    labels: tuple[str, ...] | None
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is what. Several text columns are joined by a newline. `notes` say for a reader what was decided."""

    text: tuple[str, ...]
    label: str | None = None
    metadata: tuple[str, ...] = ()
    id: str | None = None
    separator: str = "|"
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Counts:
    """What `read` has met so far. `rows` includes the ones without a text, the first of which `empty_rows` names."""

    rows: int = 0
    labelled: int = 0
    empty: int = 0
    empty_rows: list[int] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)


def inspect(
    source: str,
    *,
    text: Sequence[str] = (),
    label: str | None = None,
    metadata: Sequence[str] | None = None,
    id: str | None = None,  # noqa: A002
    separator: str = "|",
    partial: bool = False,
) -> Columns:
    """Decide which column is what: names that are given must exist, the others are guessed from the first rows.

    `label=""` or `id=""` say that there is none; `metadata=None` takes every other column, `()` takes none. With
    `partial` the file may lack the label, metadata and id columns that are given: more texts, not labelled yet.
    """
    batch = next(_batches(source))
    names = [name for name in batch if name not in ("", LINE)]
    notes = []
    if not _is_typed(source) and (delimiter := _delimiter_of(source)) != _usual_delimiter(source):
        notes.append(f"columns are separated by {DELIMITERS[delimiter]}")
    if partial:
        label = label if not label or label in names else ""
        id = id if not id or id in names else ""  # noqa: A001
        metadata = metadata and [name for name in metadata if name in names]
    for name in [*text, *filter(None, [label, id]), *(metadata or ())]:
        _check_exists(source, name, names)

    label_column = (label or None) if label is not None else _first_named(LABEL_NAMES, names, {*text, id})
    if label is None and label_column:
        notes.append(f"label column: {label_column} (guessed)")
    id_column = (id or None) if id is not None else _first_named(ID_NAMES, names, {*text, label_column})
    if id is None and id_column:
        notes.append(f"id column: {id_column} (guessed)")
    text_columns = tuple(text)
    if not text_columns:
        text_columns = _guess_text(source, batch, [name for name in names if name not in (label_column, id_column)])
        notes.insert(0, f"text column: {' and '.join(text_columns)} (guessed)")
    used = {*text_columns, label_column, id_column}
    others = tuple(metadata) if metadata is not None else tuple(name for name in names if name not in used)
    return Columns(text_columns, label_column, others, id_column, separator, tuple(notes))


def read(
    source: str,
    columns: Columns,
    *,
    kind: Kind = "single",
    labels: Sequence[str] | None = None,
    limit: int | None = None,
    counts: Counts | None = None,
) -> Iterator[Row]:
    """Stream the rows that have a text, `limit` of them at most; `counts` is kept up to date and counts the others.

    Raises DataError, naming file, row and value, at the first row that is not as it should be: among them a label that
    is not one of `labels`, where those are given. Column names are checked when the first row is asked for.
    """
    counts = Counts() if counts is None else counts
    known = frozenset(labels) if labels is not None else None
    given = 0
    for number, batch in enumerate(_batches(source, columns)):
        for name in columns.text if number == 0 else ():
            _check_exists(source, name, [name for name in batch if name not in ("", LINE)])
        size = len(next(iter(batch.values())))
        blank = [None] * size
        texts = [batch.get(name, blank) for name in columns.text]
        cells = batch.get(columns.label or "", blank) if columns.label else blank
        ids = batch.get(columns.id or "", blank) if columns.id else blank
        metadata = [(name, batch[name]) for name in columns.metadata if name in batch]
        lines = batch.get(LINE, blank)
        for i in range(size):
            if given == limit:
                return
            counts.rows += 1
            place = counts.rows, lines[i]
            text = _join_text(source, place, [column[i] for column in texts])
            if not text or text.isspace():
                counts.empty += 1
                if len(counts.empty_rows) < 5:
                    counts.empty_rows.append(counts.rows)
                continue
            answer = None
            if cells[i] is not None:
                answer = _labels_of(source, place, cells[i], columns, kind, known)
                if answer is not None:
                    counts.labelled += 1
                    counts.labels.update(answer)
            extra = {name: value for name, column in metadata if (value := _as_string(column[i]))}
            given += 1
            yield Row(source, counts.rows, _as_string(ids[i]) or None, text, answer, extra)


def text_id(text: str) -> str:
    """The id of a text: the same for texts that differ only in Unicode normal form or surrounding white space."""
    content = unicodedata.normalize("NFC", text).strip().encode()
    return "t1-" + hashlib.blake2b(content, digest_size=16).hexdigest()


def parse_labels(cell: object, kind: Kind = "single", separator: str = "|") -> tuple[str, ...] | None:
    """The labels in a cell, or None where it is empty. `[]` is an answer in a multi-label task: none of them applies.

    In a multi-label task a cell is a list, a JSON list in a string, or names joined by `separator`. Doubles count once.
    """
    if isinstance(cell, str) and kind == "multi":
        cell = (
            _list_in(cell)
            if cell.strip().startswith("[")
            else [part for part in cell.split(separator) if part.strip()] or None
        )
    if isinstance(cell, list | tuple):
        names = tuple(dict.fromkeys(name for part in cell if (name := (_as_string(part) or "").strip())))
        if kind == "multi":
            return names
        if len(names) > 1:
            raise DataError(
                f"{len(names)} labels ({', '.join(names)}) where a text has exactly one",
                'set kind = "multi" under [task] in alloop.toml',
            )
        return names or None
    name = (_as_string(cell) or "").strip()
    return (name,) if name else None


def class_names(feature: Any) -> list[str] | None:
    """The names behind the integers of a `datasets` column of ClassLabel, or of lists of it; None for other columns."""
    inner = getattr(feature, "feature", feature)
    return getattr(inner, "names", None)


# Columns


def _check_exists(source: str, name: str, names: Sequence[str]) -> None:
    if name in names:
        return
    near = did_you_mean(name, names)
    hint = f"did you mean {near}? " if near else ""
    raise DataError(f"{source} has no column {name}", f"{hint}Its columns are: {', '.join(names)}")


def _first_named(wanted: Sequence[str], names: Sequence[str], taken: set[str | None]) -> str | None:
    by_lower = {name.lower(): name for name in reversed(names) if name not in taken}
    return next((by_lower[name] for name in wanted if name in by_lower), None)


def _guess_text(source: str, batch: dict[str, list[Any]], names: Sequence[str]) -> tuple[str, ...]:
    name = _first_named(TEXT_NAMES, names, set())
    if name:
        heading = _first_named(HEADING_NAMES, names, {name})
        return (heading, name) if heading and name.lower() in BODY_NAMES else (name,)
    lengths = {
        name: sum(map(len, filter(None, batch[name])))
        for name in names
        if all(isinstance(value, str | None) for value in batch[name])
    }
    if not any(lengths.values()):
        raise DataError(
            f"{source} has no column of texts", f"its columns are: {', '.join(n for n in batch if n != LINE)}"
        )
    name = max(lengths, key=lambda name: lengths[name])
    if len(name.split()) > 3:
        raise DataError(
            f"the first line of {source} seems to be data, not column names: {name[:60]}",
            "put the names on a first line, for example: text,label",
        )
    return (name,)


# Values


def _as_string(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isnan(value):
        return None  # how pandas writes a missing value into Parquet
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _join_text(source: str, place: tuple[int, int | None], parts: list[Any]) -> str | None:
    if len(parts) == 1 and type(parts[0]) is str:
        return parts[0]
    for part in parts:
        if isinstance(part, list | dict):
            raise DataError(f"{_at(source, place)}: the text is {_shown(part)}, which is not a string")
    return "\n".join(text for part in parts if (text := _as_string(part)) and not text.isspace())


def _labels_of(
    source: str, place: tuple[int, int | None], cell: object, columns: Columns, kind: Kind, known: frozenset[str] | None
) -> tuple[str, ...] | None:
    try:
        answer = parse_labels(cell, kind, columns.separator)
    except DataError as error:
        raise DataError(f"{_at(source, place)}: {error.message}", error.hint) from None
    for name in answer or () if known is not None else ():
        if known is not None and name not in known:
            near = did_you_mean(name, known)
            hint = f"did you mean {near}? " if near else ""
            names = ", ".join(sorted(known)[:20])
            raise DataError(f"{_at(source, place)}: unknown label {_shown(name)}", f"{hint}The labels are: {names}")
    return answer


def _list_in(cell: str) -> list[Any] | str:
    """The list that a string writes in JSON, or the string itself."""
    try:
        value = json.loads(cell, parse_int=str, parse_float=str)
    except ValueError:
        return cell
    return value if isinstance(value, list) else cell


def _at(source: str, place: tuple[int, int | None]) -> str:
    row, line = place
    return f"{source}, row {row}" + (f" (line {line})" if line else "")


def _shown(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 60 else shown[:57] + "..."


# Sources


def _batches(source: str, columns: Columns | None = None) -> Iterator[dict[str, list[Any]]]:
    """The columns of a source, a batch of rows at a time, and never an empty one."""
    wanted = [*columns.text, columns.label, columns.id, *columns.metadata] if columns else None
    batches = _typed_batches(source, wanted) if _is_typed(source) else _line_batches(source)
    count = 0
    for batch in batches:
        if batch:
            count += 1
            yield batch
    if not count:
        raise DataError(f"{source} has no rows")


def _is_typed(source: str) -> bool:
    return source.startswith("hf:") or Path(source).is_dir() or _suffix_of(source) == ".parquet"


def _line_batches(source: str) -> Iterator[dict[str, list[Any]]]:
    suffix = _suffix_of(source)
    path = Path(source)
    if not path.exists():
        raise DataError(f"there is no file {source}", _nearest_file(path))
    if suffix not in LINE_SUFFIXES:
        hint = (
            f"gunzip {source}" if source.endswith(".parquet.gz") else f"files that can be read: {', '.join(SUFFIXES)}"
        )
        raise DataError(f"{source} is of no kind that can be read", hint)
    rows = _json_rows if suffix == ".json" else _json_line_rows if suffix in (".jsonl", ".ndjson") else _table_rows
    with _datasets_without_cache() as datasets:
        dataset = datasets.IterableDataset.from_generator(rows, gen_kwargs={"source": source})
    yield from dataset.iter(batch_size=BATCH)


def _typed_batches(source: str, wanted: Sequence[str | None] | None) -> Iterator[dict[str, list[Any]]]:
    try:
        dataset = _typed_dataset(source)
        if wanted is not None and dataset.column_names is not None:
            dataset = dataset.select_columns([name for name in dataset.column_names if name in wanted])
        classes = {name: class_names(feature) for name, feature in (dataset.features or {}).items()}
        for table in dataset.with_format("arrow").iter(batch_size=BATCH):
            if len(table):
                yield {name: _named(table.column(name).to_pylist(), classes.get(name)) for name in table.column_names}
    except DataError:
        raise
    except Exception as error:  # a dozen libraries stand behind this, down to the network
        hint = "check the name, the split and the network" if source.startswith("hf:") else "write the file again"
        raise DataError(f"{source} cannot be read: {type(error).__name__}: {str(error)[:300]}", hint) from error


def _typed_dataset(source: str) -> Any:
    with _datasets_without_cache() as datasets:
        if source.startswith("hf:"):
            name, _, split = source.removeprefix("hf:").partition(":")
            owner_and_name, config = "/".join(name.split("/")[:2]), "/".join(name.split("/")[2:]) or None
            return datasets.load_dataset(owner_and_name, config, split=split or "train", streaming=True)
        if Path(source).is_dir():
            return _saved_dataset(source)
        if not Path(source).exists():
            raise DataError(f"there is no file {source}", _nearest_file(Path(source)))

        import pyarrow.parquet

        names = pyarrow.parquet.read_schema(source).names
        _check_distinct(source, names)
        return datasets.IterableDataset.from_parquet(source, batch_size=BATCH)


def _saved_dataset(source: str) -> Any:
    import datasets

    if (Path(source) / "dataset_dict.json").exists():
        splits = json.loads((Path(source) / "dataset_dict.json").read_text())["splits"]
        raise DataError(f"{source} holds several splits: {', '.join(splits)}", f"name one: {Path(source) / splits[0]}")
    if not (Path(source) / "dataset_info.json").exists():
        raise DataError(f"{source} is a directory", f"name a file in it: {', '.join(SUFFIXES)}, or a saved data set")
    return datasets.load_from_disk(source).to_iterable_dataset()


def _named(values: list[Any], names: list[str] | None) -> list[Any]:
    """Values of a ClassLabel column by name; a negative one is what the Hub's hidden test labels look like."""
    if names is None:
        return values
    return [
        _named(value, names) if isinstance(value, list) else None if value is None or value < 0 else names[value]
        for value in values
    ]


@contextmanager
def _datasets_without_cache() -> Iterator[Any]:
    """The `datasets` library while a data set is opened: no cache directory, no download counter, no bars."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # its retries; the outcome becomes one message
    config = datasets.config
    before = config.HF_DATASETS_CACHE, config.HF_UPDATE_DOWNLOAD_COUNTS
    with tempfile.TemporaryDirectory() as nowhere:  # even a stream makes a directory and a lock; no text goes there
        config.HF_DATASETS_CACHE, config.HF_UPDATE_DOWNLOAD_COUNTS = Path(nowhere), False
        try:
            yield datasets
        finally:
            config.HF_DATASETS_CACHE, config.HF_UPDATE_DOWNLOAD_COUNTS = before


def _suffix_of(source: str) -> str:
    """One of SUFFIXES, or the suffix of a file that cannot be read."""
    suffix = Path(source).suffix.lower()
    inner = Path(source).with_suffix("").suffix.lower()
    return inner if suffix == ".gz" and inner in LINE_SUFFIXES else suffix


def _nearest_file(path: Path) -> str | None:
    names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = did_you_mean(path.name, names)
    return f"did you mean {path.with_name(near)}?" if near else None


def _check_distinct(source: str, names: Sequence[str]) -> None:
    doubles = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if doubles:
        raise DataError(f"{source} has more than one column {doubles[0]}", "give each column its own name")


# Files of lines. The readers are plain functions of a path, because `datasets` pickles them.


@contextmanager
def _text_file(source: str, newline: str) -> Iterator[IO[str]]:
    """An open file of UTF-8, plain or gzipped. What goes wrong while it is read becomes a DataError."""
    try:
        with _bytes_of(source) as raw:
            head = raw.read(4)
        if head[:2] == b"\x1f\x8b":
            raise DataError(f"{source} is compressed", f"mv {source} {source}.gz")
        if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head:
            raise DataError(f"{source} is not UTF-8 but UTF-16", _convert(source, "utf-16"))
        if not head:
            raise DataError(f"{source} is empty")
        opener: Any = gzip.open if source.endswith(".gz") else open
        with opener(source, "rt", encoding="utf-8-sig", newline=newline) as file:
            yield file
    except UnicodeDecodeError:
        raise _not_utf8(source) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{source} is damaged: {error}", f"check it: gzip -t {source}") from error
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}") from error


def _bytes_of(source: str) -> Any:
    return gzip.open(source, "rb") if source.endswith(".gz") else open(source, "rb")


def _not_utf8(source: str) -> DataError:
    """Find the first byte that is not UTF-8: read once more, since the decoder only knows its place in a buffer."""
    offset = 0
    with _bytes_of(source) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                encoding = "windows-1252" if 0x80 <= byte < 0xA0 else "latin1"
                where = f"line {number}, byte {offset + error.start} is 0x{byte:02x}"
                return DataError(f"{source} is not UTF-8: {where}", _convert(source, encoding))
            offset += len(line)
    return DataError(f"{source} is not UTF-8")


def _convert(source: str, encoding: str) -> str:
    path = Path(source.removesuffix(".gz"))
    start = f"gunzip {source}; " if source.endswith(".gz") else ""
    return f"{start}iconv -f {encoding} -t utf-8 {path} > {path.with_stem(path.stem + '-utf8')}"


def _usual_delimiter(source: str) -> str:
    return {".csv": ",", ".tsv": "\t", ".tab": "\t"}.get(_suffix_of(source), "")


def _delimiter_of(source: str) -> str:
    """What separates the columns; `""` where there are none. A .csv is tried with each of `,` `;` tab and `|`."""
    usual = _usual_delimiter(source)
    if usual != ",":
        return usual
    with _text_file(source, newline="") as file:
        lines = file.read(1 << 16).splitlines(keepends=True)
    best = usual, False, 0
    for delimiter in DELIMITERS:
        widths = []
        try:
            for cells in csv.reader(lines[:100], delimiter=delimiter, strict=True):
                widths.append(len(cells))
        except csv.Error:
            pass  # `lines` may end within a quoted cell; what was read until then tells enough
        widths = [width for width in widths if width]
        if len(widths) > 1 and widths[0] > 1 and (len(set(widths)) == 1, widths[0]) > best[1:]:
            best = delimiter, len(set(widths)) == 1, widths[0]
    return best[0]


def _table_rows(source: str) -> Iterator[dict[str, Any]]:
    """Rows of a CSV, TSV or text file; the last is a table of one column, `text`, without quotes or a header."""
    delimiter = _delimiter_of(source)
    if not delimiter:
        with _text_file(source, newline="\n") as file:
            for number, line in enumerate(file, 1):
                if not line.isspace():
                    yield {"text": line.rstrip("\r\n"), LINE: number}
        return
    csv.field_size_limit(LONGEST_CELL)  # global, alas; 131,072 is less than a long text
    with _text_file(source, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        names: list[str] = []
        row = 0
        while True:
            start = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise _bad_csv(source, row, start, error) from None
            if cells is None:
                break
            if not cells:
                continue
            if not names:
                names = [name.strip() for name in cells]
                _check_distinct(source, names)
                continue
            row += 1
            if len(cells) != len(names):
                raise DataError(
                    f"{_at(source, (row, start))}: {len(cells)} fields, but {len(names)} columns: {_shown(cells)}",
                    f'put a field that contains {DELIMITERS[delimiter]} into quotes: "…"',
                )
            values: dict[str, Any] = dict(zip(names, cells, strict=True))
            values[LINE] = start
            yield values
        if not row:
            raise DataError(f"{source} has column names, but no rows")


def _bad_csv(source: str, rows_before: int, line: int, error: csv.Error) -> DataError:
    where = _at(source, (rows_before + 1, line))
    if "end of data" in str(error) or "limit" in str(error):
        return DataError(f"{where}: a quote is opened and never closed", 'a quote within quotes is written twice: ""')
    return DataError(f"{where}: text after a closing quote ({error})", 'a quote within quotes is written twice: ""')


CHUNK = 1 << 16  # characters
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)  # 1e5 and 1.0 stay as they are written
_BETWEEN = re.compile(r"[\s,]*")
_WRAPPED = re.compile(r'\s*\{\s*"([^"\\]+)"\s*:\s*\[\s*\{')


def _json_line_rows(source: str) -> Iterator[dict[str, Any]]:
    row = 0
    with _text_file(source, newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            row += 1
            try:
                value = _DECODER.decode(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{_at(source, (row, number))}: not JSON: {error}: {line[:60].strip()}") from None
            yield _json_row(source, (row, number), value, line)


def _json_rows(source: str) -> Iterator[dict[str, Any]]:
    """Rows of a .json file: an array, of which only the next objects are in memory, or JSON lines by another name."""
    with _text_file(source, newline="\n") as file:
        head = file.read(CHUNK)
        if head.lstrip().startswith("["):
            yield from _json_array(source, file, head.lstrip()[1:])
            return
    if wrapped := _WRAPPED.match(head):
        first_line, _, rest = head.partition("\n")
        if not first_line.rstrip().endswith("}") or not rest.lstrip().startswith("{"):
            key = wrapped[1]
            raise DataError(
                f"{source} is one object, not an array of objects",
                f"take the array out of it: jq '.\"{key}\"' {source} > {Path(source).with_stem(key)}",
            )
    yield from _json_line_rows(source)


def _json_array(source: str, file: IO[str], buffer: str) -> Iterator[dict[str, Any]]:
    position = row = 0
    chunk = CHUNK
    while True:
        position = _BETWEEN.match(buffer, position).end()  # type: ignore[union-attr]  # it matches nothing, too
        if buffer.startswith("]", position):
            return
        try:
            value, end = _DECODER.raw_decode(buffer, position)
        except (ValueError, RecursionError) as error:
            more = file.read(chunk)
            if not more:
                near = buffer[position : position + 60].strip()
                raise DataError(f"{_at(source, (row + 1, None))}: not JSON: {error}: {near}") from None
            buffer, position, chunk = buffer[position:] + more, 0, chunk * 2  # doubled: a long row stays linear
            continue
        row += 1
        yield _json_row(source, (row, None), value, buffer[position:end])
        position, chunk = end, CHUNK


def _json_row(source: str, place: tuple[int, int | None], value: object, written: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{_at(source, place)}: {_shown(value)} is not an object", 'a row is written {"text": "…"}')
    if "\\u" in written:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise DataError(f"{_at(source, place)}: {half} is half of a character, which no file can hold") from None
    if place[1] is not None:
        value[LINE] = place[1]
    return value
