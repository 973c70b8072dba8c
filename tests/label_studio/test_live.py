"""Live suggestions in a real Label Studio: connected once, shown to annotators, hinting when they answer."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from label_studio_sdk import LabelStudio

from alloop.annotators._live import TITLE, connect
from alloop.annotators.label_studio import KEY
from alloop.errors import AlloopError
from alloop.hints import hinted_at
from alloop.project import Project
from alloop.rounds import run_round
from alloop.serving import listen, make_server
from alloop.suggesting import Suggester
from tests.command import done
from tests.conftest import ANIMALS
from tests.label_studio.server import StudioServer
from tests.test_serving import BUS, CAT, CONFIG, choices

Make = Callable[..., Project]

pytestmark = pytest.mark.slow


@pytest.fixture
def trained(make_project: Make) -> Project:
    """A project of two rounds whose annotators see suggestions."""
    project = make_project("p", more='suggest = "all"')
    for _ in range(2):
        run_round(project)
    return project


@contextmanager
def served(project: Project) -> Iterator[str]:
    """`alloop serve` in a thread; its address."""
    with listen("127.0.0.1", 0) as listener:
        server = make_server(Suggester(project.root), lambda words: None)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Remote:
    """A project in Label Studio, and the requests that its pages make."""

    def __init__(self, server: StudioServer, number: int | None = None) -> None:
        self.http = httpx.Client(base_url=server.url, headers={"Authorization": f"Token {server.token}"}, timeout=60)
        self.client = LabelStudio(base_url=server.url, api_key=server.token, httpx_client=self.http)
        self.id: int = number or self.client.projects.create(title="live", label_config=CONFIG).id

    def ask(self, *data: dict[str, Any]) -> list[int]:
        found = self.client.projects.import_tasks(
            self.id, request=[{"data": one} for one in data], return_task_ids=True
        )
        assert found.task_ids
        return list(found.task_ids)

    def next_task(self) -> Any:
        """What an annotator's page is given; None where the queue is empty."""
        answer = self.http.get(f"/api/projects/{self.id}/next")
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.status_code == 200 else None

    def answer_all(self) -> None:
        """As one who reads only the second word."""
        while (task := self.next_task()) is not None:
            self.submit(task["id"], "animal" if task["data"]["text"].split()[1] in ANIMALS else "vehicle")

    def submit(self, task: int, label: str = "vehicle") -> None:
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]
        assert self.http.post(f"/api/tasks/{task}/annotations/", json={"result": result}).status_code == 201

    def connected(self) -> list[tuple[str | None, str, str]]:
        return [(one.title, one.url, str(one.state)) for one in self.client.ml.list(project=self.id)]

    def webhooks(self) -> list[tuple[str, bool | None]]:
        return [(one.url, one.send_payload) for one in self.client.webhooks.list(project=str(self.id))]


@pytest.fixture
def remote(studio_server: StudioServer) -> Iterator[Remote]:
    """A new project on the server."""
    remote = Remote(studio_server)
    yield remote
    remote.http.close()


def test_connecting_again_changes_nothing_and_another_address_replaces_the_first(
    trained: Project, remote: Remote
) -> None:
    with served(trained) as first, served(trained) as second:
        made = connect(remote.client, remote.id, first)
        again = connect(remote.client, remote.id, first + "/")
        assert (made.is_new, again.is_new, again.backend) == (True, False, made.backend)
        assert remote.connected() == [(TITLE, first, "CO")]
        assert remote.webhooks() == [(f"{first}/webhook", False)]

        remote.client.webhooks.create(project=remote.id, url=f"{first}/webhook")
        remote.client.webhooks.create(project=remote.id, url="http://127.0.0.1:1/of-somebody-else")
        assert connect(remote.client, remote.id, second).is_new
        assert remote.connected() == [(TITLE, second, "CO")]
        assert sorted(remote.webhooks()) == sorted(
            [("http://127.0.0.1:1/of-somebody-else", True), (f"{second}/webhook", False)]
        )
    with pytest.raises(AlloopError, match=r"gets no answer from http://127\.0\.0\.1:1"):
        connect(remote.client, remote.id, "http://127.0.0.1:1")
    assert [url for _, url, _ in remote.connected()] == [second]


def test_a_model_added_in_the_browser_is_taken_over_and_another_one_is_left_alone(
    trained: Project, remote: Remote
) -> None:
    with served(trained) as ours, served(trained) as theirs:
        by_hand = remote.client.ml.create(project=remote.id, url=ours, title="by hand")
        assert connect(remote.client, remote.id, ours).backend == by_hand.id
        assert remote.connected() == [(TITLE, ours, "CO")]
        assert remote.client.projects.get(remote.id).model_version == TITLE

        remote.client.ml.delete(by_hand.id)
        remote.client.ml.create(project=remote.id, url=theirs, title="theirs")
        with pytest.raises(AlloopError, match="has the model 'theirs'"):
            connect(remote.client, remote.id, ours)
        assert remote.connected() == [("theirs", theirs, "CO")]


def test_who_opens_a_task_sees_the_newest_model_and_who_answers_leaves_a_hint(trained: Project, remote: Remote) -> None:
    store = trained.store
    blind = next(pick.text_id for pick in store.picks(2) if pick.probability is not None)
    tasks = remote.ask({"text": CAT}, {"text": CAT, "alloop_key": f"{store.uid}:{blind}:1"}, {"text": BUS})
    inbox = trained.root / "inbox"
    with served(trained) as url:
        connect(remote.client, remote.id, url)
        before = hinted_at(inbox)
        seen = []
        for number, task in enumerate(tasks):
            if number == 2:
                run_round(trained)
            found = remote.next_task()
            assert found["id"] == task
            seen.append((choices([found["predictions"]]), {one["model_version"] for one in found["predictions"]}))
            remote.submit(task)
    assert seen[0] == ([["animal"]], {"round-0002"})
    assert seen[1][0] == [[]]
    assert seen[2] == ([["vehicle"]], {"round-0003"})
    assert hinted_at(inbox) != before


def test_rounds_and_live_suggestions_go_together(
    make_project: Make, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, studio_server.token)
    annotate = f'label-studio"\nurl = "{studio_server.url}"\nsuggest = "all"\n#'
    half = 'margin"\nrandom_share = 0.5\n#'
    project = make_project(
        "p", batch=4, strategy=half, annotate=annotate, more='[options.label-studio]\nstale = "keep"'
    )
    run_round(project)
    number = json.loads((project.root / "inbox" / "label-studio.json").read_text())["id"]
    remote = Remote(studio_server, number)
    inbox = project.root / "inbox"
    with served(project) as url:
        done("studio", "connect", project.root, "--url", url)
        before = hinted_at(inbox)
        remote.answer_all()
        assert hinted_at(inbox) != before

        run_round(project)  # has a model, and pushes with suggestions
        assert remote.client.projects.get(number).model_version == TITLE
        assert "still asks" in done("studio", "connect", project.root, "--url", url).err
        blind = {row.text_id for row in project.store.picks(2) if row.probability is not None}
        assert len(blind) == 2
        first = remote.next_task()
        is_blind = first["data"]["alloop_key"].split(":")[1] in blind
        assert {one["model_version"] for one in first["predictions"]} == (set() if is_blind else {"round-0002"})
        remote.submit(first["id"])

        run_round(project, push=False, go_on=True)
        seen = {}
        while (found := remote.next_task()) is not None:
            seen[found["data"]["alloop_key"].split(":")[1]] = found["predictions"]
            remote.submit(found["id"])
    assert len(seen) == 3
    for text, predictions in seen.items():
        assert any(choices([predictions])) is (text not in blind)
        assert {one["model_version"] for one in predictions} <= {"round-0003"}
    remote.http.close()


def test_annotators_go_on_while_nothing_is_served(trained: Project, remote: Remote) -> None:
    (task,) = remote.ask({"text": CAT})
    with served(trained) as url:
        connect(remote.client, remote.id, url)
    assert remote.next_task()["predictions"] == []
    remote.submit(task)
