"""A model that leaves says elsewhere what it says here, and tells whoever gets it what it is."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from alloop import load
from alloop.ingest import text_id
from alloop.project import Project
from tests.command import alloop, change, done
from tests.conftest import sentences
from tests.tuning.conftest import tiny_bases  # noqa: F401

Make = Callable[..., Project]
Write = Callable[..., str]
CLOSE = 1e-4  # of probabilities, in fp32
WITHOUT_ALLOOP = """
import json, sys
sys.modules["alloop"] = None  # importing it fails
from transformers import pipeline
classify = pipeline("text-classification", model=sys.argv[1], trust_remote_code=True, device="cpu")
json.dump(classify(json.loads(sys.argv[2]), top_k=None), sys.stdout)
"""


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """alloop trains and predicts in fp32, as what leaves does."""
    from alloop.tuning import _encoding

    monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device: False)


def trained(make_project: Make, **settings: object) -> Project:
    """Two rounds of a project: a model of 8 labels."""
    project = make_project("p", **settings)
    done("run", "p", "--rounds", 2)
    done("round", "p", "--no-push")
    return project


def without_alloop(directory: Path, texts: list[str], home: Path) -> list[dict[str, float]]:
    """label -> probability of each text by a transformers pipeline, in a process that has no alloop."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_ALLOOP, str(directory.absolute()), json.dumps(texts)],
        capture_output=True,
        text=True,
        cwd=home,
        env={**os.environ, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    return [{one["label"]: one["score"] for one in row} for row in json.loads(ran.stdout)]


def answer(file: str) -> None:
    """Fill in a spreadsheet as an annotator does."""
    truth = dict(sentences())
    with open(file, encoding="utf-8-sig", newline="") as before:
        rows = list(csv.DictReader(before))
    with open(file, "w", encoding="utf-8", newline="") as after:
        writer = csv.DictWriter(after, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "label": truth[row["text"]]} for row in rows)


def snippets(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


def test_a_tuner_without_a_network_leaves_with_a_form_that_its_card_writes_out(
    make_project: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(make_project)
    done("export", "p", "--model", "out/model")
    assert {path.name for path in Path("out/model").iterdir()} == {"README.md", "curve.png", "alloop"}
    assert {path.name for path in Path("out/model/alloop").iterdir()} == {
        "alloop.json",
        "model.json",
        "vocabulary.json",
        "weights.safetensors",
    }
    expected = load("p").predict_proba(["the cat sleeps here", "a tram"])
    assert load("out/model").predict_proba(["the cat sleeps here", "a tram"]) == pytest.approx(expected)
    by_hand, by_alloop = snippets(Path("out/model/README.md").read_text())
    by_hand = by_hand.replace('["the first text", "another"]', '["the cat sleeps here", "a tram"]')
    monkeypatch.chdir("out/model")
    capsys.readouterr()
    exec(by_hand, {})
    said = [[row["animal"], row["vehicle"]] for row in eval(capsys.readouterr().out)]
    assert np.array(said) == pytest.approx(expected, abs=1e-6)
    exec(by_alloop, {})


def test_a_model_leaves_once_and_only_whole(make_project: Make) -> None:
    project = trained(make_project)
    done("export", "p", "--model", "model")
    ran = alloop("export", "p", "--model", "model")
    assert (ran.code, "model exists already" in ran.err) == (1, True)
    ran = alloop("export", "p", "--model", "other", "--onnx")
    assert (ran.code, "'tfidf' cannot be written as ONNX" in ran.err) == (1, True)
    assert alloop("export", "p", "--onnx").code == 2
    assert {path.name for path in project.root.parent.iterdir()} == {"p", "p.toml", "pool.csv", "test.csv", "model"}


def test_the_card_tells_a_stranger_what_the_model_is_and_nothing_of_texts_people_or_places(
    make_project: Make, tmp_path: Path
) -> None:
    project = make_project(
        "p",
        annotate="file",
        labels='labels = [{name = "animal", description = "it | breathes"}, "vehicle"]',
        more='[options.file]\nannotator = "jane@example.org"',
    )
    for number in (1, 2):
        done("round", "p")
        answer(f"p/inbox/round-{number:04}.csv")
    done("round", "p", "--no-push")
    done("export", "p", "--model", "model")
    written = Path("model/README.md").read_text()
    card = ModelCard(written)
    accuracy = json.loads(done("report", "p", "--json").out)["points"][-1]["metrics"]["accuracy"]
    said = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert (card.data.pipeline_tag, card.data.library_name) == ("text-classification", "alloop")
    assert said["accuracy"] == pytest.approx(accuracy["value"], abs=1e-4)
    for words in (
        "Gives each text one of 2 labels",
        r"| animal | it \| breathes | ",
        "- 24 rows of `test.csv`, to measure with",
        "- labels given by annotators, in file: a1 16",
        "- how texts were chosen: `kmeans` ",
        "Measured on 24 texts of `test.csv`",
        f"| accuracy | {accuracy['value']:.3f} | {accuracy['low']:.3f} to {accuracy['high']:.3f} | 24 |",
        "calibration error over 15 bins",
        "Fewer than 10 examples",
        "| 8 | ",
        "| 16 | ",
    ):
        assert words in written
    secrets = [text for text, _ in sentences()] + [text_id(text) for text, _ in sentences()]
    secrets += ["jane", "example.org", str(tmp_path)]
    for path in Path("model").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert [one for one in secrets if one.encode() in content] == [], path
    assert project.store.counts()["pool"] == 72


def test_a_model_that_was_never_measured_says_so(write_csv: Write) -> None:
    write_csv("pool.csv", ["text", "label"], sentences()[:40])
    words = ["--labels", "animal,vehicle,robot", "--label-column", "label", "--with", "terminal", "--batch", 8]
    done("init", "p", "--data", "pool.csv", *words)
    change(Path("p/alloop.toml"), {'"lora"': '"tfidf"'})
    done("round", "p", "--no-push")
    done("export", "p", "--model", "model")
    card = Path("model/README.md").read_text()
    assert "It has not been measured" in card
    assert "- labels that came with `pool.csv`: 40" in card
    assert "Fewer than 10 examples were there to learn from of: robot (0)." in card
    assert ModelCard(card).data.eval_results is None


def test_a_base_of_the_projects_own_comes_along(make_project: Make, tiny_bases: dict[str, Path]) -> None:  # noqa: F811
    project = make_project("p", tuner="features", more=f'[options.features]\nvectors = "{Path("vectors").absolute()}"')
    shutil.copytree(tiny_bases["bert"], "p/bases/own")
    Path("p/bases/own/adapted.json").write_text('{"base": "minilm", "texts": 72}')
    Path("p/bases/own/ids.txt").write_text(text_id(sentences()[0][0]))
    change(Path("p/alloop.toml"), {'tuner = "features"': 'tuner = "features"\nbase = "bases/own"'})
    done("run", "p", "--rounds", 2)
    done("round", "p", "--no-push")
    done("export", "p", "--model", "model")
    expected = load("p").predict_proba(["the red apple"])
    card = ModelCard.load("model/README.md")
    assert card.data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert "went on from sentence-transformers/all-MiniLM-L6-v2 with 72 texts of the pool" in card.text
    assert not {"adapted.json", "ids.txt"} & {path.name for path in Path("model/alloop/base").iterdir()}
    project.store.close()
    Path("p").rename("gone")
    assert load("model").predict_proba(["the red apple"]) == pytest.approx(expected)
    assert str(Path.cwd()) not in "".join(path.read_text() for path in Path("model").rglob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_what_leaves_says_the_same_of_the_same_texts(
    kind: str,
    make_project: Make,
    exact: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """LoRA on the bundled base: by a pipeline without alloop, by ONNX Runtime as the card says, and by alloop.load."""
    pytest.importorskip("onnxruntime")
    labels = f'kind = "{kind}"\nlabels = ["vehicle", "animal"]'
    trained(make_project, tuner="lora", labels=labels, more="[options.lora]\nsteps = 20\nrank = 2")
    ran = done("export", "p", "--model", "model", "--onnx")
    assert ran.err == "Wrote the model to model. How to use it: README.md there.\n"
    model, texts = load("p"), [text for text, _ in sentences()[:20]] + ["", "A tram. " * 300, 'naïve 🐄 | "quoted"']
    expected = model.predict_proba(texts)
    assert np.ptp(expected[:, 0]) > 0.3, "texts that all get the same answer would prove nothing"
    said = without_alloop(Path("model"), texts, tmp_path)
    assert np.array([[row[label] for label in model.classes_] for row in said]) == pytest.approx(expected, abs=CLOSE)
    assert load("model").predict_proba(texts) == pytest.approx(expected, abs=CLOSE)
    (by_onnx,) = [code for code in snippets(Path("model/README.md").read_text()) if "onnxruntime" in code]
    monkeypatch.chdir("model")
    capsys.readouterr()
    exec(by_onnx.replace('["the first text", "another"]', repr(texts)), {})
    rows = eval(capsys.readouterr().out)
    assert np.array([[row[label] for label in model.classes_] for row in rows]) == pytest.approx(expected, abs=CLOSE)
