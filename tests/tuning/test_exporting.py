"""What leaves says what the model says: to 1e-5 in fp32, to a few hundredths where alloop predicts in bfloat16."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.tuning import _exporting as exporting
from alloop.tuning import tuners

TEXTS = ["the red apple", "a bus is slow", "is", "my train is very fast " * 20, "a blue plum"]
CLOSE = 1e-5
WITHOUT_ALLOOP = """
import json, sys
sys.modules["alloop"] = None  # importing it fails
from transformers import pipeline
said = {}
for directory in sys.argv[2:]:
    classify = pipeline("text-classification", model=directory, trust_remote_code=True, device="cpu")
    texts = json.loads(sys.argv[1])
    said[directory] = [classify(texts, top_k=None), classify(texts, top_k=None, batch_size=len(texts))]
json.dump(said, sys.stdout)
"""


@pytest.fixture
def exact(monkeypatch):
    """alloop trains and predicts in fp32, as what leaves does."""
    from alloop.tuning import _encoding

    _encoding.frozen.cache_clear()
    monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device: False)
    yield
    _encoding.frozen.cache_clear()


def trained(name, base, job, out, **options):
    if "steps" in tuners.options(name):
        options = {"steps": 20, "learning_rate": 5e-3, **options}
    out.mkdir()
    tuner = tuners.build(name, base=str(base), **options)
    tuner.fit(job, out)
    return tuner


def without_alloop(directories, texts, labels, home):
    """directory -> probabilities of the texts one by one, and together (2, N, C), by a process that has no alloop."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_ALLOOP, json.dumps(texts), *map(str, directories)],
        capture_output=True,
        text=True,
        cwd=home,
        env={**os.environ, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    return {
        one: np.array(
            [[[{d["label"]: d["score"] for d in row}[label] for label in labels] for row in way] for way in ways]
        )
        for one, ways in said.items()
    }


@pytest.mark.slow
def test_a_pipeline_without_alloop_says_the_same_of_every_base(tiny_bases, job, tmp_path, exact):
    """Short texts and empty ones, padded and not, and such as are cut."""
    cases = [(base, name, kind) for base in tiny_bases for name, kind in (("lora", "single"), ("full", "multi"))]
    texts, expected = [*TEXTS, ""], {}
    for base, name, kind in cases:
        out, model = tmp_path / f"{base}-{kind}", tmp_path / f"{base}-{kind}-model"
        out.mkdir()
        tuner = trained(name, tiny_bases[base], job(kind), model, max_tokens=16)
        whole = exporting.whole(tuner, model)
        exporting.write_transformers(whole, out)
        exporting.write_tokenizer(whole, out)
        expected[str(out)] = tuner.predict(model, texts, ("probs",), 0).probs
    said = without_alloop(expected, texts, job().labels, tmp_path)
    for directory, probs in expected.items():
        for way in said[directory]:
            assert way == pytest.approx(probs, abs=CLOSE), directory
        assert probs.std(0).max() > 0.01, "texts that all get the same answer would prove nothing"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "name", "kind"),
    [
        ("bert", "full", "multi"),
        ("gpt2", "lora", "single"),
        ("llama", "features", "single"),
        *((base, name, "single") for base in ("bert", "llama") for name in ("adapter", "prefix", "prompt", "p-tuning")),
    ],
)
def test_onnx_runtime_says_the_same_from_the_files_alone(base, name, kind, tiny_bases, job, tmp_path, exact):
    onnxruntime, tokenizers = pytest.importorskip("onnxruntime"), pytest.importorskip("tokenizers")
    pytest.importorskip("onnxscript")
    tuner = trained(name, tiny_bases[base], job(kind), tmp_path / "model", max_tokens=16)
    whole = exporting.whole(tuner, tmp_path / "model")
    exporting.write_tokenizer(whole, tmp_path)
    exporting.write_onnx(whole, tmp_path / "model.onnx", TEXTS)
    read = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode_batch(TEXTS)
    inputs = {
        "input_ids": np.array([one.ids for one in read]),
        "attention_mask": np.array([one.attention_mask for one in read]),
    }
    logits, probs = onnxruntime.InferenceSession(str(tmp_path / "model.onnx")).run(None, inputs)
    expected = tuner.predict(tmp_path / "model", TEXTS, ("probs", "logits"), 0)
    assert probs == pytest.approx(expected.probs, abs=CLOSE)
    assert logits == pytest.approx(expected.logits, abs=1e-3)


@pytest.mark.parametrize(
    "name", ["lora", "full", "freeze", "bitfit", "ia3", "setfit", "multitask", "label-names", "features"]
)
def test_the_merged_network_is_the_model(name, tiny_bases, job, tmp_path, exact):
    tuner = trained(name, tiny_bases["bert"], job(), tmp_path / "model")
    whole = exporting.whole(tuner, tmp_path / "model")
    assert whole.is_native
    exporting.check_whole(whole, tuner, tmp_path / "model", TEXTS)
    said = tuner.predict(tmp_path / "model", TEXTS, ("probs",), 0).probs
    assert exporting.expected(whole, TEXTS) == pytest.approx(said, abs=CLOSE)


def test_weights_that_were_not_learnt_leave_as_they_came(tiny_bases, job, tmp_path):
    """Where alloop computes in bfloat16, what leaves has not been through it."""
    from alloop.tuning._bases import load_base

    tuner = trained("bitfit", tiny_bases["bert"], job(), tmp_path / "model")
    own = dict(load_base(str(tiny_bases["bert"])).network.named_parameters())
    left = dict(exporting.whole(tuner, tmp_path / "model").network.named_parameters())
    assert all((left[name] == own[name]).all() for name in own if not name.endswith("bias"))
    exporting.check_whole(exporting.whole(tuner, tmp_path / "model"), tuner, tmp_path / "model", TEXTS)


def test_what_would_say_something_else_does_not_leave(tiny_bases, job, tmp_path):
    from dataclasses import replace

    tuner = trained("lora", tiny_bases["bert"], job(), tmp_path / "model")
    whole = exporting.whole(tuner, tmp_path / "model")
    with pytest.raises(ModelError, match="would differ from the model"):
        exporting.check_whole(
            replace(whole, bias=whole.bias[::-1] + 3 * np.arange(3)), tuner, tmp_path / "model", TEXTS
        )


def test_without_its_libraries_onnx_is_refused_with_what_to_install(tiny_bases, job, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    tuner = trained("features", tiny_bases["bert"], job(), tmp_path / "model")
    with pytest.raises(ConfigError, match="ONNX needs the package onnxruntime") as caught:
        exporting.write_onnx(exporting.whole(tuner, tmp_path / "model"), tmp_path / "model.onnx", TEXTS)
    assert caught.value.hint == 'pip install "alloop[onnx]"'


def test_a_model_without_a_network_has_no_whole_one(job, tmp_path):
    tuner = tuners.build("tfidf")
    tuner.fit(job(), tmp_path)
    assert exporting.whole(tuner, tmp_path) is None
