"""A Label Studio of one's own: the real one where its ways matter, a small one where it has to misbehave."""

import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alloop import studio
from alloop.errors import AlloopError, LockedError
from tests.command import alloop, done
from tests.label_studio.server import VENV, free_port, template, why_not

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


def test_up_makes_a_database_that_a_killed_up_left_half_made(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    root, words = tmp_path / "studio", []
    root.mkdir(mode=0o700)
    (root / "data.new").mkdir()
    (root / "data.new" / "label_studio.sqlite3").write_text("half a database")
    try:
        found = studio.up(free_port(), venv=VENV, root=root, tell=words.append)
        assert found.url in words[-1]
        assert studio.running(root=root) == found
    finally:
        studio.down(root=root)
    assert sorted(path.name for path in root.iterdir() if path.is_dir()) == [".config", "data"]
    private = [path for path in (root / "data").rglob("*") if path.is_file()] + [root / "server.log"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
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
    monkeypatch.setenv("ALLOOP_HOME", str(tmp_path))
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
        studio.up(root=empty)
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
    assert studio.status(root=empty).state == "died"
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
    with open(tmp_path / ".lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
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


def wait_for_the_end_of(pid: int) -> None:
    while studio._born(pid) is not None:
        os.sched_yield()
