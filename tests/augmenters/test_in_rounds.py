"""Augmenters that ask a model, in whole rounds."""

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from alloop import reports
from alloop.augmenters import _endpoint
from alloop.config import parse
from alloop.errors import ConfigError, RemoteError
from alloop.files import read_lines
from alloop.outgoing import export_project
from alloop.project import check_plugins
from alloop.rounds import run_round
from alloop.steps import augment, policies
from alloop.steps.context import Context
from tests.augmenters.chat import completion, failure, parent, serving
from tests.conftest import project_toml
from tests.tuning.families import make_checkpoint

pytestmark = pytest.mark.slow
ON = '[augment]\ngate = "off"\nuse = ["{}"]\n[options.{}]\n'


def paraphrase(number, body):
    return completion(f'["say {parent(body)} again {body["seed"] % 100}"]', (50, 10))


def asking(chat, **more):
    options = {"url": f'"{chat.url}"', "model": '"tiny"', "retries": 0, **more}
    return ON.format("llm", "llm") + "\n".join(f"{name} = {value}" for name, value in options.items())


def stored(project):
    made = project.store._sql("SELECT parent_id, text, seed FROM variants ORDER BY 1, 2")
    return [tuple(row) for row in made]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(_endpoint, "WAITS_S", (0.0,))


def test_a_model_in_the_project_is_found_from_wherever_the_round_is_run(make_project, monkeypatch):
    project = make_project(more=ON.format("contextual", "contextual") + 'base = "bases/tiny"')
    make_checkpoint("bert", project.root / "bases" / "tiny")
    monkeypatch.chdir("/")
    for _ in range(2):
        run_round(project)
    results = project.store.step_results(2)
    assert results["augment"]["variants"] == 8
    assert "spent" not in results["augment"]
    assert results["train"]["variants"] > 0


def test_an_endpoint_that_dies_in_a_round_costs_nothing_twice_and_the_children_are_those_of_a_whole_one(make_project):
    with serving(lambda number, body: paraphrase(number, body) if number != 4 else failure(500)) as chat:
        project = make_project(more=asking(chat))
        run_round(project)
        with pytest.raises(RemoteError, match="status 500"):
            run_round(project)
        assert stored(project) == []
        run_round(project)
        whole = make_project("whole", more=asking(chat, max_requests=0))
        for _ in range(2):
            run_round(whole)
    assert len(stored(project)) == 8
    assert stored(project) == stored(whole)
    answered = [one for one in read_lines(project.root / "cache" / "llm" / "requests.jsonl") if one["answer"]]
    assert len({one["question"] for one in answered}) == len(answered) == 8


def test_what_was_spent_reaches_the_database_the_report_and_the_terminal(make_project):
    with serving(paraphrase) as chat:
        project = make_project(more=asking(chat, max_requests=5, price_per_million_in=1000, price_per_million_out=2000))
        for _ in range(2):
            run_round(project)
    spent = {"requests": 5, "tokens_in": 250, "tokens_out": 50, "cost": 0.35, "stopped": "max_requests = 5 are used up"}
    assert project.store.step_results(2)["augment"]["spent"] == {"llm": spent}
    assert project.store.step_results(2)["augment"]["variants"] == 5
    assert reports.report(project)["points"][-1]["spent"] == {"llm": spent}
    said = reports.outcome_text(project, 2)
    assert "So far llm made 5 requests of 300 tokens, which cost 0.35. It asks no more: max_requests = 5" in said
    assert "llm" not in reports.outcome_text(project, 1), "nothing was asked in it"


def test_neither_test_texts_nor_texts_without_a_label_are_sent(make_project):
    with serving(paraphrase) as chat:
        project = make_project(more=asking(chat))
        for _ in range(3):
            run_round(project)
    sent = {parent(body) for body in chat.asked}
    labelled = {one.text_id for one in project.store.resolved(3, "pool")}
    assert sent <= {text.text for text in project.store.texts(sorted(labelled))}
    for secret in (project.store.test_ids(), sorted(project.store.audit_ids(3))):
        assert secret
        assert not sent & {text.text for text in project.store.texts(secret)}


def test_what_was_written_for_a_label_goes_when_its_text_gets_another(make_project):
    """The number of an answer is in it, and so is the label that was asked for."""

    def write(number, body):
        label = "animal" if 'label "animal"' in body["messages"][1]["content"] else "vehicle"
        return completion(f'["number {number} is about one {label}"]')

    with serving(write) as chat:
        project = make_project(more=asking(chat, mode='"write"'))
        for _ in range(2):
            run_round(project)
        context = Context(project, project.store.rounds()[1])
        before = project.store.resolved(2, "pool")
        other = {"animal": ("vehicle",), "vehicle": ("animal",)}
        changed = [replace(one, labels=other[one.labels[0]]) if place < 3 else one for place, one in enumerate(before)]
        with project.store.transaction():
            later = project.store.open_round(context.round.config, 0, {})
            project.store.add_resolved(later.number, changed)
        context = Context(project, later)
        done = augment.do(context)
        with project.store.transaction():
            augment.save(context, done)
        assert augment.do(context).rows == [], "nobody is asked again"
    labels = {one.text_id: one.labels[0] for one in changed}
    learnt = policies.learnable(context, "llm", changed)
    assert {text.rsplit(" ", 1)[1] == labels[one] for one, made in learnt.items() for text in made} == {True}
    assert len(learnt) == len(policies.parents(context, changed))
    earlier = policies.learnable(Context(project, project.store.rounds()[1]), "llm", before)
    then = {one.text_id: one.labels[0] for one in before}
    assert {text.rsplit(" ", 1)[1] == then[one] for one, made in earlier.items() for text in made} == {True}


def test_what_was_paid_for_goes_along_with_an_exported_project(make_project, tmp_path):
    with serving(paraphrase) as chat:
        project = make_project(more=asking(chat))
        for _ in range(2):
            run_round(project)
    export_project(project, tmp_path / "moved.tar.gz")
    with tarfile.open(tmp_path / "moved.tar.gz") as archive:
        archive.extractall(tmp_path / "there", filter="data")
    log = Path("cache") / "llm" / "requests.jsonl"
    assert (tmp_path / "there" / "project" / log).read_bytes() == (project.root / log).read_bytes()


def test_texts_that_would_leave_the_machine_are_refused_before_a_round_with_the_line(tmp_path):
    path = tmp_path / "alloop.toml"
    path.write_text(project_toml(more=ON.format("llm", "llm") + 'url = "https://api.example.org/v1"\nmodel = "big"'))
    with pytest.raises(ConfigError, match=r"line \d+: options\.llm.*your texts would leave it"):
        check_plugins(parse(path.read_text()), path)
