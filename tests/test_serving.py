"""Live suggestions over a real socket, as Label Studio asks for them."""

import errno
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from alloop import predict
from alloop.hints import hinted_at
from alloop.project import Project
from alloop.rounds import run_round
from alloop.serving import LARGEST, is_loopback, listen, make_server
from alloop.suggesting import Suggester
from tests.command import alloop

Make = Callable[..., Project]

CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="single">'
    '<Choice value="vehicle"/><Choice value="animal"/></Choices></View>'
)
CAT, BUS = "the cat sleeps here", "the bus stops here"
TEXTS = [CAT, "the tram stops in town", "the duck", "lorry", "nothing of it"]
TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"


@pytest.fixture
def trained(make_project: Make) -> Project:
    """A project of two rounds whose annotators see suggestions."""
    project = make_project("p", more='suggest = "all"')
    for _ in range(2):
        run_round(project)
    return project


class Served:
    """A server in a thread, as `alloop serve` runs it, and a client of it."""

    def __init__(self, root: Path) -> None:
        self.said: list[str] = []
        self.suggester = Suggester(root, self.said.append)
        self.listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.server = make_server(self.suggester, self.said.append)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def predict(self, *data: Any, label_config: str = CONFIG) -> list[list[dict[str, Any]]]:
        tasks = [{"id": number, "data": one} for number, one in enumerate(data)]
        asked = {"tasks": tasks, "project": "7.1", "label_config": label_config, "params": {"context": None}}
        answer = self.client.post("/predict", content=json.dumps(asked))
        assert answer.status_code == 200, answer.text
        results: list[list[dict[str, Any]]] = answer.json()["results"]
        return results


@contextmanager
def serving(project: Project) -> Iterator[Served]:
    served = Served(project.root)
    served.thread.start()
    try:
        yield served
    finally:
        served.client.close()
        served.server.should_exit = True
        served.thread.join()
        served.listener.close()


def choices(results: list[list[dict[str, Any]]]) -> list[list[str]]:
    return [[name for one in said for item in one["result"] for name in item["value"]["choices"]] for said in results]


def test_suggestions_are_what_predict_says_in_the_order_of_the_tasks(trained: Project) -> None:
    with serving(trained) as served:
        results = served.predict(*({"text": text} for text in TEXTS))
    said = list(predict(trained, TEXTS))
    assert [one["result"] for [one] in results] == [
        [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": list(one.labels)}}]
        for one in said
    ]
    assert [one["score"] for [one] in results] == [max(one.probabilities.values()) for one in said]
    assert {one["model_version"] for [one] in results} == {"round-0002"}


def test_a_task_without_a_text_gets_nothing_and_the_others_their_own(trained: Project) -> None:
    with serving(trained) as served:
        found = served.predict({"text": CAT}, {}, {"text": 7}, {"text": " \n"}, None, [CAT], {"text": BUS})
    assert [found[place] for place in range(1, 6)] == [[]] * 5
    assert choices([found[0], found[6]]) == [["animal"], ["vehicle"]]


def test_blind_tasks_and_those_of_unknown_blindness_get_nothing(trained: Project) -> None:
    store = trained.store
    drawn = {pick.text_id for pick in store.picks(2) if pick.probability is not None}
    asked = [pick.text_id for pick in store.picks(2)]
    keys = [f"{store.uid}:{one}:1" for one in asked]
    with serving(trained) as served:
        found = served.predict(*({"text": CAT, "alloop_key": key} for key in keys))
        unsure = [f"{store.uid}:{asked[0]}:9", f"another:{asked[0]}:1", "", 7, [keys[0]], "\ud800"]
        nothing = served.predict(*({"text": CAT, "alloop_key": key} for key in unsure))
        not_ours = served.predict({"text": CAT}, {"text": CAT, "alloop_key": None})
    assert drawn
    assert [not one for one in choices(found)] == [one in drawn for one in asked]
    assert choices(nothing) == [[]] * 6
    assert choices(not_ours) == [["animal"]] * 2


def test_only_labels_that_the_config_offers_are_suggested(trained: Project) -> None:
    some = CONFIG.replace('<Choice value="vehicle"/>', '<Choice value="plant"/>')
    none = some.replace("animal", "mineral")
    with serving(trained) as served:
        assert choices(served.predict({"text": CAT}, {"text": BUS}, label_config=some)) == [["animal"], []]
        for _ in range(3):
            assert choices(served.predict({"text": CAT}, label_config=none)) == [[]]
    assert [words for words in served.said if "offers none" in words] == [
        "no suggestions: the project in Label Studio offers none of the model's labels"
    ]


def test_without_a_model_annotators_are_not_held_up(make_project: Make) -> None:
    project = make_project("p")
    with serving(project) as served:
        assert served.predict({"text": CAT}) == [[]]
        health = served.client.get("/health").json()
        assert (health["status"], health["model_version"]) == ("UP", None)
        assert "no model" in health["problem"]
        assert served.client.get("/versions").json() == {"versions": []}
        run_round(project)
        run_round(project)
        assert choices(served.predict({"text": CAT})) == [["animal"]]
        assert served.client.get("/").json() == {"status": "UP", "model_version": "round-0002", "problem": None}


def test_a_newer_model_takes_over_while_requests_run(trained: Project) -> None:
    asked = [{"text": text} for text in TEXTS]
    before = [one.labels for one in predict(trained, TEXTS)]
    done = threading.Event()

    def ask(served: Served) -> list[tuple[str, list[list[str]], list[float]]]:
        found = []
        while not done.is_set():
            results = served.predict(*asked)
            (version,) = {one["model_version"] for [one] in results}
            found.append((version, choices(results), [one["score"] for [one] in results]))
        return found

    with serving(trained) as served, ThreadPoolExecutor(3) as threads:
        served.predict(*asked)
        running = [threads.submit(ask, served) for _ in range(3)]
        try:
            run_round(trained)
            assert served.predict(*asked)[0][0]["model_version"] == "round-0003"
        finally:
            done.set()
        found = [one.result() for one in running]
    scores = {"round-0003": [max(one.probabilities.values()) for one in predict(trained, TEXTS)]}
    for one in found:
        versions = [version for version, _, _ in one]
        assert versions == sorted(versions)
        assert versions[0] == "round-0002"
        assert all(chosen == [list(labels) for labels in before] for v, chosen, _ in one if v == "round-0002")
        assert all(score == scores[v] for v, _, score in one if v in scores)


def test_a_newer_model_is_noticed_without_a_request_for_suggestions(trained: Project) -> None:
    with serving(trained) as served:
        until(lambda: served.client.get("/health").json()["model_version"] == "round-0002")
        run_round(trained)
        until(lambda: served.client.post("/setup", json={}).json() == {"model_version": "round-0003"})


def test_a_model_that_cannot_be_used_leaves_the_older_one_at_work(trained: Project) -> None:
    with serving(trained) as served:
        served.predict({"text": CAT})
        before = served.suggester.model_version
        with served.suggester._one_at_a_time:  # it must not be seen before it is broken
            run_round(trained)
            _, directory = trained.store.newest_directory("train") or pytest.fail("no model")
            (trained.path(directory) / "weights.safetensors").write_bytes(b"torn")
        for _ in range(3):
            assert served.predict({"text": CAT})[0][0]["model_version"] == before
        assert "is damaged" in served.client.get("/health").json()["problem"]
    assert len([words for words in served.said if "round 3 cannot be used" in words]) == 1
    assert (trained.path(directory) / "weights.safetensors").read_bytes() == b"torn"  # nobody trained it again


def test_health_setup_and_webhook_answer_while_a_prediction_runs(trained: Project) -> None:
    with serving(trained) as served, ThreadPoolExecutor(1) as threads:
        served.predict({"text": CAT})
        with served.suggester._one_at_a_time:
            waiting = threads.submit(served.predict, {"text": CAT})
            assert served.client.get("/health").json()["status"] == "UP"
            assert served.client.post("/setup", json={}).json() == {"model_version": "round-0002"}
            assert served.client.post("/webhook", json={}).status_code == 200
            assert not waiting.done()
        assert choices(waiting.result()) == [["animal"]]


def test_a_burst_of_webhooks_is_one_hint_and_writes_nothing_else(trained: Project) -> None:
    inbox = trained.root / "inbox"
    before = {path: path.stat().st_mtime_ns for path in trained.root.rglob("*") if path.is_file()}
    assert hinted_at(inbox) is None

    def send(number: int) -> int:
        return served.client.post("/webhook", json={"action": "ANNOTATION_CREATED", "n": number}).status_code

    with serving(trained) as served, ThreadPoolExecutor(8) as threads:
        assert set(threads.map(send, range(200))) == {200}
    assert hinted_at(inbox) is not None
    after = {path: path.stat().st_mtime_ns for path in trained.root.rglob("*") if path.is_file()}
    changed = {path.name for path, at in after.items() if before.get(path) != at}
    assert changed - {"alloop.db-shm", "alloop.db-wal"} == {"hint"}


@pytest.mark.parametrize(
    ("path", "action", "hints"),
    [
        ("/webhook", "ANNOTATIONS_DELETED", True),
        ("/webhook", "START_TRAINING", True),
        ("/webhook", "SOMETHING_NEW", True),
        ("/webhook", None, True),
        ("/train", "START_TRAINING", True),
        ("/webhook", "TASKS_CREATED", False),  # our own push
        ("/webhook", "PROJECT_UPDATED", False),
    ],
)
def test_what_may_have_brought_answers_is_a_hint(make_project: Make, path: str, action: str, hints: bool) -> None:
    project = make_project("p")
    with serving(project) as served:
        assert served.client.post(path, json={"action": action}).json() == {"hint": hints}
    assert (hinted_at(project.root / "inbox") is not None) is hints


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/nowhere", b"", 404, "Not Found"),
        ("GET", "/predict", b"", 405, "Method Not Allowed"),
        ("POST", "/health", b"{}", 405, "Method Not Allowed"),
        ("POST", "/predict", b"", 400, "not JSON"),
        ("POST", "/predict", b'{"tasks": [', 400, "not JSON"),
        ("POST", "/predict", b"\xff\xfe", 400, "not JSON"),
        ("POST", "/predict", b"[" * 100_000, 400, "not JSON"),
        ("POST", "/predict", b"[]", 400, "not a JSON object"),
        ("POST", "/predict", b"{}", 400, "tasks is missing"),
        ("POST", "/predict", b'{"tasks": {}}', 400, "tasks is missing"),
        ("POST", "/predict", b'{"tasks": []}', 400, "label_config is missing"),
        ("POST", "/predict", b'{"tasks": [], "label_config": "<View>"}', 400, "not XML"),
        ("POST", "/predict", b'{"tasks": [], "label_config": "\\ud800"}', 400, "not XML"),
        ("POST", "/webhook", b"yes", 400, "not JSON"),
        ("POST", "/webhook", b"x" * (LARGEST + 1), 413, "more than 16 MB"),
        ("POST", "/setup", b"x" * (LARGEST + 1), 413, "more than 16 MB"),
    ],
)
def test_bad_requests_are_told_why_in_json(
    make_project: Make, method: str, path: str, body: bytes, status: int, words: str
) -> None:
    with serving(make_project("p")) as served:
        answer = served.client.request(method, path, content=body)
        assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
        assert served.client.get("/health").status_code == 200


def test_no_tasks_get_no_results_and_odd_characters_get_one(trained: Project) -> None:
    with serving(trained) as served:
        assert served.predict() == []
        assert len(served.predict({"text": "the cat \ud800 sleeps\x00"})) == 1


def test_what_fails_unexpectedly_is_said_without_what_was_sent(
    trained: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(CAT)

    with serving(trained) as served:
        monkeypatch.setattr(served.suggester, "suggest", fail)
        answer = served.client.post("/predict", json={"tasks": [], "label_config": CONFIG})
    assert (answer.status_code, "cat" in answer.text) == (500, False)
    assert [words.rpartition(":")[0] for words in served.said if "failed" in words] == [
        "/predict failed: RuntimeError at test_serving.py"
    ]
    assert "the cat" not in caplog.text


def test_token_texts_and_labels_are_neither_logged_nor_kept(
    trained: Project, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "the okapi sleeps in Fontainebleau"
    with serving(trained) as served:
        setup = {"access_token": TOKEN, "project": "7.1", "schema": CONFIG, "hostname": "http://127.0.0.1:8080"}
        assert served.client.post("/setup", json=setup).json().keys() == {"model_version"}
        served.predict({"text": secret})
        served.client.post("/webhook", json={"action": "ANNOTATION_CREATED", "task": secret, "token": TOKEN})
        served.client.post("/setup", content=f'{{"access_token": "{TOKEN}"')
        served.client.get(f"/nowhere?token={TOKEN}")
    out, err = capfd.readouterr()
    logged = "\n".join([*served.said, caplog.text, out, err])
    kept = b"".join(path.read_bytes() for path in trained.root.rglob("*") if path.is_file())
    ours = "\n".join(line for line in logged.splitlines() if "httpx" not in line and "httpcore" not in line)
    for word in (TOKEN, secret):
        assert word not in ours
        assert word.encode() not in kept
    assert "animal" not in ours


def test_a_taken_port_is_an_error_with_another_one_to_type(trained: Project) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        ran = alloop("serve", trained.root, "--port", port)
    assert ran.code == 1
    assert f"error: port {port} of 127.0.0.1 cannot be had: " in ran.err
    assert "hint: another port: --port " in ran.err


def test_a_host_that_is_not_here_is_an_error(trained: Project) -> None:
    ran = alloop("serve", trained.root, "--host", "256.0.0.1")
    assert ran.code == 1
    assert "no address of this machine" in ran.err
    assert alloop("serve", trained.root / "nowhere").code == 1


def test_without_the_extra_the_hint_installs_it(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ran = alloop("serve", trained.root, "--port", 0)
    assert ran.code == 1
    assert "hint: pip install 'alloop[label-studio]'" in ran.err


def test_only_this_machine_is_loopback() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.0.1", "localhost", "::1"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.7", "example.org", ""))


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_command_says_where_it_is_and_stops_when_told(trained: Project, stop: signal.Signals, host: str) -> None:
    code = "from alloop.cli import main; main()"
    words = ["serve", str(trained.root), "--port", "0", "--host", host]
    run = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    lines = []
    while not (lines and lines[-1].startswith("suggestions come from round 2")):
        lines.append(run.stderr.readline())
        assert lines[-1], lines
    address = lines[0].split(" at ")[1].split(";")[0]
    assert httpx.get(f"{address}/health").json()["model_version"] == "round-0002"
    port = address.rpartition(":")[2]
    assert f"Next, in another terminal: alloop studio connect {trained.root} --port {port}\n" in lines
    assert any("no password" in line for line in lines) is (host == "0.0.0.0")
    run.send_signal(stop)
    _, rest = run.communicate(timeout=30)
    assert run.returncode in (128 + stop, 0)
    assert "Traceback" not in rest
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port))) == errno.ECONNREFUSED


@pytest.mark.slow
def test_a_pretrained_base_is_loaded_once_and_answers_like_predict(make_project: Make) -> None:
    project = make_project("p", tuner="features")
    for _ in range(2):
        run_round(project)
    with serving(project) as served:
        for _ in range(2):
            results = served.predict(*({"text": text} for text in TEXTS))
    said = list(predict(project, TEXTS))
    assert choices(results) == [list(one.labels) for one in said]
    assert [one["score"] for [one] in results] == [max(one.probabilities.values()) for one in said]


def until(is_so: Callable[[], bool]) -> None:
    """Ask again until it is; 500 times is longer than it can take."""
    assert any(is_so() for _ in range(20_000))
