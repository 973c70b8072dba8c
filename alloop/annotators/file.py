"""People label in a spreadsheet or an editor: one file a round or review in `inbox/`, with a column to fill in.

What was pushed is remembered in `inbox/pushed.jsonl`, to notice a mistyped key, a changed text, and labels that were
valid when a file was filled in but have been renamed or removed since. A file alone cannot tell a label that was
cleared from one never given: both count as not answered, and an answer that was pulled before stays.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from alloop.annotators import Desk, Pulled
from alloop.errors import ConfigError, DataError, did_you_mean
from alloop.files import append_lines, fingerprint, read_lines, write_whole
from alloop.records import Annotation, Task

MEMORY = "pushed.jsonl"
OURS = ("key", "text", "label", "annotator", "suggestion", "probability")
LONGEST_CELL = 30_000  # characters; spreadsheets break cells above 32,767


@dataclass(frozen=True)
class File:
    """Fill in the column `label` of `inbox/round-….csv`, in any spreadsheet or editor, and save.

    Several people: give each a copy (`round-0003-anna.csv`) and fill in the column `annotator`.

    format: csv, or jsonl for programs and texts of any length. skip: what to write for a text nobody can label.
    none: what to write where none of several labels applies. annotator: who labels, where that column is empty.
    """

    format: Literal["csv", "jsonl"] = "csv"
    skip: str = "?"
    none: str = "none"
    annotator: str = "file"

    def push(self, tasks: Sequence[Task], desk: Desk) -> dict[str, str]:
        """Adds the rows that no file of a round has yet; what people filled in stays."""
        self._check_words(desk)
        _remember(tasks, desk)
        there = {row.cells["key"] for path in _round_files(desk.inbox) for row in _read(path)}
        new: dict[str, list[Task]] = {}
        for task in tasks:
            if task.key not in there:
                kind = "review" if task.purpose == "review" else "round"
                new.setdefault(f"{kind}-{task.round:04d}.{self.format}", []).append(task)
        for name, missing in sorted(new.items()):
            path = desk.inbox / name
            rows = [row.cells for row in _read(path)] if path.exists() else []
            _write(path, rows + [_row(task, desk, is_csv=self.format == "csv") for task in missing])
        if tasks:
            write_whole(desk.inbox / "README.txt", self._readme(desk))
        return {task.key: task.key for task in tasks}

    def pull(self, since: str, desk: Desk) -> Pulled:
        """Every answer the files hold now; an answer is told from an older one by what it says.

        Raises DataError for a row that cannot be understood, so that no answer is lost unnoticed.
        """
        self._check_words(desk)
        pushed, once = _memory(desk.inbox)
        labels = [*desk.label_names, *once]
        found: dict[str, tuple[Annotation, str]] = {}
        for path in _round_files(desk.inbox):
            made_at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
            for row in _read(path):
                answer = self._answer(row, desk, pushed, labels, made_at)
                if answer is None:
                    continue
                first, where = found.setdefault(answer.remote_id, (answer, row.where))
                if (first.state, set(first.labels)) != (answer.state, set(answer.labels)):
                    raise DataError(
                        f"{row.where} and {where} answer the same text differently: {_said(answer)} and {_said(first)}",
                        "correct one of them, or name the two people in the column 'annotator'",
                    )
        return Pulled([answer for answer, _ in found.values()])

    def _answer(
        self, row: "_Row", desk: Desk, pushed: Mapping[str, str], labels: Sequence[str], made_at: str
    ) -> Annotation | None:
        key, said = row.cells["key"], row.cells.get("label")
        if key not in pushed:
            near = did_you_mean(key, pushed)
            raise DataError(
                f"{row.where}: nobody asked for the key {key!r}",
                f"did you mean {near!r}?" if near else "delete the row; to add texts: alloop add DIR FILE",
            )
        if "text" in row.cells and _gist(str(row.cells["text"] or "")) != pushed[key]:
            raise DataError(
                f"{row.where}: the text is not the one that was asked about, key {key}",
                "keys and texts may have got out of step in sorting; undo that, or delete the row",
            )
        listed = said if isinstance(said, list) else self._split("" if said is None else str(said), desk)
        words = [str(one).strip() for one in listed]
        if not words and not (said == [] and desk.kind == "multi"):
            return None
        annotator = str(row.cells.get("annotator") or "").strip()
        is_skipped = [word.casefold() for word in words] == [self.skip.casefold()]
        is_none = desk.kind == "multi" and [word.casefold() for word in words] == [self.none.casefold()]
        chosen = () if is_skipped or is_none else _chosen(words, row.where, desk, labels)
        return Annotation(
            remote_id=f"{key}#{annotator}" if annotator else key,
            version="",
            task_key=key,
            text_id=None,
            annotator=annotator or self.annotator,
            state="skipped" if is_skipped else "labelled",
            labels=chosen,
            seconds=None,
            made_at=made_at,
        )

    def _split(self, said: str, desk: Desk) -> list[str]:
        parts = said.split(desk.separator) if desk.kind == "multi" else [said]
        return [part.strip() for part in parts if part.strip()]

    def _check_words(self, desk: Desk) -> None:
        words = {"skip": self.skip} | ({"none": self.none} if desk.kind == "multi" else {})
        for option, word in words.items():
            clash = next((name for name in desk.label_names if name.casefold() == word.casefold()), None)
            if clash or not word.strip() or (option == "none" and word.casefold() == self.skip.casefold()):
                what = f"is like the label {clash!r}" if clash else "cannot be told from another answer"
                raise ConfigError(
                    f"annotator 'file': {option} = {word!r} {what}",
                    f"choose another word: {option} under [options.file] in alloop.toml",
                )

    def _readme(self, desk: Desk) -> str:
        names = [f"  {name}{'  - ' + about if about else ''}" for name, about in desk.label_names.items()]
        several = [f"Several labels are joined by {desk.separator} and where none applies, write: {self.none}"]
        return "\n".join(
            [
                "How to label: fill in the column 'label' of each round file beside this page, and save in the same",
                "format (CSV UTF-8). Leave the columns 'key' and 'text' as they are, and the file pushed.jsonl.",
                "The order of rows and columns does not matter; further columns are welcome.",
                "",
                "The labels, to be written exactly so:",
                *names,
                "",
                *(several if desk.kind == "multi" else []),
                f"If you cannot tell, write: {self.skip}",
                "Leave a cell empty to answer later. Clearing a label that was already read does not take it back;",
                "write another one instead.",
                "Several people: give each a copy, such as round-0003-anna.csv, with their name in 'annotator'.",
                "Then run: alloop round",
                "",
            ]
        )


plugin = File


@dataclass(frozen=True, slots=True)
class _Row:
    where: str  # "inbox/round-0003.csv, row 7", as a spreadsheet counts
    cells: dict[str, Any]


def _chosen(words: Sequence[str], where: str, desk: Desk, labels: Sequence[str]) -> tuple[str, ...]:
    # Spreadsheets change the case ("true" -> "TRUE"), so it counts only where two labels differ in nothing else.
    by_case: dict[str, set[str]] = {}
    for label in labels:
        by_case.setdefault(label.casefold(), set()).add(label)
    found = []
    for word in words:
        alike = by_case.get(word.casefold(), set())
        if word not in labels and len(alike) != 1:
            near = did_you_mean(word, desk.label_names)
            raise DataError(
                f"{where}: there is no label {word!r}; there are: {', '.join(desk.label_names)}",
                f"did you mean {near!r}?" if near else f"see {desk.inbox / 'README.txt'}",
            )
        found.append(word if word in labels else min(alike))
    if desk.kind == "single" and len(words) > 1:
        raise DataError(f"{where}: {len(words)} labels where one is asked for: {', '.join(words)}", "keep one of them")
    return tuple(dict.fromkeys(found))


def _said(answer: Annotation) -> str:
    return ", ".join(answer.labels) or ("skipped" if answer.state == "skipped" else "none")


def _round_files(inbox: Path) -> list[Path]:
    """Those of rounds, and those of reviews, which are asked about beside them."""
    return sorted(
        path for kind in ("round", "review") for end in ("csv", "jsonl") for path in inbox.glob(f"{kind}-*.{end}")
    )


# What was pushed


def _remember(tasks: Sequence[Task], desk: Desk) -> None:
    pushed, labels = _memory(desk.inbox)
    new: list[dict[str, Any]] = [
        {"key": task.key, "text": _gist(task.text)} for task in tasks if task.key not in pushed
    ]
    if set(desk.label_names) - set(labels):
        new.append({"labels": list(desk.label_names)})
    if new:
        append_lines(desk.inbox / MEMORY, new)


def _memory(inbox: Path) -> tuple[dict[str, str], list[str]]:
    """Task key -> the gist of its text, and every label that could be chosen at some push."""
    pushed, labels = {}, []
    for record in read_lines(inbox / MEMORY):
        if "key" in record:
            pushed[record["key"]] = record["text"]
        labels += record.get("labels", ())
    return pushed, labels


def _gist(text: str) -> str:
    """Equal for texts that differ only in what a cell or a spreadsheet changes: spaces, line ends, a quote that guards,
    what cannot be shown, and the end of a very long text."""
    shown = _CONTROL.sub("\ufffd", unicodedata.normalize("NFC", text).replace("\r", "\n"))
    return fingerprint("".join(shown.strip().lstrip("'")[: LONGEST_CELL - 1000].split()))


# Rows and files


def _row(task: Task, desk: Desk, is_csv: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"key": task.key, "text": task.text, "label": "", "annotator": ""}
    if task.suggestion and not task.blind:
        best = max(task.suggestion, key=lambda name: task.suggestion[name])  # type: ignore[index]
        likely = [name for name, probability in task.suggestion.items() if probability >= 0.5]
        row["suggestion"] = desk.separator.join(likely) if desk.kind == "multi" else best
        row["probability"] = round(task.suggestion[best], 3)
    row |= {f"metadata {name}" if name.lower() in OURS else name: value for name, value in task.metadata.items()}
    if not is_csv:
        return row
    return {name: _cell(value, name == "text") if isinstance(value, str) else value for name, value in row.items()}


def _cell(text: str, must_return: bool) -> str:
    """What is safe in a cell: no formula, no control character and, where it must come back as it was, no number."""
    text = _CONTROL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    if len(text) > LONGEST_CELL:
        text = f"{text[:LONGEST_CELL]} […]"
    is_number = bool(text) and not any(map(str.isalpha, text))  # or a date, or anything a spreadsheet would rewrite
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) or (must_return and is_number) else text


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if path.suffix == ".jsonl":
        write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return
    columns = list(dict.fromkeys([*OURS[:4], *(name for row in rows for name in row)]))
    content = io.StringIO()
    writer = csv.DictWriter(content, columns, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    # Excel takes UTF-8 for something else unless a mark stands first; programs may stumble over it, so only if needed
    mark = "" if content.getvalue().isascii() else "\ufeff"
    write_whole(path, mark + content.getvalue())


def _read(path: Path) -> Iterator[_Row]:
    """The rows that have a key. Raises DataError for a file without that column, or in another encoding."""
    where = f"{path.parent.name}/{path.name}"
    content = _decoded(path, where)
    for number, cells in _json_rows(content, where) if path.suffix == ".jsonl" else _csv_rows(content, where):
        if not isinstance(cells.get("key"), str):
            raise DataError(f"{where}, row {number} has no key", "put the row's key back, or delete the row")
        yield _Row(f"{where}, row {number}", {**cells, "key": cells["key"].strip()})


def _decoded(path: Path, where: str) -> str:
    content = path.read_bytes()
    is_wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not in UTF-8", "save it again as: CSV UTF-8 (comma delimited)") from error


def _json_rows(content: str, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            try:
                cells = json.loads(line)
            except ValueError as error:
                raise DataError(f"{where}, row {number} is not JSON: {error}", "one object a line") from error
            if not isinstance(cells, dict):
                raise DataError(f"{where}, row {number} is not a JSON object: {line[:40]}", "one object a line")
            yield number, cells


def _csv_rows(content: str, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Whatever separates the columns; rows counted as spreadsheets do, the header being row 1."""
    header, delimiter = _header(content, where)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
    try:
        for number, cells in enumerate(reader, 1):
            if number > 1 and any(cell.strip() for cell in cells):
                row: dict[str, Any] = dict(zip(header, cells, strict=False))
                yield number, row if row.get("key", "").strip() else {**row, "key": None}
    except csv.Error as error:
        raise DataError(f"{where} is no CSV after line {reader.line_num}: {error}", "export it again") from error


def _header(content: str, where: str) -> tuple[list[str], str]:
    for delimiter in ",;\t|":
        first = next(csv.reader(io.StringIO(content, newline=""), delimiter=delimiter), [])
        header = [name.strip() if name.strip().lower() not in OURS else name.strip().lower() for name in first]
        if "key" in header:
            if "label" not in header:
                raise DataError(f"{where} has no column 'label'; it has: {', '.join(header)}", "put that column back")
            return header, delimiter
    first_line = content.split("\n", 1)[0].strip()
    raise DataError(f"{where} has no column 'key'; it starts with: {first_line[:80]!r}", "put that column back")
