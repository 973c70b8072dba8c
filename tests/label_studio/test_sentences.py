"""What the command line says of a server in trouble: one sentence and a hint, and the same command goes on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alloop.annotators import label_studio
from alloop.annotators.label_studio import KEY
from alloop.project import Project
from tests.command import Ran, alloop
from tests.label_studio.proxy import Exchange, Fault, Proxy, cut_before, cut_within, hang, says
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
    more = "[options.label-studio]\ntimeout_s = 1.5"
    project = make_project(annotate=f'label-studio"\nurl = "{proxy.url}"\n#', batch=4, more=more)
    project.store.close()
    return project.root


def always(fault: Fault) -> dict[int, Fault]:
    return dict.fromkeys(range(1, 200), fault)


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
