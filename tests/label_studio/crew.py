"""A crew of annotators who work at once, each in a thread, over the API and through the label stream."""

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.label_studio.people import Person

EDITS, SKIPS = 0.08, 0.05  # shares of answers


@dataclass
class Crew:
    """People who answer until told to stop. `waits` are the moments when somebody found the queue empty."""

    people: Sequence[Person]
    labels: Sequence[str]
    truth: Callable[[str], str]
    pause_s: tuple[float, float]
    seed: int = 0
    answered: int = 0
    edited: int = 0
    skipped: int = 0
    waits: list[float] = field(default_factory=list)
    trouble: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(len(self.people))]

    def __enter__(self) -> "Crew":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        rng, person, mine = random.Random(f"{self.seed}:{number}"), self.people[number], list[Any]()
        started = time.monotonic()
        try:
            while not self._stop.is_set():
                task = person.next_task()
                if task is None:
                    with self._lock:
                        self.waits.append(time.monotonic() - started)
                    self._stop.wait(0.3)
                    continue
                thinks = rng.uniform(*self.pause_s)
                if self._stop.wait(thinks):
                    return
                self._answer(rng, person, task, thinks, mine)
        except BaseException as trouble:  # a thread's own would be lost
            self.trouble.append(trouble)

    def _answer(self, rng: random.Random, person: Person, task: dict[str, Any], thinks: float, mine: list[Any]) -> None:
        is_skipped = rng.random() < SKIPS
        is_edit = bool(mine) and rng.random() < EDITS
        label = self.truth(task["data"]["text"]) if rng.random() < 0.9 else rng.choice(self.labels)
        if is_skipped:
            person.skip(task["id"], thinks)
        else:
            mine.append(person.answer(task["id"], [label], thinks))
        if is_edit:
            person.edit(rng.choice(mine), [rng.choice(self.labels)])
        with self._lock:
            self.answered += 1
            self.skipped += is_skipped
            self.edited += is_edit


def differences(annotations: Sequence[dict[str, Any]], rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """What is on the server and not in SQLite, or otherwise there; rows are (remote id, state, labels as JSON)."""
    here: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for remote_id, state, labels in rows:
        here.setdefault(remote_id, []).append((state, tuple(json.loads(labels))))
    found = []
    for one in annotations:
        state = "skipped" if one["was_cancelled"] else "labelled"
        labels = tuple(name for result in one["result"] for name in result["value"]["choices"]) * (state == "labelled")
        said = here.pop(str(one["id"]), [])
        if said != [(state, labels)]:
            found.append(f"annotation {one['id']} is {state} {labels} there and {said} here")
    return found + [f"annotation {one} is here and not there" for one in here]
