from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.records import Example
from alloop.tuning import FitJob, tuners
from alloop.tuning.distill import _as_the_teacher, _with_labels
from tests.tuning.conftest import FRUIT, RIDES

UNSEEN = [text.replace("the", "my") for text in (*FRUIT, *RIDES)]


@pytest.fixture
def teacher(job, tmp_path):
    """A tf-idf model that knows all of the toy task, with its labels in another order."""
    out = tmp_path / "teacher"
    out.mkdir()
    tuners.build("tfidf").fit(replace(job(), labels=("1e5", "null", "no")), out)
    return out


@pytest.fixture
def of_multi(job, tmp_path):
    out = tmp_path / "of-multi"
    out.mkdir()
    tuners.build("tfidf").fit(job("multi"), out)
    return out


def build(base, teacher, **options):
    few = {"steps": 80, "learning_rate": 3e-3, "teacher": str(teacher)}
    return tuners.build("distill", base=str(base), **{**few, **options})


def fitted(tuner, job, out: Path) -> Path:
    out.mkdir()
    tuner.fit(job, out)
    return out


def test_the_student_learns_from_texts_without_labels_what_its_teacher_knows(tiny_bases, job, teacher, tmp_path):
    two = [Example(FRUIT[0], ("no",)), Example(RIDES[0], ("null",))]
    tuner = build(tiny_bases["bert"], teacher)
    taught = fitted(tuner, replace(job(), train=two, unlabelled=UNSEEN), tmp_path / "taught")
    said = tuner.predict(taught, UNSEEN, ("probs",), 0)
    assert (said.probs.argmax(1) == [0] * 6 + [1] * 6).mean() > 0.8
    known = tuners.build("tfidf").predict(teacher, UNSEEN, ("probs",), 0).probs[:, ::-1]
    assert said.labels == ("no", "null", "1e5")
    assert said.probs == pytest.approx(known, abs=0.35)
    untaught = fitted(tuner, replace(job(), train=two), tmp_path / "untaught")
    alone = tuner.predict(untaught, UNSEEN, ("probs",), 0).probs
    assert np.abs(said.probs - known).mean() < np.abs(alone - known).mean()


def test_several_labels_per_text(tiny_bases, job, of_multi, tmp_path):
    tuner = build(tiny_bases["bert"], of_multi, steps=120)
    out = fitted(tuner, replace(job("multi"), unlabelled=UNSEEN, dev=job("multi").train), tmp_path / "out")
    probs = tuner.predict(out, ["the red car", "a green pear"], ("probs",), 0).probs
    assert probs[0, 1] > 0.5 > probs[0, 0]


def test_the_same_job_gives_the_same_bytes(tiny_bases, job, teacher, tmp_path):
    tuner, task = build(tiny_bases["bert"], teacher, steps=5), replace(job(), unlabelled=UNSEEN)
    one, other = (
        {path.name: path.read_bytes() for path in fitted(tuner, task, tmp_path / name).iterdir()} for name in ("1", "2")
    )
    assert one == other


def test_the_loss_is_the_cross_entropy_with_the_teacher_and_the_labels_once_more():
    import torch

    taught = np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)
    target = torch.from_numpy(_with_labels(taught, np.array([[0, 1]], np.float32)))
    assert target.tolist() == [[0.75, 0.25, 0, 1, 1], [0.5, 0.5, 0, 0, 0]]
    labels = lambda vectors, logits, given: (given * torch.tensor([5.0, 7.0])).sum()  # noqa: E731
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    softened = -(0.75 * np.log(1 / (1 + np.exp(-1))) + 0.25 * np.log(1 / (1 + np.exp(1))))
    expected = 2**2 * (softened + np.log(2)) / 2 + 7 / 2
    found = _as_the_teacher("single", labels, 2.0)(torch.zeros(2, 3), logits, target)
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_a_teacher_of_other_labels_or_of_another_kind_is_refused_by_name(tiny_bases, job, teacher, tmp_path):
    others = FitJob([Example("a", ("x",)), Example("b", ("no",))], "single", ("no", "x"), 0)
    with pytest.raises(ModelError, match=r"knows the labels 1e5, null, no \(single\).* to learn no, x \(single\)"):
        fitted(build(tiny_bases["bert"], teacher), others, tmp_path / "out")
    with pytest.raises(ModelError, match=r"to learn no, null, 1e5 \(multi\)"):
        build(tiny_bases["bert"], teacher).check_task("multi", job().labels)


def test_without_a_teacher_nothing_is_learnt(tiny_bases, job, tmp_path):
    with pytest.raises(ConfigError, match="no teacher") as caught:
        fitted(tuners.build("distill", base=str(tiny_bases["bert"])), job(), tmp_path / "out")
    assert "[options.distill]" in caught.value.hint
    with pytest.raises(ModelError, match=r"model\.json is missing"):
        fitted(build(tiny_bases["bert"], tmp_path / "nowhere"), job(), tmp_path / "other")


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"texts": -1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        tuners.build("distill", **options)
