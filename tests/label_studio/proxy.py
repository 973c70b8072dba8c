"""A proxy before the server that does to chosen requests what networks, proxies and ailing servers do to them.

A fault is a function of an `Exchange`; whether the server does the work all the same, it says by `carry_out`.
"""

import http.client
import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PAGE = b"<!doctype html><html><head><title>Trouble</title></head><body><h1>Trouble</h1></body></html>"
OF_ONE_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Exchange:
    """One request of the client, and what can be done with it. The last act ends it."""

    proxy: "Proxy"
    handler: BaseHTTPRequestHandler
    body: bytes

    @property
    def line(self) -> str:
        """Method and path, without the query."""
        return f"{self.handler.command} {self.handler.path.partition('?')[0]}"

    @property
    def is_write(self) -> bool:
        return self.handler.command != "GET"

    def carry_out(self) -> Answer:
        """Let the server do it, and then what was held back of the same kind: so do late commits arrive."""
        answer = self.do_it()
        for held in [one for one in self.proxy.held if one.line == self.line and one is not self]:
            self.proxy.held.remove(held)
            held.do_it()
        return answer

    def do_it(self) -> Answer:
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=120)
        try:
            headers = {k: v for k, v in self.handler.headers.items() if k.lower() not in OF_ONE_HOP}
            connection.request(self.handler.command, self.handler.path, self.body or None, headers)
            said = connection.getresponse()
            kept = {k: v for k, v in said.getheaders() if k.lower() not in OF_ONE_HOP}
            return Answer(said.status, kept, said.read())
        finally:
            connection.close()

    def answer(self, answer: Answer, length: int | None = None) -> None:
        """Send it, or `length` bytes of its body and then nothing more."""
        reason = http.client.responses.get(answer.status, "")
        lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{k}: {v}" for k, v in answer.headers.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(answer.body)}", "", ""]).encode("latin-1")
        self.handler.wfile.write(head + answer.body[:length])
        if length is not None:
            self.hang_up()

    def pass_on(self) -> None:
        self.answer(self.carry_out())

    def hang_up(self) -> None:
        self.handler.close_connection = True

    def wait(self) -> None:
        """Say nothing until the client gives up."""
        self.handler.connection.recv(1)
        self.hang_up()


Fault = Callable[[Exchange], None]


class Proxy:
    """Listens on a port of its own. `plan` says what is done at which request, counted from 1 since `restart`."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.plan: dict[int, Fault] = {}
        self.seen: list[str] = []
        self.held: list[Exchange] = []
        self.errors: list[BaseException | None] = []  # of the tests' own functions
        self.client: Path | None = None  # a file with the number of the client's process
        self._listener = _Listener(("127.0.0.1", 0), _Handler)
        self._listener.proxy = self
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._listener.server_port}"

    def restart(self, plan: Mapping[int, Fault] | None = None) -> None:
        """Count from 1 again, with a new plan."""
        self.plan, self.seen = dict(plan or {}), []

    def release(self) -> None:
        """Let the server do now all that was held back."""
        while self.held:
            self.held.pop(0).do_it()

    def stop(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()
        assert self.errors == []

    def take(self, exchange: Exchange) -> None:
        self.seen.append(exchange.line)
        self.plan.get(len(self.seen), Exchange.pass_on)(exchange)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Where the client or the server has gone, the other side sees a connection that is cut."""
        error = sys.exception()
        if not isinstance(error, OSError | http.client.HTTPException):
            self.proxy.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.proxy.take(Exchange(self.server.proxy, self, body))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = take  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Not on the test's stderr."""


def always(fault: Fault) -> dict[int, Fault]:
    """A plan with this fault at every request."""
    return dict.fromkeys(range(1, 200), fault)


def at_first(end: str, fault: Fault) -> dict[int, Fault]:
    """A plan with this fault at the first request whose path ends so."""
    there: list[str] = []

    def act(exchange: Exchange) -> None:
        is_it = exchange.line.endswith(end) and not there
        there.extend([end] if is_it else [])
        (fault if is_it else Exchange.pass_on)(exchange)

    return always(act)


# what can go wrong


def cut_before(exchange: Exchange) -> None:
    exchange.hang_up()


def cut_after(exchange: Exchange) -> None:
    exchange.carry_out()
    exchange.hang_up()


def cut_within(exchange: Exchange) -> None:
    said = exchange.carry_out()
    exchange.answer(said, length=len(said.body) // 2)
    exchange.hang_up()


def hang(exchange: Exchange) -> None:
    exchange.wait()


def hang_after(exchange: Exchange) -> None:
    exchange.carry_out()
    exchange.wait()


def late(exchange: Exchange) -> None:
    """The server does it only after the client has given up and sent it again, or at `release`."""
    exchange.wait()
    if exchange.is_write:
        exchange.proxy.held.append(exchange)


def says(status: int, body: Any = None, *, after: bool = False, **headers: str) -> Fault:
    """An answer that is not the server's; in JSON, or a page where there is no `body`."""
    kind = "text/html" if body is None else "application/json"
    said = Answer(status, {"Content-Type": kind, **headers}, PAGE if body is None else json.dumps(body).encode())

    def fault(exchange: Exchange) -> None:
        if after:
            exchange.carry_out()
        exchange.answer(said)

    return fault


FAULTS: dict[str, Fault] = {
    "cut before it was sent on": cut_before,
    "cut after it was carried out": cut_after,
    "cut within the answer": cut_within,
    "hangs": hang,
    "hangs, but carries it out": hang_after,
    "carries it out late": late,
    "401": says(401, {"detail": "Invalid token.", "status_code": 401}),
    "404": says(404, {"detail": "Not found.", "status_code": 404}),
    "429": says(429, {"detail": "Request was throttled."}, **{"Retry-After": "1"}),
    "500": says(500, {"detail": "Internal Server Error", "status_code": 500}),
    "500, but carries it out": says(500, {"detail": "Internal Server Error"}, after=True),
    "a page with status 502": says(502),
    "a page with status 200": says(200),
}
