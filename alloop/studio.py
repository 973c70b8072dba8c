"""A Label Studio of one's own on this machine: installed once, started, stopped, found again.

It has a virtual environment of its own (its versions and ours exclude each other), answers on 127.0.0.1 only and
reports to nobody. Login and token stand in a file that only its owner can read, never in a log or an error.

Any command may be killed and run again: an environment counts once it is marked as finished, a database appears by
rename, and a process is ours only if it began when we started it.
"""

import fcntl
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Literal

from alloop.errors import AlloopError, LockedError
from alloop.files import fingerprint, write_whole
from alloop.progress import progress

PORT = 8080
KINDNESS_S = 15.0  # between asking a server to end and killing it; it takes two
PINS = Path(__file__).with_name("studio-requirements.txt")
SETTINGS = {
    "ALLOWED_HOSTS": "127.0.0.1,localhost",
    "COLLECT_ANALYTICS": "false",
    "CORS_ALLOW_ALL_ORIGINS": "false",
    "DISABLE_SIGNUP_WITHOUT_LINK": "true",
    "ENABLE_LEGACY_API_TOKEN": "true",  # read only when a database is made
    "FRONTEND_SENTRY_DSN": "",  # their defaults are real addresses
    "SENTRY_DSN": "",
    "LATEST_VERSION_CHECK": "false",
    "ML_BLOCK_LOCAL_IP": "false",  # else no webhook and no model on this machine could be reached
    "SSRF_PROTECTION_ENABLED": "false",
}
KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")

Tell = Callable[[str], None]
_is_mac = sys.platform == "darwin"


@dataclass(frozen=True)
class Login:
    """Who may do everything in this Label Studio: the password is for a person, the token for programs."""

    username: str
    password: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True)
class Studio:
    """A server that answers."""

    url: str
    pid: int
    version: str
    login: Login

    @property
    def token(self) -> str:
        """For the header `Authorization: Token …`."""
        return self.login.token


@dataclass(frozen=True)
class Status:
    """Where the server stands. "died" means that it ended without `down`; the login is there once a database is."""

    state: Literal["running", "not answering", "died", "stopped", "not installed"]
    url: str | None
    pid: int | None
    version: str | None
    data: Path
    log: Path
    login: Login | None


@dataclass(frozen=True)
class _Server:
    """What is remembered of the last start; no pid after `down`."""

    port: int
    version: str
    pid: int | None = None
    born: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lives(self) -> bool:
        return self.pid is not None and self.born is not None and _born(self.pid) == self.born


def directory() -> Path:
    """Where Label Studio keeps its database, with the labels: below $ALLOOP_HOME, or where programs keep data."""
    if home := os.environ.get("ALLOOP_HOME"):
        return Path(home).expanduser().absolute() / "studio"
    data = "~/Library/Application Support" if _is_mac else os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser().absolute() / "alloop" / "studio"


def _environments(root: Path) -> Path:
    """Where it is installed: among the user's caches, which may be emptied, for it can be installed again."""
    if os.environ.get("ALLOOP_HOME") or root != directory():
        return root
    caches = "~/Library/Caches" if _is_mac else os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser().absolute() / "alloop"


def up(
    port: int | None = None,
    *,
    venv: Path | None = None,
    root: Path | None = None,
    tell: Tell = lambda words: None,
    patience_s: float = 180,
) -> Studio:
    """A server that answers; installed and started if need be, and left as it is where it runs already.

    Without a port, the last one, so that projects find it again. `venv` is an environment that has Label Studio;
    without it, one is made. Raises AlloopError for a port in use or a server that dies, LockedError for a second `up`.
    """
    root = root or directory()
    with _locked(root) as lock:
        last = _last(root)
        if last and last.lives:
            elsewhere = f"; down first, then it can move to port {port}" if port not in (None, last.port) else ""
            tell(f"Label Studio runs already{elsewhere}.")
            if not _answers(last.url):  # an `up` that was killed while it waited
                _wait(root, last, patience_s)
            return _studio(root, last)
        port = port or (last.port if last else PORT)
        _check_free(port)
        python = _python_of(venv) if venv else _installed(root, lock, tell)
        _make_database(root, python, lock, tell)
        tell(f"Starting Label Studio at http://127.0.0.1:{port}.")
        server = _start(root, python, port)
        try:
            _wait(root, server, patience_s)
        except BaseException:
            if server.lives:
                _take_down(root, server)
            raise
        return _studio(root, server)


def down(*, root: Path | None = None) -> bool:
    """Stops the server; False where none ran. What people have labelled stays. One that does not listen is killed."""
    root = root or directory()
    if not root.exists():
        return False
    with _locked(root):
        last = _last(root)
        if not last:
            return False
        lived = last.lives
        _take_down(root, last)
        return lived


def status(*, root: Path | None = None) -> Status:
    """Where the server stands, without changing anything."""
    root = root or directory()
    last, login = _last(root), _login(root)
    state: Literal["running", "not answering", "died", "stopped", "not installed"]
    if last and last.lives:
        state = "running" if _answers(last.url) else "not answering"
    elif login:
        state = "died" if last and last.pid else "stopped"
    else:
        state = "not installed"
    lives = state in ("running", "not answering")
    return Status(
        state=state,
        url=last.url if last and lives else None,
        pid=last.pid if last and lives else None,
        version=last.version if last else None,
        data=root / "data",
        log=root / "server.log",
        login=login,
    )


def running(*, root: Path | None = None) -> Studio | None:
    """The server, if it answers."""
    root = root or directory()
    last = _last(root)
    return _studio(root, last) if last and last.lives and _answers(last.url) else None


def logs(n: int = 50, *, root: Path | None = None) -> list[str]:
    """The last n lines of the server's log. Raises AlloopError where it has never run."""
    root = root or directory()
    log = root / "server.log"
    if not log.exists():
        raise AlloopError(f"there is no log yet at {log}", "alloop studio up")
    return _lines(root, log)[-n:] if n > 0 else []


def _studio(root: Path, server: _Server) -> Studio:
    login = _login(root)
    if server.pid is None or login is None:
        raise AlloopError(f"{root / 'data'} has no login", "alloop studio down")
    return Studio(server.url, server.pid, server.version, login)


# the environment


def _installed(root: Path, lock: IO[str], tell: Tell) -> Path:
    """The Python of an environment with exactly the pinned versions, which is made where it is not whole."""
    pins = [line for line in PINS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    venv = _environments(root) / f"venv-{fingerprint([pins, sys.version_info[:2]])}"
    mark, python = venv / ".ready", venv / "bin" / "python"
    if mark.exists() and python.exists():
        return python
    if importlib.util.find_spec("ensurepip") is None:
        raise AlloopError(
            f"{sys.executable} cannot make virtual environments: it has no ensurepip",
            "on Debian and Ubuntu: apt install python3-venv",
        )
    version = next(pin.partition("==")[2] for pin in pins if pin.startswith("label-studio=="))
    tell(f"Installing Label Studio {version} into {venv}: about 1 GB, a few minutes, only this once.")
    shutil.rmtree(venv, ignore_errors=True)
    log = root / "install.log"
    log.unlink(missing_ok=True)
    _run([sys.executable, "-m", "venv", venv], log, lock, "the environment could not be made")
    quietly = "--no-input --disable-pip-version-check --progress-bar off".split()
    with progress("installing", total=len(pins)) as advance:
        _run(
            [python, "-m", "pip", "install", *quietly, "--requirement", PINS],
            log,
            lock,
            "Label Studio could not be installed",
            on_line=lambda line: advance(1) if line.startswith("Collecting ") else None,
        )
    mark.touch()
    for older in venv.parent.glob("venv-*"):
        if older != venv:
            shutil.rmtree(older, ignore_errors=True)
    return python


def _python_of(venv: Path) -> Path:
    python = venv.expanduser().absolute() / "bin" / "python"
    if not python.exists() or _version(python) is None:
        raise AlloopError(
            f"{venv} is no virtual environment with Label Studio in it",
            "leave --venv out, and one is made",
        )
    return python


def _version(python: Path) -> str | None:
    """The version of Label Studio in a Python's environment."""
    found = next(python.parent.parent.glob("lib/python3*/site-packages/label_studio-*.dist-info"), None)
    return found.name.removeprefix("label_studio-").removesuffix(".dist-info") if found else None


def _run(
    command: Sequence[str | Path],
    log: Path,
    lock: IO[str],
    failed: str,
    *,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], object] = lambda line: None,
) -> None:
    """Run to the end, with everything it says in a log. The lock is held until it ends, even if we are killed."""
    if env is None:  # pip may need the proxy and the index of this user, but no modules from elsewhere
        env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    with (
        _open_private(log) as file,
        subprocess.Popen(
            list(map(str, command)),
            env=env,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            umask=0o077,
            pass_fds=[lock.fileno()],
        ) as process,
    ):
        for line in process.stdout or ():
            file.write(line)
            on_line(line)
    if process.returncode:
        raise AlloopError(f"{failed}: {_essence(log.parent, log)}", f"everything it said is in {log}")


# the database


def _make_database(root: Path, python: Path, lock: IO[str], tell: Tell) -> None:
    """A database with one login, made once; it appears whole."""
    final, attempt = root / "data", root / "data.new"
    if final.exists():
        return
    tell("Making its database: half a minute, only this once.")
    shutil.rmtree(attempt, ignore_errors=True)
    attempt.mkdir(mode=0o700)
    login = Login("alloop@localhost", secrets.token_urlsafe(12), secrets.token_hex(20))
    _write_private(attempt / "login.json", asdict(login))
    log = root / "server.log"
    log.unlink(missing_ok=True)
    _run(
        [python, "-m", "label_studio.server", "init", "--quiet", "--no-browser"],
        log,
        lock,
        "the database could not be made",
        env=_environment(root, attempt, login),
    )
    attempt.rename(final)


def _login(root: Path, data: str = "data") -> Login | None:
    try:
        return Login(**json.loads((root / data / "login.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise AlloopError(f"{root / data / 'login.json'} is damaged", "restore it from a backup") from None


def _environment(root: Path, data: Path, login: Login, url: str | None = None) -> dict[str, str]:
    """All that the server sees. Little of ours: it also reads plain names such as DEBUG, HOST or DATABASE_NAME.

    HOME, because it writes an id below the home directory even if it has been told where to keep its data. A proxy that
    nobody is, because whatever it is told it asks GitHub for tips to show; plain http, as to a model next door, works.
    """
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    settings = SETTINGS | {
        "BASE_DATA_DIR": str(data),
        "USERNAME": login.username,
        "PASSWORD": login.password,
        "USER_TOKEN": login.token,
    }
    if url:
        settings["HOST"] = url
    return {
        **kept,
        "HOME": str(root),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
        **{f"LABEL_STUDIO_{name}": value for name, value in settings.items()},
    }


# the process


def _check_free(port: int) -> None:
    """Raises AlloopError, with a port that is free, for one that is not."""
    trouble = _trouble_with(port)
    if trouble:
        free = next((other for other in range(max(port, PORT) + 1, 65_536) if not _trouble_with(other)), PORT)
        raise AlloopError(f"port {port} {trouble}", f"alloop studio up --port {free}")


def _trouble_with(port: int) -> str | None:
    with socket.socket() as client:  # first: on macOS one may bind beside a server that listens everywhere
        client.settimeout(1)
        if client.connect_ex(("127.0.0.1", port)) == 0:
            return "is in use by another program"
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError as error:
            return f"cannot be used: {error.strerror}"
    return None


def _start(root: Path, python: Path, port: int) -> _Server:
    """Start the server in a session of its own, so that it survives this terminal."""
    login, log = _login(root), root / "server.log"
    version = _version(python)
    if login is None or version is None:
        raise AlloopError(f"{root / 'data'} has no login", f"restore {root / 'data' / 'login.json'} from a backup")
    server = _Server(port, version)
    if log.exists():
        log.replace(root / "server.log.1")
    # --debug does nothing but forbid to move silently to another port. The shell steps back at once, so that the
    # server is nobody's child and never a zombie of a long-lived Python.
    command = [python, "-m", "label_studio.server", "start", "--no-browser", "--debug"]
    command += ["--internal-host", "127.0.0.1", "--port", str(port)]
    with _open_private(log) as file:
        shell = subprocess.run(
            ["/bin/sh", "-c", '"$@" </dev/null >&2 & echo $!', "sh", *map(str, command)],
            env=_environment(root, root / "data", login, server.url),
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            check=True,
            umask=0o077,
            start_new_session=True,
        )
    pid = int(shell.stdout)
    server = replace(server, pid=pid, born=_born(pid))
    _remember(root, server)
    return server


def _wait(root: Path, server: _Server, patience_s: float) -> None:
    """Until it answers. That it is ours that answers, and not one who took the port meanwhile, its log says."""
    log, listens = root / "server.log", f"Starting development server at {server.url}/"
    deadline = time.monotonic() + patience_s
    with progress("waiting for Label Studio"):
        while not (_answers(server.url) and any(listens in line for line in _lines(root, log))):
            if not server.lives:
                raise AlloopError(f"Label Studio ended while it started: {_essence(root, log)}", "alloop studio logs")
            if time.monotonic() > deadline:
                raise AlloopError(
                    f"Label Studio (process {server.pid}) has not answered at {server.url} for {patience_s:.0f} s",
                    "alloop studio logs; alloop studio down",
                )
            time.sleep(0.1)


def _take_down(root: Path, server: _Server) -> None:
    """End the process, kindly first; nothing where it has ended, or where its number belongs to another."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + KINDNESS_S
        if server.pid is not None and server.lives:
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(server.pid, kind)
        while server.lives and time.monotonic() < deadline:
            time.sleep(0.05)
    _remember(root, replace(server, pid=None, born=None))


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy could not reach this machine
    try:
        with opener.open(f"{url}/health", timeout=3) as answer:
            return b"UP" in answer.read(1000)
    except (OSError, ValueError):
        return False


def _born(pid: int) -> str | None:
    """When a process began, which with its number names it for good; None where none runs."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            words = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        has_ended = (
            words[0] in "ZX" and int(words[17]) <= 1
        )  # state, threads; each of these may keep the port for a moment
        return None if has_ended else f"{boot} {words[19]}"  # ticks since boot
    said = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)],
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
    ).stdout.split()
    return None if not said or said[0].startswith("Z") else " ".join(said[1:])


# files


@contextmanager
def _locked(root: Path) -> Iterator[IO[str]]:
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(root / ".lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                "another `alloop studio` command is at work", "wait until it is done: alloop studio status"
            ) from None
        yield file


def _last(root: Path) -> _Server | None:
    try:
        return _Server(**json.loads((root / "server.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # at worst, a server that runs keeps its port busy
        return None


def _remember(root: Path, server: _Server) -> None:
    write_whole(root / "server.json", json.dumps(asdict(server)))


def _open_private(path: Path) -> IO[str]:
    """A file to add to that only its owner can read."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8")


def _write_private(path: Path, content: Mapping[str, str]) -> None:
    with _open_private(path) as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())


def _lines(root: Path, log: Path) -> list[str]:
    """The last lines of a log, up to a megabyte, without the secrets that they should not hold anyway."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - 1_000_000))
            content = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    for login in (_login(root), _login(root, "data.new")):
        for secret in (login.password, login.token) if login else ():
            content = content.replace(secret, "…")
    return content.splitlines()


def _essence(root: Path, log: Path) -> str:
    """What a log says in the end: its last error, or else its last line."""
    lines = [line.strip() for line in _lines(root, log) if line.strip()]
    errors = [line for line in lines if re.match(r"(\w+\.)*(\w*Error|ERROR)\b", line)]
    return (errors or lines or ["it said nothing"])[-1]
