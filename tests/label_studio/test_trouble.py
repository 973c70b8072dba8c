"""A server in trouble is one sentence and a hint; the same command goes on, and what people did meanwhile stays."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote_plus

import httpx
import pytest

from alloop.annotators import label_studio
from alloop.annotators.label_studio import KEY
from alloop.project import Project
from tests.command import Ran, alloop
from tests.label_studio.people import Person
from tests.label_studio.proxy import (
    Exchange,
    Fault,
    Proxy,
    always,
    at_first,
    cut_after,
    cut_before,
    cut_within,
    hang,
    says,
)
from tests.label_studio.scene import person_of, trouble
from tests.label_studio.server import StudioServer

pytestmark = pytest.mark.slow

Make = Callable[..., Project]


@pytest.fixture
def proxy(studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setenv(KEY, studio_server.token)
    for waits in ("SETTLES_S", "READS_AGAIN_S"):
        monkeypatch.setattr(label_studio, waits, (0.01,))
    monkeypatch.setattr(label_studio, "WRITES_S", 0.0)
    made = Proxy(studio_server.url)
    yield made
    made.stop()


@pytest.fixture
def root(make_project: Make, proxy: Proxy) -> Path:
    """A project that reaches the server through the proxy."""
    more = "[options.label-studio]\ntimeout_s = 2.5"
    project = make_project(annotate=f'label-studio"\nurl = "{proxy.url}"\n#', batch=4, more=more)
    project.store.close()
    return project.root


def at_import(fault: Fault) -> Fault:
    return lambda exchange: (fault if exchange.line.endswith("/import") else Exchange.pass_on)(exchange)


def assert_a_sentence_and_a_hint(ran: Ran, said: str, key: str) -> None:
    assert ran.code == 1
    assert ran.out == ""
    lines = ran.err.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["error:", "hint:"], ran.err
    assert said in lines[0]
    assert "<" not in ran.err
    assert key not in ran.err


TROUBLES = [
    (cut_before, "broke off its answer"),
    (cut_within, "broke off its answer"),
    (hang, "did not answer in time"),
    (says(401, {"detail": "Invalid token."}), "refused the legacy token in LABEL_STUDIO_API_KEY: Invalid token."),
    (says(401), "refused the legacy token"),
    (says(403, {"detail": "You do not have\npermission."}), "refused the legacy token"),
    (says(403), "refused the legacy token"),
    (says(404, {"detail": "Not found."}), "does not have what was asked for"),
    (says(404), "does not have what was asked for"),
    (says(429, {"detail": "Request was throttled."}), "is asked too often"),
    (says(429), "is asked too often"),
    (says(400, {"validation_errors": {"x": ["one\ntwo"]}}), "did not accept what was sent (status 400)"),
    (says(418), "did not accept what was sent (status 418)"),
    (says(500, {"detail": "Internal Server Error"}), "has trouble of its own (status 500)"),
    (says(500), "has trouble of its own (status 500)"),
    (says(502), "has trouble of its own (status 502)"),
    (says(200), "answered something that is not Label Studio's"),
    (says(200, {"detail": "hello"}), "answered something that is not Label Studio's"),
    (says(200, {}, **{"Content-Encoding": "gzip"}), "answered something that is not Label Studio's"),
    (says(200, []), "answered something that is not Label Studio's"),
    (says(302, Location="/user/login/"), "answered something that is not Label Studio's"),
]


def test_each_trouble_is_a_sentence_and_a_hint_and_the_round_goes_on(
    root: Path, proxy: Proxy, studio_server: StudioServer
) -> None:
    key = studio_server.token
    for fault, said in TROUBLES:  # nothing is there yet
        proxy.restart(always(fault))
        assert_a_sentence_and_a_hint(alloop("round", root), said, key)
    for fault, said in TROUBLES:
        if "broke off" not in said and "something" not in said:
            proxy.restart(always(at_import(fault)))
            assert_a_sentence_and_a_hint(alloop("round", root), said, key)
    proxy.restart()
    assert alloop("round", root).code == 0
    someone = person_of(root, studio_server)
    for task in someone.tasks()[:2]:
        someone.answer(int(task.id), ["animal"])
    for fault, said in TROUBLES:  # there is something to read
        proxy.restart(always(fault))
        assert_a_sentence_and_a_hint(alloop("round", root), said, key)
    proxy.restart()
    waiting = alloop("round", root)
    assert waiting.code == 3
    assert "2 of 4 tasks are answered" in waiting.err
    assert trouble(root, someone) == []


def test_a_server_that_is_down_and_restarts(root: Path, proxy: Proxy, studio_server: StudioServer) -> None:
    config = root / "alloop.toml"
    config.write_text(config.read_text().replace(proxy.url, studio_server.url))
    studio_server.stop()
    assert_a_sentence_and_a_hint(alloop("round", root), "cannot be reached", studio_server.token)
    studio_server.start()
    config.write_text(config.read_text().replace(studio_server.url, proxy.url))

    def stop(exchange: Exchange) -> None:
        studio_server.stop()
        exchange.hang_up()

    proxy.restart({7: stop})
    assert_a_sentence_and_a_hint(alloop("round", root), "broke off its answer", studio_server.token)
    assert proxy.seen[6].endswith("/import")
    studio_server.start()
    assert alloop("round", root).code == 0
    assert trouble(root, person_of(root, studio_server)) == []


def test_a_commit_after_the_push_is_over_is_healed_by_the_next_pull(
    root: Path, proxy: Proxy, studio_server: StudioServer
) -> None:
    lost: list[Exchange] = []

    def much_later(exchange: Exchange) -> None:
        exchange.wait()
        lost.append(exchange)

    proxy.restart({7: much_later})
    assert alloop("round", root).code == 0
    someone = person_of(root, studio_server)
    assert trouble(root, someone) == []
    lost[0].do_it()
    assert [one.partition(" ")[2] for one in trouble(root, someone)] == ["is there 2 times"] * 4
    assert alloop("round", root).code == 3
    assert trouble(root, someone) == []


def test_a_copy_that_somebody_answers_is_the_one_that_stays(
    root: Path, proxy: Proxy, studio_server: StudioServer
) -> None:
    def copy_and_answer(exchange: Exchange) -> None:
        someone = person_of(root, studio_server)
        first = someone.tasks()[0]
        someone.client.projects.import_tasks(someone.project, request=[{"data": first.data}])
        someone.answer(int(someone.tasks()[-1].id), ["animal"])
        exchange.pass_on()

    proxy.restart({8: copy_and_answer})
    assert alloop("round", root).code == 0
    assert alloop("round", root).code == 3
    someone = person_of(root, studio_server)
    with sqlite3.connect(root / "alloop.db") as connection:
        recorded = {remote for (remote,) in connection.execute("SELECT remote_id FROM tasks")}
        assert connection.execute("SELECT labels FROM annotations").fetchall() == [('["animal"]',)]
    connection.close()
    assert recorded == {str(task.id) for task in someone.tasks()}


@pytest.fixture
def answered(root: Path, proxy: Proxy, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Four tasks of which three are answered, the first one first; they are read one by one."""
    assert alloop("round", root).code == 0
    monkeypatch.setattr(label_studio, "AT_FIRST", 1)
    monkeypatch.setattr(label_studio, "AT_ONCE", 1)
    someone = person_of(root, studio_server)
    for task in someone.tasks()[:3]:
        someone.answer(int(task.id), ["animal"])
    return someone


def test_answers_given_during_a_pull_arrive_with_the_next(root: Path, proxy: Proxy, answered: Person) -> None:
    first, *_, last = answered.tasks()

    def work(exchange: Exchange) -> None:
        answered.edit(first.annotations[0]["id"], ["vehicle"])
        answered.answer(int(last.id), ["vehicle"])
        exchange.pass_on()

    proxy.restart({2: work})
    assert "2 of 4 tasks are answered" in alloop("round", root).err
    assert sorted(one.rpartition(" ")[2] for one in trouble(root, answered)) == ["lost", "lost"]
    assert alloop("round", root).code == 0
    with sqlite3.connect(root / "alloop.db") as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT remote_id) FROM annotations").fetchone() == (4, 4)
    connection.close()
    assert [one for one in trouble(root, answered) if one.startswith("answer")] == []


def test_a_task_deleted_during_a_pull_hides_no_other(root: Path, proxy: Proxy, answered: Person) -> None:
    newest = answered.tasks()[2]

    def delete(exchange: Exchange) -> None:
        answered.client.tasks.delete(str(newest.id))
        exchange.pass_on()

    proxy.restart({3: delete})
    assert alloop("round", root).code == 3
    assert [one for one in trouble(root, answered) if one.endswith("lost")] == []


@pytest.mark.parametrize("order", ["-tasks:updated_at", "tasks:id"])  # what was changed; what is there at all
def test_a_project_deleted_while_it_is_read_is_said_and_takes_nothing_along(
    root: Path, proxy: Proxy, answered: Person, order: str
) -> None:
    pages: list[str] = []

    def delete(exchange: Exchange) -> None:
        pages.extend([order] if f'"ordering": ["{order}"]' in unquote_plus(exchange.handler.path) else [])
        if pages == [order, order]:
            answered.client.projects.delete(answered.project)
            pages.append("deleted")
        exchange.pass_on()

    proxy.restart(always(delete))
    for _ in range(2):
        ran = alloop("round", root)
        assert_a_sentence_and_a_hint(ran, "does not have what was asked for", answered.token)
        with sqlite3.connect(root / "alloop.db") as connection:
            assert connection.execute("SELECT count(*) FROM tasks WHERE withdrawn_at IS NULL").fetchone() == (4,)
        connection.close()
    assert "deleted" in pages


class OurClock(datetime):
    """A clock that nobody may ask."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "OurClock":
        raise AssertionError("our own clock was asked")


@pytest.mark.parametrize(("date", "left"), [(timedelta(0), 8), (timedelta(hours=1), 6), (None, 8)])
def test_only_the_servers_clock_counts(
    root: Path,
    proxy: Proxy,
    studio_server: StudioServer,
    date: timedelta | None,
    left: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody has answered for an hour, by the server's clock: only then are open tasks withdrawn."""
    config = root / "alloop.toml"
    config.write_text(config.read_text().replace("timeout_s", 'stale = "withdraw"\ntimeout_s'))
    monkeypatch.setattr(label_studio, "datetime", OurClock)
    assert alloop("round", root).code == 0
    someone = person_of(root, studio_server)
    for task, label in zip(someone.tasks()[:2], ["animal", "vehicle"], strict=True):
        someone.answer(int(task.id), [label])

    def at_another_time(exchange: Exchange) -> None:
        said = exchange.carry_out()
        headers = {name: value for name, value in said.headers.items() if name != "Date"}
        if date is not None:
            headers["Date"] = format_datetime(parsedate_to_datetime(said.headers["Date"]) + date)
        exchange.answer(replace(said, headers=headers))

    proxy.restart(always(at_another_time))
    assert alloop("round", root, "--now").code == 0
    assert len(someone.tasks()) == left


@pytest.mark.filterwarnings("ignore:The `parse_obj` method:DeprecationWarning")  # the SDK's
def test_an_access_token_that_ran_out_by_the_servers_clock_is_renewed(
    root: Path, proxy: Proxy, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = studio_server.add_user("traveller")
    header = {"Authorization": f"Token {user.token}"}
    key = httpx.post(f"{studio_server.url}/api/token/", headers=header, timeout=30).json()["token"]
    monkeypatch.setenv(KEY, key)
    ran_out = says(401, {"detail": "Given token not valid for any token type"})
    assert alloop("round", root).code == 0
    someone = person_of(root, studio_server)
    for task in someone.tasks():
        someone.answer(int(task.id), ["animal"])
    proxy.restart({2: ran_out, 5: ran_out})
    assert alloop("round", root).code == 0
    assert proxy.seen.count("POST /api/token/refresh/") == 2
    assert trouble(root, someone) == []
    proxy.restart(always(ran_out))
    assert_a_sentence_and_a_hint(alloop("round", root), "refused the personal access token", key)


def test_two_projects_on_one_label_studio_project_heal_only_their_own(
    make_project: Make, root: Path, proxy: Proxy, studio_server: StudioServer
) -> None:
    lost: list[Exchange] = []

    def much_later(exchange: Exchange) -> None:
        exchange.wait()
        lost.append(exchange)

    proxy.restart(at_first("/import", much_later))
    assert alloop("round", root).code == 0
    someone = person_of(root, studio_server)
    second = make_project(
        "second", annotate=f'label-studio"\nurl = "{proxy.url}"\nproject = {someone.project}\n#', batch=4
    )
    second.store.close()
    proxy.restart(at_first("/import", cut_after))
    assert alloop("round", second.root).code == 0
    lost[0].do_it()
    keys = [task.data["alloop_key"] for task in someone.tasks()]
    assert len(keys) == 12
    assert alloop("round", second.root).code == 3
    assert [task.data["alloop_key"] for task in someone.tasks()] == keys
    assert alloop("round", root).code == 3
    assert [task.data["alloop_key"] for task in someone.tasks()] == keys[:8]
