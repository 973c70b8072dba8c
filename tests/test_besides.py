"""Tests of alloop.steps.besides: what rounds and folds give to tuners that learn from more than labels."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from alloop import crossvalidation
from alloop.errors import AlloopError, ConfigError, ModelError
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


# ---- other tasks ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sociable(TfIdf):
    """TF-IDF that is given other tasks, and writes down which."""

    others: tuple[str, ...] = ()

    def fit(self, job: FitJob, out: Path) -> dict[str, float]:
        measured = super().fit(job, out)
        (out / "seen.json").write_text(
            json.dumps(
                [[one.name, one.kind, one.labels, [[e.text, e.labels] for e in one.train]] for one in job.others]
            )
        )
        return measured


@pytest.fixture
def sociable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alloop.tuning.tfidf.plugin", Sociable)


def others(*names: str) -> str:
    return f"[options.tfidf]\nothers = {json.dumps(list(names))}"


WriteCsv = Callable[..., str]


@pytest.mark.usefixtures("sociable")
def test_a_round_gives_files_and_projects_but_no_text_that_judges(
    make_project: MakeProject, write_csv: WriteCsv
) -> None:
    other = make_project("other")
    for _ in range(2):
        run_round(other)
    write_csv("plain.csv", ["text", "label"], [["so good", "yes"], ["so bad", "no"], ["who knows", ""]])
    write_csv("tags.csv", ["text", "label"], [["a", "x|y"], ["b", "[]"], ["c", "x"], ["the cat sleeps here", "y"]])
    project = make_project("project", more=others("../plain.csv", "../tags.csv", "../other"))
    store = project.store
    assert "the cat sleeps here" in texts_of(store, store.test_ids())
    for _ in range(2):
        run_round(project)
    result = store.step_results(2)["train"]
    plain, tags, third = json.loads((project.path(result["directory"]) / "seen.json").read_text())
    assert plain == ["plain.csv", "single", ["no", "yes"], [["so good", ["yes"]], ["so bad", ["no"]]]]
    assert tags == ["tags.csv", "multi", ["x", "y"], [["a", ["x", "y"]], ["b", []], ["c", ["x"]]]]
    assert third[:3] == ["other", "single", ["animal", "vehicle"]]
    labelled = {one.text_id for one in store.resolved(2, "pool")}
    judging = texts_of(store, [*store.test_ids(), *(store.asked_how(2).keys() - labelled)])
    assert not {text for text, _ in third[3]} & judging
    counts = {Path(source).name: row for source, row in result["others"].items()}
    assert counts["plain.csv"] == {"labels": 2, "left_out": 0}
    assert counts["tags.csv"] == {"labels": 3, "left_out": 1}
    assert counts["other"]["labels"] == len(third[3]) > 0


@pytest.mark.slow
def test_a_project_learns_beside_another_task(make_project: MakeProject, write_csv: WriteCsv) -> None:
    write_csv("plain.csv", ["text", "label"], [["so good", "yes"], ["so bad", "no"]] * 3)
    more = '[options.multitask]\nsteps = 2\nepochs = 0.1\nothers = ["../plain.csv"]'
    project = make_project(tuner="multitask", more=more)
    for _ in range(2):
        run_round(project)
    result = project.store.step_results(2)["train"]
    model = project.path(result["directory"])
    assert tuner_of(model).predict(model, ["so good"], ("probs",), 0).labels == ("animal", "vehicle")
    assert next(iter(result["others"].values())) == {"labels": 6, "left_out": 0}


@pytest.mark.usefixtures("sociable")
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, "neither a file nor a project"),
        ([["one", "a"], ["two", "a"]], "has the label a alone"),
        ([["one", ""], ["two", ""]], "has no labels"),
    ],
)
def test_another_task_that_is_none_is_refused_before_the_round(
    rows: list[list[str]] | None, said: str, make_project: MakeProject, write_csv: WriteCsv
) -> None:
    if rows is not None:
        write_csv("plain.csv", ["text", "label"], rows)
    project = make_project(more=others("../plain.csv"))
    with pytest.raises(AlloopError, match=said) as caught:
        run_round(project)
    assert "plain.csv" in caught.value.message
    assert caught.value.hint
    assert project.store.rounds() == []


@pytest.mark.slow
def test_multitask_without_other_tasks_is_refused_before_the_round(make_project: MakeProject) -> None:
    project = make_project(tuner="multitask")
    with pytest.raises(ConfigError, match="no other tasks"):
        run_round(project)
