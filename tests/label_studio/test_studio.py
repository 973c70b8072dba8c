"""A Label Studio of one's own: the real one where its ways matter, a small one where it has to misbehave."""

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from alloop import studio
from alloop.errors import AlloopError, LockedError
from tests.command import alloop, done
from tests.label_studio.server import VENV, StudioServer, free_port, template, why_not

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A directory with a database, and no server when the test is over."""
    if reason := why_not():
        pytest.skip(reason)
    root = shutil.copytree(template(), tmp_path / "studio")
    yield root
    studio.down(root=root)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with nothing in it, and no server when the test is over."""
    monkeypatch.setattr(studio, "PINS", tmp_path / "pins.txt")
    yield tmp_path / "studio"
    studio.down(root=tmp_path / "studio")


@pytest.fixture
def pretend(tmp_path: Path, empty: Path) -> Callable[[str], None]:
    """Say what the server does when it is started; what is installed is real, but small."""

    def pretend(does: str) -> None:
        wheels = tmp_path / "wheels"
        wheels.mkdir(exist_ok=True)
        code = f"""
import os, signal, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
url = os.environ.get("LABEL_STUDIO_HOST")
secrets = os.environ["LABEL_STUDIO_PASSWORD"], os.environ["LABEL_STUDIO_USER_TOKEN"]
class Up(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"UP")
def serve():
    HTTPServer(("127.0.0.1", int(url.rpartition(":")[2])), Up).serve_forever()
if sys.argv[1] == "init":
    open(os.environ["LABEL_STUDIO_BASE_DATA_DIR"] + "/label_studio.sqlite3", "x").write("whole")
if sys.argv[1] == "start":
{textwrap.indent(textwrap.dedent(does), "    ")}
"""
        with zipfile.ZipFile(wheels / "label_studio-9.9-py3-none-any.whl", "w") as wheel:
            wheel.writestr("label_studio/server.py", code)
            wheel.writestr(
                "label_studio-9.9.dist-info/METADATA", "Metadata-Version: 2.1\nName: label-studio\nVersion: 9.9\n"
            )
            wheel.writestr(
                "label_studio-9.9.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr("label_studio-9.9.dist-info/RECORD", "")
        studio.PINS.write_text(f"--no-index\n--find-links {wheels}\nlabel-studio==9.9\n")

    return pretend


GOOD = 'print(f"Starting development server at {url}/", flush=True)\nserve()'


def test_nobody_else_can_read_the_data_and_no_log_holds_a_secret(root: Path) -> None:
    words: list[str] = []
    found = studio.up(free_port(), venv=VENV, root=root, tell=words.append)
    private = [path for path in (root / "data").rglob("*") if path.is_file()] + [root / "server.log"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert [stat.S_IMODE(path.stat().st_mode) for path in (root, root / "data")] == [0o700, 0o700]
    said = "".join(path.read_text() for path in root.glob("server.*")) + "".join(words) + repr(found)
    assert found.login.username in said
    assert found.login.password not in said
    assert found.token not in said


def test_a_server_runs_in_its_own_session_until_it_is_taken_down(root: Path) -> None:
    port = free_port()
    assert studio.status(root=root).state == "stopped"
    first = studio.up(port, venv=VENV, root=root)
    assert os.getsid(first.pid) != os.getsid(0)
    assert first.version == "1.23.2"

    words: list[str] = []
    assert studio.up(port + 1, venv=VENV, root=root, tell=words.append) == first
    assert words == [f"Label Studio runs already; down first, then it can move to port {port + 1}."]
    found = studio.status(root=root)
    assert (found.state, found.url, found.pid) == ("running", first.url, first.pid)
    assert any("/health" in line for line in studio.logs(1000, root=root))
    assert len(studio.logs(2, root=root)) == 2

    assert studio.down(root=root)
    assert not studio.down(root=root)
    assert studio.running(root=root) is None
    assert studio.status(root=root).state == "stopped"


def test_the_server_looks_up_no_name_and_connects_to_nobody(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spy").mkdir()
    (tmp_path / "spy" / "sitecustomize.py").write_text(f"""
import sys
def spy(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        with open({str(tmp_path / "calls")!r}, "a") as file:
            print(event, *map(str, arguments), file=file)
sys.addaudithook(spy)
""")
    monkeypatch.setattr(studio, "KEPT", (*studio.KEPT, "PYTHONPATH"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "spy"))
    found = studio.up(free_port(), venv=VENV, root=root)
    for path in ("/api/version", "/api/current-user/whoami", "/user/login/", "/heidi-tips"):  # tips come from GitHub
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(
                urllib.request.Request(found.url + path, headers={"Authorization": f"Token {found.token}"}), timeout=30
            ).close()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls  # it looks for a Redis on this machine
    assert [line for line in calls if "127.0.0.1" not in line and "localhost" not in line] == []


def test_a_killed_server_is_noticed_and_comes_back_at_the_same_address_with_the_same_login(root: Path) -> None:
    first = studio.up(free_port(), venv=VENV, root=root)
    os.kill(first.pid, signal.SIGKILL)
    wait_for_the_end_of(first.pid)
    assert studio.status(root=root).state == "died"
    assert studio.running(root=root) is None
    second = studio.up(venv=VENV, root=root)
    assert (second.url, second.login) == (first.url, first.login)
    assert second.pid != first.pid


def test_a_port_in_use_is_an_error_before_anything_is_started(root: Path, tmp_path: Path) -> None:
    first = studio.up(free_port(), venv=VENV, root=root)
    port = int(first.url.rpartition(":")[2])
    other = tmp_path / "other"
    with pytest.raises(AlloopError, match=f"port {port} is in use by another program") as error:
        studio.up(port, venv=VENV, root=other)
    assert error.value.hint is not None
    assert error.value.hint.startswith("alloop studio up --port ")
    assert [path.name for path in other.iterdir()] == [".lock"]


def test_the_commands_say_what_is_so(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.setenv("ALLOOP_HOME", tmp_path.name)
    port = free_port()
    ran = done("studio", "up", "--port", port, "--venv", VENV)
    found = studio.running()
    assert found is not None
    assert ran.out == ""
    assert f"Label Studio 1.23.2 runs at http://127.0.0.1:{port}\n" in ran.err
    assert f"log in as alloop@localhost with the password {found.login.password}" in ran.err
    assert f"running at {found.url} (process {found.pid})" in done("studio", "status").out
    data = done("studio", "status", "--json").out
    assert json.loads(data)["running"]
    assert "GET" in done("studio", "logs", "-n", 1).out
    assert done("studio", "down").err == "Stopped. Start it again with: alloop studio up\n"
    assert done("studio", "down").err == "Label Studio was not running.\n"
    assert json.loads(done("studio", "status", "--json").out)["state"] == "stopped"
    assert found.token not in ran.err + data + done("studio", "status").out
    assert found.login.password not in data


def test_an_environment_is_made_once_and_again_where_it_is_not_whole(
    empty: Path, pretend: Callable[[str], None]
) -> None:
    studio.PINS.write_text("--no-index\nlabel-studio==9.8\n")
    with pytest.raises(AlloopError, match=r"could not be installed: ERROR: No matching distribution .*9\.8") as error:
        studio.up(free_port(), root=empty)
    assert error.value.hint == f"everything it said is in {empty / 'install.log'}"

    pretend(GOOD)
    words: list[str] = []
    found = studio.up(free_port(), root=empty, tell=words.append)
    assert found.version == "9.9"
    (venv,) = empty.glob("venv-*")  # the half-made one of the other pins is gone
    assert [words[0].startswith("Installing Label Studio 9.9"), len(words)] == [True, 3]
    studio.down(root=empty)

    words.clear()
    studio.up(root=empty, tell=words.append)
    assert words == [f"Starting Label Studio at {found.url}."]
    studio.down(root=empty)

    (venv / ".ready").unlink()  # as a kill leaves it
    studio.up(root=empty, tell=words.append)
    assert words[1].startswith("Installing")


def test_a_database_that_a_killed_up_left_half_made_is_made_again(empty: Path, pretend: Callable[[str], None]) -> None:
    pretend(GOOD)
    (empty / "data.new").mkdir(parents=True)
    (empty / "data.new" / "label_studio.sqlite3").write_text("half")
    first = studio.up(free_port(), root=empty)
    assert (empty / "data" / "label_studio.sqlite3").read_text() == "whole"
    assert not (empty / "data.new").exists()
    studio.down(root=empty)
    assert studio.up(root=empty).login == first.login  # made only once, or the small server would complain


def test_a_server_that_dies_at_once_says_its_last_words_without_its_secrets(
    empty: Path, pretend: Callable[[str], None]
) -> None:
    pretend('raise RuntimeError(f"no luck with {secrets}")')
    with pytest.raises(AlloopError, match=r"ended while it started: RuntimeError: no luck with \('…', '…'\)"):
        studio.up(free_port(), root=empty)
    assert studio.logs(root=empty)[-1] == "RuntimeError: no luck with ('…', '…')"
    assert studio.status(root=empty).state == "died"


def test_a_server_that_never_answers_is_ended_even_if_it_does_not_listen(
    empty: Path, pretend: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio, "KINDNESS_S", 0.2)
    pretend("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(600)")
    with pytest.raises(AlloopError, match=r"has not answered at .* for 1 s"):
        studio.up(free_port(), root=empty, patience_s=1)
    assert studio.status(root=empty).state == "stopped"
    assert studio.logs(root=empty) == ["deaf"]


def test_an_answer_of_somebody_who_took_the_port_meanwhile_is_not_taken_for_ours(
    empty: Path, pretend: Callable[[str], None]
) -> None:
    pretend("serve()")  # says UP, but our log does not say that it is ours
    with pytest.raises(AlloopError, match="has not answered"):
        studio.up(free_port(), root=empty, patience_s=1)


def test_a_process_that_got_the_number_of_ours_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        server = studio._Server(8080, "1", other.pid, "long ago")
        studio._remember(tmp_path, server)
        assert not studio.down(root=tmp_path)
        assert other.poll() is None
        assert studio._born(other.pid) is not None
        other.communicate(b"\n")
    assert studio._born(other.pid) is None


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with studio._locked(tmp_path):
        with pytest.raises(LockedError, match="another `alloop studio` command is at work"):
            studio.up(root=tmp_path)
        assert studio.status(root=tmp_path).state == "not installed"


def test_an_environment_without_label_studio_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AlloopError, match="is no virtual environment with Label Studio in it"):
        studio.up(free_port(), venv=tmp_path, root=tmp_path / "studio")


def test_where_nothing_ever_ran_there_is_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_HOME", str(tmp_path))
    ran = alloop("studio", "logs")
    assert ran.err == f"error: there is no log yet at {tmp_path}/studio/server.log\nhint: alloop studio up\n"
    assert done("studio", "status").out == "Label Studio is not set up here.\nNext: alloop studio up\n"
    assert list(tmp_path.iterdir()) == []


def test_webhooks_and_models_on_this_machine_are_reached(studio_server: StudioServer) -> None:
    asked: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"status": "UP", "model_version": "7", "results": []}')

        do_GET = do_POST  # noqa: N815

        def log_message(self, *arguments: object) -> None: ...

    listener = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{listener.server_port}"
    try:
        config = '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="a"/></Choices></View>'
        project = studio_server.post("/api/projects/", {"title": "reached", "label_config": config})["id"]
        studio_server.post("/api/webhooks/", {"project": project, "url": f"{url}/hook", "send_for_all_actions": True})
        studio_server.post(f"/api/projects/{project}/import", [{"t": "one"}])
        assert asked == ["/hook"]
        studio_server.post("/api/ml/", {"project": project, "url": url, "title": "model"})
        assert set(asked[1:]) == {"/health", "/setup"}
    finally:
        listener.shutdown()
        listener.server_close()


def wait_for_the_end_of(pid: int) -> None:
    while studio._born(pid) is not None:
        os.sched_yield()


def test_labels_are_not_kept_in_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLOOP_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(studio, "_is_mac", False)
    assert studio.directory() == tmp_path / "share" / "alloop" / "studio"
    assert studio._environments(studio.directory()) == tmp_path / "cache" / "alloop"
