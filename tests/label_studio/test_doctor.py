"""`alloop doctor` on a project whose annotators work on a real server: one broken thing at a time."""

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from alloop.annotators import Examines, Finding
from alloop.annotators.label_studio import KEY
from alloop.errors import WaitingError
from alloop.project import Project
from alloop.rounds import run_round
from tests.label_studio.server import StudioServer, free_port
from tests.label_studio.test_annotator import Make, answer_all, make, person, remembered  # noqa: F401
from tests.test_doctor import reconfigured

pytestmark = pytest.mark.slow


def looked(project: Project) -> dict[str, Finding]:
    """name -> what was found."""
    annotator = project.annotator(project.config)
    assert isinstance(annotator, Examines)
    found = list(annotator.examine(project.desk(project.config, project.store.last_batch_round())))
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


def wrong(project: Project) -> set[str]:
    return {name for name, one in looked(project).items() if one.ok is not True}


def pushed(make: Callable[..., Project], **settings: Any) -> Project:  # noqa: F811
    """A project with suggestions in its second, waiting batch."""
    project = make(settings='suggest = "all"', **settings)
    run_round(project)
    answer_all(person(project, SERVERS[0]))
    run_round(project)
    return project


SERVERS: list[StudioServer] = []


@pytest.fixture(autouse=True)
def _known(studio_server: StudioServer) -> None:
    SERVERS[:] = [studio_server]


def test_before_the_first_round_there_is_no_project_yet(make: Make) -> None:  # noqa: F811
    found = looked(make())
    assert [name for name, one in found.items() if one.ok is False] == []
    assert found["project"].message == "none on the server yet"


def test_a_sound_project_has_nothing_wrong(make: Make, studio_server: StudioServer) -> None:  # noqa: F811
    project = pushed(make)
    found = looked(project)
    assert {name for name, one in found.items() if one.ok is not True} == set()
    assert found["server"].message.startswith("Label Studio 1.23")
    assert found["key"].message == f"a legacy token of {studio_server.email}"
    assert found["suggestions"].message == "7 tasks of the newest batch have one, of round-0002"  # one is a random text
    assert found["tasks"].message == "16 here and on the server"
    assert found["answers"].message == "8 tasks answered, all of them read"


def test_a_wrong_key_is_refused_and_not_shown(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    project = make()
    monkeypatch.setenv(KEY, "0123456789abcdef")
    found = looked(project)
    assert (list(found), found["key"].ok) == (["server", "key"], False)
    assert "refused the legacy token" in found["key"].message
    assert f"export {KEY}=" in (found["key"].hint or "")
    assert "0123456789abcdef" not in str(found)


def test_a_server_that_is_not_there_is_one_failure(make: Make, studio_server: StudioServer) -> None:  # noqa: F811
    project = reconfigured(make(), studio_server.url, f"http://127.0.0.1:{free_port()}")
    found = looked(project)
    assert [(one.name, one.ok) for one in found.values()] == [("server", False)]
    assert "cannot be reached" in found["server"].message


def test_another_order_is_said_and_put_back(make: Make, studio_server: StudioServer) -> None:  # noqa: F811
    project = pushed(make)
    someone = person(project, studio_server)
    someone.client.projects.update(someone.project, sampling="Uniform sampling")
    assert wrong(project) == {"queue"}
    hint = looked(project)["queue"].hint or ""
    assert hint.startswith(f"rm {project.root}/inbox/label-studio.json; alloop round")
    (project.root / "inbox" / "label-studio.json").unlink()
    answer_all(someone)
    run_round(project)
    assert wrong(project) == set()


def test_a_label_removed_on_the_server_is_named(make: Make, studio_server: StudioServer) -> None:  # noqa: F811
    project = pushed(make)
    someone = person(project, studio_server)
    choices = '<Choices name="label" toName="text"><Choice value="animal"/></Choices>'
    config = f'<View><Text name="text" value="$text"/>{choices}</View>'
    someone.client.projects.update(someone.project, label_config=config)
    found = looked(project)["labels there"]
    assert found.ok is False
    assert "lacks 'vehicle'" in found.message
    assert (found.hint or "").startswith("rm ")


def test_a_label_added_here_is_a_remark(make: Make) -> None:  # noqa: F811
    project = reconfigured(pushed(make), '"vehicle"]', '"vehicle", "plant"]')
    found = looked(project)["labels there"]
    assert found.ok is None
    assert "the next round corrects it" in found.message


def test_copies_are_counted_and_a_round_removes_them(make: Make, studio_server: StudioServer) -> None:  # noqa: F811
    project = pushed(make)
    someone = person(project, studio_server)
    data = next(task.data for task in someone.tasks() if not task.annotations)
    someone.client.projects.import_tasks(someone.project, request=[{"data": data}])
    found = looked(project)["copies"]
    assert found.ok is False
    assert found.message == f"more than once on the server: 1, first {data['alloop_key']}"
    with pytest.raises(WaitingError):
        run_round(project)
    assert wrong(project) == set()


def test_copies_that_were_answered_are_a_remark(make: Make, studio_server: StudioServer) -> None:  # noqa: F811
    project = pushed(make)
    someone = person(project, studio_server)
    someone.client.projects.import_tasks(someone.project, request=[{"data": someone.tasks()[-1].data}])
    answer_all(someone)
    run_round(project)
    found = looked(project)["copies"]
    assert (found.ok, (found.hint or "").startswith("somebody has worked on each")) == (None, True)


def test_lost_tasks_are_counted_and_a_round_stops_waiting(make: Make, studio_server: StudioServer) -> None:  # noqa: F811
    project = pushed(make)
    someone = person(project, studio_server)
    someone.client.tasks.delete(str(someone.tasks()[-1].id))
    found = looked(project)["tasks"]
    assert found.ok is False
    assert found.message.startswith("not on the server any more: 1 of 16, first ")
    with pytest.raises(WaitingError):
        run_round(project)
    assert wrong(project) == set()


def test_answers_nobody_has_read_are_counted(make: Make, studio_server: StudioServer) -> None:  # noqa: F811
    project = pushed(make)
    answer_all(person(project, studio_server))
    found = looked(project)["answers"]
    assert (found.ok, found.message) == (None, "16 tasks answered, not read yet: 8")


def test_suggestions_of_an_old_model_are_said(make: Make, studio_server: StudioServer) -> None:  # noqa: F811
    project = pushed(make)
    someone = person(project, studio_server)
    answer_all(someone)
    run_round(project)
    someone.client.projects.update(someone.project, model_version="round-0002")
    found = looked(project)["suggestions"]
    assert found.ok is False
    assert found.message == "annotators see those of 'round-0002', the newest batch has those of 'round-0003'"


def test_a_project_deleted_there_is_one_failure(make: Make, studio_server: StudioServer) -> None:  # noqa: F811
    project = pushed(make)
    someone = person(project, studio_server)
    someone.client.projects.delete(someone.project)
    assert wrong(project) == {"project"}
    assert studio_server.token not in str(looked(project))
    assert remembered(project)


@pytest.mark.filterwarnings("ignore:The `parse_obj` method is deprecated")  # the SDK's own, when it renews a token
def test_a_personal_access_token_says_until_when_it_is_good(
    make: Make,  # noqa: F811
    studio_server: StudioServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = make()
    someone = studio_server.add_user("doctors-friend")
    header = {"Authorization": f"Token {someone.token}"}
    token = httpx.post(f"{studio_server.url}/api/token/", headers=header).json()["token"]
    monkeypatch.setenv(KEY, token)
    found = looked(project)
    assert found["key"].ok is True
    assert found["key"].message.startswith(f"a personal access token of {someone.email}, good until 2")
    assert found["rights"].ok is True
    assert token not in str(found)


@pytest.mark.filterwarnings("ignore:The `parse_obj` method is deprecated")
@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"token_type": "refresh", "exp": 1_600_000_000}, "has expired on 2020-09-13"),
        ({"token_type": "access", "exp": 9_000_000_000}, "holds an access token, which is good for minutes only"),
        ({"token_type": "refresh", "exp": 9_000_000_000}, "refused the personal access token"),
        ({"token_type": "refresh", "exp": 1e30}, "is damaged"),
        ([], "is damaged"),
    ],
)
def test_a_token_that_cannot_work_says_why(
    make: Make,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    claims: Any,
    message: str,
) -> None:
    token = f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"
    monkeypatch.setenv(KEY, token)
    found = looked(make())
    assert (list(found), found["key"].ok) == (["server", "key"], False)
    assert message in found["key"].message
    assert f"export {KEY}=" in (found["key"].hint or "")
    assert token not in str(found)


class _Model(BaseHTTPRequestHandler):
    """As much of an ML backend as the server asks for when it greets one."""

    def do_GET(self) -> None:
        body = b'{"status": "UP", "model_version": "mine"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Nothing: the server hands over a token."""


def test_a_model_on_this_machine_that_is_not_reached_is_explained(
    make: Make,  # noqa: F811
    studio_server: StudioServer,
) -> None:
    project = make()
    run_round(project)
    someone = person(project, studio_server)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Model) as model:
        threading.Thread(target=model.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{model.server_port}"
        someone.client.ml.create(url=url, project=someone.project, title="live")
        found = looked(project)["ML backend"]
        assert (found.ok, found.message) == (True, f"live at 127.0.0.1:{model.server_port} is connected")
        model.shutdown()
    found = looked(project)["ML backend"]
    assert found.ok is False
    assert "LABEL_STUDIO_ML_BLOCK_LOCAL_IP=false" in (found.hint or "")
    assert "it does not say why" in found.message
