"""Several people at once, while `alloop run --watch` runs round after round."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from alloop.annotators.label_studio import KEY
from alloop.project import Project
from alloop.rounds import run_round
from tests.label_studio.crew import Crew, differences
from tests.label_studio.people import Person
from tests.label_studio.server import StudioServer
from tests.label_studio.test_annotator import remembered, truth
from tests.test_cli import running, until

pytestmark = pytest.mark.slow


def test_everything_four_people_do_arrives_once(
    make_project: Callable[..., Project], studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, studio_server.token)
    settings = f'label-studio"\nurl = "{studio_server.url}"\nannotators_per_text = 2\n#'
    project = make_project(annotate=settings, batch=16, more="")
    config = project.root / "alloop.toml"
    config.write_text(config.read_text().replace("batch = 16", "batch = 16\nlow_water = 12"))
    run_round(project)
    users = [studio_server.add_user(f"crew{n}") for n in range(4)]
    number = remembered(project)["id"]
    people = [Person(studio_server.url, user.token, number) for user in users]
    watch = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from alloop.cli import main; main()",
            "run",
            str(project.root),
            "--watch",
            "--every",
            "0.3",
        ],
        env={**os.environ, KEY: studio_server.token},
        stderr=subprocess.PIPE,
        text=True,
    )
    with Crew(people, ["animal", "vehicle"], truth, pause_s=(0.5, 1.2)) as crew:
        until = time.monotonic() + 120
        while project.store.last_round().number < 4 and time.monotonic() < until:  # type: ignore[union-attr]
            time.sleep(0.2)
    watch.send_signal(signal.SIGTERM)
    words = watch.communicate(timeout=60)[1]
    assert watch.returncode == 143, words
    assert crew.trouble == []
    run_round(project, go_on=True, push=False)  # what was answered since the last look
    there: list[dict[str, Any]] = [
        dict(one) for task in Person(studio_server.url, studio_server.token, number).tasks() for one in task.annotations
    ]
    with sqlite3.connect(project.root / "alloop.db") as connection:
        here = connection.execute(
            "SELECT remote_id, state, labels FROM annotations WHERE seq IN"
            " (SELECT max(seq) FROM annotations WHERE backend <> 'import' GROUP BY backend, remote_id)"
        ).fetchall()
    assert crew.answered > 40
    assert differences(there, here) == []  # whether anybody waits is a matter of time: tests/bench/crew.py


def test_a_watch_outlasts_a_restart_of_the_server(
    make_project: Callable[..., Project], studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, studio_server.token)
    project = make_project(annotate=f'label-studio"\nurl = "{studio_server.url}"\n#')
    run_round(project)
    someone = Person(studio_server.url, studio_server.token, remembered(project)["id"])
    with running("run", str(project.root), "--watch", "--every", "0.2") as watch:
        assert watch.stderr is not None
        assert "0 of 8 tasks are answered" in watch.stderr.readline()
        studio_server.stop()
        until(lambda: "cannot be reached" in watch.stderr.readline())  # type: ignore[union-attr]
        studio_server.start()
        for task in someone.tasks():
            someone.answer(int(task.id), [truth(task.data["text"])])
        until(lambda: "Trained on" in watch.stderr.readline())  # type: ignore[union-attr]
    assert len(someone.tasks()) == 16
