"""People label in Label Studio; the only module that knows its SDK. What it relies on was read off Label Studio 1.23.

- Nothing on the server is idempotent, and a request whose answer was lost may have been carried out. So every task
  carries our key in its data, writes are never repeated before the server was asked what it has, and a task that is
  there twice all the same (a late commit) loses the copy that nobody has touched.
- Tasks are mapped by key, never by the server's task ids, which SQLite gives out again after a deletion.
- Changes are read from the newest backwards, by time and not by page number, so that a task deleted meanwhile cannot
  push another one out of sight. The times are the server's own: its clock may differ from ours.
- Queues are sequential, and tasks are created in the order of their rank: with several annotators "uncertainty
  sampling" becomes a random pick among many.
- The API shows drafts and answers of a task, but not that somebody has it open. So no task is withdrawn while somebody
  answered anything in the project during the last ten minutes.
"""

import atexit
import base64
import json
import os
import re
import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

from alloop import studio
from alloop.annotators import Desk, Finding, Pulled, Tended
from alloop.annotators._live import Connection, connect
from alloop.annotators._page import instructions_page, label_config
from alloop.errors import ConfigError, RemoteError
from alloop.files import fingerprint, write_whole
from alloop.records import Annotation, Task

KEY = "LABEL_STUDIO_API_KEY"  # the environment variable; a server of alloop's own needs none
INSTALL = "pip install 'alloop[label-studio]'"
READ_OFF = "1.23"  # the version that this module was written for
RIGHTS = (
    "projects.create",
    "projects.view",
    "projects.change",
    "tasks.create",
    "tasks.view",
    "tasks.change",
    "tasks.delete",
    "annotations.view",
)
SOON = timedelta(days=7)  # a key that expires so soon is worth a word
AT_ONCE = 500  # tasks in one request
KEYS_AT_ONCE = 50  # keys in one query, which is part of an address: some 4 kB
AT_FIRST = 50  # tasks in the first request of a pull, which is the only one where little was changed
QUIET = timedelta(minutes=10)  # nobody answered for so long: nobody has a task open
OVERLAP = timedelta(seconds=60)  # a change is stamped before it is committed, so the last minute is read again
SETTLES_S = (0.2, 0.5, 1.0, 2.0, 4.0)  # waits for a write whose answer was lost to show up after all
READS_AGAIN_S = (0.5, 2.0)  # waits before a read is repeated
WRITES_S = 120.0  # the least patience with a write: one given up too early has to be looked for

T = TypeVar("T")


@dataclass(frozen=True)
class LabelStudio:
    """Label in Label Studio, in the browser: with `alloop studio up`, or on a server of your own.

    The server is `[annotate] url`, with its API key in LABEL_STUDIO_API_KEY (a legacy token or a personal access
    token); without a url it is the one that `alloop studio up` started. A Label Studio project is made for this one,
    unless `[annotate] project` names one to adopt.

    label_config: a file with your own labelling interface (XML); it must have the labels of alloop.toml.
    instructions: a Markdown file that annotators can read. stale: what happens to tasks of earlier rounds that nobody
    has touched when a newer model is there: "keep" (their visible suggestions are renewed), "withdraw" (the texts go
    back to the pool) or "rescore" (they are asked anew, in the new order). timeout_s: for one request.
    """

    url: str | None = None
    project: int | None = None
    label_config: str | None = None
    instructions: str | None = None
    stale: Literal["keep", "withdraw", "rescore"] = "keep"
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if self.timeout_s <= 0:
            raise ValueError("timeout_s must be above 0")
        if self.url is not None and not re.match(r"https?://[^/\s]", self.url):
            raise ValueError(f"the url {self.url!r} does not begin with http:// or https://")

    def push(self, tasks: Sequence[Task], desk: Desk) -> dict[str, str]:
        """Creates the tasks the server does not have, in order, and makes sure each is there once."""
        server = self.server(desk)
        project = self._project(server, desk)
        form = project.form
        there = _asked(server, project, tasks, desk)
        missing = _missing(tasks, there)
        for start in range(0, len(missing), AT_ONCE):
            there |= _import(server, project, missing[start : start + AT_ONCE], form, desk)
        if len(there) < len(tasks) or _count(server, project, tasks, desk) != len(tasks):
            there = _asked(server, project, tasks, desk)
        made = {key: min(copies) for key, copies in there.items()}
        ids = _each_once(server, project, there, [task.key for task in tasks])
        if any(task.suggestion for task in tasks):
            _show_suggestions(server, project, desk)
        in_order = [made[task.key] for task in missing]
        if in_order != sorted(in_order):
            raise RemoteError(
                f"{server.url} has put the tasks of project {project.id} into another order than they were sent in",
                "nothing is lost; please report this with the version of Label Studio",
            )
        return {task.key: str(ids[task.key]) for task in tasks}

    def pull(self, since: str, desk: Desk) -> Pulled:
        """What was answered, changed, skipped or deleted since; one request where nothing was.

        The cursor holds the newest change seen, by the server's clock, and how many tasks there were.
        """
        server = self.server(desk)
        found = self._find(server, desk)
        if found is None:
            if known := _remembered(desk):
                raise RemoteError(
                    f"{server.url} has no project of this one; it was made on {known['url']}",
                    f"set [annotate] url back. {_anew(_memory(desk))}",
                )
            return Pulled((), since, gone=desk.open_keys())  # nobody can answer them any more
        project = self._up_to_date(server, found, desk)
        before = json.loads(since) if since else {}
        if before.get("instance") != project.instance:
            before = {}
        at = _time(before["at"]) if before.get("at") else None
        changed, total = _changed(server, project, None if at is None else at - OVERLAP)
        ours = [task for task in changed if _is_ours(task, desk)]
        foreign = sum(len(task["annotations"]) for task in changed if not _is_ours(task, desk))
        gone: Collection[str] = ()
        if total != before.get("total"):
            _check_instance(server, project)
            gone, total = _swept(server, project, desk)
        newest = max((_time(task["updated_at"]) for task in changed), default=at)
        cursor = {"instance": project.instance, "at": newest and _stamp(newest), "total": total}
        return Pulled(
            list(self._annotations(server, project, ours, desk)), json.dumps(cursor), project.instance, gone, foreign
        )

    def tend(self, waiting: Sequence[Task], desk: Desk) -> Tended:
        """Withdraws untouched tasks, or renews the suggestions that annotators see; never touches an answered one."""
        server = self.server(desk)
        project = self._project(server, desk)
        there = _there(server, project, [task.key for task in waiting], TOUCHED)
        gone = {task.key for task in waiting if task.key not in there}
        current: set[str] = set()
        untouched = {key for key, copies in there.items() if not any(map(_is_touched, copies))}
        if self.stale == "keep" or not (there and _is_quiet(server, project)):
            blind = {task.key for task in waiting if task.blind}
            renewed = self._renew(server, project, [t for t in waiting if t.key in there and t.suggestion], desk)
            current = blind & untouched | renewed
        else:
            for key in untouched:
                for copy in there[key]:
                    _delete(server, copy["id"])
            gone |= untouched
        return Tended(gone, current)

    def examine(self, desk: Desk) -> Iterator[Finding]:
        """Looks at the server, the key and the project there; a look that fails does not end the next ones."""
        try:
            server = self.server(desk)
            yield _server_finding(server)
        except (ConfigError, RemoteError) as error:
            yield Finding("server", False, error.message, error.hint)
            return
        key, is_valid = _key_finding(server)
        yield key
        if not is_valid:
            return
        yield _looked("rights", lambda: _rights(server))
        try:
            found = self._find(server, desk)
            if found is None:
                yield Finding("project", None, "none on the server yet", _command(desk, "round"))
                return
            project = server.read(lambda c, o: c.projects.get(found["id"], request_options=o))
        except RemoteError as error:
            yield Finding("project", False, error.message, error.hint)
            return
        yield Finding("project", True, f"{project.title}: {server.url}/projects/{project.id}")
        yield _looked("labels there", lambda: self._labels_there(project, found, server, desk))
        yield _looked("queue", lambda: self._queue(project, server, desk))
        remote = RemoteProject(project.id, found["instance"], Form("", "", "", ()))
        yield _looked("suggestions", lambda: _suggestions(server, remote, project, desk))
        yield from _looked_at_models(server, remote)
        yield from _counts(server, remote, desk)

    def _labels_there(self, project: Any, found: Mapping[str, Any], server: "Server", desk: Desk) -> Finding:
        wanted = self._label_config(desk)
        try:
            form = _form_of(project.label_config or "", desk, f"the labelling interface of project {project.id}")
        except ConfigError as error:
            if self.project is not None:
                return Finding("labels there", False, error.message, error.hint)
            if found.get("labels") == self._settings_mark(wanted, desk):
                return Finding("labels there", False, error.message, _put_back(desk))
            return Finding(
                "labels there", None, f"{error.message}; the next round corrects it", _command(desk, "round")
            )
        return Finding("labels there", True, f"all {len(form.choices)} of alloop.toml, nothing besides")

    def _queue(self, project: Any, server: "Server", desk: Desk) -> Finding:
        """Order and overlap: in any other order annotators do not get the most useful texts first."""
        hint = f"set it in {server.url}/projects/{project.id}/settings" if self.project is not None else _put_back(desk)
        order = str(project.sampling or "Sequential sampling")
        if order != "Sequential sampling":
            message = f"it is in the order of {order!r}, so that the best texts are not asked first"
            return Finding("queue", False, f"{message}: it should be 'Sequential sampling'", hint)
        if project.maximum_annotations != desk.annotators_per_text:
            there, asked = project.maximum_annotations, desk.annotators_per_text
            message = f"each text is shown to {there} annotators there, annotators_per_text is {asked}"
            wanted = f"[annotate] annotators_per_text = {there}, or change the project's"
            return Finding("queue", False, message, hint if self.project is None else wanted)
        return Finding("queue", True, f"sequential, {desk.annotators_per_text} for each text")

    def forget(self, text_ids: Collection[str], desk: Desk, erase: bool) -> None:
        """Deletes the tasks about these texts on the server: untouched ones, and with `erase` all of them."""
        if _remembered(desk) is None:
            return
        server = self.server(desk)
        project = self._project(server, desk)
        keys = [key for key in desk.open_keys() if key.split(":")[1] in text_ids]
        for copies in _there(server, project, keys, TOUCHED).values():
            for copy in copies:
                if erase or not _is_touched(copy):
                    _delete(server, copy["id"])

    def address(self, desk: Desk) -> str | None:
        """The page that asks for the first answer at once; from there it is one click to the list of tasks."""
        known = _remembered(desk)
        return f"{known['url']}/projects/{known['id']}/data/?labeling=1" if known else None

    def connect(self, url: str, desk: Desk) -> Connection:
        """Makes the address of `alloop serve` the one that Label Studio asks for suggestions while people label."""
        server = self.server(desk)
        project = self._project(server, desk)
        return server.read(lambda c, o: connect(c, project.id, url, o))

    def server(self, desk: Desk) -> "Server":
        """The server with our key to it. Raises ConfigError where there is none, RemoteError for a wrong key."""
        key = os.environ.get(KEY, "").strip()
        if self.url is not None:
            if not key:
                raise ConfigError(
                    f"{self.url} needs an API key, and {KEY} is not set",
                    f"copy it from {self.url.rstrip('/')}/user/account, then: export {KEY}=…",
                )
            return Server(self.url.rstrip("/"), key, self.timeout_s, _memory(desk))
        own = studio.running()
        if own is None:
            raise RemoteError(
                "no Label Studio runs here, and [annotate] has no url of another one",
                "alloop studio up",
                is_temporary=True,
            )
        return Server(own.url, own.token, self.timeout_s, _memory(desk), is_own=True)

    def _find(self, server: "Server", desk: Desk) -> dict[str, Any] | None:
        """The project on the server, None before it was made: its id and instance, and what else is remembered."""
        known = _remembered(desk)
        if known and known["url"] == server.url and self.project in (None, known["id"]):
            return known
        if self.project is not None:
            number = self.project
            found = server.read(lambda c, o: c.projects.get(number, request_options=o))
        else:
            ours = [one for one in _projects(server) if _mark(desk) in (one.description or "")]
            if not ours:
                return None
            found = min(ours, key=lambda one: int(one.id))
        return {"id": found.id, "instance": _instance(found)}

    def _project(self, server: "Server", desk: Desk) -> "RemoteProject":
        """The project on the server, made if need be, with today's labels."""
        found = self._find(server, desk)
        if found is None:
            settings = self._settings(desk, self._label_config(desk))
            for _ in SETTLES_S[:3]:
                try:
                    server.write(lambda c, o: c.projects.create(**_names(desk), **settings, request_options=o))
                except UnsureError:
                    time.sleep(SETTLES_S[2])
                if (found := self._find(server, desk)) is not None:
                    break
            else:
                raise server.silent("making a project")
        project = self._up_to_date(server, found, desk)
        _check_instance(server, project)
        return project

    def _settings(self, desk: Desk, config: str) -> dict[str, Any]:
        said = (
            {}
            if self.instructions is None
            else {
                "expert_instruction": instructions_page(self._file(self.instructions, desk)),
                "show_instruction": True,
            }
        )
        return {
            "label_config": config,
            "sampling": "Sequential sampling",
            "maximum_annotations": desk.annotators_per_text,
            "skip_queue": "IGNORE_SKIPPED",  # a skip is an answer, as it is for alloop
            "show_collab_predictions": True,  # a task without a prediction is a blind one
            **said,
        }

    def _up_to_date(self, server: "Server", found: Mapping[str, Any], desk: Desk) -> "RemoteProject":
        """Brings labels, overlap and instructions on the server up to date. No request where nothing changed."""
        wanted = self._label_config(desk)
        labels = self._settings_mark(wanted, desk)
        if found.get("labels") == labels:
            return RemoteProject(found["id"], found["instance"], Form(*found["form"]))
        number = found["id"]
        if self.project is None:
            settings = self._settings(desk, wanted)
            server.read(lambda c, o: c.projects.update(number, **settings, request_options=o))
            there = wanted
        else:
            there = server.read(lambda c, o: c.projects.get(number, request_options=o)).label_config or ""
        form = _form_of(there, desk, f"the labelling interface of project {number} on {server.url}")
        known = {"url": server.url, "id": number, "instance": found["instance"], "form": form, "labels": labels}
        write_whole(_memory(desk), json.dumps(known))
        return RemoteProject(number, found["instance"], form)

    def _settings_mark(self, wanted: str, desk: Desk) -> str:
        """Changes whenever the server has to be told something new."""
        said = None if self.instructions is None else self._file(self.instructions, desk)
        return fingerprint([wanted, desk.annotators_per_text, list(desk.label_names), said])

    def _label_config(self, desk: Desk) -> str:
        if self.label_config is None:
            return label_config(desk)
        config = self._file(self.label_config, desk)
        _form_of(config, desk, str(desk.inbox.parent / self.label_config))
        return config

    def _file(self, name: str, desk: Desk) -> str:
        path = desk.inbox.parent / name
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}", "see [options.label-studio]") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error

    def _annotations(
        self, server: "Server", project: "RemoteProject", changed: Sequence[dict[str, Any]], desk: Desk
    ) -> Iterator[Annotation]:
        """Every version of every answer to these tasks, the oldest first, and which of those we knew are gone."""
        form = project.form
        standing = desk.standing([task["data"]["alloop_key"] for task in changed])
        found = []
        present: dict[str, set[str]] = defaultdict(set)
        for task in changed:
            key = task["data"]["alloop_key"]
            for one in task["annotations"]:
                present[key].add(str(one["id"]))
                found.append(_annotation(one, key, form))
        at = {task["data"]["alloop_key"]: task["updated_at"] for task in changed}
        doubtful = [key for key in at if set(standing.get(key, ())) - present[key]]
        for key, copies in _there(server, project, doubtful, ",annotations").items():
            left = {str(one["id"]) for copy in copies for one in copy["annotations"]}  # of a copy that did not change
            found += [_deletion(one, key, at[key]) for one in set(standing[key]) - present[key] - left]
        yield from sorted(found, key=lambda one: (one.version.partition("#")[0], one.remote_id))

    def _renew(self, server: "Server", project: "RemoteProject", tasks: Sequence[Task], desk: Desk) -> set[str]:
        """Label Studio shows only suggestions of the project's current model, so waiting tasks need new ones.

        Returns the keys of those that have them now.
        """
        form = project.form
        keys = [task.key for task in tasks]
        there = _there(server, project, keys, TOUCHED + ",predictions,model_version")
        new = [
            {"task": copy["id"], **prediction}
            for task in tasks
            for copy in there.get(task.key, ())
            if not _is_touched(copy) and not _has_newest(copy, desk)
            for prediction in _predictions(task, form, desk)
        ]
        for start in range(0, len(new), AT_ONCE):
            with suppress(UnsureError):  # they are only shown, and the next round renews them again
                _send_predictions(server, project, new[start : start + AT_ONCE])
        if not tasks:
            return set()
        there = _there(server, project, keys, TOUCHED + ",predictions,model_version")
        current = {key for key, copies in there.items() if all(_is_current(copy, desk) for copy in copies)}
        if current:  # here too: the new batch may have no suggestions
            _show_suggestions(server, project, desk)
        return current


plugin = LabelStudio


class Form(NamedTuple):
    """The names that a labelling interface gives to the text and to its choices, and the choices it has."""

    control: str
    shown: str
    value: str
    choices: Sequence[str]


@dataclass(frozen=True)
class RemoteProject:
    """A project on the server. `instance` is of no other project, ever, though servers count ids from 1 again."""

    id: int
    instance: str
    form: Form


class MissingError(RemoteError):
    """The server does not have it."""


class UnsureError(Exception):
    """A request whose answer was lost: it may have been carried out. `trouble` is what to say if that is the end."""

    def __init__(self, trouble: RemoteError) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


@dataclass(frozen=True)
class Server:
    """A Label Studio, asked with care: reads are repeated a few times, writes are not. The key is in no message."""

    url: str
    key: str
    timeout_s: float
    memory: Path
    is_own: bool = False

    def read(self, call: Callable[[Any, Any], T]) -> T:
        """Ask, twice again if need be; also for writes that do no harm when repeated."""
        for wait in (*READS_AGAIN_S, None):
            try:
                return self._call(call, self.timeout_s)
            except UnsureError as unsure:
                if wait is None:
                    raise unsure.trouble from None
            except RemoteError as error:
                if wait is None or not error.is_temporary:
                    raise
            time.sleep(wait)
        raise AssertionError

    def write(self, call: Callable[[Any, Any], T]) -> T:
        """Ask once. Raises UnsureError where nobody knows whether it was done, RemoteError where it surely was not."""
        return self._call(call, max(WRITES_S, self.timeout_s))

    def silent(self, what: str) -> RemoteError:
        return RemoteError(
            f"{self.url} did not answer while {what}", "nothing is lost; the same command goes on", is_temporary=True
        )

    def _call(self, call: Callable[[Any, Any], T], timeout_s: float, is_again: bool = False) -> T:
        try:
            import httpx
            from label_studio_sdk.core.api_error import ApiError
        except ImportError as error:
            raise ConfigError(f"the annotator label-studio needs {error.name}", INSTALL) from error
        try:
            return call(_client(self.url, self.key), {"max_retries": 0, "timeout_in_seconds": timeout_s})
        except ApiError as error:
            if error.status_code == 401 and self.key.count(".") == 2 and not is_again:
                # the SDK renews the access token by our clock; by the server's it may have run out before
                _client.cache_clear()
                return self._call(call, timeout_s, is_again=True)
            raise self._refused(error.status_code or 0, error.body) from None
        except httpx.ConnectError as error:
            raise _unreachable(self.url, error) from None
        except httpx.TransportError as error:
            how = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "broke off its answer"
            raise UnsureError(
                RemoteError(f"{self.url} {how}", "nothing is lost; the same command goes on", is_temporary=True)
            ) from None
        except (httpx.RequestError, httpx.InvalidURL, ValueError, LookupError, AttributeError, TypeError):
            # not Label Studio's JSON but a proxy's page: the SDK has many ways to stumble over it
            raise UnsureError(self._strange()) from None

    def _refused(self, status: int, body: Any) -> Exception:
        """A sentence for what the server said. Pages of HTML are not repeated."""
        detail = " ".join(str(body.get("detail", "")).split()) if isinstance(body, dict) else ""
        wrong = body.get("validation_errors") if isinstance(body, dict) else None
        words = (f": {detail}" if detail else "") + (f" ({str(wrong)[:300]})" if wrong else "")
        if status in (401, 403) and self.is_own:
            return RemoteError(
                f"{self.url} refused the key that alloop studio made{words}", "alloop studio down; alloop studio up"
            )
        if status in (401, 403):
            return RemoteError(
                f"{self.url} refused the {_kind_of(self.key)} in {KEY}{words}", _where_to_get(self, detail)
            )
        if status == 404:
            is_known = self.memory.exists()
            return MissingError(
                f"{self.url} does not have what was asked for{words}",
                f"was the project deleted there? What was pulled is kept. {_anew(self.memory)}"
                if is_known
                else "are url and project in [annotate] right?",
            )
        if status == 429:
            return RemoteError(f"{self.url} is asked too often", "wait a minute", is_temporary=True)
        if status < 400:
            return UnsureError(self._strange())
        if status >= 500 or status == 408:
            return UnsureError(
                RemoteError(
                    f"{self.url} has trouble of its own (status {status})",
                    "look at its log; nothing is lost",
                    is_temporary=True,
                )
            )
        return RemoteError(
            f"{self.url} did not accept what was sent (status {status}){words}",
            "nothing is lost; please report this with the version of Label Studio",
        )

    def _strange(self) -> RemoteError:
        return RemoteError(
            f"{self.url} answered something that is not Label Studio's",
            "is the url right, and is a proxy or a login page in between? Nothing is lost; the same command goes on",
            is_temporary=True,
        )


def _anew(memory: Path) -> str:
    return f"To make a new project there, and ask the open texts again: rm {shlex.quote(str(memory))}"


@cache
def _client(url: str, key: str) -> Any:
    """One per server and process: it keeps the access token it made of the key."""
    from label_studio_sdk import LabelStudio as Client

    return cast(Any, Client)(base_url=url, api_key=key, httpx_client=_connections())


@cache
def _connections() -> Any:
    import httpx

    made = httpx.Client()
    atexit.register(made.close)
    return made


def _kind_of(key: str) -> str:
    return "personal access token" if key.count(".") == 2 else "legacy token"


def _where_to_get(server: Server, detail: str) -> str:
    page = f"{server.url}/user/account"
    if "legacy" in detail:
        return f"this server takes personal access tokens: make one at {page}, then: export {KEY}=…"
    return f"copy a valid one (personal access token, or legacy token where allowed) from {page}, then: export {KEY}=…"


def _unreachable(url: str, error: Exception) -> RemoteError:
    return RemoteError(
        f"{url} cannot be reached: {error}",
        "is Label Studio running? alloop studio up" if _is_local(url) else "check the url and the network",
        is_temporary=True,
    )


def _is_local(url: str) -> bool:
    return bool(re.match(r"https?://(127\.|localhost|\[::1\])", url))


# the labelling interface


def _form_of(config: str, desk: Desk, where: str) -> Form:
    """Control, object, value and choices of an interface. Raises ConfigError saying what differs from alloop.toml."""
    from label_studio_sdk.label_interface.control_tags import ChoicesTag
    from label_studio_sdk.label_interface.interface import LabelInterface

    try:
        interface = LabelInterface(config)
        controls = interface.find_tags_by_class(ChoicesTag)
    except Exception as error:  # of the XML parser, of the schema: there is no common ancestor
        raise ConfigError(f"{where} cannot be understood: {str(error).splitlines()[0]}", SHAPE) from None
    wanted = list(desk.label_names)
    if not controls:
        raise ConfigError(f"{where} has no <Choices>", SHAPE)
    control = max(controls, key=lambda one: len(set(one.labels) & set(wanted)))
    missing = [name for name in wanted if name not in control.labels]
    extra = [name for name in control.labels if name not in wanted]
    if missing or extra:
        lacks = f"lacks {', '.join(map(repr, missing))}" if missing else ""
        has = f"has {', '.join(map(repr, extra))} besides" if extra else ""
        raise ConfigError(
            f"{where} and the labels of alloop.toml differ: it {' and '.join(filter(None, [lacks, has]))}",
            "make them equal; labels of alloop.toml can be added, never renamed, without [task.rename]",
        )
    is_multiple = control.attr.get("choice", "single") == "multiple"
    if is_multiple != (desk.kind == "multi"):
        raise ConfigError(
            f"{where} lets annotators choose {'several labels' if is_multiple else 'one label'}, "
            f"task.kind is {desk.kind!r}",
            f'<Choices choice="{"multiple" if desk.kind == "multi" else "single"}" …>',
        )
    shown = control.to_name[0]
    value = cast(Any, interface).get_object(shown).value.lstrip("$")
    return Form(control.name, shown, value, wanted)


SHAPE = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text"><Choice value="…"/>…</Choices></View>'
)


# tasks


def _instance(project: Any) -> str:
    """What no other project ever is, though a server that is set up anew counts from 1 again."""
    return f"{project.id}@{_stamp(project.created_at)}"


def _check_instance(server: Server, project: RemoteProject) -> None:
    """Raises RemoteError where the project's number belongs to another one now."""
    there = _instance(server.read(lambda c, o: c.projects.get(project.id, request_options=o)))
    if there != project.instance:
        raise RemoteError(f"project {project.id} of {server.url} is not the one that it was", _anew(server.memory))


def _missing(tasks: Sequence[Task], there: Collection[str]) -> list[Task]:
    return [task for task in tasks if task.key not in there]


def _import(
    server: Server, project: RemoteProject, tasks: Sequence[Task], form: Form, desk: Desk
) -> dict[str, list[int]]:
    """Create these tasks in one call, one transaction there. After an unsure one, look before sending again.

    Returns key -> ids of those whose id the server said.
    """
    for _ in range(3):
        try:
            ids = _send_tasks(server, project, [_payload(task, form, desk) for task in tasks])
            return {task.key: [one] for task, one in zip(tasks, ids, strict=False)}
        except UnsureError as unsure:
            last = unsure.trouble
        except RemoteError as error:
            if not error.is_temporary:
                raise
            last = error
        for wait in SETTLES_S:
            time.sleep(wait)
            if not (tasks := _missing(tasks, _asked(server, project, tasks, desk))):
                return {}
    raise last


def _each_once(
    server: Server, project: RemoteProject, there: Mapping[str, Sequence[int]], keys: Sequence[str]
) -> dict[str, int]:
    """key -> task id, after copies were removed. Raises RemoteError where a task is not there."""
    left = {key: copies[0] for key, copies in there.items() if len(copies) == 1}
    several = [key for key in there if key not in left]
    if several:
        _drop_copies(server, project, several)
        left |= {key: min(copy["id"] for copy in copies) for key, copies in _there(server, project, several).items()}
    if lost := [key for key in keys if key not in left]:
        raise RemoteError(
            f"{server.url} has taken {len(keys)} tasks but lacks {len(lost)} of them, first {lost[0]}",
            "did somebody delete tasks just now? The same command goes on",
            is_temporary=True,
        )
    return left


def _send_tasks(server: Server, project: RemoteProject, payload: Sequence[Any]) -> list[int]:
    """The new tasks' ids, in order."""
    said = server.write(
        lambda c, o: c.projects.import_tasks(project.id, request=payload, return_task_ids=True, request_options=o)
    )
    return list(said.task_ids or ())


def _send_predictions(server: Server, project: RemoteProject, predictions: Sequence[Any]) -> None:
    server.write(lambda c, o: c.projects.import_predictions(project.id, request=predictions, request_options=o))


def _show_suggestions(server: Server, project: RemoteProject, desk: Desk) -> None:
    """Annotators see the suggestions of one model only; of the newest one, unless they see those of `alloop serve`."""
    there = server.read(lambda c, o: c.projects.get(project.id, request_options=o)).model_version or ""
    if there != desk.model_version and (not there or there.startswith("round-")):
        server.read(lambda c, o: c.projects.update(project.id, model_version=desk.model_version, request_options=o))


def _payload(task: Task, form: Form, desk: Desk) -> dict[str, Any]:
    about = "  ·  ".join(f"{name}: {value}" for name, value in task.metadata.items())
    data = {form.value: task.text, "alloop_key": task.key, "alloop_batch": _batch(task, desk)}
    return {
        "data": {**data, "about": about} if desk.metadata else data,
        "meta": dict(task.metadata),
        "predictions": _predictions(task, form, desk),
    }


def _predictions(task: Task, form: Form, desk: Desk) -> list[dict[str, Any]]:
    """The model's answer in Label Studio's form; none for a blind task. Only labels that the interface has."""
    said = {name: p for name, p in (task.suggestion or {}).items() if name in form.choices}
    if task.blind or not said:
        return []
    best = max(said, key=said.__getitem__)
    chosen = [best] if desk.kind == "single" else [name for name, p in said.items() if p >= 0.5]
    result = {"from_name": form.control, "to_name": form.shown, "type": "choices", "value": {"choices": chosen}}
    return [{"model_version": desk.model_version, "score": round(said[best], 6), "result": [result] if chosen else []}]


def _asked(server: Server, project: RemoteProject, tasks: Sequence[Task], desk: Desk) -> dict[str, list[int]]:
    """key -> ids of the tasks on the server that carry it, of those that one push has made or should have made."""
    found: dict[str, list[int]] = defaultdict(list)
    wanted = {task.key for task in tasks}
    if _count(server, project, tasks, desk):
        for task in _listed(server, project, [_in_batches(tasks, desk)], "id,data"):
            if task["data"]["alloop_key"] in wanted:
                found[task["data"]["alloop_key"]].append(task["id"])
    return dict(found)


def _count(server: Server, project: RemoteProject, tasks: Sequence[Task], desk: Desk) -> int:
    """How many tasks the batches of these hold; far cheaper than a list."""
    return int(_page(server, project, [_in_batches(tasks, desk)], "id", [], 1).response.total)


def _in_batches(tasks: Sequence[Task], desk: Desk) -> dict[str, Any]:
    """Not a list of keys: a query is part of an address, and what stands before a server takes some 8 kB of it."""
    return _filter("data.alloop_batch", "String", "in_list", sorted({_batch(task, desk) for task in tasks}))


def _batch(task: Task, desk: Desk) -> str:
    return f"{desk.project}:{task.round}{':review' if task.purpose == 'review' else ''}"


def _there(
    server: Server, project: RemoteProject, keys: Collection[str], more: str = ""
) -> dict[str, list[dict[str, Any]]]:
    """key -> the tasks on the server that carry it: one, unless something went wrong; keys without any left out."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    wanted = list(keys)
    for start in range(0, len(wanted), KEYS_AT_ONCE):
        some = wanted[start : start + KEYS_AT_ONCE]
        where = [_filter("data.alloop_key", "String", "in_list", some)]
        for task in _listed(server, project, where, "id,data" + more):
            found[task["data"]["alloop_key"]].append(task)
    return dict(found)


TOUCHED = ",total_annotations,cancelled_annotations,drafts"  # what shows that somebody did something


def _is_touched(task: Mapping[str, Any]) -> bool:
    return bool(task["total_annotations"] or task["cancelled_annotations"] or task["drafts"])


def _has_newest(task: Mapping[str, Any], desk: Desk) -> bool:
    return any(one["model_version"] == desk.model_version for one in task["predictions"])


def _is_current(task: Mapping[str, Any], desk: Desk) -> bool:
    """Whether whoever opens the task next sees what the newest model says."""
    return not _is_touched(task) and _has_newest(task, desk)


def _drop_copies(server: Server, project: RemoteProject, keys: Collection[str]) -> int:
    """Of tasks with the same key, delete those nobody touched, but one. Returns how many were deleted."""
    surplus = []
    for copies in _there(server, project, keys, TOUCHED).values():
        touched = [copy for copy in copies if _is_touched(copy)]
        untouched = sorted((copy for copy in copies if not _is_touched(copy)), key=lambda copy: int(copy["id"]))
        surplus += untouched[0 if touched else 1 :]
    for copy in surplus:
        _delete(server, copy["id"])
    return len(surplus)


def _delete(server: Server, task_id: int) -> None:
    with suppress(MissingError):  # somebody was faster
        server.read(lambda c, o: c.tasks.delete(str(task_id), request_options=o))


def _swept(server: Server, project: RemoteProject, desk: Desk) -> tuple[set[str], int]:
    """Which of our open tasks are not there any more, and how many tasks there are; copies are removed on the way."""
    there: dict[str, list[dict[str, Any]]] = defaultdict(list)
    total = 0
    for task in _listed(server, project, [], "id,data"):
        total += 1
        if _is_ours(task, desk):
            there[task["data"]["alloop_key"]].append(task)
    dropped = _drop_copies(server, project, [key for key, copies in there.items() if len(copies) > 1])
    return {key for key in desk.open_keys() if key not in there}, total - dropped


def _is_ours(task: Mapping[str, Any], desk: Desk) -> bool:
    return str(task["data"].get("alloop_key", "")).startswith(f"{desk.project}:")


def _is_quiet(server: Server, project: RemoteProject) -> bool:
    """Whether nobody has answered anything for ten minutes, by the server's clock."""
    where = [_filter("total_annotations", "Number", "greater", 0)]
    skipped = [_filter("cancelled_annotations", "Number", "greater", 0)]
    newest = None
    for one in (where, skipped):
        page = _page(server, project, one, "id,updated_at,annotations", ["-tasks:updated_at"], 1)
        for task in page.items:
            for annotation in task.annotations or ():
                at = _time(annotation["updated_at"])
                newest = at if newest is None else max(newest, at)
    if newest is None:
        return True
    said = server.read(lambda c, o: c.versions.with_raw_response.get(request_options=o)).headers.get("date")
    return said is not None and parsedate_to_datetime(said) - newest > QUIET  # our own clock may differ


# lists


def _filter(column: str, kind: str, operator: str, value: Any) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{column}", "type": kind, "operator": operator, "value": value}


def _page(
    server: Server, project: RemoteProject, where: Sequence[Any], include: str, order: Sequence[str], size: int
) -> Any:
    """The first tasks of a list; `total` of its response counts all of the list."""
    query = json.dumps({"ordering": list(order), "filters": {"conjunction": "and", "items": list(where)}})
    asked = {"project": project.id, "query": query, "fields": "all", "include": include, "page": 1, "page_size": size}
    return server.read(lambda c, o: _whole(c.tasks.list(**asked, request_options=o)))


def _projects(server: Server) -> list[Any]:
    """All projects that our key may see."""
    found: list[Any] = []
    while True:
        page = _page_of_projects(server, len(found) // AT_ONCE + 1)
        found += page.items
        if not page.items or len(found) >= int(page.response.count):
            return found


def _page_of_projects(server: Server, number: int) -> Any:
    return server.read(
        lambda c, o: _whole(c.projects.list(page=number, page_size=AT_ONCE, request_options=o)),
    )


def _whole(page: Any) -> Any:
    """The page of a list. Raises ValueError for what the SDK takes for an empty one though it is no list at all."""
    if not isinstance(page.items, list):
        raise ValueError("no list")
    return page


def _listed(server: Server, project: RemoteProject, where: Sequence[Any], include: str) -> Iterator[dict[str, Any]]:
    """Every task of a list in the order of ids. Each page asks for ids above the last: no deletion shifts it."""
    last = 0
    while True:
        above = [*where, _filter("id", "Number", "greater", last)]
        page = _page(server, project, above, include, ["tasks:id"], AT_ONCE)
        items = [_plain(task) for task in page.items]
        yield from items
        if len(items) < AT_ONCE:
            return
        last = items[-1]["id"]


def _changed(server: Server, project: RemoteProject, since: datetime | None) -> tuple[list[dict[str, Any]], int]:
    """The tasks that were changed since a time, with their answers; and how many tasks there are in all."""
    include = (
        "id,data,updated_at,annotations,result,completed_by,created_username,was_cancelled,lead_time,created_at,value"
    )
    order = ["-tasks:updated_at"]
    page = _page(server, project, [], include, order, AT_FIRST)
    total = int(page.response.total)
    seen: dict[int, dict[str, Any]] = {}
    size = AT_FIRST
    while True:
        items = [_plain(task) for task in page.items]
        new = [task for task in items if task["id"] not in seen]
        seen |= {task["id"]: task for task in new}
        is_read = since is not None and any(_time(task["updated_at"]) < since for task in items)
        if is_read or len(items) < size:
            break
        # the next page by time, ties included; where one moment fills a whole page, a bigger page
        size = AT_ONCE if new else size * 2
        oldest = min(_time(task["updated_at"]) for task in items)
        until = [_filter("updated_at", "Datetime", "less_or_equal", _stamp(oldest))]
        page = _page(server, project, until, include, order, size)
    tasks = [task for task in seen.values() if since is None or _time(task["updated_at"]) >= since]
    return tasks, total


def _plain(task: Any) -> dict[str, Any]:
    """A task of the SDK as a dict with the keys we asked for."""
    return {
        "id": int(task.id),
        "data": {name: value for name, value in (task.data or {}).items() if name == "alloop_key"},  # not the texts
        "updated_at": task.updated_at,
        "annotations": [dict(one) for one in task.annotations or ()],
        "total_annotations": task.total_annotations,
        "cancelled_annotations": task.cancelled_annotations,
        "drafts": task.drafts,
        "predictions": [{"model_version": one.model_version} for one in task.predictions or ()],
    }


# answers


def _annotation(one: Mapping[str, Any], key: str, form: Form) -> Annotation:
    """An answer as it stands. A skip is `was_cancelled`, whatever choice it still carries."""
    labels = tuple(
        name
        for result in one.get("result") or ()
        if result.get("from_name") == form.control
        for name in result.get("value", {}).get("choices", ())
    )
    is_skipped = bool(one.get("was_cancelled"))
    seconds = one.get("lead_time")
    return Annotation(
        remote_id=str(one["id"]),
        version=_stamp(_time(one["updated_at"])),
        task_key=key,
        text_id=None,
        annotator=_annotator_name(one),
        state="skipped" if is_skipped else "labelled",
        labels=() if is_skipped else labels,
        seconds=None if seconds is None else float(seconds),
        made_at=_time(one["created_at"]).isoformat(timespec="seconds"),
    )


def _deletion(remote_id: str, key: str, at: Any) -> Annotation:
    moment = _time(at)
    return Annotation(
        remote_id=remote_id,
        version=f"{_stamp(moment)}#deleted",
        task_key=key,
        text_id=None,
        annotator="",
        state="deleted",
        labels=(),
        seconds=None,
        made_at=moment.isoformat(timespec="seconds"),
    )


def _annotator_name(one: Mapping[str, Any]) -> str:
    """The e-mail address, which stays the same when people change their names; "first last address, id" says it."""
    said = re.search(r"(\S+@\S+), \d+$", str(one.get("created_username") or ""))
    by = one["completed_by"]
    return said[1] if said else f"user {by.get('id') if isinstance(by, dict) else by}"


def _time(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment.astimezone(UTC)


def _stamp(moment: datetime) -> str:
    """A time as the server's filters want it, in UTC; its order as text is its order in time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# examination


def _looked(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except (ConfigError, RemoteError) as error:
        return Finding(name, False, error.message, error.hint)


def _command(desk: Desk, name: str) -> str:
    root = desk.inbox.parent
    return f"alloop {name}" if root == Path() else f"alloop {name} {shlex.quote(str(root))}"


def _put_back(desk: Desk) -> str:
    """What makes the next round write all settings of a project of alloop's own again."""
    return f"rm {shlex.quote(str(_memory(desk)))}; {_command(desk, 'round')}  # puts all settings back"


def _server_finding(server: Server) -> Finding:
    """Whether somebody answers there, asked without the key."""
    try:
        import httpx
        import label_studio_sdk  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"the annotator label-studio needs {error.name}", INSTALL) from error
    try:
        said = httpx.get(f"{server.url}/api/version/", timeout=server.timeout_s, follow_redirects=True)
        version = str(said.json()["release"])
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise _unreachable(server.url, error) from None
    except (ValueError, KeyError, TypeError):
        raise RemoteError(
            f"{server.url} answers, but not as Label Studio does (status {said.status_code})", "is this the right url?"
        ) from None
    if not version.startswith(READ_OFF):
        hint = "tell us if something does not work"
        return Finding(
            "server", None, f"Label Studio {version} at {server.url}; alloop was tried with {READ_OFF}", hint
        )
    return Finding("server", True, f"Label Studio {version} at {server.url}")


def _key_finding(server: Server) -> tuple[Finding, bool]:
    """What kind of key it is and until when it is good, and whether the server takes it."""
    kind, until, is_old = _kind_of(server.key), "", False
    claims = _claims(server.key)
    if claims.get("token_type") == "access":
        message = f"{KEY} holds an access token, which is good for minutes only, not a personal access token"
        return Finding("key", False, message, _where_to_get(server, "")), False
    if kind == "personal access token":
        try:
            end = datetime.fromtimestamp(float(claims["exp"]), UTC)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            message = f"the personal access token in {KEY} is damaged; was all of it copied?"
            return Finding("key", False, message, _where_to_get(server, "")), False
        if end < datetime.now(UTC):
            message = f"the personal access token in {KEY} has expired on {end:%Y-%m-%d}"
            return Finding("key", False, message, _where_to_get(server, "")), False
        until = f", good until {end:%Y-%m-%d}"
        is_old = end - datetime.now(UTC) < SOON
    try:
        who = server.read(lambda c, o: c.users.whoami(request_options=o)).email
    except RemoteError as error:
        return Finding("key", False, error.message, error.hint), False
    if is_old:
        return Finding("key", None, f"a {kind} of {who}{until}", _where_to_get(server, "")), True
    return Finding("key", True, f"a {kind} of {who}{until}"), True


def _claims(key: str) -> dict[str, Any]:
    """What a personal access token (a JWT) says of itself; nothing for other keys. It is not verified here."""
    try:
        middle = key.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (IndexError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _rights(server: Server) -> Finding:
    """As far as the server lists them; Community lets everybody do everything."""
    who = server.read(lambda c, o: c.users.whoami(request_options=o))
    given = getattr(who, "permissions", None)
    if not isinstance(given, list):
        return Finding("rights", None, f"{server.url} does not list what {who.email} may do")
    if lacking := [one for one in RIGHTS if one not in given]:
        hint = f"ask an administrator of {server.url}, or use the key of somebody who may"
        return Finding("rights", False, f"{who.email} lacks: {', '.join(lacking)}", hint)
    return Finding("rights", True, f"{who.email} may see and change projects and tasks")


def _suggestions(server: Server, project: RemoteProject, there: Any, desk: Desk) -> Finding:
    """Label Studio shows the suggestions of one model; it should be that of the newest batch."""
    shown = there.model_version or ""
    where = [
        _filter("data.alloop_batch", "String", "equal", f"{desk.project}:{_number(desk.model_version)}"),
        _filter("total_predictions", "Number", "greater", 0),
    ]
    n = int(_page(server, project, where, "id", [], 1).response.total) if desk.model_version else 0
    settings = f"{server.url}/projects/{project.id}/settings/annotation"
    if shown and not shown.startswith("round-"):
        message = f"annotators see those of {shown!r}, not those that came with the tasks"
        return Finding("suggestions", None, f"{message}: do not go by what the report says of them")
    if not n:
        return Finding("suggestions", True, "none in the newest batch")
    if not there.show_collab_predictions:
        message = f"{n:,} tasks of the newest batch have one, but annotators see none"
        return Finding("suggestions", False, message, f"switch 'Use predictions to prelabel tasks' on in {settings}")
    if shown != desk.model_version:
        message = f"annotators see those of {shown or 'no model'!r}, the newest batch has those of"
        hint = f"choose {desk.model_version} in {settings}; the next batch sets it too"
        return Finding("suggestions", False, f"{message} {desk.model_version!r}", hint)
    return Finding("suggestions", True, f"{n:,} tasks of the newest batch have one, of {shown}")


def _number(model_version: str) -> int:
    return int(model_version.rpartition("-")[2] or 0)


def _looked_at_models(server: Server, project: RemoteProject) -> Iterator[Finding]:
    """Models that the project asks for predictions. The server only says whether it reaches them, not why it does not.

    As when the project's settings are opened, the server greets them now.
    """
    try:
        models = server.read(lambda c, o: c.ml.list(project=project.id, request_options=o))
    except RemoteError as error:
        yield Finding("ML backend", False, error.message, error.hint)
        return
    for model in models:
        place = urlsplit(model.url)
        name = f"{model.title or 'one'} at {place.hostname}:{place.port or (443 if place.scheme == 'https' else 80)}"
        if model.state == "CO":
            yield Finding("ML backend", True, f"{name} is connected")
        elif _is_local(server.url) and _is_local(model.url):
            yield Finding(
                "ML backend",
                False,
                f"the server does not reach {name}; it does not say why",
                "if it runs: Label Studio refuses addresses of its own machine unless it was started with "
                "LABEL_STUDIO_ML_BLOCK_LOCAL_IP=false (for webhooks: LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false)",
            )
        else:
            yield Finding("ML backend", False, f"the server does not reach {name}", "is it running?")


def _counts(server: Server, project: RemoteProject, desk: Desk) -> Iterator[Finding]:
    """What should be the same here and there: tasks, and which of them are answered; and no task twice."""
    there: dict[str, list[dict[str, Any]]] = defaultdict(list)
    try:
        for task in _listed(server, project, [], "id,data" + TOUCHED):
            if _is_ours(task, desk):
                there[task["data"]["alloop_key"]].append(task)
    except RemoteError as error:
        yield Finding("tasks", False, error.message, error.hint)
        return
    again = _command(desk, "round")
    expected = set(desk.open_keys())
    lost, more = sorted(expected - there.keys()), sorted(there.keys() - expected)
    if lost:
        message = f"not on the server any more: {len(lost):,} of {len(expected):,}, first {lost[0]}"
        yield Finding("tasks", False, message, f"{again}  # stops waiting for them; what was answered is kept")
    if more:
        message = f"on the server, but withdrawn or not known here: {len(more):,}, first {more[0]}"
        hint = f"{again}  # goes on with a push that was interrupted; else delete them in the Data Manager"
        yield Finding("tasks", False, message, hint)
    if not lost and not more:
        yield Finding("tasks", True, f"{len(expected):,} here and on the server")
    copied = {key: sum(map(_is_touched, copies)) for key, copies in there.items() if len(copies) > 1}
    if copied:
        message = f"more than once on the server: {len(copied):,}, first {min(copied)}"
        is_harmless = all(touched == len(there[key]) for key, touched in copied.items())
        hint = "somebody has worked on each, and all answers count: delete one in the Data Manager if it is wrong"
        if not is_harmless:
            hint = f"{again}  # removes copies that nobody has touched"
        yield Finding("copies", None if is_harmless else False, message, hint)
    answered = {
        key
        for key, copies in there.items()
        if any(one["total_annotations"] or one["cancelled_annotations"] for one in copies)
    }
    read = {key for key, ids in desk.standing(there.keys()).items() if ids}
    unread, undone = len(answered - read), len(read - answered)
    if unread or undone:
        parts = [f"{len(answered):,} tasks answered, not read yet: {unread:,}"]
        parts += [f"read, but not there any more: {undone:,}"] if undone else []
        yield Finding("answers", None, ", ".join(parts), f"{again}  # reads what is new")
    else:
        yield Finding("answers", True, f"{len(answered):,} tasks answered, all of them read")


# memory


def _names(desk: Desk) -> dict[str, str]:
    """What people may change; only the mark has to stay."""
    return {
        "title": f"alloop {desk.name}"[:50],
        "description": f"Made by alloop for its project {desk.name}. {_mark(desk)}",
    }


def _mark(desk: Desk) -> str:
    """What says in a project's description whose it is."""
    return f"alloop:{desk.project}"


def _memory(desk: Desk) -> Path:
    return desk.inbox / "label-studio.json"


def _remembered(desk: Desk) -> dict[str, Any] | None:
    try:
        known = json.loads(_memory(desk).read_text(encoding="utf-8"))
        return known if {"url", "id", "instance", "form", "labels"} <= known.keys() else None
    except (OSError, ValueError):
        return None
