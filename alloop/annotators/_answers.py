"""What the terminal asks and hears: tasks in `inbox/tasks.jsonl`, answers in `inbox/answers.jsonl`, one a line.

Answers are only ever added. The last line of a task and annotator counts; "deleted" opens the task for them again.
`n` numbers the lines of the whole file, also when two people answer at the same time.
"""

import fcntl
import getpass
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alloop.annotators import Desk
from alloop.errors import DataError, UsageError
from alloop.files import append_lines, read_lines
from alloop.records import State, Task

TASKS, ANSWERS = "tasks.jsonl", "answers.jsonl"


@dataclass(frozen=True, slots=True)
class Answer:
    """One line: what an annotator said of a task, or that they took it back."""

    n: int
    key: str
    annotator: str
    state: State
    labels: tuple[str, ...]
    seconds: float
    made_at: str


def whoami() -> str:
    """The annotator at this terminal: $ALLOOP_ANNOTATOR, or the user's name."""
    try:
        return os.environ.get("ALLOOP_ANNOTATOR", "").strip() or getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container whose user has no name
        raise UsageError("who is labelling? This user has no name", "export ALLOOP_ANNOTATOR=your-name") from None


def add_tasks(inbox: Path, tasks: Collection[Task]) -> None:
    """Add those that are not there yet."""
    there = {task.key for task in all_tasks(inbox)}
    new = [asdict(task) for task in tasks if task.key not in there]
    if new:
        append_lines(inbox / TASKS, new)


def all_tasks(inbox: Path) -> list[Task]:
    """Every task, in the order they were pushed."""
    return [Task(**record) for record in _records(inbox / TASKS)]


def all_answers(inbox: Path) -> list[Answer]:
    """Every line, in the order they were made."""
    return [Answer(**{**record, "labels": tuple(record["labels"])}) for record in _records(inbox / ANSWERS)]


def standing_answers(inbox: Path) -> dict[tuple[str, str], Answer]:
    """(task key, annotator) -> the answer that counts, the latest one last; without those taken back."""
    standing: dict[tuple[str, str], Answer] = {}
    for answer in all_answers(inbox):
        standing.pop((answer.key, answer.annotator), None)
        if answer.state != "deleted":
            standing[answer.key, answer.annotator] = answer
    return standing


def open_tasks(desk: Desk, annotator: str, withdrawn: Collection[str] = ()) -> list[Task]:
    """What is left for this annotator: neither answered by them nor by as many others as are needed."""
    asked: dict[str, set[str]] = {}
    for key, who in standing_answers(desk.inbox):
        asked.setdefault(key, set()).add(who)
    return [
        task
        for task in all_tasks(desk.inbox)
        if task.key not in withdrawn
        and annotator not in asked.get(task.key, ())
        and len(asked.get(task.key, ())) < desk.annotators_per_text
    ]


def record(
    inbox: Path, key: str, annotator: str, state: State, labels: tuple[str, ...] = (), seconds: float = 0.0
) -> None:
    """Add a line; it is on disk when this returns."""
    with _alone(inbox):
        answers = all_answers(inbox)
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        n = answers[-1].n + 1 if answers else 1
        answer = Answer(n, key, annotator, state, labels, round(seconds, 1), made_at)
        append_lines(inbox / ANSWERS, [asdict(answer)])


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from read_lines(path)
    except ValueError as error:
        raise DataError(f"{path} has a line that is not JSON: {error}", "restore it from a backup") from error


@contextmanager
def _alone(inbox: Path) -> Iterator[None]:
    """One writer at a time: `append_lines` would cut off a line that another is just writing."""
    inbox.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(inbox / ".answers.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
