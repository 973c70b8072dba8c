"""Texts come in, with the labels that are known; whole projects of every kind run from there."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from alloop.project import Project
from tests.command import alloop, change, done
from tests.conftest import sentences

Write = Callable[..., str]
TRUTH = dict(sentences())
QUICK = {'"lora"': '"tfidf"', '"kmeans"': '"random"'}


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def quick(root: str, **changes: str) -> None:
    change(Path(root) / "alloop.toml", {**QUICK, **changes})


def status(root: str) -> dict[str, dict[str, int]]:
    return dict(json.loads(done("status", root, "--json").out))


def points(root: str) -> list[dict[str, object]]:
    return list(json.loads(done("report", root, "--json").out)["points"])


def answer(file: Path, truth: Callable[[str], str]) -> list[dict[str, str]]:
    """Fill in a file of the inbox; returns its rows as they were pushed."""
    with open(file, encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    with open(file, "w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": truth(row["text"])} for row in rows)
    return rows


def test_columns_and_labels_are_guessed_and_the_guess_is_said(write_csv: Write) -> None:
    write_csv("pool.csv", ["id", "message", "category"], [(str(i), *row) for i, row in enumerate(sentences())])
    ran = done("init", "p", "--data", "pool.csv")
    assert "note: pool.csv: text column: message (guessed)" in ran.err
    assert "note: pool.csv: label column: category (guessed)" in ran.err
    assert "note: pool.csv: id column: id (guessed)" in ran.err
    assert "labels: animal, vehicle\n" in ran.err
    assert ran.err.splitlines()[-1] == "Next: alloop round p"
    config = Project.open(Path("p")).config
    assert (config.data.text, config.data.label, config.data.files) == (["message"], "category", ["../pool.csv"])


def test_several_text_columns_are_joined_and_metadata_reaches_annotators(write_csv: Write) -> None:
    write_csv("pool.csv", ["head", "rest", "from"], [(f"h{i}", f"r{i}", f"person {i}") for i in range(30)])
    columns = ["--text-column", "head", "--text-column", "rest", "--metadata-column", "from"]
    done("init", "p", "--data", "pool.csv", "--labels", "a,b", "--with", "file", "--batch", 5, *columns)
    quick("p")
    done("round", "p")
    rows = answer(Path("p/inbox/round-0001.csv"), lambda text: "a")
    assert all(row["text"].split("\n")[0][1:] == row["from"].split()[1] == row["text"].split("\nr")[1] for row in rows)


def test_exact_duplicates_are_stored_once_and_counted(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], [(f" {text} ",) for text in [*TRUTH, *list(TRUTH)[:7]]])
    ran = done("init", "p", "--data", "pool.csv", "--labels", "animal,vehicle")
    assert "Read 96 texts; 7 exact duplicates, stored once." in ran.err


def test_known_labels_of_a_partly_labelled_file_are_trained_on_from_round_1(write_csv: Write) -> None:
    rows = [(text, label if i % 8 == 0 else "") for i, (text, label) in enumerate(sentences())]
    write_csv("pool.csv", ["text", "label"], rows)
    ran = done("init", "p", "--data", "pool.csv", "--labels", "animal,vehicle", "--batch", 8)
    assert "12 with a known label" in ran.err
    quick("p")
    ran = done("round", "p")
    assert "Trained on 12 labels." in ran.err
    project = Project.open(Path("p"))
    assert all(one.votes == 1 for one in project.store.resolved(1, "pool"))
    known = {text.id for text in project.store.texts(list(project.store.pool_ids())) if dict(rows)[text.text]}
    assert not known & project.store.asked_ids()


def test_known_labels_that_differ_are_votes_and_reported(write_csv: Write) -> None:
    rows = [*sentences(), (sentences()[0][0], "vehicle")]
    write_csv("pool.csv", ["text", "label"], rows)
    ran = done("init", "p", "--data", "pool.csv")
    assert "1 with several known labels that differ" in ran.err


def test_added_texts_come_with_their_labels(write_csv: Write) -> None:
    rows = sentences()
    write_csv("pool.csv", ["text"], [row[:1] for row in rows[:60]])
    write_csv("more.csv", ["text", "label"], rows[60:])
    done("init", "p", "--data", "pool.csv", "--labels", "animal,vehicle")
    ran = done("add", "p", "more.csv")
    assert "Read 36 texts; 36 with a known label." in ran.err
    found = status("p")
    assert (found["texts"]["pool"], found["labels"]["labelled"]) == (96, 36)


def test_a_holdout_is_pushed_first_and_blind_and_gives_the_curve(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], [row[:1] for row in sentences()])
    options = ["--with", "file", "--batch", 10, "--holdout", 20]
    done("init", "p", "--data", "pool.csv", "--labels", "animal,vehicle", *options)
    quick("p")
    change(Path("p/alloop.toml"), {"[annotate]\n": '[annotate]\nsuggest = "all"\n'})
    project = Project.open(Path("p"))
    held_out = {text.text for text in project.store.texts(list(project.store.test_ids()))}
    done("round", "p")
    first = answer(Path("p/inbox/round-0001.csv"), TRUTH.__getitem__)
    assert {row["text"] for row in first[:20]} == held_out
    assert len(first) == 30
    assert not any(row.get("suggestion") for row in first)
    done("round", "p")
    second = answer(Path("p/inbox/round-0002.csv"), TRUTH.__getitem__)
    assert len(second) == 10
    assert any(row["suggestion"] for row in second)
    write_csv("more.csv", ["text"], [(f"another text {i}",) for i in range(50)])
    done("add", "p", "more.csv")
    done("round", "p", "--no-push")
    assert {text.text for text in project.store.texts(list(project.store.test_ids()))} == held_out
    found = points("p")
    assert [(point["labels"], point["labels_test"], point["labels_paid"]) for point in found] == [
        (10, 20, 30),
        (20, 20, 40),
    ]
    assert all(point["metrics"]["accuracy"]["n"] == 20 for point in found)  # type: ignore[index]


def test_a_holdout_that_comes_too_late_is_refused(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], [row[:1] for row in sentences()])
    done("init", "p", "--data", "pool.csv", "--labels", "animal,vehicle")
    change(Path("p/alloop.toml"), {"[evaluate]": "[evaluate]\nholdout = 20"})
    ran = alloop("round", "p")
    assert ran.code == 1
    assert "none were set aside when the project was made" in ran.err


def test_the_holdout_depends_on_texts_and_seed_alone(write_csv: Write) -> None:
    write_csv("one.csv", ["text"], [row[:1] for row in sentences()])
    write_csv("two.csv", ["text"], [row[:1] for row in reversed(sentences())])
    chosen = []
    for name in ("one", "two"):
        done("init", name, "--data", f"{name}.csv", "--labels", "a,b", "--holdout", 20)
        chosen.append(list(Project.open(Path(name)).store.test_ids()))
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 20


def reviews() -> list[tuple[str, str]]:
    """Texts to which none, one or two of three labels apply."""
    parts = {"staff": "the host was kind", "noise": "the street was loud", "food": "breakfast was cold"}
    rows = []
    for i in range(24):
        for labels in ([], ["staff"], ["noise"], ["food"], ["staff", "food"]):
            said = ", ".join([f"visit {i}", *(parts[label] for label in labels)])
            rows.append((said, "|".join(labels)))
    return rows


def test_a_multi_label_project_runs_end_to_end(write_csv: Write) -> None:
    rows = reviews()
    write_csv("pool.csv", ["text", "labels"], rows[20:])
    write_csv("test.csv", ["text", "labels"], rows[:20])
    Path("multi.toml").write_text(
        '[task]\nkind = "multi"\nlabels = ["staff", "noise", "food"]\n[data]\nlabel = "labels"\nempty_is_none = true\n'
        '[model]\ntuner = "tfidf"\n[round]\nstrategy = "entropy"\nbatch = 20\n[annotate]\nwith = "simulated"\n'
    )
    done("init", "p", "--from", "multi.toml", "--data", "pool.csv", "--test", "test.csv")
    done("run", "p", "--until-labels", 60)
    found = json.loads(done("report", "p", "--json").out)
    assert found["kind"] == "multi"
    last = found["points"][-1]["metrics"]
    assert {"f1_micro", "f1_macro", "subset_accuracy", "hamming_loss"} <= set(last)
    assert last["f1_micro"]["value"] > 0.8
    truth = dict(rows)
    done("export", "p", "--labels", "labels.csv")
    with open("labels.csv", encoding="utf-8", newline="") as file:
        exported = {row["text"]: row["label"] for row in csv.DictReader(file)}
    assert len(exported) == 60
    assert all(
        {*truth[text].split("|")} - {""} == {*label.strip("[]").split("|")} - {""} for text, label in exported.items()
    )
    said = json.loads(done("predict", "p", "-", "--json", stdin="the host was kind, breakfast was cold\n").out)[0]
    assert set(said["labels"]) == {"staff", "food"}


def test_the_label_set_grows_and_names_change(write_csv: Write) -> None:
    write_csv("pool.csv", ["text"], [row[:1] for row in sentences()])
    options = ["--with", "file", "--batch", 10, "--holdout", 20]
    done("init", "p", "--data", "pool.csv", "--labels", "animal,vehicle", *options)
    quick("p")
    done("round", "p")
    answer(Path("p/inbox/round-0001.csv"), TRUTH.__getitem__)
    done("round", "p")
    change(
        Path("p/alloop.toml"), {'["animal", "vehicle"]': '["beast", "vehicle", "ship"]\nrename = { animal = "beast" }'}
    )
    answer(
        Path("p/inbox/round-0002.csv"),
        lambda text: "ship" if "ship" in text else TRUTH[text].replace("animal", "beast"),
    )
    done("round", "p")
    project = Project.open(Path("p"))
    third = answer(
        Path("p/inbox/round-0003.csv"),
        lambda text: "ship" if "ship" in text else TRUTH[text].replace("animal", "beast"),
    )
    assert len(third) == 30, "the test texts are asked again, as they were never asked with the new label"
    done("round", "p", "--no-push")
    found = json.loads(done("report", "p", "--json").out)
    assert found["label_names"] == ["beast", "vehicle", "ship"]
    assert [point["new_labels"] for point in found["points"]] == [[], ["ship"], []]
    assert [point["labels"] for point in found["points"]] == [10, 20, 30]
    assert {label for one in project.store.resolved(4, "pool") for label in one.labels} <= {"beast", "vehicle", "ship"}
    assert status("p")["labels"]["unused"] == 0


def test_answers_with_a_removed_label_are_kept_and_counted(write_csv: Write) -> None:
    write_csv("pool.csv", ["text", "label"], sentences())
    done("init", "p", "--data", "pool.csv", "--labels", "animal,vehicle,other")
    quick("p")
    change(Path("p/alloop.toml"), {'["animal", "vehicle", "other"]': '["vehicle", "other"]'})
    done("round", "p", "--no-push")
    assert status("p")["labels"]["unused"] == 48
    change(Path("p/alloop.toml"), {'["vehicle", "other"]': '["vehicle", "other", "animal"]'})
    assert "Trained on 96 labels." in done("round", "p", "--no-push").err


@pytest.mark.parametrize("config", ["gpu", "label-studio", "laptop", "multi-label", "quick", "spreadsheet"])
def test_init_from_each_shipped_config_works(write_csv: Write, config: str) -> None:
    source = Path(__file__).parents[1] / "configs" / f"{config}.toml"
    write_csv("pool.csv", ["text"], [(f"text {i}",) for i in range(400)])
    done("init", "p", "--from", source, "--data", "pool.csv", "--labels", "bug,praise,question")
    project = Project.open(Path("p"))
    assert project.config.task.names == ("bug", "praise", "question")
    for comment in [line.split("#", 1)[1] for line in source.read_text().splitlines() if "  #" in line]:
        assert comment in Path("p/alloop.toml").read_text() or "yours; or" in comment


def test_init_from_the_simulation_config_needs_a_label_column(write_csv: Write) -> None:
    source = Path(__file__).parents[1] / "configs" / "simulation.toml"
    write_csv("pool.csv", ["text", "label"], sentences())
    done("init", "p", "--from", source, "--data", "pool.csv", "--labels", "animal,vehicle")


@pytest.mark.parametrize("name", ["support-desk", "guest-reviews"])
def test_init_from_a_shipped_project_takes_its_data_along(name: str) -> None:
    source = Path(__file__).parents[1] / "projects" / name
    done("init", "copy", "--from", source)
    project = Project.open(Path("copy"))
    assert project.store.counts()["test"] >= 100
    assert all((Path("copy") / file).exists() for file in project.config.data.files)


def test_texts_without_a_label_column_are_not_labelled_with_nothing(write_csv: Write) -> None:
    Path("multi.toml").write_text(
        '[task]\nkind = "multi"\nlabels = ["staff", "noise", "food"]\n[data]\nempty_is_none = true\n'
    )
    pool = write_csv("pool.csv", ["text"], [["so loud"], ["cold"]])
    said = done("init", "p", "--from", "multi.toml", "--data", pool, "--batch", 2)
    assert "Read 2 texts." in said.err
    assert json.loads(done("status", "p", "--json").out)["labels"]["labelled"] == 0
