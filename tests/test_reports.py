import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from alloop import config as configs
from alloop.project import CONFIG, DATABASE, Project
from alloop.records import Annotation, Task
from alloop.reports import confused, outcome_text, per_label, report, status, status_text
from alloop.steps import STEPS
from alloop.store import MetricRow, Resolved, Store, StoredText, now


def make(tmp_path: Path, texts: int = 6, test: int = 0, **settings: str) -> Project:
    """A project of short texts p0, p1, … (pool) and t0, t1, … (test), made without reading any file."""
    root = tmp_path / "pets"
    root.mkdir()
    annotate, more = settings.get("annotate", "terminal"), settings.get("more", "")
    content = f'[task]\nlabels = ["cat", "dog"]\n[model]\ntuner = "tfidf"\n[round]\nbatch = 2\n{more}\n'
    (root / CONFIG).write_text(f'{content}[annotate]\nwith = "{annotate}"\n')
    store = Store.create(root / DATABASE, "uid")
    with store.transaction():
        for split, n in (("pool", texts), ("test", test)):
            rows = [StoredText(f"{split[0]}{i}", f"text {split} {i}", "f.csv", i, None, {}) for i in range(n)]
            store.add_texts(rows, split)
    return Project(root, store)


def a_round(project: Project, steps: Mapping[str, Any], summary: Mapping[str, Any] | None = None) -> int:
    """A round with these finished steps; with a summary, it is finished too."""
    with project.store.transaction():
        row = project.store.open_round(project.config.snapshot(), 0, {})
        for name, result in steps.items():
            project.store.finish_step(row.number, name, now(), result)
        if summary is not None:
            project.store.finish_round(row.number, summary)
    return row.number


def push(project: Project, number: int, *text_ids: str) -> list[Task]:
    tasks = [Task(f"uid:{one}:1", one, one, "pick", number, rank, True) for rank, one in enumerate(text_ids, 1)]
    remote_ids = project.annotator(project.config).push(tasks, project.desk(project.config))
    with project.store.transaction():
        project.store.add_tasks(tasks, remote_ids)
    return tasks


def answer(project: Project, task: Task, state: str = "labelled") -> None:
    """An answer that a round has pulled already."""
    said = Annotation(task.key, "1", task.key, task.text_id, "ann", state, ("cat",), 2.0, now())  # type: ignore[arg-type]
    with project.store.transaction():
        project.store.add_annotations(project.config.annotate.backend, [said])


ALL = {step.name: {"skipped": "for this test"} for step in STEPS}
DONE = {"labels": 0, "labels_test": 0, "labels_audit": 0, "seconds_annotating": 0.0, "strategy": "kmeans", "pushed": 2}


def test_a_project_without_rounds_has_one_next_step(tmp_path: Path) -> None:
    project = make(tmp_path, texts=6, test=3)
    found = status(project)
    assert found["texts"] == {"pool": 6, "test": 3, "left": 6}
    assert (found["labels"]["labelled"], found["labels"]["skipped"], found["labels"]["waiting"]) == (0, 0, 0)
    assert found["round"] == {"number": 0, "step": None, "finished": False}
    assert found["next"] == f"alloop round {project.root}"
    assert json.loads(json.dumps(found)) == found


def test_a_pool_smaller_than_a_batch_needs_texts_first(tmp_path: Path) -> None:
    project = make(tmp_path, texts=1)
    assert status(project)["next"].startswith(f"alloop add {project.root} FILE")


def test_an_interrupted_round_goes_on_with_its_first_unfinished_step(tmp_path: Path) -> None:
    project = make(tmp_path)
    a_round(project, {"pull": {}, "augment": {}})
    found = status(project)
    assert found["round"]["step"] == "train"
    assert not found["round"]["finished"]
    assert found["next"] == f"alloop round {project.root}  # round 1 was interrupted and goes on with train"


def test_an_abandoned_round_is_over(tmp_path: Path) -> None:
    project = make(tmp_path)
    number = a_round(project, {"pull": {}})
    with project.store.transaction():
        project.store.abandon_round(number)
    found = status(project)
    assert (found["round"]["abandoned"], found["round"]["step"]) == (True, None)
    assert found["next"] == f"alloop round {project.root}"


def test_tasks_for_the_terminal_are_to_be_labelled_there(tmp_path: Path) -> None:
    project = make(tmp_path)
    push(project, a_round(project, ALL, DONE), "p0", "p1")
    found = status(project)
    assert found["labels"]["waiting"] == 2
    assert found["texts"]["left"] == 4
    assert found["next"] == f"alloop label {project.root}"


def test_answers_count_as_soon_as_they_are_in_the_inbox(tmp_path: Path) -> None:
    from alloop.annotators import _answers

    project = make(tmp_path)
    one, two = push(project, a_round(project, ALL, DONE), "p0", "p1")
    _answers.record(project.root / "inbox", one.key, "ann", "labelled", ("cat",))
    found = status(project)
    assert (found["labels"]["waiting"], found["labels"]["unread"]) == (1, 1)
    assert found["next"] == f"alloop label {project.root}"
    _answers.record(project.root / "inbox", two.key, "ann", "skipped")
    assert status(project)["next"] == f"alloop round {project.root}"
    _answers.record(project.root / "inbox", two.key, "ann", "deleted")
    assert status(project)["next"] == f"alloop label {project.root}"


def test_a_file_is_to_be_filled_in(tmp_path: Path) -> None:
    project = make(tmp_path, annotate="file")
    push(project, a_round(project, ALL, DONE), "p0", "p1")
    path = project.root / "inbox" / "round-0001.csv"
    assert path.exists()
    assert status(project)["next"] == f"fill in {path}, then: alloop round {project.root}"


def test_an_answer_that_cannot_be_read_is_the_next_thing_to_correct(tmp_path: Path) -> None:
    project = make(tmp_path, annotate="file")
    push(project, a_round(project, ALL, DONE), "p0", "p1")
    path = project.root / "inbox" / "round-0001.csv"
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    label = lines[0].split(",").index("label")
    cells = lines[1].split(",")
    cells[label] = "crocodile"
    path.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    found = status(project)
    assert "crocodile" in found["next"]
    assert found["next"].endswith(f"then: alloop round {project.root}")


def test_a_share_of_answers_is_enough_where_the_config_says_so(tmp_path: Path) -> None:
    project = make(tmp_path, more="wait_for = 0.5")
    one, _ = push(project, a_round(project, ALL, DONE), "p0", "p1")
    answer(project, one)
    assert status(project)["next"] == f"alloop round {project.root}"


def test_skips_are_answers_but_not_labels(tmp_path: Path) -> None:
    project = make(tmp_path)
    one, two = push(project, a_round(project, ALL, DONE), "p0", "p1")
    answer(project, one)
    answer(project, two, "skipped")
    found = status(project)
    assert (found["labels"]["labelled"], found["labels"]["skipped"], found["labels"]["waiting"]) == (1, 1, 0)
    assert found["next"] == f"alloop round {project.root}"


def test_an_exhausted_pool_leads_to_the_report(tmp_path: Path) -> None:
    project = make(tmp_path, texts=2)
    for task in push(project, a_round(project, ALL, DONE), "p0", "p1"):
        answer(project, task)
    assert status(project)["next"] == f"alloop round {project.root}"
    a_round(project, ALL, DONE | {"labels": 2, "pushed": 0})
    assert status(project)["next"].startswith(f"alloop report {project.root}")


def test_a_directory_with_a_space_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "my work").mkdir()
    project = make(tmp_path / "my work")
    assert status(project)["next"] == f"alloop round '{project.root}'"


def test_who_holds_the_lock_is_read_and_forgotten_when_killed(tmp_path: Path) -> None:
    project = make(tmp_path)
    code = (
        "import sys; from pathlib import Path; from alloop.project import Project\n"
        "with Project.open(Path(sys.argv[1])).lock('alloop round'): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(project.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        found = status(project)
        assert found["holder"]["pid"] == holder.pid
        assert f"process {holder.pid} (alloop round) is at work" in found["next"]
        os.kill(holder.pid, signal.SIGKILL)
    assert status(project)["holder"] is None


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only /proc says which files a process has open")
def test_a_released_lock_is_nobodys_though_the_process_lives(tmp_path: Path) -> None:
    project = make(tmp_path)
    with project.lock("alloop add"):
        assert status(project)["holder"]["command"] == "alloop add"
    assert status(project)["holder"] is None


def measure(project: Project, number: int, split: str, version: str, value: float) -> None:
    with project.store.transaction():
        rows = [MetricRow(number, split, version, "accuracy", value, value - 0.1, value + 0.1, 50)]
        rows += [MetricRow(number, split, version, f"f1[{name}]", value, None, None, 50) for name in ("cat", "dog")]
        project.store.add_metrics(rows)


TRAINED = {**ALL, "train": {"directory": "rounds/0001/train-x", "labels": 4}}


def test_a_point_is_a_finished_round_with_a_model(tmp_path: Path) -> None:
    project = make(tmp_path, test=3)
    a_round(project, ALL, DONE)
    number = a_round(project, TRAINED, DONE | {"labels": 4, "labels_test": 3, "seconds_annotating": 9.5})
    measure(project, number, "test", "v1", 0.75)
    abandoned = a_round(project, TRAINED)
    with project.store.transaction():
        project.store.abandon_round(abandoned)
    a_round(project, {"pull": {}, "train": TRAINED["train"]})
    found = report(project)
    (point,) = found["points"]
    assert (point["round"], point["labels"], point["labels_test"], point["labels_paid"]) == (2, 4, 3, 4)
    assert (point["seconds_annotating"], point["strategy"]) == (9.5, "kmeans")
    assert point["metrics"]["accuracy"] == {"value": 0.75, "low": 0.65, "high": 0.85, "n": 50}
    assert set(point["seconds"]) == set(ALL)
    assert (found["project"], found["measured_on"]) == ("pets", "test")
    assert json.loads(json.dumps(found)) == found


def test_a_point_says_how_its_model_was_trained(tmp_path: Path) -> None:
    project = make(tmp_path)
    curve = [{"step": 2, "loss": 0.5, "learning_rate": 0.001}]
    a_round(project, ALL | {"train": {**TRAINED["train"], "measured": {"curve": curve, "steps": 2.0}}}, DONE)
    a_round(project, TRAINED, DONE)
    assert [point["training"] for point in report(project)["points"]] == [curve, None]


def test_all_points_are_measured_with_the_latest_test_labels(tmp_path: Path) -> None:
    project = make(tmp_path, test=3)
    for version in ("v1", "v2"):
        number = a_round(project, TRAINED, DONE)
        for earlier in range(1, number + 1):
            measure(project, earlier, "test", version, 0.5 if version == "v1" else 0.9)
    assert [point["metrics"]["accuracy"]["value"] for point in report(project)["points"]] == [0.9, 0.9]


def test_without_test_texts_the_random_ones_are_measured_and_that_is_said(tmp_path: Path) -> None:
    project = make(tmp_path, test=0)
    number = a_round(project, TRAINED, DONE)
    measure(project, number, "audit", "", 0.6)
    found = report(project)
    assert found["measured_on"] == "audit"
    assert found["points"][0]["metrics"] == found["points"][0]["audit"]
    assert found["points"][0]["metrics"]["accuracy"]["value"] == 0.6


def test_labels_of_a_holdout_are_paid_for(tmp_path: Path) -> None:
    project = make(tmp_path, test=3, more="[evaluate]\nholdout = 3")
    a_round(project, TRAINED, DONE | {"labels": 4, "labels_test": 3})
    assert report(project)["points"][0]["labels_paid"] == 7


def test_a_round_that_learnt_a_new_label_says_so(tmp_path: Path) -> None:
    project = make(tmp_path)
    a_round(project, TRAINED, DONE)
    path = project.root / CONFIG
    path.write_text(path.read_text().replace('"dog"]', '"dog", "hen"]'))
    project.__dict__["config"] = configs.load(path)
    a_round(project, TRAINED, DONE)
    assert [point["new_labels"] for point in report(project)["points"]] == [[], ["hen"]]


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_labels_come_worst_first_and_unseen_ones_last(kind: str) -> None:
    f1 = {"cat": 0.9, "dog": 0.4, "hen": 0.0}
    metrics = {f"{name}[{label}]": {"value": f1[label]} for name in ("precision", "recall", "f1") for label in f1}
    matrix = [[9, 1, 0], [4, 3, 0], [0, 0, 0]] if kind == "single" else [[9, 4, 1, 3], [3, 1, 4, 9], [0, 0, 0, 17]]
    made_up = {"kind": kind, "label_names": list(f1), "points": [{"metrics": metrics}], "confusion": matrix}
    assert [(row["label"], row["f1"], row["n"]) for row in per_label(made_up)] == [
        ("dog", 0.4, 7),
        ("cat", 0.9, 10),
        ("hen", None, 0),
    ]


def test_the_most_confused_pair_comes_first_and_hits_are_none() -> None:
    made_up = {"kind": "single", "label_names": ["cat", "dog"], "confusion": [[9, 1], [4, 3]]}
    assert confused(made_up) == [
        {"label": "dog", "taken_for": "cat", "n": 4, "of": 7},
        {"label": "cat", "taken_for": "dog", "n": 1, "of": 10},
    ]


def test_the_outcome_of_a_round_says_what_it_changed(tmp_path: Path) -> None:
    project = make(tmp_path, test=3)
    for value in (0.5, 0.75):
        measure(project, a_round(project, TRAINED, DONE), "test", "v1", value)
    words = outcome_text(project, 2)
    assert "Trained on 4 labels" in words
    assert "Accuracy 0.750 (0.65–0.85) on 50 test texts, +0.250 since the last round" in words


def test_a_first_round_without_labels_says_why_there_is_no_model(tmp_path: Path) -> None:
    project = make(tmp_path)
    a_round(project, {**ALL, "push": {"tasks": 2}}, DONE)
    words = outcome_text(project, 1)
    assert "No model yet" in words
    assert "Pushed 2 texts to: terminal" in words


def test_status_reads_well(make_project: Callable[..., Project]) -> None:
    project = make_project()
    text = status_text(status(project))
    assert "72 in the pool, 72 of them never asked about; 24 to test with" in text
    assert text.splitlines()[-1].endswith(f"alloop round {project.root}")


def test_resolved_labels_are_counted_by_name(tmp_path: Path) -> None:
    project = make(tmp_path)
    number = a_round(project, {"pull": {}})
    rows = [Resolved("p0", ("cat",), 1.0, 1), Resolved("p1", ("cat", "dog"), 1.0, 1)]
    with project.store.transaction():
        project.store.add_resolved(number, rows)
    assert project.store.label_counts(number) == {"cat": 2, "dog": 1}
