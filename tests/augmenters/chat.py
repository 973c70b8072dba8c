"""A chat endpoint on this machine that does what it is told: answers, fails, hangs, talks nonsense, repeats the key."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, bytes, dict[str, str]]


class Chat:
    """What was asked of it, and what it is to say: a reply, or a function of the request's number and body."""

    def __init__(self, say: Callable[[int, dict[str, Any]], Reply | None]) -> None:
        self.say = say
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.done = threading.Event()

    @property
    def sent(self) -> str:
        """Everything that was sent to it."""
        return json.dumps(self.asked, ensure_ascii=False)


def completion(content: Any, tokens: tuple[int, int] | None = (100, 20), **more: Any) -> Reply:
    """As OpenAI's API answers."""
    said: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": content}, **more}]}
    if tokens is not None:
        said["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return 200, json.dumps(said).encode(), {}


def failure(status: int, message: str = "", **headers: str) -> Reply:
    return status, json.dumps({"error": {"message": message}}).encode(), headers


def parent(body: dict[str, Any]) -> str:
    """The text that another is asked of."""
    given = json.loads(body["messages"][1]["content"].split("\n\n")[-1])
    return str(given[0] if isinstance(given, list) else given)


@contextmanager
def serving(say: Callable[[int, dict[str, Any]], Reply | None]) -> Iterator[Chat]:
    """An endpoint. Where `say` returns None the connection is cut; where it waits for `chat.done`, nothing comes."""
    chat = Chat(say)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            chat.asked.append(body)
            chat.headers.append({name.lower(): value for name, value in self.headers.items()})
            reply = chat.say(len(chat.asked), body) if self.path == "/v1/chat/completions" else failure(404)
            if reply is None:
                self.close_connection = True
                return
            status, content, headers = reply
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(OSError):  # whoever asked has read enough
                self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    chat.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield chat
    finally:
        chat.done.set()
        server.shutdown()
        thread.join()
        server.server_close()
