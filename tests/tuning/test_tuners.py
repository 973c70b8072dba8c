"""What holds for every tuner: a model survives its directory, and only its own directory."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.records import Example
from alloop.tuning import FitJob, tuners
from alloop.tuning._directory import tuner_of

STRANGE = ["", " \n\t", "\0\0red\0apple", "🍎🚗" * 30, "تفاحة حمراء", "\ud800 half a pair", "red apple " * 100_000]


@pytest.fixture(params=["tfidf", "features", "lora"])
def name(request):
    return request.param


@pytest.fixture
def tuner(name, tiny_bases):
    """Of each kind one that is fast: a tiny base, few steps."""
    if name == "tfidf":
        return tuners.build(name)
    few = {"steps": 30, "rank": 4, "alpha": 8.0, "learning_rate": 1e-2} if name == "lora" else {}
    return tuners.build(name, base=str(tiny_bases["bert"]), **few)


@pytest.fixture
def model(tuner, job, tmp_path):
    out = tmp_path / "model"
    out.mkdir()
    tuner.fit(job(), out)
    return out


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_single_label_probabilities_sum_to_one_and_find_the_fruit(tuner, model, job):
    predictions = tuner.predict(model, [example.text for example in job().train], ("probs", "logits", "embeddings"), 0)
    assert predictions.labels == ("no", "null", "1e5")
    assert predictions.probs.dtype == np.float32
    assert predictions.probs.sum(1) == pytest.approx(np.ones(12), abs=1e-5)
    assert (predictions.probs.argmax(1) == [0] * 6 + [1] * 6).mean() > 0.8
    assert predictions.probs[:, 2].max() < predictions.probs[:, :2].max(1).min(), "a label without examples is rare"
    assert predictions.logits.shape == (12, 3)
    assert np.linalg.norm(predictions.embeddings, axis=1) == pytest.approx(np.ones(12), abs=1e-4)


def test_multi_label_probabilities_are_independent(tuner, job, tmp_path):
    tuner.fit(job("multi"), tmp_path)
    probs = tuner.predict(tmp_path, ["the red car", "a green pear"], ("probs",), 0).probs
    assert ((probs > 0) & (probs < 1)).all()
    assert probs[0, 1] > 0.5 > probs[0, 0]
    assert probs[0, 2] > probs[1, 2]


def test_the_same_job_gives_the_same_bytes_and_leaves_the_global_randomness_alone(tuner, model, job, tmp_path):
    import torch

    again = tmp_path / "again"
    again.mkdir()
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    tuner.fit(job(), again)
    assert contents(again) == contents(model)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_a_text_has_the_same_probabilities_in_any_order_and_company(tuner, model, job):
    texts = [example.text for example in job().train]
    probs = tuner.predict(model, texts, ("probs",), 0).probs
    backwards = tuner.predict(model, texts[::-1], ("probs",), 0).probs
    assert backwards[::-1] == pytest.approx(probs, abs=1e-4)
    alone = np.concatenate([tuner.predict(model, [text], ("probs",), 0).probs for text in texts])
    assert alone == pytest.approx(probs, abs=0.02), "bfloat16 may round differently in another batch"


def test_strange_texts_are_learnt_from_and_predicted(tuner, job, tmp_path):
    train = [*job().train, *(Example(text, ("1e5",)) for text in STRANGE)]
    tuner.fit(FitJob(train, "single", job().labels, 0), tmp_path)
    predictions = tuner.predict(tmp_path, STRANGE, ("probs", "embeddings"), 0)
    assert np.isfinite(predictions.probs).all()
    assert np.isfinite(predictions.embeddings).all()


def test_no_texts_give_no_rows(tuner, model):
    predictions = tuner.predict(model, [], ("probs", "embeddings"), 0)
    assert predictions.probs.shape == (0, 3)
    assert len(predictions.embeddings) == 0


def test_one_label_seen_is_enough_to_train(tuner, job, tmp_path):
    tuner.fit(FitJob(job().train[:2], "single", ("no", "null"), 0), tmp_path)
    probs = tuner.predict(tmp_path, ["a blue bus"], ("probs",), 0).probs
    assert probs[0, 0] > probs[0, 1] > 0


def test_the_bare_base_has_embeddings_only(tuner):
    predictions = tuner.predict(None, ["the red apple", "a slow bus"], ("embeddings",), 0)
    assert predictions.probs is None
    assert predictions.embeddings.shape[0] == 2
    again = tuner.predict(None, ["a slow bus", "the red apple"], ("embeddings",), 0)
    assert again.embeddings[::-1] == pytest.approx(predictions.embeddings, abs=1e-6)


def test_a_committee_has_members_that_differ(tuner, job, tmp_path):
    tuner.fit(job(members=3), tmp_path)
    predictions = tuner.predict(tmp_path, ["the red car", "a plum"], ("probs", "members"), 0)
    assert predictions.members.shape == (3, 2, 3)
    assert predictions.members[0] == pytest.approx(predictions.probs)
    assert not np.allclose(predictions.members[0], predictions.members[1])


def test_what_a_tuner_cannot_give_is_refused_by_name(tuner, model):
    with pytest.raises(ConfigError, match="cannot give perplexity"):
        tuner.predict(model, ["a"], ("probs", "perplexity"), 0)


def test_every_file_of_a_model_is_missed_and_every_flipped_bit_noticed(tuner, model, tmp_path):
    for file in sorted(path.name for path in model.iterdir()):
        broken = tmp_path / "broken"
        shutil.copytree(model, broken)
        (broken / file).unlink()
        with pytest.raises(ModelError, match=f"{file} is missing"):
            tuner.predict(broken, ["a"], ("probs",), 0)
        data = (model / file).read_bytes()
        for damaged in (b"", data[: len(data) // 2], data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]):
            (broken / file).write_bytes(damaged)
            with pytest.raises(ModelError):
                tuner.predict(broken, ["a"], ("probs",), 0)
        shutil.rmtree(broken)


def test_what_is_not_a_model_is_refused(tuner, tmp_path):
    with pytest.raises(ModelError, match=r"model\.json is missing"):
        tuner.predict(tmp_path, ["a"], ("probs",), 0)
    with pytest.raises(ModelError, match=r"model\.json is missing"):
        tuner.predict(tmp_path / "nowhere", ["a"], ("probs",), 0)
    for something in ("[]", "{}", '{"format": 1}'):
        (tmp_path / "model.json").write_text(something)
        with pytest.raises(ModelError, match="not a model"):
            tuner.predict(tmp_path, ["a"], ("probs",), 0)


def test_another_format_and_another_tuner_are_named(tuner, name, model):
    about = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**about, "format": 99}))
    with pytest.raises(ModelError, match="format 99"):
        tuner.predict(model, ["a"], ("probs",), 0)
    (model / "model.json").write_text(json.dumps({**about, "tuner": "other"}))
    with pytest.raises(ModelError, match=f"trained by 'other', not by '{name}'"):
        tuner.predict(model, ["a"], ("probs",), 0)


def test_a_model_directory_says_which_tuner_predicts_with_it(tuner, model, tiny_bases, tmp_path):
    found = tuner_of(model)
    assert type(found) is type(tuner)
    said, expected = (one.predict(model, ["a red car"], ("probs",), 0).probs for one in (found, tuner))
    assert np.array_equal(said, expected)
    if hasattr(found, "base"):
        assert tuner_of(model, base=str(tiny_bases["gpt2"])).base == str(tiny_bases["gpt2"])
    about = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**about, "tuner": "gone"}))
    with pytest.raises(ModelError, match="cannot be used: there is no tuner named 'gone'"):
        tuner_of(model)


def test_a_model_is_no_pickle(model):
    assert {path.suffix for path in model.iterdir()} == {".json", ".safetensors"}


def test_importing_a_tuner_loads_no_heavy_library(name):
    code = (
        f"import sys, alloop.tuning; alloop.tuning.tuners.options({name!r}); "
        "print(*sorted({'torch', 'transformers', 'peft', 'sklearn', 'scipy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout.strip() == ""
