"""Three rounds and a last pull, with people who answer, skip, think again and take back; and what they have to leave.

The rounds go through the proxy, the people straight to the server. Whatever happened on the way, the same has to be in
the project afterwards, and the server and the project have to say the same.
"""

import json
import os
import shutil
import signal
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from alloop.annotators import label_studio
from alloop.errors import AlloopError
from alloop.project import Project
from alloop.rounds import run_round
from tests.label_studio.people import Person
from tests.label_studio.proxy import Exchange, Fault, Proxy
from tests.label_studio.server import StudioServer
from tests.resume_driver import in_child, run_rounds
from tests.test_resume import Snapshot, snapshot

ROUNDS = 4  # the last one asks nothing
TRIES = 6  # of the same command, until its round is through
SETTINGS = """
[options.label-studio]
timeout_s = 2.5
"""

Plan = Mapping[int, Fault]
Way = Callable[[Path, int], None]  # how a round is run: the project's directory, the round


def finish_round(root: Path, number: int) -> list[AlloopError]:
    """Give the same command until the round is through; what it said the other times."""
    said: list[AlloopError] = []
    while True:
        project = Project.open(root)
        try:
            assert run_round(project, push=number < ROUNDS).number == number
            return said
        except AlloopError as error:
            said.append(error)
            if len(said) == TRIES:
                raise
        finally:
            project.store.close()


@dataclass
class Scene:
    """A project before its first round, its server, and the proxy between them.

    Of the last play: `said` are the errors that its commands ended with, `seen` the requests of each round.
    """

    start: Path
    uid: str
    server: StudioServer
    proxy: Proxy
    said: list[AlloopError] = field(default_factory=list)
    seen: list[list[str]] = field(default_factory=list)

    def play(self, plans: Sequence[Plan] = (), way: Way | None = None) -> tuple[Snapshot, list[str]]:
        """As many rounds as there are plans of faults, or all; what they left, and what is wrong with it."""
        root = self.start.with_name("played")
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.start, root)
        self.proxy.client = root / "pid"
        self.said.clear()
        self.seen.clear()
        try:
            for number in range(1, len(plans or range(ROUNDS)) + 1):
                if number > 1:
                    work(person_of(root, self.server), root, number)
                self.proxy.restart(plans[number - 1] if plans else {})
                if way is None:
                    self.said += finish_round(root, number)
                else:
                    way(root, number)
                self.proxy.release()
                self.seen.append(self.proxy.seen)
            someone = person_of(root, self.server)
            return left(root), [*trouble(root, someone), *self._others(someone.project)]
        finally:
            for one in self._projects():
                Person(self.server.url, self.server.token, one).client.projects.delete(one)

    def _projects(self) -> list[int]:
        there = self.server.get("/api/projects/?page_size=1000")["results"]
        return [one["id"] for one in there if self.uid in one["description"]]

    def _others(self, number: int) -> list[str]:
        """A second Label Studio project may be there where the server made the first late, but nothing in it."""
        others = [one for one in self._projects() if one != number]
        return [f"{one} has tasks too" for one in others if self.server.get(f"/api/projects/{one}/")["task_number"]]


def person_of(root: Path, server: StudioServer) -> Person:
    """Somebody who labels what the project has pushed."""
    number = json.loads((root / "inbox" / "label-studio.json").read_text())["id"]
    return Person(server.url, server.token, number)


class InAChild:
    """A way to run each round in a process of its own: killed at a line or by a fault, and again until it is through.

    `kill_at` has a kill point for each round, 0 for none and all of them in `points`; `deaths` counts the killed.
    """

    def __init__(self, kill_at: Sequence[int | None] = (None,) * ROUNDS) -> None:
        self.kill_at = kill_at
        self.points: list[list[str]] = []
        self.deaths = 0

    def __call__(self, root: Path, number: int) -> None:
        def live(kill_at: int | None) -> list[str]:
            (root / "pid").write_text(str(os.getpid()))
            label_studio._client.cache_clear()
            label_studio._connections.cache_clear()  # those that are open are the parent's
            return run_rounds(root, number, kill_at, push=number < ROUNDS)

        for kill_at in (self.kill_at[number - 1], *(None,) * TRIES):
            done = in_child(partial(live, kill_at))
            if done is not None:
                self.points.append(done)
                return
            self.deaths += 1
        raise AssertionError("it was killed again and again")


def kill_before(exchange: Exchange) -> None:
    """SIGKILL while the request is under way, and the server never hears of it."""
    assert exchange.proxy.client is not None
    os.kill(int(exchange.proxy.client.read_text()), signal.SIGKILL)
    exchange.wait()


def kill_after(exchange: Exchange) -> None:
    """SIGKILL after the server has carried it out, before its answer is there."""
    exchange.carry_out()
    kill_before(exchange)


def work(someone: Person, root: Path, number: int) -> None:
    """What people do before round `number`: one task of each batch stays open."""
    with sqlite3.connect(root / "alloop.db") as connection:
        rows = connection.execute("SELECT key FROM tasks WHERE round = ? ORDER BY rank", (number - 1,)).fetchall()
    connection.close()
    there: dict[str, Any] = {}
    for task in someone.tasks():
        there.setdefault(task.data["alloop_key"], task)
    first, second, third, *_ = [int(there[key].id) for (key,) in rows]
    older = [one["id"] for task in there.values() for one in task.annotations or ()]
    someone.answer(first, ["animal"])
    if number == 2:
        again = someone.answer(second, ["animal"])
        someone.edit(again, ["vehicle"])
        someone.skip(third)
    elif number == 3:
        someone.answer(second, ["vehicle"])
        someone.delete(older[0])  # a label that was read
    else:
        someone.answer(third, ["vehicle"])
        someone.edit(older[-1], ["animal"])


def left(root: Path) -> Snapshot:
    """What two plays of the same scene have in common: all but times and the server's own numbers."""
    found = snapshot(root)
    del found["cursors"]
    for table, rows in found.items():
        for row in rows if isinstance(rows, list) else ():
            row.pop("remote_id", None)
            row.pop("version", None)
            if table == "annotations":
                row["backend"] = row["backend"].partition(":")[0]
            if table == "steps":
                row["result"] = {k: v for k, v in json.loads(row["result"]).items() if k != "upto"}
    found["annotations"].sort(key=lambda row: row["seq"])
    return found


def trouble(root: Path, someone: Person) -> list[str]:
    """Where the server and the project differ: tasks doubled, lost or out of order, answers lost or doubled."""
    there: dict[str, list[Any]] = defaultdict(list)
    for task in someone.tasks():
        there[task.data.get("alloop_key", "no key")].append(task)
    with sqlite3.connect(root / "alloop.db") as connection:
        asked = connection.execute("SELECT key, remote_id, withdrawn_at FROM tasks ORDER BY round, rank").fetchall()
        answers = connection.execute(
            "SELECT remote_id, task_key, state, labels, version FROM annotations WHERE backend LIKE 'label-studio%'"
            " ORDER BY seq"
        ).fetchall()
    connection.close()
    keys = [key for key, _, _ in asked]
    found = [f"{key} is there {len(copies)} times" for key, copies in there.items() if len(copies) > 1]
    found += [f"{key} is nowhere" for key in keys if key not in there]
    found += [f"{key} is not ours" for key in there if key not in keys]
    found += [f"{key} is withdrawn" for key, _, withdrawn in asked if withdrawn]
    found += [f"{key} is not {remote}" for key, remote, _ in asked if key in there and str(there[key][0].id) != remote]
    if [key for key in there if key in keys] != [key for key in keys if key in there]:
        found.append("the tasks are out of order")
    for key, copies in there.items():
        shown = Counter(one.model_version for copy in copies for one in copy.predictions)
        found += [f"{key} has {n} suggestions of {version}" for version, n in shown.items() if n > 1]

    standing = {remote: (key, state, labels, version) for remote, key, state, labels, version in answers}
    standing = {remote: said for remote, said in standing.items() if said[1] != "deleted"}
    theirs = {}
    for key, copies in there.items():
        for one in (one for copy in copies for one in copy.annotations):
            labels = [name for result in one["result"] for name in result["value"]["choices"]]
            version = label_studio._stamp(label_studio._time(one["updated_at"]))
            state = "skipped" if one["was_cancelled"] else "labelled"
            theirs[str(one["id"])] = (key, state, json.dumps(labels), version)
    found += [f"answer {one} is lost" for one in theirs if one not in standing]
    found += [f"answer {one} is made up" for one in standing if one not in theirs]
    found += [f"answer {one} is {standing[one]}" for one in theirs.keys() & standing if theirs[one] != standing[one]]
    versions = Counter((remote, version) for remote, _, _, _, version in answers)
    found += [f"answer {remote} is there {n} times" for (remote, _), n in versions.items() if n > 1]
    return found
