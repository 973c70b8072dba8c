"""alloop compare: every tuner under the same folds, each (tuner, fold) trained once."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from alloop import comparing
from alloop.executors import inline
from alloop.project import Project
from alloop.rounds import run_round
from alloop.work import run_job
from tests.command import alloop, done

Make = Callable[..., Project]
TIMES = ("fit_seconds", "texts_per_second")


@pytest.fixture
def project(make_project: Make) -> Project:
    """Two rounds: 24 labels."""
    made = make_project(batch=24)
    run_round(made)
    run_round(made, push=False)
    return made


def die_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[Path]:
    """End the process, as far as a test can, at the job of this number (from 1); returns the jobs begun."""
    begun: list[Path] = []

    def run(job: Path) -> None:
        begun.append(job)
        if len(begun) == number:
            raise SystemExit(137)
        run_job(job)

    monkeypatch.setattr(inline, "run_job", run)
    return begun


def without_times(found: dict) -> dict:
    return {**found, "tuners": [{k: v for k, v in row.items() if k not in TIMES} for row in found["tuners"]]}


def test_it_says_how_good_each_tuner_is_and_what_it_costs(project: Project) -> None:
    found = json.loads(done("compare", project.root, "--tuner", "tfidf", "--json").out)
    assert {key: found[key] for key in ("metric", "labels", "folds")} == {
        "metric": "accuracy",
        "labels": 24,
        "folds": 5,
    }
    (row,) = found["tuners"]
    assert 0.8 < row["low"] <= row["value"] <= row["high"]
    assert row["difference"] is None
    assert row["bytes"] > 1000
    assert row["trainable_parameters"] > 100
    assert row["fit_seconds"] > 0
    assert row["texts_per_second"] > 0
    said = done("compare", project.root, "--tuner", "tfidf").out
    assert "24 labels, 5 folds" in said
    assert f"tfidf   {row['value']:.3f} ({row['low']:.2f}–{row['high']:.2f})" in said


def test_every_fold_is_a_row_of_jobs_and_nothing_else_is_written(project: Project) -> None:
    config = (project.root / "alloop.toml").read_text()
    files = sorted(project.root.rglob("*"))
    steps = [project.store.step_results(n) for n in (1, 2)]
    done("compare", project.root, "--tuner", "tfidf", "--folds", "3")
    jobs = project.store.jobs("compare")
    assert [(job.config["tuner"], job.config["fold"], job.config["labels"]) for job in jobs] == [
        ("tfidf", fold, 24) for fold in range(3)
    ]
    assert all(job.result is not None and job.finished_at for job in jobs)
    assert (project.root / "alloop.toml").read_text() == config
    assert sorted(project.root.rglob("*")) == files
    assert [project.store.step_results(n) for n in (1, 2)] == steps
    assert project.store.last_round().number == 2  # type: ignore[union-attr]


def test_a_second_time_it_trains_nothing_and_needs_no_lock(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first = done("compare", project.root, "--tuner", "tfidf", "--json").out
    begun = die_at(monkeypatch, 1)
    with project.lock("another command"):
        assert done("compare", project.root, "--tuner", "tfidf", "--json").out == first
    assert begun == []


def test_it_goes_on_after_a_kill_with_the_fold_that_was_running(
    project: Project, make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = die_at(monkeypatch, 6)  # the prediction of the third fold
    with pytest.raises(SystemExit):
        comparing.compare(project, ["tfidf"], 4)
    assert [job.result is None for job in project.store.jobs("compare")] == [False, False, True]
    assert not list((project.root / "cache").glob("*"))
    begun.clear()
    monkeypatch.setattr(inline, "run_job", lambda job: (begun.append(job), run_job(job)))
    found = comparing.compare(project, ["tfidf"], 4)
    assert len(begun) == 4, "two folds were left, each a fit and a prediction"

    other = make_project("other", batch=24)
    run_round(other)
    run_round(other, push=False)
    assert without_times(comparing.compare(other, ["tfidf"], 4)) == without_times(found)


def test_other_labels_or_options_are_another_comparison(project: Project) -> None:
    done("compare", project.root, "--tuner", "tfidf", "--folds", "2")
    with open(project.root / "alloop.toml", "a") as file:
        file.write("[options.tfidf]\nstrength = 0.1\n")
    (row,) = json.loads(done("compare", project.root, "--tuner", "tfidf", "--folds", "2", "--json").out)["tuners"]
    assert row["options"] == {"strength": 0.1}
    assert len(project.store.jobs("compare")) == 4
    done("round", project.root)
    done("round", project.root, "--no-push")
    done("compare", project.root, "--tuner", "tfidf", "--folds", "2")
    assert len(project.store.jobs("compare")) == 6


def test_it_waits_for_no_lock_and_says_who_holds_it(project: Project) -> None:
    with project.lock("alloop round"):
        ran = alloop("compare", project.root, "--tuner", "tfidf")
    assert ran.code == 1
    assert "(alloop round)" in ran.err


def test_a_tuner_that_does_not_exist_is_named_before_any_training(project: Project) -> None:
    ran = alloop("compare", project.root, "--tuner", "tfidf", "--tuner", "loar")
    assert ran.code == 1
    assert "error: there is no tuner named 'loar'" in ran.err
    assert "hint: did you mean 'lora'?" in ran.err
    assert project.store.jobs("compare") == []


def test_too_few_labels_and_too_few_folds_are_errors(make_project: Make) -> None:
    project = make_project()
    assert "there are: none" in alloop("compare", project.root).err
    assert alloop("compare", project.root, "--folds", "1").code == 2


def test_the_best_comes_first_and_one_that_may_be_as_good_is_named() -> None:
    costs = {"fit_seconds": 1.0, "trainable_parameters": None, "bytes": 2_000_000, "texts_per_second": 1234.0}
    row = {"low": 0.8, "high": 0.95, "log_loss": 0.3, "options": {}, **costs}
    found = {
        "metric": "f1_micro",
        "labels": 1200,
        "folds": 5,
        "left_out": ["variants"],
        "tuners": [
            {"tuner": "lora", "value": 0.9, "difference": None, **row},
            {"tuner": "features", "value": 0.89, "difference": {"value": -0.01, "low": -0.03, "high": 0.01}, **row},
            {"tuner": "tfidf", "value": 0.8, "difference": {"value": -0.1, "low": -0.15, "high": -0.05}, **row},
        ],
    }
    said = comparing.as_text(found).splitlines()
    assert said[0].startswith("1,200 labels, 5 folds")
    assert said[1].split() == "tuner micro-F1 difference a fit trained on disk texts/s".split()
    assert said[3].split() == "lora 0.900 (0.80–0.95) best 1.0 s – 2.00 MB 1,234".split()
    assert "-0.010 (-0.03 to +0.01)" in said[4]
    assert comparing.words(found) == [
        "note: trained without variants; rounds have them.",
        "These labels cannot tell features from lora: the difference may be none.",
    ]


@pytest.mark.slow
def test_all_three_tuners_are_compared_on_the_same_texts(project: Project) -> None:
    with open(project.root / "alloop.toml", "a") as file:
        file.write("[options.tfidf]\nstrength = 1e-4\n")
    found = json.loads(done("compare", project.root, "--folds", "2", "--json").out)
    rows = {row["tuner"]: row for row in found["tuners"]}
    assert set(rows) == {"tfidf", "features", "lora"}
    assert [row["value"] for row in found["tuners"]] == sorted((row["value"] for row in rows.values()), reverse=True)
    assert rows["lora"]["trainable_parameters"] > rows["features"]["trainable_parameters"] == 2 * 384 + 2
    best = found["tuners"][0]
    for row in found["tuners"][1:]:
        assert row["difference"]["value"] == pytest.approx(row["value"] - best["value"])
