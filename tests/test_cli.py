"""The command line's contract: keys of its JSON, exit codes, who may do what at once."""

import contextlib
import csv
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alloop.project import Project
from tests.command import alloop, done
from tests.conftest import sentences

ALLOOP = [sys.executable, "-c", "from alloop.cli import main; main()"]
Make = Callable[..., Project]
TRUTH = dict(sentences())


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fill_in(file: Path, only: int | None = None) -> None:
    """What an annotator does with a file of the inbox: the true label into the label column of `only` so many rows."""
    with open(file, encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    for row in rows[:only]:
        row["label"] = TRUTH[row["text"]]
    attempt = file.with_name("saving.tmp")
    with open(attempt, "w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    attempt.replace(file)


def is_locked(root: Path) -> bool:
    with open(root / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def waits(project: Project, number: int) -> bool:
    """Whether a round has looked for answers and let go of the lock without any step finished."""
    row = project.store.unfinished_round()
    return row is not None and row.number == number and not is_locked(project.root)


@contextlib.contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    """`alloop` in another process, killed afterwards if it still runs."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*ALLOOP, *words], stdout=-1, stderr=-1, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(claim: Callable[[], bool], timeout_s: float = 40) -> None:
    end = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def test_help_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys\nfrom alloop import cli\ncli.execute(['--help'])\n"
        "slow = ('torch', 'transformers', 'sklearn', 'datasets', 'numpy')\n"
        "print([name for name in slow if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Commands:" in ran.stdout
    assert ran.stderr.strip() == "[]"


def test_every_command_has_help() -> None:
    commands = re.findall(r"^  ([a-z]+)  ", done("--help").out.split("Commands:")[1], re.MULTILINE)
    assert {"init", "add", "remove", "round", "run", "status", "report", "label", "predict", "export"} <= set(commands)
    for command in commands:
        assert done(command, "--help").out.startswith(f"Usage: alloop {command}")


def test_version_is_the_package_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done("--version").out)


def test_status_json_has_the_keys_of_the_contract(make_project: Make) -> None:
    make_project("p")
    done("round", "p")
    found = json.loads(done("status", "p", "--json").out)
    assert found["project"] == "p"
    assert found["texts"]["pool"] == 72
    assert found["texts"]["test"] == 24
    assert {"labelled", "skipped", "waiting"} <= set(found["labels"])
    assert (found["round"]["number"], found["round"]["finished"]) == (1, True)
    assert found["next"].startswith("alloop round p")


def test_report_json_has_the_keys_of_the_contract(make_project: Make) -> None:
    make_project("p")
    done("run", "p", "--rounds", 2)
    found = json.loads(done("report", "p", "--json").out)
    point = found["points"][-1]
    assert found["project"] == "p"
    keys = {"round", "labels", "labels_test", "labels_audit", "seconds_annotating", "strategy", "metrics"}
    assert keys <= set(point)
    assert {"value", "low", "high", "n"} <= set(point["metrics"]["accuracy"])
    assert len(json.loads(done("report", "p", "p", "--json").out)) == 2


def test_plugins_json_has_the_families_of_the_contract() -> None:
    found = json.loads(done("plugins", "--json").out)
    families = ["strategies", "tuners", "augmenters", "annotators", "executors", "stopping", "consensus"]
    assert list(found) == families
    for members in found.values():
        assert all({"summary", "options"} <= set(about) and about["summary"] for about in members.values())
    assert {"margin", "entropy", "least-confidence", "kmeans", "random"} <= set(found["strategies"])
    assert done("plugins", "tuners", "tfidf").out.startswith("tuners:\n  tfidf")


def test_report_writes_the_curve_as_png(make_project: Make) -> None:
    make_project("p")
    done("run", "p", "--rounds", 2)
    ran = done("report", "p", "--png", "curve.png")
    assert (ran.out, ran.err) == ("", "Drew curve.png.\n")
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")
    assert "accuracy" in done("report", "p").out


def test_waiting_exits_3_and_says_what_to_type(make_project: Make) -> None:
    make_project("p", annotate="file")
    done("round", "p")
    ran = alloop("round", "p")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.splitlines() == [
        "waiting: 0 of 8 tasks are answered; what was answered is kept",
        "hint: fill in p/inbox/round-0001.csv, then: alloop round p, or without the rest: alloop round p --now",
    ]
    assert not is_locked(Path("p"))


def test_round_now_goes_on_with_what_is_there(make_project: Make) -> None:
    make_project("p", annotate="file")
    done("round", "p")
    fill_in(Path("p/inbox/round-0001.csv"), only=7)
    assert alloop("round", "p").code == 3
    assert "Trained on 7 labels." in done("round", "p", "--now").err


def test_round_no_push_asks_nothing(make_project: Make) -> None:
    make_project("p")
    done("round", "p")
    assert "Trained on 8 labels." in (ran := done("round", "p", "--no-push")).err
    assert "Pushed nothing." in ran.err


def test_round_abandon_closes_the_open_round_and_keeps_its_labels(make_project: Make) -> None:
    make_project("p", annotate="file")
    done("round", "p")
    fill_in(Path("p/inbox/round-0001.csv"), only=5)
    assert alloop("round", "p").code == 3
    assert done("round", "p", "--abandon").err == "Closed round 2; its labels stay.\n"
    assert done("round", "p", "--abandon").err == "No round is open.\n"
    assert json.loads(done("status", "p", "--json").out)["labels"]["labelled"] == 5


def test_run_stops_after_as_many_rounds_as_asked_for(make_project: Make) -> None:
    make_project("p")
    ran = done("run", "p", "--rounds", 3)
    assert re.findall(r"Round (\d)", ran.err) == ["1", "2", "3"]
    assert ran.err.splitlines()[-1] == "Next: alloop round p"


def test_run_until_labels_pays_for_no_more(make_project: Make) -> None:
    make_project("p")
    done("run", "p", "--until-labels", 20)
    points = json.loads(done("report", "p", "--json").out)["points"]
    assert [point["labels"] for point in points] == [8, 16, 20]
    assert json.loads(done("status", "p", "--json").out)["labels"]["labelled"] == 20


def test_run_stops_where_the_pool_is_empty(make_project: Make) -> None:
    make_project("p", batch=40)
    ran = done("run", "p", "--rounds", 99)
    assert "no text is left to ask about" in ran.err.splitlines()[-1]
    assert len(re.findall(r"^Round", ran.err, re.MULTILINE)) == 3


@pytest.mark.slow
def test_run_watch_goes_on_when_annotators_have_answered_and_stops_cleanly(make_project: Make) -> None:
    project = make_project("p", annotate="file")
    inbox = Path("p/inbox")
    with running("run", "p", "--watch", "--every", "0.05") as process:
        for number in (1, 2):
            until((inbox / f"round-000{number}.csv").exists)
            until(lambda number=number: waits(project, number + 1))
            fill_in(inbox / f"round-000{number}.csv")
        until((inbox / "round-0003.csv").exists)
        until(lambda: waits(project, 4))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "Traceback" not in err
    assert err.count("waiting: ") >= 2
    assert "Trained on 16 labels." in err
    assert not is_locked(Path("p"))
    fill_in(inbox / "round-0003.csv")
    assert "Trained on 24 labels." in done("round", "p").err


@pytest.mark.slow
def test_ctrl_c_while_watching_says_that_nothing_is_lost(make_project: Make) -> None:
    make_project("p", annotate="file")
    done("round", "p")
    with running("run", "p", "--watch", "--every", "0.05") as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("waiting: 0 of 8 tasks")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "stopped; what was finished is kept, the same command goes on\n"
    assert not is_locked(Path("p"))


def test_a_second_round_says_who_holds_the_project(make_project: Make) -> None:
    project = make_project("p")
    with project.lock("alloop round"):
        ran = subprocess.run([*ALLOOP, "round", "p"], capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"error: process {os.getpid()} holds p since 20")
    assert "(alloop round)\nhint: wait until it is done" in ran.stderr
    done("round", "p")


def test_reading_works_while_the_project_is_held(make_project: Make) -> None:
    project = make_project("p")
    done("run", "p", "--rounds", 2)
    with project.lock("alloop round"), project.store.transaction():
        project.store.add_metrics([])
        held = json.loads(done("status", "p", "--json").out)
        assert held["holder"]["pid"] == os.getpid()
        assert held["next"].startswith("alloop status p")
        done("report", "p")
        done("predict", "p", "-", stdin="the cat sleeps here\n")
        done("export", "p", "--labels", "labels.csv")
        for words in ("round p", "add p pool.csv", "remove p --file pool.csv", "run p --rounds 1"):
            ran = alloop(*words.split())
            assert ran.code == 1
            assert "error: process" in ran.err


def test_doctor_prints_its_checks(make_project: Make) -> None:
    make_project("p")
    ran = done("doctor", "p")
    assert "ok    config:" in ran.out
    assert "cost:" in ran.out


def test_label_asks_and_says_what_is_next(make_project: Make) -> None:
    make_project("p", annotate="terminal")
    done("round", "p")
    ran = done("label", "p", stdin="animal\n" * 3 + "s\nq\n")
    assert "3 labelled, 1 skipped, 4 left." in ran.err
    assert ran.err.splitlines()[-1] == "Next: alloop label p"
    done("label", "p", stdin="vehicle\n" * 4)
    assert "Trained on 7 labels." in done("round", "p").err


def test_label_skips_tasks_of_removed_texts(make_project: Make) -> None:
    project = make_project("p", annotate="terminal")
    done("round", "p")
    asked = sorted(project.store.asked_ids())
    done("remove", "p", "--id", asked[0], "--id", asked[1])
    assert "6 labelled, 0 left." in done("label", "p", stdin="animal\n" * 3 + "vehicle\n" * 3).err
    assert "Trained on 6 labels." in done("round", "p").err


def test_label_is_refused_where_people_label_elsewhere(make_project: Make) -> None:
    make_project("p", annotate="file")
    ran = alloop("label", "p")
    assert ran.code == 1
    assert "this project's annotator is 'file', not the terminal" in ran.err


def test_a_reader_that_has_seen_enough_is_no_error(make_project: Make) -> None:
    make_project("p")
    done("run", "p", "--rounds", 2)
    predict = f"{sys.executable} -c 'from alloop.cli import main; main()' predict p -"
    command = f"yes 'the cat sleeps here' | head -20000 | {predict} | head -1; exit ${{PIPESTATUS[2]}}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "text,label,probability\n", "")
