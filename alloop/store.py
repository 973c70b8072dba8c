"""The project's database; the only module that speaks SQL. Facts are appended; a step and its finish are one commit.

Anyone may read `alloop.db` with other tools while a round runs (WAL). Only the holder of the project's lock writes.
Times are ISO 8601 in UTC. Lists and mappings are JSON.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

from alloop.errors import AlloopError, DataError
from alloop.records import Annotation, Purpose, Task, Text

FIRST_TABLES = """
CREATE TABLE project (uid TEXT NOT NULL, created_at TEXT NOT NULL) STRICT;
CREATE TABLE texts (
    id TEXT PRIMARY KEY, text TEXT NOT NULL, split TEXT NOT NULL CHECK (split IN ('pool', 'test')),
    gold TEXT, added_at TEXT NOT NULL, removed_at TEXT) STRICT;
CREATE INDEX texts_test ON texts (id) WHERE split = 'test';
CREATE INDEX texts_removed ON texts (split) WHERE removed_at IS NOT NULL;
CREATE TABLE sources (
    file TEXT NOT NULL, row INTEGER NOT NULL, external_id TEXT, text_id TEXT NOT NULL REFERENCES texts (id),
    metadata TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX sources_text ON sources (text_id, file, row);
CREATE TABLE variants (
    id TEXT NOT NULL, parent_id TEXT NOT NULL REFERENCES texts (id), text TEXT NOT NULL,
    augmenter TEXT NOT NULL, options TEXT NOT NULL, seed INTEGER NOT NULL, round INTEGER NOT NULL,
    rejected TEXT, PRIMARY KEY (parent_id, augmenter, options, id)) STRICT;
CREATE TABLE labels (
    position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL,
    since INTEGER NOT NULL, retired INTEGER) STRICT;
CREATE TABLE tasks (
    key TEXT PRIMARY KEY, text_id TEXT NOT NULL REFERENCES texts (id), purpose TEXT NOT NULL,
    round INTEGER NOT NULL, rank INTEGER NOT NULL, blind INTEGER NOT NULL, remote_id TEXT NOT NULL,
    withdrawn_at TEXT) STRICT;
CREATE INDEX tasks_text ON tasks (text_id);
CREATE TABLE annotations (
    seq INTEGER PRIMARY KEY, backend TEXT NOT NULL, remote_id TEXT NOT NULL, version TEXT NOT NULL,
    text_id TEXT NOT NULL REFERENCES texts (id), task_key TEXT, annotator TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('labelled', 'skipped', 'deleted')), labels TEXT NOT NULL,
    seconds REAL, made_at TEXT NOT NULL, UNIQUE (backend, remote_id, version)) STRICT;
CREATE INDEX annotations_text ON annotations (text_id);
CREATE TABLE rounds (
    number INTEGER PRIMARY KEY, config TEXT NOT NULL, seed INTEGER NOT NULL, versions TEXT NOT NULL,
    started_at TEXT NOT NULL, finished_at TEXT, abandoned_at TEXT, summary TEXT) STRICT;
CREATE TABLE steps (
    round INTEGER NOT NULL REFERENCES rounds (number), name TEXT NOT NULL, started_at TEXT NOT NULL,
    finished_at TEXT NOT NULL, result TEXT NOT NULL, PRIMARY KEY (round, name)) STRICT;
CREATE TABLE resolved (
    round INTEGER NOT NULL REFERENCES rounds (number), text_id TEXT NOT NULL REFERENCES texts (id),
    labels TEXT NOT NULL, confidence REAL NOT NULL, votes INTEGER NOT NULL,
    PRIMARY KEY (round, text_id)) STRICT;
CREATE INDEX resolved_text ON resolved (text_id);
CREATE TABLE picks (
    round INTEGER NOT NULL REFERENCES rounds (number), text_id TEXT NOT NULL REFERENCES texts (id),
    rank INTEGER NOT NULL, score REAL, strategy TEXT NOT NULL, probability REAL, predicted TEXT,
    PRIMARY KEY (round, text_id)) STRICT;
CREATE TABLE metrics (
    round INTEGER NOT NULL REFERENCES rounds (number), split TEXT NOT NULL, test_version TEXT NOT NULL,
    name TEXT NOT NULL, value REAL NOT NULL, low REAL, high REAL, n INTEGER NOT NULL,
    PRIMARY KEY (round, split, test_version, name)) STRICT;
CREATE TABLE stop_set (text_id TEXT PRIMARY KEY REFERENCES texts (id)) STRICT;
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, config TEXT NOT NULL, started_at TEXT NOT NULL,
    finished_at TEXT, result TEXT) STRICT
"""

CURSORS = "CREATE TABLE cursors (annotate TEXT PRIMARY KEY, upto TEXT NOT NULL, read_at TEXT NOT NULL) STRICT"

PREDICTED = "ALTER TABLE tasks ADD COLUMN predicted TEXT"

TIED = "ALTER TABLE resolved ADD COLUMN tied INTEGER NOT NULL DEFAULT 0"

PURPOSE = """
ALTER TABLE picks ADD COLUMN purpose TEXT NOT NULL DEFAULT 'pick';
UPDATE picks SET purpose = 'random' WHERE probability IS NOT NULL
"""

MIGRATIONS: dict[str, str] = {  # name -> SQL, in order; only ever added to
    "m001_first_tables": FIRST_TABLES,
    "m002_cursors": CURSORS,
    "m003_predicted": PREDICTED,
    "m004_tied": TIED,
    "m005_purpose": PURPOSE,
}


LONGEST_ANSWER_S = 600.0


def now() -> str:
    """This moment, as it is stored."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class StoredText:
    """A text as it comes in: `gold` is a known true label, `labels` a label somebody gave, `row` is 1-based."""

    id: str
    text: str
    file: str
    row: int
    external_id: str | None
    metadata: Mapping[str, str]
    gold: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Resolved:
    """The one label set of a text that a round trains on, and how sure the annotators were of it.

    It is `tied` where their votes are evenly split: people should say more, whatever a rule made of it.
    """

    text_id: str
    labels: tuple[str, ...]
    confidence: float
    votes: int
    tied: bool = False


@dataclass(frozen=True)
class RoundRow:
    """A round as stored. `config` is the snapshot's JSON."""

    number: int
    config: str
    seed: int
    started_at: str
    finished_at: str | None
    abandoned_at: str | None
    summary: dict[str, Any]


# id, parent id, text, augmenter, its options, seed, why it was rejected
Variant = tuple[str, str, str, str, str, int, str | None]


@dataclass(frozen=True)
class PickRow:
    """A chosen text. `probability` is the chance it had of being drawn, for random ones; `predicted` its label's.

    One of purpose "relabel" or "repeat" has a label already, and nothing is predicted of it.
    """

    text_id: str
    rank: int
    score: float | None
    strategy: str
    probability: float | None
    predicted: Mapping[str, float] | None
    purpose: Purpose


@dataclass(frozen=True)
class MetricRow:
    """One measured number of a round on one split, with its 95 % interval where it has one."""

    round: int
    split: str
    test_version: str
    name: str
    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class JobRow:
    """Long work outside rounds, such as one trial of a search. `result` is None until it is finished."""

    id: int
    kind: str
    config: dict[str, Any]
    started_at: str
    finished_at: str | None
    result: dict[str, Any] | None

    @property
    def seconds(self) -> float | None:
        """From its start to its finish, None for one that is not finished."""
        if self.finished_at is None:
            return None
        return (datetime.fromisoformat(self.finished_at) - datetime.fromisoformat(self.started_at)).total_seconds()


@dataclass(frozen=True)
class JudgedPick:
    """An annotator's answer beside the model's, which they saw where it `is_shown`."""

    round: int
    text_id: str
    is_shown: bool
    predicted: Mapping[str, float]
    labels: tuple[str, ...]


class Store:
    """Reads any time; writes inside `transaction()`. Opened by `create` or `open`."""

    sqlite_version = sqlite3.sqlite_version

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._sql("PRAGMA synchronous = FULL")
        self._sql("PRAGMA foreign_keys = ON")
        self._sql("PRAGMA cache_size = -200000")  # KiB: ids are hashes, so that inserts hit every page

    @classmethod
    def create(cls, path: Path, uid: str) -> "Store":
        """A new database in a file that does not exist yet."""
        with _telling_why(path):
            store = cls(path)
            store._sql("PRAGMA journal_mode = WAL")
            _migrate(store._connection)
        with store.transaction():
            store._sql("INSERT INTO project VALUES (?, ?)", (uid, now()))
        return store

    @classmethod
    def open(cls, path: Path) -> "Store":
        """An existing database. Raises DataError for a damaged one or one of a newer alloop."""
        if not path.exists():
            raise DataError(f"{path} does not exist", "make a project with: alloop init DIR --data FILE")
        try:
            store = cls(path)
            newer = store._applied() - MIGRATIONS.keys()
        except sqlite3.DatabaseError as error:
            raise DataError(f"{path} is not a database of alloop: {error}", "restore it from a backup") from error
        if newer:
            raise DataError(
                f"{path} was written by a newer alloop (it has {', '.join(sorted(newer))})",
                "upgrade with: pip install --upgrade alloop",
            )
        return store

    def _applied(self) -> set[str]:
        return {name for (name,) in self._sql("SELECT name FROM _sqlite_migrations WHERE migration_set = 'alloop'")}

    def migrate(self) -> None:
        """Bring an older database up to date, after a backup beside it."""
        if self.needs_migration:
            backup = self.path.with_name(f"{self.path.name}.before-{len(self._applied()) + 1:03}")
            with _telling_why(self.path):
                self._sql("VACUUM INTO ?", (str(backup),))
                _migrate(self._connection)

    @property
    def needs_migration(self) -> bool:
        return bool(MIGRATIONS.keys() - self._applied())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside are one commit, or none of them happened."""
        with _telling_why(self.path):
            self._sql("BEGIN IMMEDIATE")
            try:
                yield
                self._sql("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk may have ended it already
                    self._sql("ROLLBACK")
                raise

    def backup(self, target: Path) -> None:
        """A consistent copy of the database in one file."""
        with _telling_why(target):
            self._sql("VACUUM INTO ?", (str(target),))

    def close(self) -> None:
        self._connection.close()

    @property
    def uid(self) -> str:
        """What tells this project from all others; part of every task's key."""
        return str(self._value("SELECT uid FROM project"))

    # texts

    def add_texts(self, rows: Iterable[StoredText], split: str, may_repeat: bool = False) -> tuple[int, int, int]:
        """Store rows; equal texts once. Returns how many rows there were, new texts, and known labels.

        Raises DataError for a row whose text is already in the other split; if it `may_repeat`, it stays there.
        """
        seen = new = labelled = 0
        at = now()
        for chunk in _chunks(rows, 20_000):
            seen += len(chunk)
            before = self._connection.total_changes
            self._connection.executemany(
                "INSERT INTO texts VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT (id) DO NOTHING",
                ((r.id, r.text, split, None if r.gold is None else json.dumps(r.gold), at) for r in chunk),
            )
            new += self._connection.total_changes - before
            if not may_repeat and self._connection.total_changes - before < len(chunk):
                self._refuse_other_split(chunk, split)
            self._connection.executemany(
                "INSERT INTO sources VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                ((r.file, r.row, r.external_id, r.id, json.dumps(r.metadata) if r.metadata else "{}") for r in chunk),
            )
            self._connection.executemany(
                "UPDATE texts SET gold = ? WHERE id = ? AND gold IS NULL",
                ((json.dumps(r.gold), r.id) for r in chunk if r.gold is not None),
            )
            before = self._connection.total_changes
            # the text and its label are part of the key: a file of the same name may hold other rows next week
            self._connection.executemany(
                "INSERT INTO annotations VALUES (NULL, 'import', ?, ?, ?, NULL, ?, 'labelled', ?, NULL, ?)"
                " ON CONFLICT DO NOTHING",
                (
                    (f"{r.file}:{r.row}:{r.id}", json.dumps(r.labels), r.id, r.file, json.dumps(r.labels), at)
                    for r in chunk
                    if r.labels is not None
                ),
            )
            labelled += self._connection.total_changes - before
        return seen, new, labelled

    def _refuse_other_split(self, chunk: Sequence[StoredText], split: str) -> None:
        other = "pool" if split == "test" else "test"
        for row in chunk:
            if self._value("SELECT 1 FROM texts WHERE id = ? AND split = ?", (row.id, other)):
                raise DataError(
                    f"{row.file}, row {row.row}: this text is in the {other} texts already: {row.text[:60]!r}",
                    "take it out of one of the files; a text in both would make the metrics flatter",
                )

    def hold_out(self, ids: Iterable[str]) -> None:
        """Make pool texts test texts."""
        self._connection.executemany("UPDATE texts SET split = 'test' WHERE id = ?", ((one,) for one in ids))

    def pool_ids(self) -> Iterator[str]:
        """The ids of all pool texts that were not removed, in id order.

        Read off the index of ids alone: the rows are in the order of their arrival, and a million jumps take seconds.
        """
        rows = self._sql(
            "SELECT id FROM texts WHERE id NOT IN (SELECT id FROM texts WHERE split = 'test')"
            " AND id NOT IN (SELECT id FROM texts WHERE removed_at IS NOT NULL) ORDER BY id"
        )
        return (row[0] for row in rows)

    def test_ids(self) -> list[str]:
        """The ids of all test texts that were not removed, in id order."""
        rows = self._sql("SELECT id FROM texts WHERE split = 'test' AND removed_at IS NULL ORDER BY id")
        return [row[0] for row in rows]

    def texts(self, ids: Sequence[str]) -> list[Text]:
        """The texts of these ids, in their order."""
        found = dict(self._by_ids("SELECT id, text FROM texts WHERE id IN", ids))
        return [Text(one, found[one]) for one in ids]

    def known_ids(self, ids: Sequence[str]) -> set[str]:
        """Which of these ids are stored, removed ones included."""
        return {row[0] for row in self._by_ids("SELECT id FROM texts WHERE id IN", ids)}

    def gold(self, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The known true labels of those texts that have them."""
        rows = self._by_ids("SELECT id, gold FROM texts WHERE gold IS NOT NULL AND id IN", ids)
        return {text_id: tuple(json.loads(gold)) for text_id, gold in rows}

    def test_gold(self) -> dict[str, tuple[str, ...]]:
        """The labels of the test file, by text id in id order."""
        rows = self._sql(
            "SELECT id, gold FROM texts WHERE split = 'test' AND gold IS NOT NULL AND removed_at IS NULL ORDER BY id"
        )
        return {text_id: tuple(json.loads(gold)) for text_id, gold in rows}

    def metadata(self, ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """The extra columns of the first row of each text."""
        rows = self._by_ids("SELECT text_id, metadata FROM sources WHERE text_id IN", ids, "ORDER BY rowid DESC")
        return {text_id: json.loads(metadata) for text_id, metadata in rows}

    def sources(self, ids: Sequence[str]) -> dict[str, list[tuple[str, int, str | None]]]:
        """Every (file, row, external id) a text came from."""
        found: dict[str, list[tuple[str, int, str | None]]] = defaultdict(list)
        query = "SELECT text_id, file, row, external_id FROM sources WHERE text_id IN"
        for text_id, file, row, external_id in self._by_ids(query, ids, "ORDER BY rowid"):
            found[text_id].append((file, row, external_id))
        return found

    def source_counts(self) -> list[tuple[str, str, int]]:
        """(file, split, how many of its rows are texts that count)."""
        return self._sql(
            "SELECT s.file, t.split, count(*) FROM sources s JOIN texts t ON t.id = s.text_id"
            " WHERE t.removed_at IS NULL GROUP BY s.file, t.split ORDER BY s.file, t.split"
        ).fetchall()

    def ids_by_external_id(self, external_id: str) -> list[str]:
        """The text ids of the rows that carry this id of the user's."""
        return [row[0] for row in self._sql("SELECT text_id FROM sources WHERE external_id = ?", (external_id,))]

    def counts(self) -> dict[str, int]:
        """How many texts each split has, removed ones left out."""
        everything = self._value("SELECT count(*) FROM texts")
        test = self._value("SELECT count(*) FROM texts WHERE split = 'test'")
        gone = dict(self._sql("SELECT split, count(*) FROM texts WHERE removed_at IS NOT NULL GROUP BY split"))
        return {"pool": everything - test - gone.get("pool", 0), "test": test - gone.get("test", 0)}

    def first_without_gold(self) -> tuple[str, int] | None:
        """File and row of a pool text whose true label is not known, None where all are."""
        row = self._sql(
            "SELECT file, row FROM texts JOIN sources ON text_id = id WHERE split = 'pool' AND gold IS NULL"
            " AND removed_at IS NULL ORDER BY sources.rowid LIMIT 1"
        ).fetchone()
        return row and (str(row[0]), int(row[1]))

    def conflicting_imports(self) -> int:
        """How many texts came with several known labels that differ."""
        return int(
            self._value(
                "SELECT count(*) FROM (SELECT 1 FROM annotations WHERE backend = 'import'"
                " GROUP BY text_id HAVING count(DISTINCT labels) > 1)"
            )
        )

    def stop_set(self) -> list[str]:
        """The pool texts that every round predicts, in id order; none before the first model."""
        return [row[0] for row in self._sql("SELECT text_id FROM stop_set ORDER BY text_id")]

    def keep_stop_set(self, ids: Sequence[str]) -> None:
        """Choose them, once and for all; erased texts only ever leave it."""
        if not self.stop_set():
            self._connection.executemany("INSERT INTO stop_set VALUES (?)", ((one,) for one in ids))

    def remove_texts(self, ids: Sequence[str]) -> int:
        """Take texts out of everything that comes later; returns how many were there."""
        at = now()
        rows = ((at, one) for one in ids)
        return self._connection.executemany(
            "UPDATE texts SET removed_at = ? WHERE id = ? AND removed_at IS NULL", rows
        ).rowcount

    def erase_texts(self, ids: Sequence[str]) -> int:
        """Delete texts and every row that speaks of them; returns how many were there."""
        gone = 0
        for text_id in ids:
            for table in ("resolved", "picks", "tasks", "annotations", "sources", "stop_set"):
                self._sql(f"DELETE FROM {table} WHERE text_id = ?", (text_id,))
            self._sql("DELETE FROM variants WHERE parent_id = ?", (text_id,))
            for column, key, name in (
                ("config", "$.tasks", "$.text_id"),
                ("result", "$.changes", "$.id"),
            ):  # of reviews
                self._sql(
                    f"UPDATE jobs SET {column} = json_set({column}, ?, (SELECT json_group_array(json(value))"
                    f" FROM json_each({column}, ?) WHERE json_extract(value, ?) <> ?))"
                    f" WHERE json_type({column}, ?) = 'array' AND kind = 'audit'",
                    (key, key, name, text_id, key),
                )
            gone += self._sql("DELETE FROM texts WHERE id = ?", (text_id,)).rowcount
        return gone

    def vacuum(self) -> None:
        """Overwrite what deleted rows left in the file, the write-ahead log included."""
        with _telling_why(self.path):
            self._sql("PRAGMA secure_delete = ON")
            self._sql("VACUUM")
            self._sql("PRAGMA wal_checkpoint(TRUNCATE)")

    # rounds and steps

    def open_round(self, config: str, seed: int, versions: Mapping[str, str]) -> RoundRow:
        """A new round, numbered after the last."""
        number = int(self._value("SELECT coalesce(max(number), 0) + 1 FROM rounds"))
        self._sql(
            "INSERT INTO rounds VALUES (?, ?, ?, ?, ?, NULL, NULL, NULL)",
            (number, config, seed, json.dumps(versions), now()),
        )
        return self.round(number)

    def drop_round(self, number: int) -> None:
        """Forget a round of which no step is finished."""
        self._sql("DELETE FROM rounds WHERE number = ?", (number,))

    def round(self, number: int) -> RoundRow:
        return self._rounds("WHERE number = ?", (number,))[0]

    def rounds(self) -> list[RoundRow]:
        """All rounds, first to last, open and abandoned ones included."""
        return self._rounds("ORDER BY number")

    def last_round(self) -> RoundRow | None:
        found = self._rounds("ORDER BY number DESC LIMIT 1")
        return found[0] if found else None

    def unfinished_round(self) -> RoundRow | None:
        """The round that was interrupted or waits."""
        found = self._rounds("WHERE finished_at IS NULL AND abandoned_at IS NULL")
        return found[0] if found else None

    def abandon_round(self, number: int) -> None:
        self._sql("UPDATE rounds SET abandoned_at = ? WHERE number = ?", (now(), number))

    def finish_round(self, number: int, summary: Mapping[str, Any]) -> None:
        self._sql(
            "UPDATE rounds SET finished_at = ?, summary = ? WHERE number = ?", (now(), json.dumps(summary), number)
        )

    def finish_step(self, number: int, name: str, started_at: str, result: Mapping[str, Any]) -> None:
        """Mark a step finished; belongs into the transaction of its save."""
        self._sql("INSERT INTO steps VALUES (?, ?, ?, ?, ?)", (number, name, started_at, now(), json.dumps(result)))

    def forget_directory(self, number: int, name: str) -> None:
        """Record that what a step published is gone for good."""
        self._sql(
            "UPDATE steps SET result = json_remove(result, '$.directory') WHERE round = ? AND name = ?", (number, name)
        )

    def step_results(self, number: int) -> dict[str, dict[str, Any]]:
        """The results of a round's finished steps, in the order they finished."""
        rows = self._sql("SELECT name, result FROM steps WHERE round = ? ORDER BY rowid", (number,))
        return {name: json.loads(result) for name, result in rows}

    def newest_directory(self, name: str) -> tuple[int, str] | None:
        """The last round whose step of that name left a directory, and the directory."""
        row = self._sql(
            "SELECT round, json_extract(result, '$.directory') AS directory FROM steps"
            " WHERE name = ? AND directory IS NOT NULL ORDER BY round DESC LIMIT 1",
            (name,),
        ).fetchone()
        return row and (int(row[0]), str(row[1]))

    def step_seconds(self, number: int) -> dict[str, float]:
        """How long each finished step of a round took."""
        rows = self._sql("SELECT name, started_at, finished_at FROM steps WHERE round = ? ORDER BY rowid", (number,))
        return {
            name: (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
            for name, start, end in rows
        }

    # labels

    def sync_labels(self, labels: Sequence[tuple[str, str]], rename: Mapping[str, str], round_number: int) -> None:
        """Make the (name, description) pairs of the config the current label set. Positions never change.

        A name that others were renamed to is as old as they are.
        """
        since = dict(self._sql("SELECT name, since FROM labels"))
        for name, description in labels:
            older = [since[old] for old, new in rename.items() if new == name and old in since]
            if name in since:
                self._sql(
                    "UPDATE labels SET description = ?, since = iif(retired IS NULL, since, ?), retired = NULL"
                    " WHERE name = ?",
                    (description, round_number, name),
                )
            else:
                new = (name, description, min(older, default=round_number))
                self._sql("INSERT INTO labels VALUES (NULL, ?, ?, ?, NULL)", new)
        for name in since.keys() - {name for name, _ in labels}:
            self._sql("UPDATE labels SET retired = ? WHERE name = ? AND retired IS NULL", (round_number, name))

    def newest_label_since(self) -> int:
        """The round in which the youngest label in use came."""
        return int(self._value("SELECT coalesce(max(since), 0) FROM labels WHERE retired IS NULL"))

    # tasks and annotations

    def add_tasks(self, tasks: Sequence[Task], remote_ids: Mapping[str, str]) -> None:
        self._connection.executemany(
            "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL) ON CONFLICT DO NOTHING",
            ((t.key, t.text_id, t.purpose, t.round, t.rank, int(t.blind), remote_ids[t.key]) for t in tasks),
        )

    def note_predicted(self, predicted: Mapping[str, Mapping[str, float]]) -> None:
        """Note what the model says of these tasks' texts, by task key: what annotators see, where they see it."""
        self._connection.executemany(
            "UPDATE tasks SET predicted = ? WHERE key = ?", ((json.dumps(p), key) for key, p in predicted.items())
        )

    def judged_picks(self) -> list[JudgedPick]:
        """Every label that stands of a pick about which the model had something to say, in the order they came.

        An annotator who answered a task twice counts with the later answer.
        """
        if "m003_predicted" not in self._applied():  # a database that only commands which write bring up to date
            return []
        rows = self._sql(
            "SELECT k.round, k.text_id, a.annotator, k.blind, coalesce(k.predicted, p.predicted), a.labels"
            f" FROM ({_LATEST}) a JOIN tasks k ON k.key = a.task_key JOIN texts t ON t.id = k.text_id"
            " LEFT JOIN picks p ON p.round = k.round AND p.text_id = k.text_id"
            " WHERE a.state = 'labelled' AND k.purpose = 'pick' AND t.removed_at IS NULL"
            " AND coalesce(k.predicted, p.predicted) IS NOT NULL ORDER BY a.seq"
        )
        found = {
            (number, text_id, who): JudgedPick(number, text_id, not blind, json.loads(said), tuple(json.loads(labels)))
            for number, text_id, who, blind, said, labels in rows
        }
        return list(found.values())

    def asks(self, ids: Sequence[str]) -> dict[str, int]:
        """How often each text was asked, texts never asked left out."""
        return dict(self._by_ids("SELECT text_id, count(*) FROM tasks WHERE text_id IN", ids, "GROUP BY text_id"))

    def asked_ids(self) -> set[str]:
        """The texts that have a task, answered or open."""
        return {row[0] for row in self._sql("SELECT DISTINCT text_id FROM tasks WHERE withdrawn_at IS NULL")}

    def review_keys(self) -> set[str]:
        """The tasks that send labels back to annotators."""
        return {row[0] for row in self._sql("SELECT key FROM tasks WHERE purpose = 'review'")}

    def reviewed_ids(self) -> set[str]:
        """The texts whose label was sent back to annotators, answered or not."""
        return {row[0] for row in self._sql("SELECT text_id FROM tasks WHERE purpose = 'review'")}

    def open_to_suggestions(self, keys: Sequence[str]) -> set[str]:
        """Which of these tasks are recorded here as not blind."""
        return {row[0] for row in self._by_ids("SELECT key FROM tasks WHERE blind = 0 AND key IN", keys)}

    def asked_since(self, round_number: int) -> set[str]:
        """The texts with a task of this round or a later one."""
        return {row[0] for row in self._sql("SELECT DISTINCT text_id FROM tasks WHERE round >= ?", (round_number,))}

    def withdrawn_keys(self) -> set[str]:
        """The tasks that nobody needs to answer any more: withdrawn, or of removed texts."""
        rows = self._sql(
            "SELECT key FROM tasks t JOIN texts x ON x.id = t.text_id"
            " WHERE t.withdrawn_at IS NOT NULL OR x.removed_at IS NOT NULL"
        )
        return {row[0] for row in rows}

    def task_answers(self, last_batch: bool = False, reviews: bool = True) -> list[tuple[str, int, int]]:
        """(task key, answers, skips) of every task, or of those a round pushed last; an annotator counts once per task.

        A review belongs to no batch: rounds do not wait for it.
        """
        only = f"AND t.round = (SELECT max(round) FROM tasks WHERE {_NO_REVIEW})" if last_batch else ""
        only += f" AND t.{_NO_REVIEW}" if last_batch or not reviews else ""
        return list(
            self._sql(
                "SELECT t.key, count(DISTINCT CASE WHEN a.state = 'labelled' THEN a.annotator END),"
                " count(DISTINCT CASE WHEN a.state = 'skipped' THEN a.annotator END)"
                f" FROM tasks t JOIN texts x ON x.id = t.text_id LEFT JOIN ({_LATEST}) a ON a.task_key = t.key"
                f" WHERE t.withdrawn_at IS NULL AND x.removed_at IS NULL {only} GROUP BY t.key"
            )
        )

    def add_annotations(self, backend: str, annotations: Sequence[Annotation]) -> int:
        """Append those that are new; returns how many. Each names its text.

        One without a version is new when it differs from the last of its remote id.
        """
        before = self._connection.total_changes
        for annotation in annotations:
            version = annotation.version or self._next_version(backend, annotation)
            if version is None:
                continue
            self._sql(
                "INSERT INTO annotations VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    backend,
                    annotation.remote_id,
                    version,
                    annotation.text_id,
                    annotation.task_key,
                    annotation.annotator,
                    annotation.state,
                    json.dumps(annotation.labels),
                    annotation.seconds,
                    annotation.made_at,
                ),
            )
        return self._connection.total_changes - before

    def _next_version(self, backend: str, annotation: Annotation) -> str | None:
        last = self._sql(
            "SELECT version, state, labels FROM annotations WHERE backend = ? AND remote_id = ?"
            " ORDER BY seq DESC LIMIT 1",
            (backend, annotation.remote_id),
        ).fetchone()
        if last is None:
            return "1"
        if (last[1], last[2]) == (annotation.state, json.dumps(annotation.labels)):
            return None
        return str(int(last[0]) + 1)

    def answers(self) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
        """text id -> (annotator, labels) of every label that counts, in the order they came; removed texts left out.

        The last question that has any answer replaces the ones before it, but a second opinion (purpose "relabel") is
        added to what it doubts, and a "repeat" counts for nothing: it only tells how far people agree with themselves.
        An annotator counts once per text, with the later answer. Labels that came with a file are older than any
        question, and each row of a file is a vote.
        """
        rows = self._sql(
            f"SELECT a.text_id, a.annotator, a.labels, a.task_key, a.remote_id, k.purpose FROM ({_LATEST}) a"
            " JOIN texts t ON t.id = a.text_id LEFT JOIN tasks k ON k.key = a.task_key"
            " WHERE a.state = 'labelled' AND t.removed_at IS NULL AND coalesce(k.purpose, '') <> 'repeat'"
            " ORDER BY a.seq"
        ).fetchall()
        asks = [0 if task_key is None else int(task_key.rpartition(":")[2]) for _, _, _, task_key, _, _ in rows]
        asked: dict[str, int] = defaultdict(int)  # the question that replaces the ones before it
        for (text_id, _, _, _, _, purpose), ask in zip(rows, asks, strict=True):
            if purpose != "relabel":
                asked[text_id] = max(asked[text_id], ask)
        votes: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = defaultdict(dict)
        for (text_id, annotator, labels, _, remote_id, _), ask in zip(rows, asks, strict=True):
            if ask >= asked[text_id]:
                who = annotator if ask else remote_id
                votes[text_id].pop(who, None)  # the later answer also stands later
                votes[text_id][who] = (annotator, tuple(json.loads(labels)))
        return {text_id: list(given.values()) for text_id, given in votes.items()}

    def spoken(self) -> list[tuple[str, str, tuple[str, ...], bool]]:
        """(text id, annotator, labels, whether a suggestion stood beside it) of every label that stands.

        In the order they came, each annotator once per text with the later answer; but each row of a file by itself, as
        a file may hold what several people said. Left out is what was asked again: second opinions and reviews are
        about doubtful labels alone, on which people agree less than elsewhere, and repeats compare one with oneself.
        """
        predicted = "coalesce(k.predicted, p.predicted)" if "m003_predicted" in self._applied() else "p.predicted"
        rows = self._sql(
            f"SELECT a.text_id, a.annotator, a.labels, a.backend, a.remote_id, k.blind = 0 AND {predicted} IS NOT NULL"
            f" FROM ({_LATEST}) a JOIN texts t ON t.id = a.text_id LEFT JOIN tasks k ON k.key = a.task_key"
            " LEFT JOIN picks p ON p.round = k.round AND p.text_id = k.text_id WHERE a.state = 'labelled'"
            " AND t.removed_at IS NULL AND coalesce(k.purpose, '') NOT IN ('relabel', 'review', 'repeat')"
            " ORDER BY a.seq"
        )
        found = {}
        for text_id, who, labels, backend, remote_id, is_shown in rows:
            key = (text_id, backend, remote_id if backend == "import" else who)
            found[key] = (text_id, who, tuple(json.loads(labels)), bool(is_shown))
        return list(found.values())

    def cursor(self, annotate: str) -> str:
        """How far the annotator with these settings was read; "" where it never was."""
        return str(self._value("SELECT upto FROM cursors WHERE annotate = ?", (annotate,)) or "")

    def set_cursor(self, annotate: str, upto: str) -> None:
        self._sql("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)", (annotate, upto, now()))

    def open_keys(self) -> set[str]:
        """The tasks that were asked and not withdrawn, answered or not."""
        return {row[0] for row in self._sql("SELECT key FROM tasks WHERE withdrawn_at IS NULL")}

    def withdraw(self, keys: Iterable[str]) -> int:
        """Note that these tasks exist no more; their answers stay. Returns how many were open until now."""
        before = self._connection.total_changes
        self._connection.executemany(
            "UPDATE tasks SET withdrawn_at = ? WHERE key = ? AND withdrawn_at IS NULL", ((now(), key) for key in keys)
        )
        return self._connection.total_changes - before

    def standing_annotations(self, keys: Collection[str]) -> dict[str, set[str]]:
        """task key -> remote ids of its annotations that were not deleted."""
        found: dict[str, set[str]] = defaultdict(set)
        wanted = list(keys)
        for start in range(0, len(wanted), 10_000):
            chunk = wanted[start : start + 10_000]
            rows = self._sql(
                "SELECT task_key, remote_id FROM annotations WHERE seq IN (SELECT max(seq) FROM annotations"
                f" WHERE task_key IN ({','.join('?' * len(chunk))}) GROUP BY backend, remote_id)"
                " AND state <> 'deleted'",
                chunk,
            )
            for key, remote_id in rows:
                found[key].add(remote_id)
        return found

    def stale_tasks(self, before_round: int) -> list[tuple[str, str, int, bool]]:
        """(key, text id, round, blind) of picks of earlier rounds that nobody has answered, in the order asked."""
        rows = self._sql(
            "SELECT t.key, t.text_id, t.round, t.blind FROM tasks t JOIN texts x ON x.id = t.text_id"
            " WHERE t.purpose = 'pick' AND t.round < ? AND t.withdrawn_at IS NULL AND x.removed_at IS NULL"
            f" AND NOT EXISTS (SELECT 1 FROM ({_LATEST}) a WHERE a.task_key = t.key AND a.state <> 'deleted')"
            " ORDER BY t.round, t.rank",
            (before_round,),
        )
        return [(key, text_id, number, bool(blind)) for key, text_id, number, blind in rows]

    def open_tasks(self) -> int:
        """How many questions about new pool texts nobody has answered or skipped yet."""
        return int(
            self._value(
                "SELECT count(*) FROM tasks t JOIN texts x ON x.id = t.text_id WHERE t.withdrawn_at IS NULL"
                " AND x.removed_at IS NULL AND x.split = 'pool' AND t.purpose IN ('pick', 'random')"
                f" AND NOT EXISTS (SELECT 1 FROM ({_LATEST}) a WHERE a.task_key = t.key AND a.state <> 'deleted')"
            )
        )

    def unfinished_ids(self, asked: int) -> set[str]:
        """The texts with a task that fewer than so many annotators have answered or skipped."""
        rows = self._sql(
            f"SELECT t.text_id FROM tasks t LEFT JOIN ({_LATEST}) a ON a.task_key = t.key AND a.state <> 'deleted'"
            " WHERE t.withdrawn_at IS NULL GROUP BY t.key HAVING count(DISTINCT a.annotator) < ?",
            (asked,),
        )
        return {row[0] for row in rows}

    def asked_once(self, until_round: int) -> list[str]:
        """The pool texts of which there is a single task, of this round or an earlier one, in id order."""
        rows = self._sql(
            "SELECT t.text_id FROM tasks t JOIN texts x ON x.id = t.text_id"
            " WHERE x.split = 'pool' AND x.removed_at IS NULL"
            " GROUP BY t.text_id HAVING count(*) = 1 AND max(t.round) <= ? ORDER BY t.text_id",
            (until_round,),
        )
        return [row[0] for row in rows]

    def repeats(self) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """(annotator, labels, labels when asked again) of every hidden repeat that its annotator has answered.

        In the order they came; the earlier answer is their last one to any question about the text before it.
        """
        rows = self._sql(
            f"SELECT a.text_id, a.annotator, a.labels, k.key, k.purpose FROM ({_LATEST}) a"
            " JOIN tasks k ON k.key = a.task_key JOIN texts t ON t.id = a.text_id"
            " WHERE a.state = 'labelled' AND t.removed_at IS NULL ORDER BY a.seq"
        )
        said: dict[tuple[str, str], dict[int, tuple[str, ...]]] = defaultdict(dict)
        again: dict[tuple[str, str, int], tuple[str, ...]] = {}
        for text_id, annotator, labels, key, purpose in rows:
            ask = int(key.rpartition(":")[2])
            if purpose == "repeat":
                again[text_id, annotator, ask] = tuple(json.loads(labels))
            else:
                said[text_id, annotator][ask] = tuple(json.loads(labels))
        found = []
        for (text_id, annotator, ask), labels in again.items():
            earlier = [number for number in said[text_id, annotator] if number < ask]
            if earlier:
                found.append((annotator, said[text_id, annotator][max(earlier)], labels))
        return found

    def answers_paid(self) -> int:
        """How many labels people were paid for: each annotator's answer to each question, a second opinion or a repeat
        too, also of a text that was removed since. A text whose labels came with files counts once, while it is there.
        """
        return int(
            self._value(
                "SELECT count(*) FROM (SELECT DISTINCT a.text_id, coalesce(a.task_key, ''),"
                f" iif(a.backend = 'import', '', a.annotator) FROM ({_LATEST}) a JOIN texts t ON t.id = a.text_id"
                " WHERE a.state = 'labelled' AND (t.removed_at IS NULL OR a.backend <> 'import'))"
            )
        )

    def timed_answers(self) -> list[tuple[str, bool, float]]:
        """(annotator, whether it is a label, seconds) of every answer that stands and whose time the backend knows.

        In the order they were made; a skip is an answer. The seconds are as they came, however many.
        """
        rows = self._sql(
            f"SELECT annotator, state, seconds FROM ({_LATEST})"
            " WHERE state <> 'deleted' AND seconds IS NOT NULL ORDER BY made_at, seq"
        )
        return [(annotator, state == "labelled", seconds) for annotator, state, seconds in rows]

    def annotating_seconds(self) -> float:
        """The time annotators spent on the answers that stand or were taken back, as far as backends know it.

        An answer that took longer than LONGEST_ANSWER_S counts as that: the page stayed open over lunch.
        """
        return float(self._value(f"SELECT coalesce(sum(min(seconds, ?)), 0) FROM ({_LATEST})", (LONGEST_ANSWER_S,)))

    # what a round wrote

    def add_resolved(self, number: int, rows: Iterable[Resolved]) -> None:
        self._connection.executemany(
            "INSERT INTO resolved VALUES (?, ?, ?, ?, ?, ?)",
            ((number, r.text_id, json.dumps(r.labels), r.confidence, r.votes, int(r.tied)) for r in rows),
        )

    def trained_ids(self, number: int) -> set[str]:
        """The texts that a round may have learnt from, since removed ones included."""
        return {row[0] for row in self._sql("SELECT text_id FROM resolved WHERE round = ?", (number,))}

    def resolved(self, number: int, split: str) -> list[Resolved]:
        """What a round trains on ("pool") or is tested with ("test"), in id order."""
        tied = "r.tied" if "m004_tied" in self._applied() else "0"  # commands that only read do not migrate
        rows = self._sql(
            f"SELECT r.text_id, r.labels, r.confidence, r.votes, {tied} FROM resolved r JOIN texts t"
            " ON t.id = r.text_id WHERE r.round = ? AND t.split = ? AND t.removed_at IS NULL ORDER BY r.text_id",
            (number, split),
        )
        return [Resolved(one, tuple(json.loads(said)), sure, n, bool(even)) for one, said, sure, n, even in rows]

    def add_variants(self, number: int, rows: Iterable[Variant]) -> None:
        self._connection.executemany(
            "INSERT INTO variants VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            ((a, b, c, d, e, f, number, g) for a, b, c, d, e, f, g in rows),
        )

    def variant_counts(self, augmenter: str, options: str) -> dict[str, int]:
        """How many variants each text has from this augmenter with these options, rejected ones included."""
        return dict(
            self._sql(
                "SELECT parent_id, count(*) FROM variants WHERE augmenter = ? AND options = ? GROUP BY parent_id",
                (augmenter, options),
            )
        )

    def variant_keys(self, augmenter: str, options: str) -> set[tuple[str, str]]:
        """(parent id, id) of every variant of this augmenter with these options, rejected ones included."""
        return set(
            self._sql("SELECT parent_id, id FROM variants WHERE augmenter = ? AND options = ?", (augmenter, options))
        )

    def variant_labels(self, augmenter: str, options: str) -> dict[tuple[str, str], tuple[str, ...]]:
        """(parent id, id) of every variant of this augmenter with these options -> its parent's labels then."""
        rows = self._sql(
            "SELECT v.parent_id, v.id, r.labels FROM variants v JOIN resolved r ON r.round = v.round"
            " AND r.text_id = v.parent_id WHERE v.augmenter = ? AND v.options = ?",
            (augmenter, options),
        )
        return {(parent, one): tuple(json.loads(labels)) for parent, one, labels in rows}

    def accepted_variants(self, augmenter: str, options: str) -> set[str]:
        """The ids of those that were not rejected."""
        query = "SELECT id FROM variants WHERE augmenter = ? AND options = ? AND rejected IS NULL"
        return {row[0] for row in self._sql(query, (augmenter, options))}

    def variant_fates(self) -> dict[str, dict[str, int]]:
        """augmenter -> what became of its variants, whatever its options -> how many: "" of those that are accepted.

        Of a reason only what stands before its number.
        """
        found: dict[str, dict[str, int]] = defaultdict(dict)
        rows = self._sql(
            "SELECT augmenter, substr(why, 1, instr(why || ':', ':') - 1) AS reason, count(*) FROM"
            " (SELECT augmenter, coalesce(rejected, '') AS why FROM variants) GROUP BY augmenter, reason"
            " ORDER BY augmenter, reason"
        )
        for augmenter, reason, n in rows:
            found[augmenter][reason] = n
        return dict(found)

    def audit_ids(self, before_round: int) -> set[str]:
        """The texts that the random shares of the rounds before this one had a model judged by.

        Not of rounds whose strategy itself was to draw at random.
        """
        rows = self._sql(
            "SELECT p.text_id FROM picks p JOIN rounds r ON r.number = p.round WHERE p.round < ? AND"
            " p.strategy = 'random' AND p.probability IS NOT NULL AND p.predicted IS NOT NULL"
            " AND json_extract(r.config, '$.round.strategy') <> 'random'",
            (before_round,),
        )
        return {row[0] for row in rows}

    def variants(self, number: int, augmenter: str, options: str) -> dict[str, list[str]]:
        """parent id -> the variants that existed after a round's augment step, in the order they were made."""
        found: dict[str, list[str]] = defaultdict(list)
        rows = self._sql(
            "SELECT parent_id, text FROM variants WHERE augmenter = ? AND options = ? AND round <= ?"
            " AND rejected IS NULL ORDER BY parent_id, rowid",
            (augmenter, options, number),
        )
        for parent_id, text in rows:
            found[parent_id].append(text)
        return found

    def add_picks(self, number: int, picks: Iterable[PickRow]) -> None:
        self._connection.executemany(
            "INSERT INTO picks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (number, p.text_id, p.rank, p.score, p.strategy, p.probability, _json_or_none(p.predicted), p.purpose)
                for p in picks
            ),
        )

    def picks(self, number: int) -> list[PickRow]:
        """What a round chose, in the order annotators see it."""
        rows = self._sql(
            f"SELECT text_id, rank, score, strategy, probability, predicted, {self._purpose()} FROM picks"
            " WHERE round = ? ORDER BY rank",
            (number,),
        )
        return [
            PickRow(row[0], row[1], row[2], row[3], row[4], None if row[5] is None else json.loads(row[5]), row[6])
            for row in rows
        ]

    def _purpose(self) -> str:
        """A pick's purpose in SQL, also of a database that only commands which write bring up to date."""
        return "purpose" if "m005_purpose" in self._applied() else "iif(probability IS NULL, 'pick', 'random')"

    def first_predictions(self, before_round: int) -> dict[str, dict[str, float]]:
        """text id -> what the model said of it when a round first picked it: it had not learnt from its label."""
        rows = self._sql(
            "SELECT text_id, predicted FROM picks WHERE round < ? AND predicted IS NOT NULL"
            f" AND {self._purpose()} IN ('pick', 'random') ORDER BY round DESC",
            (before_round,),
        )
        return {text_id: json.loads(predicted) for text_id, predicted in rows}

    def asked_how(self, before_round: int) -> dict[str, tuple[int, bool]]:
        """text id -> the last round before this one that picked it as a new one, and whether it was drawn uniformly."""
        rows = self._sql(
            f"SELECT text_id, round, {self._purpose()} = 'random' FROM picks WHERE round < ?"
            f" AND {self._purpose()} IN ('pick', 'random') ORDER BY round",
            (before_round,),
        )
        return {text_id: (number, bool(is_random)) for text_id, number, is_random in rows}

    def random_predictions(self, before_round: int) -> dict[str, dict[str, float]]:
        """text id -> what the model said when it drew the text at random and had it asked about; in id order.

        A draw that was never asked about may be picked later, for what it is: it is no random text any more.
        """
        rows = self._sql(
            "SELECT p.text_id, p.predicted FROM picks p JOIN texts t ON t.id = p.text_id"
            " JOIN tasks k ON k.text_id = p.text_id AND k.round = p.round AND k.purpose = 'random'"
            " WHERE p.round < ? AND p.predicted IS NOT NULL AND t.removed_at IS NULL ORDER BY p.text_id",
            (before_round,),
        )
        return {text_id: json.loads(predicted) for text_id, predicted in rows}

    def add_metrics(self, rows: Iterable[MetricRow]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            ((m.round, m.split, m.test_version, m.name, m.value, m.low, m.high, m.n) for m in rows),
        )

    def metrics(self, split: str) -> list[MetricRow]:
        """All metrics of a split, by round; those of "test" under the latest test version only."""
        rows = self._sql(
            "SELECT * FROM metrics WHERE split = ? AND (split <> 'test' OR test_version ="
            " (SELECT test_version FROM metrics WHERE split = 'test' ORDER BY round DESC, rowid DESC LIMIT 1))"
            " ORDER BY round, rowid",
            (split,),
        )
        return [MetricRow(*row) for row in rows]

    def answer_counts(self) -> dict[str, dict[str, int]]:
        """split -> how many texts are "labelled" (a label of theirs stands) and "skipped" (by everybody asked)."""
        found: dict[str, dict[str, int]] = {split: {"labelled": 0, "skipped": 0} for split in ("pool", "test")}
        rows = self._sql(
            "SELECT split, labelled, count(*) FROM (SELECT t.split, max(a.state = 'labelled') AS labelled"
            f" FROM ({_LATEST}) a JOIN texts t ON t.id = a.text_id"
            " WHERE a.state <> 'deleted' AND t.removed_at IS NULL GROUP BY a.text_id) GROUP BY split, labelled"
        )
        for split, labelled, n in rows:
            found[split]["labelled" if labelled else "skipped"] = n
        return found

    def taken_count(self) -> int:
        """How many pool texts cannot be picked any more: they have a label or were asked about."""
        return int(
            self._value(
                "SELECT count(*) FROM texts WHERE split = 'pool' AND removed_at IS NULL AND id IN"
                " (SELECT text_id FROM tasks WHERE withdrawn_at IS NULL"
                f" UNION SELECT text_id FROM ({_LATEST}) WHERE state = 'labelled')"
            )
        )

    def last_batch_round(self) -> int | None:
        """The round that pushed last."""
        found = self._value(f"SELECT max(round) FROM tasks WHERE {_NO_REVIEW}")
        return None if found is None else int(found)

    def label_counts(self, number: int) -> dict[str, int]:
        """How many pool texts of each label a round trains on."""
        rows = self._sql(
            "SELECT l.value, count(*) FROM resolved r JOIN texts t ON t.id = r.text_id, json_each(r.labels) l"
            " WHERE r.round = ? AND t.split = 'pool' AND t.removed_at IS NULL GROUP BY l.value",
            (number,),
        )
        return dict(rows)

    # long work outside rounds

    def add_job(self, kind: str, config: Mapping[str, Any], started_at: str | None = None) -> int:
        """Record that a job starts, now or then; returns its id. One that was killed stays without a result."""
        config_json = json.dumps(config, ensure_ascii=False)
        row = self._sql("INSERT INTO jobs VALUES (NULL, ?, ?, ?, NULL, NULL)", (kind, config_json, started_at or now()))
        return cast(int, row.lastrowid)

    def finish_job(self, job: int, result: Mapping[str, Any], finished_at: str | None = None) -> None:
        """Record that a job is finished, now or then, and what came of it."""
        result_json = json.dumps(result, ensure_ascii=False)
        self._sql("UPDATE jobs SET finished_at = ?, result = ? WHERE id = ?", (finished_at or now(), result_json, job))

    def jobs(self, kind: str) -> list[JobRow]:
        """All jobs of a kind in the order they started, unfinished ones included."""
        rows = self._sql("SELECT * FROM jobs WHERE kind = ? ORDER BY id", (kind,))
        return [
            JobRow(row[0], row[1], json.loads(row[2]), row[3], row[4], None if row[5] is None else json.loads(row[5]))
            for row in rows
        ]

    # the file itself

    def trouble(self) -> str | None:
        """What SQLite finds wrong with the file, None where it is sound. Reads all of it."""
        try:
            found = [str(row[0]) for row in self._sql("PRAGMA quick_check(3)")]
        except sqlite3.DatabaseError as error:
            return str(error)
        return None if found == ["ok"] else "; ".join(found)

    # the SQL itself

    def _sql(self, statement: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, parameters)

    def _value(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        row = self._sql(statement, parameters).fetchone()
        return None if row is None else row[0]

    def _rounds(self, where: str, parameters: Sequence[Any] = ()) -> list[RoundRow]:
        rows = self._sql(
            "SELECT number, config, seed, started_at, finished_at, abandoned_at, coalesce(summary, '{}')"
            f" FROM rounds {where}",
            parameters,
        )
        return [RoundRow(row[0], row[1], row[2], row[3], row[4], row[5], json.loads(row[6])) for row in rows]

    def _by_ids(self, statement: str, ids: Sequence[str], rest: str = "") -> Iterator[Any]:
        for start in range(0, len(ids), 10_000):
            chunk = ids[start : start + 10_000]
            yield from self._sql(f"{statement} ({','.join('?' * len(chunk))}) {rest}", chunk)


_NO_REVIEW = "purpose <> 'review'"

# The newest version of every annotation; a deletion is a version too.
_LATEST = "SELECT * FROM annotations WHERE seq IN (SELECT max(seq) FROM annotations GROUP BY backend, remote_id)"


def _migrate(connection: sqlite3.Connection) -> None:
    """Apply what is missing, each in one transaction with the row that says so."""
    from sqlite_utils import Database, Migrations  # here: it loads pandas, which every command would wait for

    migrations = Migrations("alloop")
    for name, statements in MIGRATIONS.items():
        migrations(name=name)(cast(Any, partial(_run, statements)))
    migrations.apply(Database(connection, recursive_triggers=False, execute_plugins=False))


def _run(statements: str, database: Any) -> None:
    for statement in statements.split(";"):
        database.execute(statement)


@contextmanager
def _telling_why(path: Path) -> Iterator[None]:
    """A full or failing disk, a file that may not be written or that another program keeps busy, in words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if not any(word in str(error) for word in ("full", "disk", "readonly", "unable to open", "locked")):
            raise
        raise AlloopError(
            f"{path} could not be written: {error}",
            "nothing of this was recorded; see to space and permissions, and run the command again",
        ) from error


def _json_or_none(value: Mapping[str, float] | None) -> str | None:
    return None if value is None else json.dumps(value)


def _chunks(rows: Iterable[StoredText], size: int) -> Iterator[list[StoredText]]:
    chunk: list[StoredText] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
