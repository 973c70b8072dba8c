"""Tests of alloop.advice, and of what rounds, `run.stop`, status and report make of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from alloop.advice import advice, history
from alloop.errors import ConfigError
from alloop.metrics import decide
from alloop.project import Project
from alloop.reports import status
from alloop.rounds import run_round
from alloop.steps.context import published, read_ids
from alloop.stopping import stopping
from alloop.work import load_predictions
from tests.command import change, done
from tests.conftest import project_toml, sentences
from tests.test_rounds import rounds

MakeProject = Callable[..., Project]
ENDS_AT_16 = '[run]\nstop = "budget"\n[options.budget]\nlabels = 16\n'

pytestmark = pytest.mark.slow


def series(project: Project, split: str) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for row in project.store.metrics(split):
        found.setdefault(row.round, {})[row.name] = round(row.value, 6)
    return found


def stop_set(project: Project, number: int) -> tuple[list[str], np.ndarray]:
    """The ids and decisions of a round's stop set, from its files."""
    directory = published(project, project.store.round(number), "evaluate")
    assert directory is not None
    probs = load_predictions(directory / "stop").probs
    assert probs is not None
    return read_ids(directory / "stop"), decide(probs, "single").argmax(1)


def test_every_round_measures_what_stopping_rules_look_at(make_project: MakeProject) -> None:
    project = make_project()
    rounds(project, 4)
    found = series(project, "stop")
    assert {number: set(names) for number, names in found.items()} == {
        2: {"uncertainty"},
        3: {"kappa", "change", "delta_f", "uncertainty"},
        4: {"kappa", "change", "delta_f", "uncertainty"},
    }
    (_, before), (_, after) = stop_set(project, 2), stop_set(project, 3)
    assert found[3]["kappa"] == pytest.approx(cohen_kappa_score(before, after), abs=1e-6)
    assert found[3]["change"] == pytest.approx((before != after).mean(), abs=1e-6)
    assert {row.n for row in project.store.metrics("stop")} == {72}
    assert 0 < found[2]["uncertainty"] <= 1


def test_the_batch_is_judged_by_the_model_that_picked_it_without_its_random_texts(make_project: MakeProject) -> None:
    project = make_project(batch=10)
    rounds(project, 3)
    truth = {one.text_id: one.labels[0] for one in project.store.resolved(3, "pool")}
    picks = [pick for pick in project.store.picks(2) if pick.probability is None]
    right = [max(pick.predicted or {}, key=(pick.predicted or {}).__getitem__) == truth[pick.text_id] for pick in picks]
    (row,) = project.store.metrics("batch")
    assert (row.round, row.name, row.n) == (3, "accuracy", len(picks))
    assert row.value == pytest.approx(np.mean(right))
    assert row.low is not None
    assert row.low <= row.value


def test_a_text_that_was_erased_is_no_longer_compared(make_project: MakeProject) -> None:
    project = make_project()
    rounds(project, 2)
    unasked = sorted(set(project.store.stop_set()) - project.store.asked_ids())
    with project.store.transaction():
        project.store.erase_texts(unasked[:3])
    run_round(project)
    assert {row.name: row.n for row in project.store.metrics("stop") if row.round == 3} == dict.fromkeys(
        ["uncertainty", "change", "kappa", "delta_f"], 69
    )


def test_predictions_that_are_gone_for_good_do_not_fail_the_round(make_project: MakeProject) -> None:
    project = make_project()
    rounds(project, 2)
    (directory,) = project.root.glob("rounds/0002/evaluate-*")
    shutil.rmtree(directory)
    with project.store.transaction():  # without it, the same predictions cannot be made again
        project.store.erase_texts(sorted(set(project.store.stop_set()) - project.store.asked_ids())[:1])
    run_round(project)
    assert set(series(project, "stop")[3]) == {"uncertainty"}
    assert [one.round for one in history(project.store)] == [2, 3]


def test_a_renamed_label_is_no_change_and_a_new_one_no_obstacle(make_project: MakeProject) -> None:
    project = make_project()
    rounds(project, 3)
    labels = 'labels = ["vehicle", "beast", "plant"]\nrename = { animal = "beast" }'
    change(project.root / "alloop.toml", {'labels = ["animal", "vehicle"]': labels})
    project.__dict__.pop("config", None)
    run_round(project)
    (_, before), (_, after) = stop_set(project, 3), stop_set(project, 4)
    changed = (np.array(["beast", "vehicle"])[before] != np.array(["vehicle", "beast", "plant"])[after]).mean()
    assert series(project, "stop")[4]["change"] == pytest.approx(changed, abs=1e-6)
    assert changed < 0.5


def test_a_round_without_new_labels_is_no_evidence(make_project: MakeProject) -> None:
    project = make_project()
    rounds(project, 3)
    before = advice(project.config, history(project.store))
    rounds(project, 3, push=False)  # the first reads the last batch, the others train on the same labels again
    seen = history(project.store)
    assert [(one.round, one.labels) for one in seen] == [(2, 8), (3, 16), (4, 24)]
    assert [before["kappa"]["evidence"], advice(project.config, seen)["kappa"]["evidence"]] == [
        "kappa is not measured in 3 rounds yet"
    ] * 2


def test_advice_says_since_when_and_where_it_would_first_have_ended() -> None:
    from alloop import config
    from alloop.metrics import Metric
    from alloop.stopping import Seen

    changed = [0.5, 0.0, 0.1, 0.0, 0.0]
    seen = [
        Seen(number, 10 * number, 0.0, {"stop": {"change": Metric("change", value, None, None, 9)}})
        for number, value in enumerate(changed, 2)
    ]
    found = advice(config.parse('[task]\nlabels = ["a", "b"]\n'), seen)
    assert list(found) == stopping.names()
    assert (found["change"]["stop"], found["change"]["since"]) == (True, 5)
    assert found["change"]["first"] == {"round": 3, "labels": 30}
    assert (found["kappa"]["stop"], found["kappa"]["since"], found["kappa"]["first"]) == (False, None, None)


def test_the_named_rule_ends_a_run_before_it_asks_for_more(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    project = make_project("p", more=ENDS_AT_16)
    ran = done("run", "p")
    how = "o go on, change [options.budget] in p/alloop.toml or take out run.stop"
    assert ran.err.splitlines()[-2:] == [
        f"budget says stop: 16 of 16 labels. T{how}.",
        f"Next: alloop report p  # budget says stop; t{how}",
    ]
    last = project.store.last_round()
    assert last is not None
    assert (last.number, last.summary["labels"], last.summary["pushed"]) == (3, 16, 0)
    results = project.store.step_results(3)
    assert "directory" in results["train"]
    assert (results["select"], results["push"]) == ({"skipped": "nothing to pick"}, {"skipped": "nothing to ask"})
    assert len(project.store.asked_ids()) == 16
    # a second try pays for nothing either
    assert "Pushed nothing" in done("round", "p").err
    change(Path("p/alloop.toml"), {"labels = 16": "labels = 24"})
    assert json.loads(done("status", "p", "--json").out)["next"] == "alloop round p"
    done("run", "p")
    assert len(project.store.asked_ids()) == 24


def test_a_rule_that_nothing_names_ends_nothing(make_project: MakeProject) -> None:
    project = make_project(more="[options.budget]\nlabels = 8\n")
    assert [one.pushed for one in rounds(project, 3)] == [8, 8, 8]
    assert status(project)["stopping"]["budget"]["first"] == {"round": 2, "labels": 8}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('[run]\nstop = "kapa"\n', "run.stop: there is no stopping rule named 'kapa'"),
        ("[options.kappa]\ntreshold = 0.9\n", "options.kappa: stopping rule 'kappa' has no option 'treshold'"),
        ("[options.kappa]\nthreshold = 9\n", "options.kappa: stopping rule 'kappa': threshold = 9 is not between"),
        ("[options.kapa]\nthreshold = 0.9\n", "belongs to no plug-in this config uses"),
    ],
)
def test_a_rule_that_is_set_up_wrongly_is_refused_with_the_line(
    more: str, says: str, make_project: MakeProject
) -> None:
    project = make_project()
    path = project.root / "alloop.toml"
    path.write_text(path.read_text() + more)
    project.__dict__.pop("config", None)
    with pytest.raises(ConfigError, match=r"line \d+: ") as caught:
        run_round(project)
    assert says in caught.value.message
    if "kapa" in more:
        assert caught.value.hint == "did you mean 'kappa'?"


def test_status_and_report_show_every_rule(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project("p", more="[options.budget]\nlabels = 16\n[options.plateau]\nrounds = 3\n")
    monkeypatch.chdir(project.root.parent)
    rounds(project, 4)
    shown = done("status", "p").out
    assert "of 7 rules would stop: budget since round 3" in shown
    found = json.loads(done("report", "p", "--json").out)
    assert found["stopping"] == status(project)["stopping"]
    assert list(found["stopping"]) == stopping.names()
    keys = {"kappa", "change", "delta_f", "uncertainty", "batch_accuracy"}
    assert {frozenset(point["stopping"]) for point in found["points"]} == {frozenset(keys)}
    assert found["points"][0]["stopping"]["kappa"] is None
    assert set(found["points"][-1]["stopping"]["batch_accuracy"]) == {"value", "low", "high", "n"}
    rows = [line.split() for line in done("report", "p").out.splitlines()]
    assert next(row for row in rows if row[:1] == ["budget"])[:4] == ["budget", "3", "16", "stop:"]
    done("report", "p", "--html", "p.html")
    assert "When to stop" in Path("p.html").read_text(encoding="utf-8")


def test_a_simulated_run_keeps_what_rules_look_at_and_none_ends_it(
    write_csv: Callable[..., str], tmp_path: Path
) -> None:
    config = tmp_path / "sim.toml"
    config.write_text(project_toml(more=ENDS_AT_16))
    files = ["--data", write_csv("pool.csv", ["text", "label"], sentences()[:72])]
    files += ["--test", write_csv("test.csv", ["text", "label"], sentences()[72:])]
    words = ["--strategy", "margin", "--budget", 24, "--seeds", 1, "--out", tmp_path / "out", "--json"]
    (run,) = json.loads(done("simulate", *files, "--from", config, *words).out)["runs"]
    assert [point["labels"] for point in run["points"]] == [8, 16, 24]
    assert [point["stopping"]["kappa"] is None for point in run["points"]] == [True, False, False]
    assert run["points"][-1]["stopping"]["batch_accuracy"]["n"] > 0
