"""A model that leaves says elsewhere what it says here, and tells whoever gets it what it is."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alloop import load
from alloop.project import Project
from tests.command import alloop, done
from tests.conftest import sentences

Make = Callable[..., Project]
MULTI = 'kind = "multi"\nlabels = ["animal", "vehicle"]'
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
    """alloop predicts in fp32, as what leaves does."""
    from alloop.tuning import _encoding, _training

    for module in (_encoding, _training):
        monkeypatch.setattr(module, "has_fast_bfloat16", lambda device: False)


def trained(make_project: Make, tuner: str = "tfidf", **settings: object) -> Project:
    """Three rounds of a project with 16 labels."""
    project = make_project("p", tuner=tuner, **settings)
    done("run", "p", "--rounds", 3)
    return project


def texts() -> list[str]:
    return [text for text, _ in sentences()[:20]] + ["", "A tram. " * 300, 'naïve 🐄 | "quoted"']


def without_alloop(directory: str | Path, texts: list[str], labels: tuple[str, ...], home: Path) -> np.ndarray:
    """Probabilities (N, C) by a transformers pipeline, in a process that has no alloop."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_ALLOOP, str(directory), json.dumps(texts)],
        capture_output=True,
        text=True,
        cwd=home,
        env={"HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PATH": ""},
    )
    assert ran.returncode == 0, ran.stderr
    said = [{one["label"]: one["score"] for one in row} for row in json.loads(ran.stdout)]
    return np.array([[row[label] for label in labels] for row in said])


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
