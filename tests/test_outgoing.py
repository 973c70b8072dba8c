"""What leaves a project arrives whole elsewhere; what is erased leaves no trace."""

import csv
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alloop.ingest import text_id
from alloop.project import Project
from tests.command import alloop, change, done
from tests.conftest import sentences

Make = Callable[..., Project]
Write = Callable[..., str]
SECRET = "the xylophonist zzyzx sleeps here"
WORDS_OF_SECRET = (b"xylophonist", b"zzyzx", text_id(SECRET).encode())


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read_csv(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_labels_are_exported_with_where_they_came_from(make_project: Make) -> None:
    make_project("p")
    done("run", "p", "--rounds", 2)
    done("round", "p", "--no-push")
    ran = done("export", "p", "--labels", "labels.csv")
    assert (ran.out, ran.err) == ("", "Wrote 16 rows to labels.csv.\n")
    rows = read_csv("labels.csv")
    truth = dict(sentences())
    assert all(row["label"] == truth[row["text"]] for row in rows)
    assert {row["split"] for row in rows} == {"pool"}
    assert all(row["id"] == text_id(row["text"]) and row["file"].endswith("pool.csv") for row in rows)


@pytest.mark.parametrize("target", ["labels.tsv", "labels.jsonl", "labels.parquet", "labels.csv.gz", "labels"])
def test_labels_are_exported_in_every_format(make_project: Make, target: str) -> None:
    make_project("p")
    done("run", "p", "--rounds", 2)
    done("export", "p", "--labels", target)
    if target == "labels":
        import datasets

        assert len(datasets.load_from_disk("labels")) == 8
    else:
        done("init", "again", "--data", target, "--labels", "animal,vehicle", "--text-column", "text", "--batch", 2)


def test_answers_that_no_round_has_read_are_not_passed_over_in_silence(make_project: Make) -> None:
    make_project("p", annotate="terminal")
    done("round", "p")
    done("label", "p", stdin="animal\n" * 4 + "vehicle\n" * 4)
    done("round", "p")
    done("label", "p", stdin="animal\n" * 5 + "q\n")
    ran = done("export", "p", "--labels", "labels.csv")
    assert ran.err.splitlines() == [
        "Wrote 8 rows to labels.csv.",
        "note: 5 new answers are not among them; alloop round p --no-push reads them",
    ]


def test_an_export_replaces_nothing_unless_told(make_project: Make) -> None:
    make_project("p")
    done("run", "p", "--rounds", 2)
    Path("labels.csv").write_text("mine")
    ran = alloop("export", "p", "--labels", "labels.csv")
    assert (ran.code, Path("labels.csv").read_text()) == (1, "mine")
    assert "--overwrite" in ran.err
    done("export", "p", "--labels", "labels.csv", "--overwrite")
    assert len(read_csv("labels.csv")) == 8


def test_there_is_nothing_to_export_before_there_are_labels(make_project: Make) -> None:
    make_project("p")
    for words in (["--labels", "labels.csv"], ["--model", "model"]):
        ran = alloop("export", "p", *words)
        assert ran.code == 1
        assert "error: p has no " in ran.err
    assert not Path("labels.csv").exists()
    assert not Path("model").exists()


def test_a_packed_project_goes_on_elsewhere(make_project: Make) -> None:
    make_project("p")
    done("run", "p", "--rounds", 3)
    done("export", "p", "--project", "p.tar.gz")
    Path("elsewhere").mkdir()
    with tarfile.open("p.tar.gz") as archive:
        archive.extractall("elsewhere", filter="data")
    Path("pool.csv").unlink()
    here, there = (json.loads(done("report", one, "--json").out)["points"] for one in ("p", "elsewhere/p"))
    assert here == there
    assert "Trained on 24 labels." in done("round", "elsewhere/p").err
    done("round", "p")
    here, there = (json.loads(done("report", one, "--json").out)["points"] for one in ("p", "elsewhere/p"))
    assert [point["metrics"] for point in here] == [point["metrics"] for point in there]
    assert not list(Path().glob(".alloop-export-*"))


def test_a_packed_project_needs_the_right_name(make_project: Make) -> None:
    make_project("p")
    ran = alloop("export", "p", "--project", "p.zip")
    assert ran.code == 1
    assert "p.zip does not end in .tar.gz" in ran.err


@pytest.fixture
def spoken_of(write_csv: Write) -> Callable[[str], Path]:
    """A project whose every text was asked about by this annotator and trained on, one of them a secret."""

    def make(annotator: str) -> Path:
        rows = [(text, label, f"ext-{i}") for i, (text, label) in enumerate(sentences()[:24])]
        rows.append((SECRET, "animal", "ext-secret"))
        write_csv("pool.csv", ["text", "label", "id"], rows)
        column = ["--label-column", "label"] if annotator == "simulated" else ["--label-column", "kind"]
        if annotator != "simulated":
            write_csv("pool.csv", ["text", "kind", "id"], [(text, "", one) for text, _, one in rows])
        done(
            "init", "p", "--data", "pool.csv", "--labels", "animal,vehicle", "--with", annotator, "--batch", 25, *column
        )
        change(Path("p/alloop.toml"), {'"lora"': '"tfidf"', '"kmeans"': '"random"'})
        with open("p/alloop.toml", "a") as config:
            config.write('[augment]\nuse = ["swap-words"]\n')
        done("round", "p")
        if annotator == "terminal":
            done("label", "p", stdin="animal\n" * 12 + "vehicle\n" * 13)
        elif annotator == "file":
            file = Path("p/inbox/round-0001.csv")
            written = file.read_text(encoding="utf-8-sig").replace("sleeps here,,", "sleeps here,animal,")
            for place in ("here", "there"):
                written = written.replace(f"stops {place},,", f"stops {place},vehicle,")
            file.write_text(written.replace("sleeps there,,", "sleeps there,animal,"), encoding="utf-8")
        done("round", "p")
        return Path("p")

    return make


def traces(root: Path) -> list[str]:
    """The files that hold a word of the secret, or its id, as bytes."""
    return [
        str(path) for path in root.rglob("*") if path.is_file() and any(w in path.read_bytes() for w in WORDS_OF_SECRET)
    ]


@pytest.mark.parametrize("annotator", ["simulated", "terminal", "file"])
@pytest.mark.parametrize("by", ["id", "external id", "file"])
def test_erasing_leaves_no_trace_in_the_project(spoken_of: Callable[[str], Path], annotator: str, by: str) -> None:
    root = spoken_of(annotator)
    assert {str(root / "alloop.db")} < {path.removesuffix("-wal") for path in traces(root)}
    (root / "alloop.db.before-002").write_bytes((root / "alloop.db").read_bytes())
    Path("gone.txt").write_text(SECRET + "\n")
    words = {"id": ["--id", text_id(SECRET)], "external id": ["--id", "ext-secret"], "file": ["--file", "gone.txt"]}[by]
    ran = done("remove", root, *words, "--erase")
    assert ran.err.startswith("Erased 1 texts.")
    assert traces(root) == []
    change(root / "alloop.toml", {"batch = 25": "batch = 24"})
    done("round", root, "--now")
    assert traces(root) == []
    assert json.loads(done("status", root, "--json").out)["texts"]["pool"] == 24


def test_the_rows_of_an_erased_text_leave_all_predictions(make_project: Make) -> None:
    project = make_project("p", strategy="auto")
    done("run", "p", "--rounds", 3)
    gone = project.store.picks(1)[0].text_id
    done("remove", "p", "--id", gone, "--erase")
    listed = list((project.root / "rounds").glob("**/ids.txt"))
    assert {path.parent.name for path in listed} >= {"labelled", "frozen"}
    for path in listed:
        ids = path.read_text().split()
        assert gone not in ids
        for array in path.parent.glob("*.npy"):
            assert len(ids) in np.load(array).shape[:2], array


def test_a_removed_text_is_kept_but_used_no_more(make_project: Make) -> None:
    project = make_project("p")
    done("run", "p", "--rounds", 2)
    rows = read_csv_of_labels()
    assert done("remove", "p", "--id", rows[0]["id"]).err == "Removed 1 texts.\n"
    assert rows[0]["id"] not in {row["id"] for row in read_csv_of_labels()}
    assert "Trained on 15 labels." in done("round", "p").err
    assert project.store.known_ids([rows[0]["id"]])


def read_csv_of_labels() -> list[dict[str, str]]:
    done("export", "p", "--labels", "labels.csv", "--overwrite")
    return read_csv("labels.csv")


def test_texts_that_are_not_there_cannot_be_removed(make_project: Make, write_csv: Write) -> None:
    make_project("p")
    ran = alloop("remove", "p", "--id", "nobody")
    assert ran.code == 1
    assert "error: no text has the id 'nobody'" in ran.err
    write_csv("other.csv", ["text"], [("something else",)])
    assert "p has none of the texts of other.csv" in alloop("remove", "p", "--file", "other.csv").err


def test_removing_works_while_a_round_waits_but_not_in_its_middle(make_project: Make) -> None:
    project = make_project("p", annotate="terminal")
    done("round", "p")
    assert alloop("round", "p").code == 3
    asked = sorted(project.store.asked_ids())
    done("remove", "p", "--id", asked[0])
    with project.store.transaction():
        project.store.finish_step(2, "pull", "2026-01-01", {"upto": ""})
    ran = alloop("remove", "p", "--id", asked[1])
    assert ran.code == 1
    assert "round 2 of p was interrupted" in ran.err
    assert "alloop round p --abandon" in ran.err
