"""alloop tune: a search that can be killed, and a config that keeps what people wrote in it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alloop import searching
from alloop.config import parse
from alloop.errors import ModelError
from alloop.executors import inline
from alloop.project import Project, tuner_spec
from alloop.rounds import run_round
from alloop.searching import _space, with_options
from alloop.tuning import Choice, tuners
from alloop.work import run_job
from tests.command import alloop, change, done
from tests.test_compare import die_at

Make = Callable[..., Project]
MINE = """
# what I found out
[options.tfidf]  # by hand
strength = 1e-6  # far too small
class_weights = "none"
max_features = 2000

# and my own words at the end
"""


@pytest.fixture
def project(make_project: Make) -> Project:
    """20 labels, most of them vehicles, and options under which everything is one."""
    return _labelled(make_project, "project", MINE)


def _labelled(make_project: Make, name: str, more: str = "") -> Project:
    made = make_project(name, batch=24, more=more)
    run_round(made)
    run_round(made, push=False)
    animals = [one.text_id for one in made.store.resolved(2, "pool") if one.labels == ("animal",)]
    with made.lock("test"), made.store.transaction():
        made.store.remove_texts(animals[:4])
    return made


def what_was_tried(project: Project) -> list[tuple[object, ...]]:
    jobs = [job for job in project.store.jobs("tune") if job.result is not None]
    return [(job.config["trial"], job.config["options"], job.result["value"]) for job in jobs if job.result]


def test_the_best_options_are_written_with_the_evidence_and_the_rest_stays(project: Project) -> None:
    before = (project.root / "alloop.toml").read_text()
    ran = done("tune", project.root, "--trials", "8", "--json")
    found = json.loads(ran.out)
    first, best = found["trials"][0], found["trials"][found["best"]]
    assert first["options"] == {"strength": 1e-6, "class_weights": "none"}
    assert best["value"] == max(one["value"] for one in found["trials"]) > first["value"]
    assert found["changed"]
    after = (project.root / "alloop.toml").read_text()
    assert parse(after).options == {"tfidf": {**best["options"], "max_features": 2000}}
    comment = after.split("[options.tfidf]")[1].splitlines()[1]
    assert comment.startswith("# alloop tune, 20")
    numbers = f"accuracy {best['value']:.3f} ({best['low']:.2f}–{best['high']:.2f}) against {first['value']:.3f} before"
    assert comment.endswith(f": {numbers}, 20 labels, 3 folds, 8 trials")
    for words in ("# what I found out", "# far too small", "# and my own words at the end", "max_features = 2000"):
        assert words in after
    assert after.split("# what I found out")[0] == before.split("# what I found out")[0]
    assert "partly lucky" in ran.err
    assert "Wrote [options.tfidf] into" in ran.err
    done("round", project.root, "--no-push")  # trains with them
    assert json.loads(project.store.round(3).config)["options"]["tfidf"]["strength"] == best["options"]["strength"]


def test_every_trial_is_a_row_of_jobs(project: Project) -> None:
    done("tune", project.root, "--trials", "3", "--folds", "2")
    jobs = project.store.jobs("tune")
    assert [(job.config["trial"], job.config["folds"], job.config["labels"]) for job in jobs] == [
        (0, 2, 20),
        (1, 2, 20),
        (2, 2, 20),
    ]
    assert all(job.result is not None and job.seconds is not None for job in jobs)


def test_a_search_that_was_killed_comes_to_the_same_end(
    project: Project, make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (project.root / "alloop.toml").read_text()
    begun = die_at(monkeypatch, 20)  # in the fourth trial: six jobs each
    with pytest.raises(SystemExit):
        searching.tune(project, trials=9)
    assert len(what_was_tried(project)) == 3
    assert (project.root / "alloop.toml").read_text() == before
    assert not list((project.root / "cache").glob("*"))
    begun.clear()
    monkeypatch.setattr(inline, "run_job", lambda job: (begun.append(job), run_job(job)))
    searching.tune(project, trials=9)
    assert 0 < len(begun) <= 6 * 6, "six trials were left"

    other = _labelled(make_project, "other", MINE)
    searching.tune(other, trials=9)
    assert what_was_tried(other) == what_was_tried(project)
    assert (other.root / "alloop.toml").read_text() == (project.root / "alloop.toml").read_text()


def test_the_same_search_again_tries_nothing_and_more_trials_go_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    done("tune", project.root, "--trials", "8")
    written = (project.root / "alloop.toml").read_text()
    begun = die_at(monkeypatch, 1)
    again = done("tune", project.root, "--trials", "8")
    assert begun == []
    assert "the settings were left as they are" in again.err
    assert (project.root / "alloop.toml").read_text() == written
    monkeypatch.setattr(inline, "run_job", run_job)
    done("tune", project.root, "--trials", "10")
    assert [trial for trial, _, _ in what_was_tried(project)] == list(range(10))


def test_other_labels_are_another_search(project: Project) -> None:
    done("tune", project.root, "--trials", "2", "--folds", "2")
    done("round", project.root)
    done("round", project.root, "--no-push")
    done("tune", project.root, "--trials", "2", "--folds", "2")
    jobs = project.store.jobs("tune")
    assert [job.config["trial"] for job in jobs] == [0, 1, 0, 1]
    assert len({job.config["search"] for job in jobs}) == 2


def test_settings_that_nothing_beats_are_left_as_they_are(make_project: Make) -> None:
    project = _labelled(make_project, "good")
    before = (project.root / "alloop.toml").read_text()
    ran = done("tune", project.root, "--trials", "2")
    assert (project.root / "alloop.toml").read_text() == before
    assert "No trial had a higher accuracy: the settings were left as they are." in ran.err
    assert "1, as configured" in ran.out


def test_when_the_time_is_up_no_trial_begins_but_the_configured_one(project: Project) -> None:
    before = (project.root / "alloop.toml").read_text()
    ran = done("tune", project.root, "--minutes", "0")
    assert len(project.store.jobs("tune")) == 1
    assert "no new one after 0 minutes" in ran.err
    assert "Time was up after 1 of 20 trials; the same command goes on." in ran.err
    assert (project.root / "alloop.toml").read_text() == before


def test_a_trial_that_fails_is_recorded_and_never_the_best(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(job: Path) -> None:
        options = json.loads((job / "job.json").read_text())["options"]
        if options["strength"] > 1e-6:
            raise ModelError("training failed: the loss is nan")
        run_job(job)

    monkeypatch.setattr(inline, "run_job", run)
    ran = done("tune", project.root, "--trials", "8", "--folds", "2", "--json")
    found = json.loads(ran.out)
    assert not found["changed"]
    failed = [one["failed"] for one in found["trials"] if "failed" in one]
    assert failed == ["training failed: the loss is nan"] * 7
    assert "note: 7 of 8 trials failed" in ran.err


def test_options_that_failed_are_tried_again_once_they_are_configured(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(job: Path) -> None:
        if json.loads((job / "job.json").read_text())["options"]["strength"] > 1e-6:
            raise ModelError("training failed: the loss is nan")
        run_job(job)

    monkeypatch.setattr(inline, "run_job", run)
    found = json.loads(done("tune", project.root, "--trials", "2", "--json").out)
    failed = found["trials"][1]["options"]
    change(project.root / "alloop.toml", {"strength = 1e-6": f"strength = {failed['strength']}"})
    change(project.root / "alloop.toml", {'class_weights = "none"': f'class_weights = "{failed["class_weights"]}"'})
    assert "training failed" in alloop("tune", project.root, "--trials", "2").err
    monkeypatch.setattr(inline, "run_job", run_job)
    found = json.loads(done("tune", project.root, "--trials", "2", "--json").out)
    assert [one["trial"] for one in found["trials"]] == [0, 1, 2]
    assert found["before"] == 2


def test_configured_options_that_fail_stop_the_search(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(job: Path) -> None:
        raise ModelError("the base is missing", "bring it back")

    monkeypatch.setattr(inline, "run_job", run)
    ran = alloop("tune", project.root)
    assert (ran.code, ran.err.splitlines()[-2:]) == (1, ["error: the base is missing", "hint: bring it back"])
    assert [job.result for job in project.store.jobs("tune")] == [None]


def test_an_open_round_keeps_its_settings_and_it_says_so(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    die_at(monkeypatch, 1)
    with pytest.raises(SystemExit):
        run_round(project)  # in train
    monkeypatch.setattr(inline, "run_job", run_job)
    assert "Round 3 is open and keeps its settings" in done("tune", project.root, "--trials", "8").err


def test_a_config_edited_meanwhile_is_not_written_over(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(job: Path) -> None:
        config = project.root / "alloop.toml"
        config.write_text(config.read_text().replace("max_features = 2000", "max_features = 3000"))
        run_job(job)

    monkeypatch.setattr(inline, "run_job", run)
    ran = alloop("tune", project.root, "--trials", "8")
    assert ran.code == 1
    assert "was edited meanwhile" in ran.err
    assert "strength = 1e-6" in (project.root / "alloop.toml").read_text()
    assert "alloop tune" not in (project.root / "alloop.toml").read_text()


def test_without_optuna_it_says_what_to_install(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    ran = alloop("tune", project.root)
    assert ran.code == 1
    assert "hint: pip install 'alloop[tune]'" in ran.err


@pytest.mark.parametrize("words", [("--trials", "0"), ("--trials", "1"), ("--folds", "1"), ("--minutes", "-1")])
def test_numbers_that_make_no_sense_are_usage_errors(project: Project, words: tuple[str, str]) -> None:
    assert alloop("tune", project.root, *words).code == 2


def test_too_few_labels_and_a_locked_project_are_errors(make_project: Make) -> None:
    project = make_project()
    assert "3 folds need 3 labelled texts or more of two labels at least" in alloop("tune", project.root).err
    with project.lock("alloop round"):
        assert "(alloop round)" in alloop("tune", project.root).err


def test_a_tuner_that_does_not_say_what_to_search_is_an_error(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuners.get("tfidf"), "search", {})
    ran = alloop("tune", project.root)
    assert ran.code == 1
    assert "'tfidf' does not say which of its options may be searched" in ran.err
    assert "hint: these do: adapter, bitfit, cloze" in ran.err


@pytest.mark.parametrize("name", tuners.names())
def test_what_a_tuner_lets_search_are_options_of_its_own_and_hold_the_defaults(name: str) -> None:
    defaults = tuners.options(name)
    for key, allowed in tuners.get(name).search.items():  # type: ignore[attr-defined]
        options = (key,) if isinstance(key, str) else key
        if isinstance(allowed, Choice):
            values = [one if isinstance(one, tuple) else (one,) for one in allowed.values]
            assert tuple(defaults[one] for one in options) in values
        else:
            values = [(allowed.low,), (allowed.high,)]
            assert allowed.low < defaults[key] < allowed.high
        for value in values:
            tuners.build(name, **dict(zip(options, value, strict=True)))


def test_a_warm_start_keeps_the_shape_of_the_model(make_project: Make) -> None:
    project = _labelled(make_project, "warm")
    change(project.root / "alloop.toml", {'tuner = "tfidf"': 'tuner = "lora"\nwarm_start = true'})
    spec = tuner_spec(project.config)
    assert ("rank", "alpha") in _space(spec, warm_start=False)
    assert ("rank", "alpha") not in _space(spec, warm_start=True)


FOUND = {"rank": 8, "learning_rate": 0.002}
TABLES = {
    "none": '[task]\nlabels = ["a", "b"]  # two\n',
    "other": '[options.margin]\nx = 1\n\n[task]\nlabels = ["a", "b"]\n',
    "there": '[task]\nlabels = ["a", "b"]\n[options.lora]\n# small\nrank = 4  # why\n\n# other\n[options.x]\nx = 1\n',
    "again": '[task]\nlabels = ["a", "b"]\n[options.lora]\n# alloop tune, 2020-01-01: old\nrank = 4',
    "apart": '[options.x]\na = 1\n[task]\nlabels = ["a", "b"]\n[options.lora]\nrank = 4\n[model]\nbase = "b"\n',
    "inline": '[options]\nlora = {rank = 4, steps = 9}\n[task]\nlabels = ["a", "b"]\n',
    "dotted": 'options.lora.rank = 4\n[task]\nlabels = ["a", "b"]\n',
    "empty": '[task]\nlabels = ["a", "b"]\n[options.lora]\n\n[model]\nbase = "x"',
}


@pytest.mark.parametrize("name", TABLES)
def test_options_find_their_place_in_any_config(name: str) -> None:
    before, after = TABLES[name], with_options(TABLES[name], "lora", FOUND, "# alloop tune, today: best")
    config = parse(before).model_dump()
    config["options"]["lora"] = {**config["options"].get("lora", {}), **FOUND}
    assert parse(after).model_dump() == config
    assert after.count("# alloop tune, ") == 1
    comments = [line.split("#")[1] for line in before.splitlines() if "#" in line and "alloop tune" not in line]
    assert [one for one in comments if f"#{one}" not in after] == []
    assert with_options(after, "lora", FOUND, "# alloop tune, today: best") == after, "and once more changes nothing"


@pytest.mark.slow
def test_lora_is_tuned(make_project: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    lora: Any = tuners.get("lora")
    short = Choice(((2, 0.1), (20, 0.1)))  # instead of its own 60 to 240 steps
    monkeypatch.setattr(lora, "search", {**lora.search, ("steps", "epochs"): short})
    project = _labelled(make_project, "lora")
    few = "[options.lora]\nsteps = 2\nepochs = 0.1\nrank = 2\nalpha = 4.0\nlearning_rate = 1e-5\n"
    change(project.root / "alloop.toml", {'tuner = "tfidf"': 'tuner = "lora"', "[annotate]": f"{few}[annotate]"})
    found = json.loads(done("tune", project.root, "--trials", "3", "--folds", "2", "--json").out)
    first = found["trials"][0]["options"]
    assert first == {"learning_rate": 1e-5, "steps": 2, "epochs": 0.1, "rank": 2, "alpha": 4.0}
    assert all(one["options"]["alpha"] == 2 * one["options"]["rank"] for one in found["trials"])
    assert found["changed"]
    assert (
        done("tune", project.root, "--trials", "3", "--folds", "2").err.splitlines()[-2].endswith("left as they are.")
    )
    assert done("round", project.root, "--no-push").err.startswith("Round 3 took")


def test_a_worse_log_loss_is_told() -> None:
    one = {"low": 0.8, "high": 0.95, "options": {"strength": 10.0}}
    found = {
        "tuner": "tfidf",
        "asked": 2,
        "left_out": [],
        "trials": [{"value": 0.8, "log_loss": 0.4, **one}, {"value": 0.9, "log_loss": 0.6, **one}],
        "before": 0,
        "best": 1,
        "difference": {"value": 0.1, "low": -0.02, "high": 0.2},
        "changed": True,
        "open_round": None,
    }
    said = searching.words(found, Path("here"))
    assert said[0].startswith("The best differs by +0.100 (-0.02 to +0.20) from what was configured.")
    assert said[1:] == [
        "note: log loss is worse, 0.600 against 0.400: trust its probabilities less.",
        "Wrote [options.tfidf] into here/alloop.toml.",
    ]
