"""Tests of alloop.steps.besides: what rounds and folds give to tuners that learn from more than labels."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from alloop import crossvalidation
from alloop.errors import ConfigError, ModelError
from alloop.project import Project
from alloop.records import Example
from alloop.rounds import run_round
from alloop.store import Store
from alloop.tuning import FitJob
from alloop.tuning._directory import tuner_of
from alloop.tuning.tfidf import TfIdf
from alloop.work import TunerSpec, run_job, write_fit

MakeProject = Callable[..., Project]
TINY = "[options.distill]\nsteps = 2\nepochs = 0.1\ntexts = 20\n"


@dataclass(frozen=True)
class Curious(TfIdf):
    """TF-IDF that looks at texts without a label, and writes down what it was given."""

    unlabelled: int = 30

    def fit(self, job: FitJob, out: Path) -> dict[str, float]:
        measured = super().fit(job, out)
        (out / "seen.json").write_text(json.dumps([job.unlabelled, [one.text for one in job.train]]))
        return measured


@pytest.fixture
def curious(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alloop.tuning.tfidf.plugin", Curious)


def texts_of(store: Store, ids: list[str]) -> set[str]:
    return {text.text for text in store.texts(ids)}


@pytest.mark.usefixtures("curious")
def test_a_round_gives_texts_of_the_pool_that_judge_nothing(make_project: MakeProject) -> None:
    project = make_project()
    for _ in range(3):
        run_round(project)
    result = project.store.step_results(3)["train"]
    unlabelled, train = json.loads((project.path(result["directory"]) / "seen.json").read_text())
    store = project.store
    asked_before = texts_of(store, sorted(store.asked_how(3)))
    assert result["unlabelled"] == len(unlabelled) == 30
    assert set(unlabelled) <= texts_of(store, list(store.pool_ids()))
    assert not set(unlabelled) & (texts_of(store, store.test_ids()) | set(train) | asked_before)


@pytest.mark.usefixtures("curious")
def test_a_fold_gives_texts_that_no_fold_judges(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project()
    for _ in range(3):
        run_round(project)
    jobs: list[FitJob] = []
    monkeypatch.setattr(
        crossvalidation, "write_fit", lambda job, spec, fit: jobs.append(fit) or write_fit(job, spec, fit)
    )
    parts = crossvalidation.split(project, 2)
    crossvalidation.run_fold(project, parts, crossvalidation.spec_of(parts.config, "tfidf"), 0)
    assert len(jobs[0].unlabelled or ()) == 30
    assert not set(jobs[0].unlabelled or ()) & {*parts.texts, *texts_of(project.store, project.store.test_ids())}


@pytest.mark.usefixtures("curious")
def test_a_job_that_is_a_directory_holds_them(tmp_path: Path) -> None:
    for name, unlabelled in (("none", None), ("some", ["one\nline", "\ud800"])):
        job = tmp_path / name
        job.mkdir()
        write_fit(job, TunerSpec("tfidf", {}), FitJob(two(), "single", ("a", "b"), 0, None, unlabelled))
        run_job(job)
        assert json.loads((job / "out" / "seen.json").read_text())[0] == unlabelled


def two() -> list[Example]:
    return [Example("one", ("a",)), Example("two", ("b",))]


@pytest.mark.slow
def test_a_project_teaches_another(make_project: MakeProject, tmp_path: Path) -> None:
    teacher = make_project("teacher")
    for _ in range(2):
        run_round(teacher)
    student = make_project("student", tuner="distill", more=TINY + 'teacher = "../teacher"')
    for _ in range(2):
        run_round(student)
    result = student.store.step_results(2)["train"]
    assert result["unlabelled"] == 20
    about = json.loads((student.path(result["directory"]) / "model.json").read_text())
    assert about["tuner"] == "distill"
    assert "teacher" not in json.dumps(about), "the student stands alone"
    shutil.rmtree(teacher.root)
    model = student.path(result["directory"])
    assert tuner_of(model).predict(model, ["the cat sleeps here"], ("probs",), 0).probs is not None


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ("", ConfigError, "distill has no teacher"),
        ('teacher = "../gone"', ConfigError, "neither a model directory nor a project"),
        ('teacher = "../teacher"', ConfigError, "has no model yet"),
        ('teacher = "../other"', ModelError, r"knows the labels a, b \(single\), the student .* animal, vehicle"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused_before_the_round(
    more: str, error: type[Exception], said: str, make_project: MakeProject, tmp_path: Path
) -> None:
    make_project("teacher")
    (tmp_path / "other").mkdir()
    TfIdf().fit(FitJob(two(), "single", ("a", "b"), 0), tmp_path / "other")
    project = make_project("student", tuner="distill", more=TINY + more)
    with pytest.raises(error, match=said):
        run_round(project)
    assert project.store.rounds() == []
