"""A real Label Studio for tests: started from a database made once, on a port of its own."""

import fcntl
import json
import secrets
import shutil
import socket
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alloop import studio
from alloop.files import fingerprint

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".studio"  # made by `make test`
PYTHON = VENV / "bin" / "python"


@dataclass(frozen=True)
class User:
    """Somebody who labels; `token` is a legacy one, for `Authorization: Token …`."""

    id: int
    email: str
    password: str
    token: str


class StudioServer:
    """A Label Studio in a directory of its own. `stop` and `start` it at will; the next test finds it started."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        shutil.copytree(template(), root, dirs_exist_ok=True)
        self.start()
        found = studio.running(root=root)
        assert found is not None
        self.url, self.token, self.password = found.url, found.token, found.login.password
        who = self.get("/api/current-user/whoami")
        self.user_id, self.email = int(who["id"]), str(who["email"])

    @property
    def data_dir(self) -> Path:
        return self.root / "data"

    def start(self) -> None:
        """Nothing where it runs."""
        studio.up(self.port, venv=VENV, root=self.root)

    def stop(self) -> None:
        studio.down(root=self.root)

    def restart(self) -> None:
        self.stop()
        self.start()

    def get(self, path: str, token: str | None = None) -> Any:
        """The JSON at a path of the server, such as /api/projects/."""
        return self._ask(path, token)

    def post(self, path: str, data: object, token: str | None = None) -> Any:
        """What the server answers to some JSON."""
        return self._ask(path, token, json.dumps(data).encode())

    def _ask(self, path: str, token: str | None, body: bytes | None = None) -> Any:
        headers = {"Authorization": f"Token {token or self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def add_user(self, name: str) -> User:
        """One more annotator, `name`@localhost; takes seconds."""
        login = studio.Login(f"{name}@localhost", secrets.token_urlsafe(12), secrets.token_hex(20))
        subprocess.run(
            [PYTHON, "-m", "label_studio.server", "init", "--quiet", "--no-browser"],
            env=studio._environment(self.root, self.data_dir, login),
            cwd=self.root,
            check=True,
            capture_output=True,
        )
        return User(
            self.get("/api/current-user/whoami", login.token)["id"], login.username, login.password, login.token
        )


def free_port() -> int:
    """A port nobody listens on, below those that connections are given: a server may stop and find it free again."""
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) != 0:
                return port


def template() -> Path:
    """A directory with a migrated database, made at the first use and shared by all test processes: it takes 30 s."""
    made = VENV / f"template-{fingerprint([studio.PINS.read_text(), Path(studio.__file__).read_text()])}"
    with open(VENV / ".template.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "data").exists():
            made.mkdir(mode=0o700, exist_ok=True)
            studio._make_database(made, PYTHON, lock, print)
    return made


def why_not() -> str | None:
    """Why the tests with a real server cannot run here, if they cannot."""
    return None if (VENV / ".ready").exists() else "no Label Studio in .studio: make test installs it"


def chromium() -> str | None:
    """The browser of this machine."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
