"""Tests of alloop.executors and alloop.work: a job gives the same wherever it runs, and says why it failed."""

from pathlib import Path

import numpy as np
import pytest

from alloop.errors import AlloopError
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
