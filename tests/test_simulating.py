"""Simulations of a few sentences with tf-idf. Every run is a project of its own, so that each test keeps to a few."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alloop.config import load, parse
from alloop.project import Project, check_plugins
from alloop.rounds import run_round
from alloop.simulating.clock import Clock, duration_words
from alloop.simulating.results import as_text, best_first, summarise
from alloop.simulating.run import Run, as_toml
from alloop.simulating.source import Setup, Source, setup
from alloop.simulating.source import load as load_texts
from alloop.simulating.workers import Order, Worker
from tests.command import alloop, done
from tests.conftest import project_toml, sentences

Write = Callable[..., str]
Make = Callable[..., Project]


@pytest.fixture
def files(write_csv: Write) -> list[str]:
    """72 pool texts and 24 test texts, as the first words of the command."""
    rows = sentences()
    pool = write_csv("pool.csv", ["text", "label"], [row for i, row in enumerate(rows) if i % 4])
    return ["--data", pool, "--test", write_csv("test.csv", ["text", "label"], rows[::4])]


SMALL = ["--tuner", "tfidf", "--strategy", "margin", "--strategy", "random", "--budget", 24, "--batch", 8]


def without_times(found: Any) -> Any:
    """A result but for what the clock said."""
    if isinstance(found, dict):
        return {key: without_times(value) for key, value in found.items() if "seconds" not in key}
    return [without_times(one) for one in found] if isinstance(found, list) else found


@pytest.mark.slow
def test_it_says_what_each_strategy_reaches(files, tmp_path):
    out = tmp_path / "out"
    ran = done("simulate", *files, *SMALL, "--seeds", 2, "--out", out, "--workers", 2, "--target", 0.5, "--json")
    found = json.loads(ran.out)

    assert [(one["strategy"], one["tuner"], one["seed"]) for one in found["runs"]] == [
        ("margin", "tfidf", 0),
        ("margin", "tfidf", 1),
        ("random", "tfidf", 0),
        ("random", "tfidf", 1),
    ]
    for one in found["runs"]:
        assert [point["labels"] for point in one["points"]] == [8, 16, 24]
        assert {"round", "labels_test", "labels_audit", "seconds_annotating", "strategy"} <= one["points"][0].keys()
        assert one["points"][0]["metrics"]["accuracy"].keys() == {"value", "low", "high", "n"}
    margin, random = found["summary"]
    finals = [one["points"][-1]["metrics"]["accuracy"]["value"] for one in found["runs"]]
    assert margin["final"]["value"] == pytest.approx(sum(finals[:2]) / 2)
    assert margin["labels"] == [8, 24]
    assert margin["seeds"] == 2
    assert margin["against_random"]["value"] == pytest.approx(margin["area"]["value"] - random["area"]["value"])
    assert sum(margin["against_random"][name] for name in ("wins", "ties", "losses")) == 2
    assert random["against_random"] is None
    assert margin["targets"][0]["target"] == 0.5
    assert margin["seconds"].keys() == {"score", "select", "round"}
    errs_not = {"annotators_per_text": 1, "annotators": 1, "error_rate": 0.0, "skip_rate": 0.0}
    assert found["annotators"] == {**errs_not, "consensus": "majority"}

    assert json.loads((out / "summary.json").read_text())["summary"] == found["summary"]
    rows = list(csv.DictReader((out / "curves.csv").read_text().splitlines()))
    assert [(row["strategy"], row["labels"]) for row in rows] == [
        (name, labels) for name in ("margin", "random") for labels in ("8", "16", "24")
    ]
    assert float(rows[2]["mean"]) == margin["final"]["value"]
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "<h1><bdi>Simulation out</bdi></h1>" in (out / "curves.html").read_text(encoding="utf-8")
    assert not (out / "projects").exists()
    assert "4 of 4 runs" in ran.err


@pytest.mark.slow
def test_a_run_is_what_live_rounds_of_the_same_config_are(files, tmp_path, make_project):
    out = tmp_path / "out"
    words = [*SMALL[:4], "--budget", 24, "--batch", 8, "--seeds", 1, "--workers", 1, "--json"]
    found = json.loads(done("simulate", *files, *words, "--out", out).out)
    live = make_project(batch=8)
    while run_round(live, until_labels=24).pushed:
        pass
    points = json.loads(done("report", live.root, "--json").out)["points"]
    assert without_times(found["runs"][0]["points"]) == without_times(points)


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(files, tmp_path):
    found = []
    for workers in (1, 2):
        words = [*SMALL, "--seeds", 2, "--workers", workers, "--out", tmp_path / f"out{workers}", "--json"]
        found.append(without_times(json.loads(done("simulate", *files, *words).out)))
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_killed_simulation_goes_on_where_it_was(files, tmp_path):
    out = tmp_path / "out"
    words = [*files, *SMALL, "--seeds", 2, "--workers", 1, "--json"]
    whole = without_times(json.loads(done("simulate", *words, "--out", tmp_path / "whole").out))

    command = ["simulate", *map(str, words), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from alloop.cli import main; main()", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:  # the first run is done, the second one begins
        if line.startswith("1 of 4 runs"):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.stderr.read()
    process.wait()
    process.stderr.close()
    first = [one.stat().st_mtime_ns for one in (out / "runs").glob("margin.tfidf.0.json")]
    assert len(first) == 1
    assert len(list((out / "runs").glob("*.json"))) < 4
    wait_for_workers_to_end(out)

    ran = done("simulate", *words, "--out", out)
    assert without_times(json.loads(ran.out)) == whole
    assert [one.stat().st_mtime_ns for one in (out / "runs").glob("margin.tfidf.0.json")] == first
    assert not (out / "projects").exists()


def wait_for_workers_to_end(out: Path) -> None:
    """They end by themselves as soon as whoever started them is gone."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        if not any(str(out).encode() in one for one in commands):
            return
    raise AssertionError("a worker outlives its simulation")


@pytest.mark.slow
def test_more_seeds_go_on_and_other_settings_are_refused(files, tmp_path):
    out = tmp_path / "out"
    words = [*files, "--tuner", "tfidf", "--strategy", "random", "--batch", 8, "--out", out, "--keep"]
    done("simulate", *words, "--budget", 8, "--seeds", 1)
    first = (out / "runs" / "random.tfidf.0.json").stat().st_mtime_ns
    assert Project.open(out / "projects" / "random.tfidf.0").config.run.keep == "metrics"
    ran = alloop("simulate", *words, "--budget", 16, "--seeds", 1)
    assert ran.code == 1
    assert "has runs with other settings: budget was 8, is 16\n" in ran.err
    done("simulate", *words, "--budget", 8, "--seeds", 2)
    assert (out / "runs" / "random.tfidf.0.json").stat().st_mtime_ns == first
    assert (out / "runs" / "random.tfidf.1.json").exists()


def test_a_config_that_names_no_base_has_the_default_one(files, tmp_path):
    config = tmp_path / "alloop.toml"
    config.write_text('[task]\nlabels = ["animal", "vehicle"]\n')
    source = Source(data=[files[1]], test=files[3], config=config)
    (tmp_path / "out").mkdir()
    load_texts(tmp_path / "out", source)
    assert setup(tmp_path / "out", source).config.model.base == "minilm"


@pytest.mark.slow
def test_the_annotator_errs_as_the_config_says(files, tmp_path):
    config = tmp_path / "noisy.toml"
    noisy = "annotators_per_text = 2\n[options.simulated]\nerror_rate = 1.0\nannotators = 3\n"
    config.write_text(project_toml(annotate="terminal", more=f"{noisy}[options.tfidf]\nstrength = 1.0\n"))
    words = [*files, "--from", config, "--strategy", "random", "--budget", 16, "--seeds", 1, "--out", tmp_path / "out"]
    found = json.loads(done("simulate", *words, "--keep", "--json").out)
    assert found["runs"][0]["points"][-1]["metrics"]["accuracy"]["value"] < 0.5
    project = Project.open(tmp_path / "out" / "projects" / "random.tfidf.0")
    assert {len(given) for given in project.store.answers().values()} == {2}


@pytest.mark.slow
def test_noisy_annotators_err_and_the_majority_of_three_errs_less(files, tmp_path):
    wrong = {}
    for asked in (1, 3):
        out = tmp_path / f"out{asked}"
        words = [*files, "--tuner", "tfidf", "--strategy", "random", "--budget", 64, "--batch", 32, "--seeds", 1]
        ran = done("simulate", *words, "--noise", 0.25, "--annotators", asked, "--out", out, "--keep", "--json")
        assert json.loads(ran.out)["annotators"]["annotators_per_text"] == asked
        project = Project.open(out / "projects" / "random.tfidf.0")
        given = project.store.answers()
        assert {len(answers) for answers in given.values()} == {asked}
        rows = project.store.resolved(project.store.rounds()[-1].number, "pool")
        truth = project.store.gold([one.text_id for one in rows])
        wrong[asked] = sum(one.labels != truth[one.text_id] for one in rows) / len(rows)
    assert "3 simulated annotators a text, each wrong about 25 % of the time; the majority decides\n" in ran.err
    # 0.25, and 3 * 0.25**2 * 0.75 + 0.25**3 = 0.16, of 64 texts
    assert 0.15 < wrong[1] < 0.4
    assert wrong[3] < wrong[1]
    ran = alloop("simulate", *words, "--noise", 0.25, "--annotators", 1, "--out", out)
    assert "has runs with other settings" in ran.err


@pytest.mark.slow
def test_second_opinions_are_paid_for_and_the_random_runs_ask_each_text_once(files, tmp_path):
    config = tmp_path / "again.toml"
    rules = "relabel_share = 0.5\nrepeat_share = 0.2"
    config.write_text(project_toml(annotate="terminal", rules=rules, more="[options.simulated]\nannotators = 4\n"))
    words = [*files, "--from", config, "--noise", 0.4, "--strategy", "margin", "--strategy", "random", "--budget", 32]
    found = json.loads(done("simulate", *words, "--seeds", 1, "--out", tmp_path / "out", "--json").out)
    last = {one["strategy"]: one["points"][-1] for one in found["runs"]}
    assert (last["random"]["labels"], last["random"]["labels_paid"]) == (32, 32)
    assert last["margin"]["labels"] == 32 < last["margin"]["labels_paid"]
    assert found["summary"][0]["labels"][1] == 32  # both are compared at the cost that both have reached


@pytest.mark.slow
def test_without_plotly_it_says_what_the_page_needs_and_writes_the_rest(files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    words = [*files, *SMALL[:2], "--strategy", "random", "--budget", 8, "--batch", 8, "--seeds", 1]
    ran = done("simulate", *words, "--out", tmp_path / "out")
    assert "note: curves.html needs plotly; pip install 'alloop[html]'" in ran.err
    assert (tmp_path / "out" / "curves.png").exists()
    assert not (tmp_path / "out" / "curves.html").exists()


def test_a_lower_calibration_error_wins():
    runs = [
        {"strategy": name, "tuner": "tfidf", "seed": 0, "points": [point(10, first), point(20, last)]}
        for name, first, last in (("margin", 0.3, 0.1), ("random", 0.4, 0.2))
    ]
    found = summarise(runs, "ece", [0.2])
    margin = found["summary"][0]
    assert (margin["against_random"]["wins"], margin["against_random"]["losses"]) == (1, 0)
    assert margin["against_random"]["value"] == pytest.approx(-0.1)
    assert (margin["targets"][0]["target"], margin["targets"][0]["labels"]) == (0.2, pytest.approx(15))
    assert [row["name"] for row in best_first(found)] == ["margin", "random"]


def point(labels: int, error: float) -> Any:
    return {"labels": labels, "labels_paid": labels, "metrics": {"ece": {"value": error}}, "seconds": {"score": 1.0}}


@pytest.mark.parametrize("tuners", [("tfidf",), ("features", "tfidf")])
def test_the_table_of_twenty_strategies_fits_and_begins_with_the_best(tuners):
    runs = [
        {
            "strategy": f"long-strategy-{n:02}" if n else "random",
            "tuner": tuner,
            "seed": seed,
            "points": [
                {
                    "labels": labels,
                    "labels_paid": labels,
                    "metrics": {"balanced_accuracy": {"value": n / 30 + seed / 100}},
                    "seconds": {"score": 100.0},
                }
                for labels in (100, 2000)
            ],
        }
        for tuner in tuners
        for n in range(20)
        for seed in range(5)
    ]
    lines = as_text(summarise(runs, "balanced_accuracy", [0.5, 0.6, 0.7])).splitlines()
    assert max(len(line) for line in lines) <= 120
    assert lines[3].startswith("long-strategy-19")
    assert sum("…" in line for line in lines) == 0
    assert lines[3].split()[-1] == "5/0/0"


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_can_be_corrected(files, tmp_path):
    config = tmp_path / "alone.toml"
    config.write_text(project_toml(annotate="terminal", more="annotators_per_text = 2\n"))
    words = [*files, "--from", config, "--strategy", "random", "--budget", 8, "--seeds", 1, "--out", tmp_path / "out"]
    ran = alloop("simulate", *words)
    assert ran.code == 1
    assert "error: random, tfidf, seed 0: annotators_per_text is 2, there are 1 simulated annotators" in ran.err
    assert not (tmp_path / "out").exists()
    config.write_text(project_toml())
    done("simulate", *words)


@pytest.mark.slow
def test_a_worker_that_dies_is_told_and_its_run_goes_on(files, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(Worker, "do", lambda worker, order: kill(worker, order))
    words = [*files, *SMALL[:2], "--strategy", "random", "--budget", 8, "--batch", 8, "--seeds", 1, "--out", out]
    ran = alloop("simulate", *words)
    assert ran.code == 1
    assert "error: random, tfidf, seed 0: the process ended with code -9 (out of memory?)" in ran.err
    assert f"{out / 'logs' / 'worker-1.txt'}" in ran.err
    monkeypatch.undo()
    done("simulate", *words)


def kill(worker: Worker, order: Order) -> None:
    worker.run = order.run
    worker._process.kill()


def test_options_of_nothing_that_is_used_are_refused(files, tmp_path):
    config = tmp_path / "misspelt.toml"
    config.write_text(project_toml(more="[options.simulatd]\nerror_rate = 0.1"))
    ran = alloop("simulate", *files, "--from", config, "--out", tmp_path / "out")
    assert f"{config}: [options.simulatd] belongs to no plug-in used here" in ran.err
    assert "did you mean 'simulated'?" in ran.err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_projects_own_labels_are_replayed_and_it_is_left_alone(make_project, tmp_path):
    project = make_project()
    while run_round(project, until_labels=40).pushed:
        pass
    before = {path: path.stat().st_mtime_ns for path in project.root.rglob("*") if path.suffix in (".toml", ".db")}
    words = ["--project", project.root, "--strategy", "random", "--seeds", 1, "--out", tmp_path / "out"]
    found = json.loads(done("simulate", *words, "--keep", "--json").out)
    assert [point["labels"] for point in found["runs"][0]["points"]] == [8, 16, 20]
    run = Project.open(tmp_path / "out" / "projects" / "random.tfidf.0")
    assert run.store.counts() == {"pool": 40, "test": 24}
    assert set(run.store.pool_ids()) == project.store.trained_ids(project.store.rounds()[-1].number)
    after = {path: path.stat().st_mtime_ns for path in project.root.rglob("*") if path.suffix in (".toml", ".db")}
    assert after == before


def test_a_projects_labels_are_replayed_without_noise(make_project, tmp_path):
    ran = alloop("simulate", "--project", make_project().root, "--noise", 0.1, "--out", tmp_path / "out")
    assert (ran.code, "a project's labels are replayed as they are" in ran.err) == (2, True)


def test_a_project_with_few_labels_cannot_be_replayed(make_project, tmp_path):
    project = make_project()
    ran = alloop("simulate", "--project", project.root, "--out", tmp_path / "out")
    assert ran.code == 1
    assert "labelled texts, too few to replay" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_file_without_labels_is_named(files, write_csv, tmp_path):
    bare = write_csv("bare.csv", ["text"], [["one"], ["two"]])
    words = ["--data", bare, "--labels", "animal,vehicle", *files[2:], "--tuner", "tfidf", "--batch", 2]
    ran = alloop("simulate", *words, "--out", tmp_path / "new" / "out")
    assert ran.code == 1
    assert f"error: {bare}: the simulated annotator needs true labels, and no row has one" in ran.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--budget", 7, "--batch", 8], 2, "the budget is 7 labels, a batch has 8"),
        (["--budget", 73, "--batch", 8], 2, "the budget is 73 labels, the pool has 72 texts"),
        (["--strategy", "margins"], 1, "there is no strategy named 'margins'"),
        (["--tuner", "tf-idf"], 1, "there is no tuner named 'tf-idf'"),
        (["--seeds", 0], 2, "--seeds"),
        (["--project", "somewhere"], 2, "a project has its own texts"),
        (["--noise", 1.5], 2, "--noise"),
        (["--label-column", "lable"], 1, "has no column lable"),
    ],
)
def test_what_makes_no_sense_is_said_before_any_work(files, tmp_path, words, code, said):
    ran = alloop("simulate", *files, *words, "--out", tmp_path / "out")
    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert not (tmp_path / "out").exists()


def test_without_texts_or_test_texts_it_says_what_is_missing(files, tmp_path):
    assert "say which texts" in alloop("simulate", "--out", tmp_path / "out").err
    ran = alloop("simulate", *files[:2], "--out", tmp_path / "out")
    assert "there are no test texts to measure on" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_directory_of_something_else_is_left_alone(files, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    ran = alloop("simulate", *files, "--out", tmp_path / "out")
    assert "is there already, and is no simulation" in ran.err
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_a_config_written_to_a_file_reads_as_an_equal_one(make_project):
    config = load(make_project(more="[options.kmeans]\n").root / "alloop.toml")
    assert parse(as_toml(config)) == config


def test_random_stays_uniform_beside_strategies_whose_batches_are_made_otherwise():
    shared = Setup(parse(project_toml(batch_mode="power", rules="balance = true")), {})
    margin, uniform = (shared.config_of(Run(name, "tfidf", 0)) for name in ("margin", "random"))
    assert (margin.round.batch_mode, margin.round.balance) == ("power", True)
    assert (uniform.round.batch_mode, uniform.round.balance) == ("top", False)
    check_plugins(uniform)


def test_the_clock_counts_rounds_of_the_same_kind():
    runs = [Run(strategy, "tfidf", seed) for strategy in ("margin", "random") for seed in (0, 1)]
    clock = Clock(runs, {}, rounds=4, workers=2)
    assert clock.words() == "0 of 4 runs"
    clock.round_done(runs[0], 1, 10.0)
    # 3 + 4 rounds of margin at 10 s; 8 of random, of which only the tuner is known; by two
    assert clock.seconds_left == pytest.approx((3 + 4 + 8) * 10 / 2)
    clock.round_done(runs[2], 1, 2.0)
    assert clock.seconds_left == pytest.approx((7 * 10 + 7 * 2) / 2)
    for run in runs[:3]:
        clock.run_done(run)
    assert clock.words() == "3 of 4 runs; about 8 s left"
    assert [duration_words(seconds) for seconds in (40, 720, 12_600)] == ["40 s", "12 min", "3.5 h"]


@pytest.mark.slow
def test_a_project_without_test_texts_gives_a_fifth_of_its_labels(files, tmp_path):
    root = tmp_path / "labelled"
    done("init", root, "--data", files[1], "--with", "file")
    words = ["--project", root, "--tuner", "tfidf", "--strategy", "random", "--seeds", 1, "--batch", 10]
    ran = done("simulate", *words, "--out", tmp_path / "out")
    assert "note: no test text has a label: one in 5 of the labelled texts measures instead" in ran.err
    assert "Read 57 pool texts, 15 test texts." in ran.err


@pytest.mark.slow
def test_features_reads_every_text_once_for_all_runs(files, tmp_path):
    out = tmp_path / "out"
    words = [*files, "--tuner", "features", "--strategy", "random", "--budget", 16, "--batch", 8, "--seeds", 1]
    ran = done("simulate", *words, "--out", out, "--keep", "--json")
    assert "Reading 96 texts once for all runs of features." in ran.err
    project = Project.open(out / "projects" / "random.features.0")
    assert project.config.options_of("features") == {"vectors": str(out / "vectors")}
    assert "Reading" not in done("simulate", *words, "--out", out, "--keep").err
