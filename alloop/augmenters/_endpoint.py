"""An OpenAI-compatible endpoint, asked with care: what was paid for is kept, budgets hold, the key stays secret.

Every attempt is a line of `requests.jsonl`: when, what was sent, what came back, tokens, cost, what went wrong. That
file is the memory of answers too: no question is paid for twice, whatever was killed in between, but for the one whose
answer came and was not written down yet.

Repeated is only what may be: after 429, a server's own trouble, a broken connection or a silence. The key is in no
line, message or error, also where the server sends it back.
"""

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from alloop.errors import ConfigError, RemoteError
from alloop.files import append_lines, read_lines

LOG = "requests.jsonl"
WAITS_S = (1.0, 3.0, 10.0, 30.0)  # before a request is repeated; the last one again and again
LONGEST_WAIT_S = 60.0  # whatever the server asks for
MOST_BYTES = 4_000_000  # of an answer; the rest is not read
MOST_KEPT = 20_000  # characters of an answer
STRANGE_ANSWERS = 5  # in a row, until it is the endpoint's fault and not a text's
SHORTEST_KEY = 6  # what is shorter stands in too many words to be kept out of them
NO_CREDIT = ("insufficient_quota", "insufficient_funds", "billing_hard_limit_reached")

_URL = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[^\s?#@\\]*)?")


class UsedUpError(Exception):
    """No request may be made any more. Says why."""


@dataclass
class Ledger:
    """What was asked so far in the project's life, and what came back.

    A question without an answer is excused once another one has been answered: the endpoint is right, and the text it
    asks about is not welcome.
    """

    path: Path
    answers: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)  # since the last answer
    excused: set[str] = field(default_factory=set)
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    stopped: str | None = None  # why nothing was asked any more, where that is the last that happened

    @classmethod
    def of(cls, directory: Path) -> "Ledger":
        ledger = cls(directory / LOG)
        for record in read_lines(ledger.path):
            ledger._count(record)
        return ledger

    def add(self, record: dict[str, Any]) -> None:
        """On disk when this returns."""
        append_lines(self.path, [record])
        self._count(record)

    def stop(self, why: str) -> None:
        """Nothing more is asked."""
        if self.stopped != why:
            self.add({"time": _now(), "stopped": why})

    def _count(self, record: Mapping[str, Any]) -> None:
        self.stopped = record.get("stopped")
        if self.stopped is not None:
            return
        self.requests += 1
        self.tokens_in += record["tokens_in"]
        self.tokens_out += record["tokens_out"]
        self.cost += record["cost"]
        if record["answer"] is not None:
            self.answers[record["question"]] = record["answer"]
        if record["answer"]:
            self.excused |= self.unanswered
            self.unanswered.clear()
        else:
            self.unanswered.add(record["question"])


def checked_url(url: str) -> str:
    """The url without its last slash. Raises ValueError for what is none, or could hide a secret or another host."""
    if not (found := _URL.fullmatch(url)):
        raise ValueError("url must be like http://127.0.0.1:11434/v1: no user, no password, no ? and no #")
    if found[2] and int(found[2][1:]) > 65535:
        raise ValueError(f"url has the port {found[2][1:]}; ports go up to 65535")
    return url.rstrip("/")


def is_local(url: str) -> bool:
    """Whether what is sent there stays on this machine."""
    found = _URL.fullmatch(url)
    host = found[1].strip("[]") if found else ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def key_in(name: str) -> str:
    """The API key in an environment variable, "" for no name. Raises ConfigError, without it, where it is none."""
    if not name:
        return ""
    key = os.environ.get(name, "").strip()
    if not key:
        raise ConfigError(f"the API key is to come from {name}, which is not set", f"export {name}=…")
    if len(key) < SHORTEST_KEY or not (key.isascii() and key.isprintable()) or " " in key:
        hint = f"export {name}=…, or leave key_from out where the server wants no key"
        raise ConfigError(f"what {name} holds is no API key: it is very short, or has signs that no key has", hint)
    return key


@dataclass
class Endpoint:
    """Where questions are answered, and what they may cost. Prices are for a million tokens."""

    url: str
    key: str = field(repr=False)
    key_from: str
    ledger: Ledger
    timeout_s: float
    retries: int
    max_requests: int
    max_cost: float
    price_in: float
    price_out: float
    strange: int = 0  # requests in a row that gave nothing to read
    used_up: str | None = None  # why nothing is asked any more

    def ask(self, question: str, body: Mapping[str, Any]) -> str:
        """The answer to a chat request, "" where there is none to be had; `question` is what it is remembered by.

        Raises UsedUpError before a request that a budget does not allow, RemoteError where the endpoint is down.
        """
        if question in self.ledger.answers:
            return self.ledger.answers[question]
        is_excused = question in self.ledger.excused
        attempt = 0
        while True:
            attempt += 1
            self._stay_within(body)
            got = self._once(body)
            self._write_down(question, body, attempt, got)
            if got.out_of_credit:
                raise self._used_up(f"the account at {self.url} has no credit left")
            if got.refused is not None:
                raise got.refused
            if got.answer is not None or got.is_strange:
                self.strange = self.strange + (not is_excused) if got.is_strange else 0
                if self.strange >= STRANGE_ANSWERS:
                    hint = "are url and model right, and is a proxy or a login page in between? Nothing is lost"
                    raise RemoteError(f"{self.url}: {got.error}, {self.strange} times in a row", hint)
                return got.answer or ""
            if attempt > self.retries:
                raise RemoteError(f"{self.url}: {got.error}, {attempt} times", self._wake(), is_temporary=True)
            wait = WAITS_S[min(attempt, len(WAITS_S)) - 1]
            time.sleep(min(max(wait, got.wait_s), LONGEST_WAIT_S))

    def _stay_within(self, body: Mapping[str, Any]) -> None:
        if self.used_up is not None:
            raise UsedUpError(self.used_up)
        if self.max_requests and self.ledger.requests >= self.max_requests:
            raise self._used_up(f"max_requests = {self.max_requests} are used up")
        most = self._cost(len(json.dumps(body).encode()), body["max_tokens"])  # no token is shorter than a byte
        if self.max_cost and self.ledger.cost + most > self.max_cost:
            raise self._used_up(f"max_cost = {self.max_cost:g} is used up, or would be by one more request")

    def _used_up(self, why: str) -> UsedUpError:
        self.used_up = why
        self.ledger.stop(why)
        return UsedUpError(why)

    def _cost(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6

    def _once(self, body: Mapping[str, Any]) -> "_Got":
        import httpx

        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        deadline = time.monotonic() + self.timeout_s
        client = httpx.Client(
            timeout=self.timeout_s,
            trust_env=not is_local(self.url),  # what is local must not go through a proxy that the environment names
            verify=self.url.startswith("https"),  # reading all certificates takes longer than a small answer
            follow_redirects=False,
        )
        try:
            with client, client.stream("POST", f"{self.url}/chat/completions", json=body, headers=headers) as response:
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MOST_BYTES:
                        error = f"its answer has more than {MOST_BYTES:,} bytes"
                        return _Got(error=error, answer="", is_strange=True, tokens_out=body["max_tokens"])
                    if time.monotonic() > deadline:
                        return _Got(error=f"no whole answer in {self.timeout_s:g} s", is_lost=True)
                wait = response.headers.get("retry-after", "")
                return self._read(response.status_code, bytes(content), float(wait) if wait.isdecimal() else 0.0)
        except httpx.ConnectError:
            return _Got(error="nobody answers there")
        except httpx.ConnectTimeout:
            return _Got(error=f"nobody answers there within {self.timeout_s:g} s")
        except httpx.TimeoutException:
            return _Got(error=f"no answer in {self.timeout_s:g} s", is_lost=True)
        except (httpx.RequestError, httpx.InvalidURL) as error:
            return _Got(error=f"it broke off its answer ({type(error).__name__})", is_lost=True)

    def _read(self, status: int, content: bytes, wait_s: float) -> "_Got":
        """What an answer says; texts in it are free of the key."""
        said = _as_json(content)
        words = self.without_key(_message(said, content))
        no_credit = status == 402 or (status == 429 and any(one in words for one in NO_CREDIT))
        words = words[:300]  # not cut before: half a key is a secret too
        detail = f": {words}" if words else ""
        if no_credit:
            return _Got(error=f"status {status}{detail}", out_of_credit=True)
        if status in (408, 425, 429) or status >= 500:
            what = "it is asked too often" if status == 429 else "it has trouble of its own"
            return _Got(error=f"{what} (status {status}){detail}", wait_s=wait_s)
        if status in (401, 403):
            key = f"the key in {self.key_from}" if self.key else "a request without a key"
            hint = 'put the key into an environment variable, and under [options.llm] its name: key_from = "…"'
            refused = RemoteError(f"{self.url} refused {key} (status {status}){detail}", None if self.key else hint)
            return _Got(error=f"status {status}{detail}", refused=refused)
        if status in (404, 405) or 300 <= status < 400:
            hint = (
                "under [options.llm]: does url end as the server wants it (often in /v1), and does it have this model?"
            )
            refused = RemoteError(f"{self.url} does not have what was asked for (status {status}){detail}", hint)
            return _Got(error=f"status {status}{detail}", refused=refused)
        if status >= 400:  # too long, or against its rules: another text may be welcome
            return _Got(error=f"it did not accept what was sent (status {status}){detail}", is_strange=True)
        return self._completion(said, words)

    def _completion(self, said: Any, words: str) -> "_Got":
        try:
            choice = said["choices"][0]
            message = choice["message"]["content"]
        except (TypeError, LookupError):
            error = f"it answered something that is no chat completion{': ' if words else ''}{words}"
            return _Got(error=error, answer="", is_strange=True)
        usage = said.get("usage") if isinstance(said.get("usage"), dict) else {}
        tokens = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        known = [
            one if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 10**9 else None for one in tokens
        ]
        answer = message if isinstance(message, str) else ""
        if choice.get("finish_reason") == "length":
            answer = answer[: answer.rfind("\n") + 1]  # its last line is not whole
        return _Got(answer=self.without_key(answer)[:MOST_KEPT], tokens_in=known[0], tokens_out=known[1])

    def _write_down(self, question: str, body: Mapping[str, Any], attempt: int, got: "_Got") -> None:
        """Tokens that the server does not count, or of an answer that was lost, are estimated, and rather too high."""
        worked = got.answer is not None or got.is_lost
        tokens_in, tokens_out = got.tokens_in, got.tokens_out
        if tokens_in is None:
            tokens_in = len(json.dumps(body).encode()) // 3 if worked else 0
        if tokens_out is None:
            tokens_out = body["max_tokens"] if got.is_lost else len((got.answer or "").encode()) // 3
        self.ledger.add(
            {
                "time": _now(),
                "question": question,
                "attempt": attempt,
                "url": self.url,
                "request": self.without_key(dict(body)),
                "answer": got.answer,
                "error": got.error,
                "tokens_in": tokens_in,
                "tokens_out": tokens_out,
                "estimated": worked and None in (got.tokens_in, got.tokens_out),
                "cost": self._cost(tokens_in, tokens_out),
            }
        )

    def without_key(self, value: Any) -> Any:
        """The same texts, lists and tables with "[key]" where the key stood, and without half characters."""
        if isinstance(value, str):
            text = whole(value)
            return re.sub(re.escape(self.key), "[key]", text, flags=re.IGNORECASE) if self.key else text
        if isinstance(value, Mapping):
            return {self.without_key(name): self.without_key(one) for name, one in value.items()}
        return [self.without_key(one) for one in value] if isinstance(value, Sequence) else value

    def _wake(self) -> str:
        if is_local(self.url):
            return "is the server running (ollama serve)? Nothing is lost; the same command goes on"
        return "nothing is lost; the same command goes on where it stopped"


@dataclass(frozen=True)
class _Got:
    """What came back of one attempt. Without an answer it may be repeated, unless one of the last three says more.

    is_lost: the server may have worked, and counted tokens. is_strange: nothing to read, perhaps due to this text.
    """

    answer: str | None = None
    error: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    wait_s: float = 0.0
    is_lost: bool = False
    is_strange: bool = False
    out_of_credit: bool = False
    refused: RemoteError | None = None


def whole(text: str) -> str:
    """As long as before, without half characters, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _as_json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _message(said: Any, content: bytes) -> str:
    """What a server says of its trouble, in a line; neither a page nor what is not JSON though it looks so."""
    error = said.get("error", said.get("detail", said.get("message"))) if isinstance(said, dict) else None
    if isinstance(error, dict):
        error = " ".join(str(error[name]) for name in ("message", "code", "type") if error.get(name))
    plain = content.decode("utf-8", "replace") if said is None and len(content) < 300 else ""
    words = str(error) if error else "" if plain.lstrip()[:1] in "<{[" or "\\" in plain else plain
    return "".join(one if one.isprintable() else " " for one in " ".join(words.split()))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
