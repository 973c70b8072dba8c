"""Annotators who work through the API, as a browser would: they open the next task, answer, skip, think again."""

import atexit
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
from label_studio_sdk import LabelStudio


@dataclass(frozen=True)
class Person:
    """Somebody with a token who labels in one Label Studio project."""

    url: str
    token: str
    project: int

    @property
    def client(self) -> LabelStudio:
        return _client(self.url, self.token)

    def tasks(self) -> list[Any]:
        """All tasks with all that belongs to them, in the order they were made."""
        return sorted(self.client.tasks.list(project=self.project, page_size=1000), key=lambda task: int(task.id))

    def next_task(self) -> dict[str, Any] | None:
        """The task that the label stream shows this person now, locked for them; None where the queue is empty."""
        answer = _connection(self.url).get(
            f"{self.url}/api/projects/{self.project}/next", headers={"Authorization": f"Token {self.token}"}
        )
        return None if answer.status_code == 404 else dict(answer.raise_for_status().json())

    def answer(self, task: int, labels: Sequence[str] = (), seconds: float = 2.0) -> int:
        """Choose labels; returns the annotation's id."""
        done = self.client.annotations.create(
            task, result=choices(labels), lead_time=seconds, request_options={"max_retries": 0}
        )
        return int(done.id)

    def skip(self, task: int, seconds: float = 1.0) -> int:
        done = self.client.annotations.create(task, result=[], was_cancelled=True, lead_time=seconds)
        return int(done.id)

    def edit(self, annotation: int, labels: Sequence[str]) -> None:
        self.client.annotations.update(annotation, result=choices(labels))

    def delete(self, annotation: int) -> None:
        self.client.annotations.delete(annotation)


@cache
def _connection(url: str) -> httpx.Client:
    connection = httpx.Client(timeout=60)
    atexit.register(connection.close)
    return connection


@cache
def _client(url: str, token: str) -> LabelStudio:
    return LabelStudio(base_url=url, api_key=token, httpx_client=_connection(url))


def choices(labels: Sequence[str]) -> list[dict[str, Any]]:
    return [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": list(labels)}}]
