"""Tests of alloop.executors and alloop.work: a job gives the same wherever it runs, and says why it failed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from alloop.errors import AlloopError, ConfigError
from alloop.executors import executors
from alloop.records import Example
from alloop.tuning import FitJob
from alloop.work import TunerSpec, load_predictions, write_fit, write_predict

TFIDF = TunerSpec("tfidf", {})
EXAMPLES = [Example("the cat sleeps", ("animal",)), Example("the bus stops", ("vehicle",))] * 3
pytestmark = pytest.mark.slow


def job_in(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("name", executors.names())
def test_a_model_predicts_the_same_wherever_it_was_trained(name: str, tmp_path: Path) -> None:
    fit, predict = job_in(tmp_path / "fit"), job_in(tmp_path / "predict")
    executor = executors.build(name)
    write_fit(fit, TFIDF, FitJob(EXAMPLES, "single", ("animal", "vehicle"), seed=0))
    executor.run(fit)
    write_predict(predict, TFIDF, fit / "out", ["the cat", "the bus"], ["probs"], seed=0)
    executor.run(predict)
    probs = load_predictions(predict / "out").probs
    assert probs is not None
    assert np.array(probs).argmax(1).tolist() == [0, 1]


@pytest.mark.parametrize("name", executors.names())
def test_a_failed_job_says_why(name: str, tmp_path: Path) -> None:
    job = job_in(tmp_path / "job")
    write_predict(job, TFIDF, job_in(tmp_path / "empty"), ["the cat"], ["probs"], seed=0)
    with pytest.raises(AlloopError, match="empty") as caught:
        executors.build(name).run(job)
    assert caught.value.hint


def test_a_job_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    job = job_in(tmp_path / "job")
    write_predict(job, TFIDF, None, ["the cat"], ["embeddings"], seed=0)
    with pytest.raises(AlloopError, match=r"took longer than 0\.01 s"):
        executors.build("subprocess", timeout_s=0.01).run(job)


LORA = {"steps": 6, "epochs": 0.1, "batch": 4, "learning_rate": 1e-2, "precision": "fp32"}


@pytest.mark.parametrize(("tuner", "more"), [("full", {"accumulate": 2}), ("lora", {"batch": 1})])
def test_processes_that_train_together_learn_what_one_learns(
    tuner: str, more: dict[str, Any], tiny_bases: dict[str, Path], tmp_path: Path
) -> None:
    """Held-back examples are looked at once; a batch of 1 leaves nothing to the second process."""
    spec = TunerSpec(tuner, {"base": str(tiny_bases["bert"]), **LORA, "steps": 25, **more})
    fit = FitJob(EXAMPLES, "single", ("animal", "vehicle"), seed=0, dev=EXAMPLES[:2])
    found, measured = [], []
    for executor in (executors.build("inline"), executors.build("subprocess", processes=2)):
        job = job_in(tmp_path / f"{len(found)}")
        write_fit(job, spec, fit)
        executor.run(job)
        written = sorted(path.name for path in (job / "out").iterdir())
        assert written == ["adapter.safetensors", "head.safetensors", "model.json"]
        found.append(load_file(job / "out" / "adapter.safetensors"))
        measured.append(json.loads((job / "result.json").read_text()))
    for name, array in found[0].items():
        assert found[1][name] == pytest.approx(array, abs=2e-3), name
    assert measured[1]["train_loss"] == pytest.approx(measured[0]["train_loss"], abs=1e-3)
    assert measured[1]["dev_loss"] == pytest.approx(measured[0]["dev_loss"], abs=1e-3)


def test_when_training_together_fails_all_processes_end_and_say_why(
    tiny_bases: dict[str, Path], tmp_path: Path
) -> None:
    job = job_in(tmp_path / "job")
    write_fit(
        job,
        TunerSpec("lora", {"base": str(tiny_bases["bert"]), **LORA, "learning_rate": 1e38}),
        FitJob(EXAMPLES, "single", ("animal", "vehicle"), seed=0),
    )
    with pytest.raises(AlloopError, match="training failed: the loss is nan"):
        executors.build("subprocess", processes=2).run(job)
    assert list((job / "out").iterdir()) == []


def test_a_crash_of_processes_together_ends_them_all_and_is_told(tmp_path: Path) -> None:
    """What the second one said last is in the message too, if it came to say it before it was ended."""
    with pytest.raises(AlloopError, match=r"the job's process ended with code 1"):
        executors.build("subprocess", processes=2).run(job_in(tmp_path / "job"))


def test_only_the_first_of_several_processes_predicts(tmp_path: Path) -> None:
    fit, predict = job_in(tmp_path / "fit"), job_in(tmp_path / "predict")
    executor = executors.build("subprocess", processes=2)
    write_fit(fit, TFIDF, FitJob(EXAMPLES, "single", ("animal", "vehicle"), seed=0))
    executor.run(fit)
    write_predict(predict, TFIDF, fit / "out", ["the cat", "the bus"], ["probs"], seed=0)
    executor.run(predict)
    probs = load_predictions(predict / "out").probs
    assert probs is not None
    assert np.array(probs).argmax(1).tolist() == [0, 1]


def test_no_processes_are_refused() -> None:
    with pytest.raises(ConfigError, match="processes must be above 0"):
        executors.build("subprocess", processes=0)
