"""Round after round while annotators work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alloop.annotators import _answers
from alloop.annotators.simulated import Simulated
from alloop.errors import AlloopError, RemoteError, WaitingError
from alloop.hints import leave_hint
from alloop.project import Project
from alloop.watching import watch

Make = Callable[..., Project]


def test_it_ends_when_nothing_is_left_to_ask_and_all_is_answered(make_project: Make) -> None:
    project = make_project(batch=40)
    outcomes = list(watch(project, every=0))
    assert [outcome.pushed for outcome in outcomes] == [40, 32, 0]
    assert outcomes[-1].labels == 72


def test_a_round_starts_before_annotators_run_dry_and_the_last_answers_are_waited_for(make_project: Make) -> None:
    project = make_project(batch=8, annotate="terminal")
    inbox = project.root / "inbox"

    def answer_one(reason: AlloopError) -> None:
        task = _answers.open_tasks(project.desk(project.config), "ada")[0]
        _answers.record(inbox, task.key, "ada", "labelled", ("animal" if task.rank % 2 else "vehicle",))

    outcomes = list(watch(project, every=0, until_labels=8, on_wait=answer_one))
    assert [(outcome.labels, outcome.pushed) for outcome in outcomes] == [(0, 8), (5, 0), (8, 0)]


def test_a_server_that_is_down_for_a_while_is_waited_for(make_project: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(batch=40)
    pull, troubles = Simulated.pull, [RemoteError("down", is_temporary=True), WaitingError("0 of 40"), None, None, None]

    def sometimes(self: Simulated, since: str, desk: Any) -> Any:
        if trouble := troubles.pop(0):
            raise trouble
        return pull(self, since, desk)

    monkeypatch.setattr(Simulated, "pull", sometimes)
    waited: list[AlloopError] = []
    assert len(list(watch(project, every=0, on_wait=waited.append))) == 3
    assert [str(one) for one in waited] == ["down", "0 of 40"]


def test_what_is_wrong_for_good_ends_the_watch(make_project: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Simulated, since: str, desk: Any) -> Any:
        raise RemoteError("the key is refused")

    monkeypatch.setattr(Simulated, "pull", refused)
    with pytest.raises(RemoteError):
        list(watch(make_project(), every=0))


def test_a_hint_ends_the_wait(make_project: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(annotate="file")
    waits = iter(range(2))

    def hint_once(reason: AlloopError) -> None:
        if next(waits) == 1:
            raise KeyboardInterrupt
        leave_hint(project.root / "inbox")

    with pytest.raises(KeyboardInterrupt):  # without the hint this would take an hour
        list(watch(project, every=3600, on_wait=hint_once))
    assert Path(project.root / "inbox" / "hint").exists()
