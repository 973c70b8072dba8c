"""Tests of annotate.consensus: what a round makes of several answers to a text."""

import json
import shutil

import numpy as np
import pytest

from alloop import outgoing
from alloop.errors import ConfigError
from alloop.files import is_whole
from alloop.project import check_plugins
from alloop.reports import status, status_text
from alloop.rounds import run_round
from alloop.steps.pull import agreed, read_out_of_fold

pytestmark = pytest.mark.slow

SEVERAL = 'annotators_per_text = 3\nconsensus = "{}"\n[options.simulated]\nannotators = 4\nerror_rate = 0.3\n'


def test_a_rule_is_asked_for_by_name_and_its_options_are_checked(make_project):
    for more, words in (
        ('consensus = "dawid-skeene"', "did you mean 'dawid-skene'"),
        ('consensus = "dawid-skene"\n[options.dawid-skene]\nsteps = 3', "no option 'steps'"),
        ("[options.dawid-skene]\niterations = 3", "belongs to no plug-in this config uses"),
    ):
        with pytest.raises(ConfigError) as caught:
            make_project(f"p{len(words)}", more=more)
        assert words in f"{caught.value.message} {caught.value.hint}"
    check_plugins(make_project(more='consensus = "dawid-skene"\n[options.dawid-skene]\niterations = 3').config)


@pytest.mark.parametrize("rule", ["majority", "dawid-skene", "crowdlab"])
def test_a_round_trains_on_what_the_rule_says_and_exports_it(make_project, tmp_path, rule):
    project = make_project(more=SEVERAL.format(rule))
    for _ in range(3):
        run_round(project)
    resolved = project.store.resolved(3, "pool")
    assert {one.votes for one in resolved} == {3}
    assert all(0 <= one.confidence <= 1 for one in resolved)
    today, unused = agreed(project, project.config)
    assert unused == 0
    outgoing.export_labels(project, tmp_path / "labels.csv")
    header, *rows = (tmp_path / "labels.csv").read_text().splitlines()
    assert header.startswith("text,label,confidence,votes,tied,")
    assert len(rows) == len(today)
    assert ("out_of_fold" in project.store.step_results(3)["score"]) == (rule == "crowdlab")


def test_texts_of_two_of_two_minds_are_counted_exported_and_not_learnt_from(make_project, tmp_path):
    more = SEVERAL.format("majority").replace("annotators_per_text = 3", "annotators_per_text = 2")
    project = make_project(more=more)
    run_round(project)
    run_round(project)
    resolved = project.store.resolved(2, "pool")
    tied = [one for one in resolved if one.tied]
    assert tied
    assert all(one.confidence == 0.5 for one in tied)
    assert all(one.confidence == 1 for one in resolved if not one.tied)
    results = project.store.step_results(2)
    assert results["pull"]["tied"] == len(tied)
    assert results["train"]["labels"] == len(resolved) - len(tied)  # a model learns from the others
    assert status(project)["labels"]["tied"] == len(tied)
    assert f"{len(tied)} tied" in status_text(status(project))
    outgoing.export_labels(project, tmp_path / "labels.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert sum(row["tied"] for row in rows if row["split"] == "pool") == len(tied)


def test_crowdlab_hears_a_model_of_the_other_texts_but_not_of_those_that_measure(make_project, monkeypatch):
    rules = "random_share = 0.25"
    project = make_project(rules=rules, more=SEVERAL.format("crowdlab"))
    heard = []
    real = __import__("alloop.consensus.crowdlab", fromlist=["Crowdlab"]).Crowdlab.__call__

    def listen(self, votes, kind, labels, probs=None):
        heard.append((set(votes), dict(probs)))
        return real(self, votes, kind, labels, probs)

    monkeypatch.setattr("alloop.consensus.crowdlab.Crowdlab.__call__", listen)
    for _ in range(4):
        run_round(project)
    first, second, _, fourth = heard
    assert first == (set(), {})
    assert second[0]
    assert second[1] == {}  # the first batch was picked without a model
    store = project.store
    measuring = set(store.random_predictions(5)) | set(store.test_ids())
    asked_by_models = {pick.text_id for number in (2, 3) for pick in store.picks(number)}
    assert asked_by_models & measuring
    assert set(fourth[1]) & fourth[0] == fourth[0] - measuring
    known = {one.text_id for one in store.resolved(3, "pool")}
    stand_in = read_out_of_fold(project, 3, project.config.task)
    assert set(stand_in) == known
    assert all(np.array_equal(fourth[1][one], stand_in[one]) for one in known - measuring)


def test_what_the_stand_in_said_is_made_again_where_it_is_damaged_and_done_without_where_it_is_gone(make_project):
    project = make_project(more=SEVERAL.format("crowdlab"))
    for _ in range(2):
        run_round(project)
    directory = project.path(project.store.step_results(2)["score"]["out_of_fold"])
    assert is_whole(directory)
    before, _ = agreed(project, project.config)
    shutil.rmtree(directory)
    assert read_out_of_fold(project, 2, project.config.task) == {}
    without, _ = agreed(project, project.config)
    assert [one.text_id for one in without] == [one.text_id for one in before]
    run_round(project)
    assert is_whole(project.path(project.store.step_results(3)["score"]["out_of_fold"]))


def test_status_says_where_a_rule_has_nothing_to_weigh_annotators_by(make_project):
    project = make_project(more='consensus = "dawid-skene"\n')
    run_round(project)
    run_round(project)
    assert {one.confidence for one in project.store.resolved(2, "pool")} == {1.0}
    assert "none with two answers, so that dawid-skene takes them as they are" in status_text(status(project))
