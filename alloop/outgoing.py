"""What leaves a project: its labels, the whole of it; and texts that have to go. Its model: see `leaving`."""

import csv
import io
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from alloop import ingest
from alloop.adapting import forget_texts
from alloop.annotators import Forgets
from alloop.config import Config, restore
from alloop.errors import DataError
from alloop.exporting import joined, write_rows
from alloop.files import beside, is_whole, seal, write_whole
from alloop.predicting import Answer
from alloop.project import BASES, CONFIG, DATABASE, Project
from alloop.reports import command
from alloop.steps.context import read_ids, write_ids
from alloop.steps.pull import agreed

COLUMNS = ("text", "label", "confidence", "votes", "tied", "split", "external_id", "file", "row", "id")


def export_labels(project: Project, target: Path, *, overwrite: bool = False) -> int:
    """Every labelled text with its label, a line for each row it came in; returns how many lines.

    The suffix decides the format: .csv .tsv .jsonl .parquet, or a directory that `datasets.load_from_disk` reads.
    """
    if target.exists() and not overwrite:
        raise DataError(f"{target} exists already", "add --overwrite, or choose another name")
    rows = list(_labelled_rows(project))
    if not rows:
        raise DataError(f"{project.root} has no labels yet", command("status", project.root))
    write_rows(target, rows, COLUMNS, separator=project.config.data.separator, overwrite=overwrite)
    return len(rows)


def _labelled_rows(project: Project) -> Iterator[dict[str, Any]]:
    task = project.config.task
    decided = {one.text_id: one for one in agreed(project, project.config)[0]}
    ids = list(decided)
    test = set(project.store.test_ids())
    sources = project.store.sources(ids)
    for text in project.store.texts(ids):
        one = decided[text.id]
        for file, row, external_id in sources[text.id]:
            yield {
                "text": text.text,
                "label": one.labels[0] if task.kind == "single" else list(one.labels),
                "confidence": round(one.confidence, 4),
                "votes": one.votes,
                "tied": one.tied,
                "split": "test" if text.id in test else "pool",
                "external_id": external_id or "",
                "file": file,
                "row": row,
                "id": text.id,
            }


def export_project(project: Project, target: Path) -> None:
    """One .tar.gz that is a working project on another machine. The database in it is consistent at any moment."""
    if not target.name.endswith((".tar.gz", ".tgz")):
        raise DataError(f"{target} does not end in .tar.gz", f"alloop export --project {target.name}.tar.gz")
    if target.exists():
        raise DataError(f"{target} exists already", "name another file")
    with beside(target) as attempt:
        database = attempt.with_name(DATABASE)
        project.store.backup(database)
        with tarfile.open(attempt, "w:gz") as archive:
            archive.add(database, f"{project.name}/{DATABASE}")
            for name in (CONFIG, "rounds", "inbox", BASES):
                if (project.root / name).exists():
                    archive.add(project.root / name, f"{project.name}/{name}")
        attempt.rename(target)


def remove_texts(project: Project, ids: Sequence[str] = (), *, source: str | None = None, erase: bool = False) -> int:
    """Take texts out, by text id or the user's own id, or all texts that a file lists; returns how many.

    They are never picked, trained on or tested with again. `erase` deletes them and all that was said of them, in the
    files of annotators and on their server too, the models that learnt from them, and backups that an upgrade left. The
    file that they came from is the user's own and stays.
    """
    wanted = {found for one in ids for found in _matching(project, one)}
    if source is not None:
        settings = project.config.data
        columns = ingest.inspect(source, text=settings.text, label="", metadata=(), id="")
        rows = ingest.read(source, columns)
        wanted |= project.store.known_ids([ingest.text_id(row.text) for row in rows])
    if not wanted:
        raise DataError(f"{project.root} has none of the texts of {source}", "nothing was removed")
    with project.lock("alloop remove"):
        row = project.store.unfinished_round()
        if row is not None and project.store.step_results(row.number):  # one that only waits has read nothing yet
            again = command("round", project.root)
            raise DataError(
                f"round {row.number} of {project.root} was interrupted and may use these texts",
                f"finish it with: {again}, or close it with: {again} --abandon",
            )
        config = project.config
        annotator = project.annotator(config)
        if isinstance(annotator, Forgets):
            annotator.forget(wanted, project.desk(config), erase)
        if erase:
            _forget_answers(project.root / "inbox", wanted)
            _forget_directories(project, wanted)
            _forget_leftovers(project.root)
        with project.store.transaction():
            gone = project.store.erase_texts(sorted(wanted)) if erase else project.store.remove_texts(sorted(wanted))
        if erase:
            project.store.vacuum()
    return gone


def _matching(project: Project, one: str) -> set[str]:
    found = project.store.known_ids([one]) or set(project.store.ids_by_external_id(one))
    if not found:
        raise DataError(
            f"no text has the id {one!r}",
            f"labelled texts are listed by: {command('export', project.root)} --labels FILE",
        )
    return found


def _forget_directories(project: Project, ids: set[str]) -> None:
    """Delete models and bases that learnt from these texts, and what was predicted of them; their rounds stay."""
    recorded = set()
    bases = forget_texts(project, ids)
    for row in project.store.rounds():
        is_of_these = bool(project.store.trained_ids(row.number) & ids) or restore(row.config).model.base in bases
        for step, result in project.store.step_results(row.number).items():
            if "directory" not in result:
                continue
            directory = project.root / result["directory"]
            recorded.add(directory)
            if step == "train" and is_of_these:
                with project.store.transaction():
                    project.store.forget_directory(row.number, step)
                shutil.rmtree(directory, ignore_errors=True)
            elif step != "train" and is_whole(directory):
                _forget_rows(directory, ids)
    for directory in set((project.root / "rounds").glob("*/*")) - recorded:  # of a step that was killed and given up
        shutil.rmtree(directory)


def _forget_rows(directory: Path, ids: set[str]) -> None:
    """Take the rows of these texts out of published predictions."""
    for listed in directory.glob("**/ids.txt"):
        all_ids = read_ids(listed.parent)
        keep = [row for row, one in enumerate(all_ids) if one not in ids]
        if len(keep) < len(all_ids):
            for path in listed.parent.glob("*.npy"):
                axis = 0 if path.stem in ("probs", "logits", "embeddings") else 1
                np.save(path, np.take(np.load(path), keep, axis=axis))
            write_ids(listed.parent, [all_ids[row] for row in keep])
    seal(directory)


def _forget_answers(inbox: Path, ids: set[str]) -> None:
    """Take the tasks and answers of these texts out of what annotators wrote and read; task keys hold the ids."""
    for path in sorted(inbox.glob("*.jsonl")):
        lines = path.read_bytes().decode().split("\n")
        write_whole(path, "\n".join(line for line in lines if not _names_any(line, ids)))
    for path in sorted(inbox.glob("*.csv")):
        content = path.read_bytes()
        is_wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # what Excel calls Unicode text
        try:
            rows = io.StringIO(
                ("\ufeff" if is_wide else "") + content.decode("utf-16" if is_wide else "utf-8"), newline=""
            )
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not in UTF-8", "save it again as: CSV UTF-8 (comma delimited)") from error
        delimiter = max(",;\t|", key=rows.readline().count)
        rows.seek(0)
        kept = io.StringIO(newline="")
        writer = csv.writer(kept, delimiter=delimiter, lineterminator="\r\n")
        writer.writerows(row for row in csv.reader(rows, delimiter=delimiter) if not _names_any("\n".join(row), ids))
        write_whole(path, kept.getvalue())


def _names_any(line: str, ids: set[str]) -> bool:
    return any(one in ids for one in re.findall(r"t1-[0-9a-f]{32}", line))


def _forget_leftovers(root: Path) -> None:
    """What killed processes left, and backups from before an upgrade."""
    shutil.rmtree(root / "cache", ignore_errors=True)
    for attempt in (root / "rounds").glob("*/.*"):
        shutil.rmtree(attempt)
    for backup in [*root.glob(f"{DATABASE}.before-*"), *root.glob(f".{DATABASE}.new*")]:
        backup.unlink()


def texts_of(project: Project, source: str) -> Iterator[str]:
    """The texts of a file, read as the project's own were, or the lines of stdin for "-"."""
    if source == "-":
        yield from (line for line in (raw.strip() for raw in sys.stdin) if line)
        return
    columns = ingest.inspect(source, text=project.config.data.text, label="", metadata=(), id="")
    for row in ingest.read(source, columns):
        yield row.text


def write_answers(answers: Iterator[Answer], config: Config, out: TextIO) -> None:
    """A CSV line for each answer: text, label, probability of the label.

    Of several labels the probability is the smallest; where none applies, that of the likeliest not to.
    """
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["text", "label", "probability"])
    for answer in answers:
        sure = min((answer.probabilities[label] for label in answer.labels), default=None)
        chance = 1 - max(answer.probabilities.values()) if sure is None else sure
        label = answer.labels[0] if config.task.kind == "single" else joined(answer.labels, config.data.separator)
        writer.writerow([answer.text, label, f"{chance:.4f}"])
