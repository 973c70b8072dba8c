from dataclasses import replace

import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.records import Example
from alloop.tuning import FitJob, tuners
from alloop.tuning.label_names import _scale, phrases

QUESTIONS = ("when do you open on sunday", "my parcel arrived broken", "the box is damaged", "are you closed at noon")
NAMES, TOLD = ("opening_hours", "damage"), {"damage": "something is broken"}
ANSWERS = [0, 1, 1, 0]


def test_without_an_example_texts_are_told_apart_by_what_labels_are_called(tmp_path):
    tuner = tuners.build("label-names")
    tuner.fit(FitJob([], "single", NAMES, 0, descriptions=TOLD), tmp_path)
    said = tuner.predict(tmp_path, QUESTIONS, ("probs", "embeddings"), 0)
    assert said.probs.argmax(1).tolist() == ANSWERS
    assert said.probs.sum(1) == pytest.approx(np.ones(4), abs=1e-5)
    bare = tuner.predict(None, QUESTIONS, ("embeddings",), 0).embeddings
    assert np.array_equal(said.embeddings, bare)


def test_without_an_example_a_label_of_several_applies_to_what_is_like_its_name(tmp_path):
    tuner = tuners.build("label-names")
    tuner.fit(FitJob([], "multi", NAMES, 0, descriptions=TOLD), tmp_path)
    probs = tuner.predict(tmp_path, [*QUESTIONS, "the weather in spain"], ("probs",), 0).probs
    assert (probs[:4].argmax(1) == ANSWERS).all()
    assert probs[4].max() < 0.5


def test_labels_only_say_how_sure_to_be(tmp_path):
    """Wrong ones cannot turn it round: they make it unsure."""
    found = {}
    for name, shift in (("right", 0), ("wrong", 1)):
        (tmp_path / name).mkdir()
        train = [Example(text, (NAMES[(answer + shift) % 2],)) for text, answer in zip(QUESTIONS, ANSWERS, strict=True)]
        tuner = tuners.build("label-names")
        tuner.fit(FitJob(train, "single", NAMES, 0, descriptions=TOLD), tmp_path / name)
        found[name] = tuner.predict(tmp_path / name, QUESTIONS, ("probs",), 0).probs
    assert (found["right"].argmax(1) == ANSWERS).all()
    assert (found["wrong"].argmax(1) == ANSWERS).all()
    assert found["right"].max(1).min() > 0.8 > 0.7 > found["wrong"].max()


def test_the_scale_makes_the_labels_likeliest():
    likeness = np.array([[0.1, -0.1]] * 4)  # always the first, which is right three times in four
    y = np.array([[1, 0]] * 3 + [[0, 1]])
    sharpness, bias = _scale(likeness, y, "single")
    assert 1 / (1 + np.exp(-0.2 * sharpness)) == pytest.approx(0.75, abs=0.01)
    assert bias == 0
    sharpness, bias = _scale(np.array([[0.3, 0.0]] * 4), np.array([[1, 0]] * 3 + [[0, 1]]), "multi")
    assert 1 / (1 + np.exp(-0.3 * sharpness - bias)) == pytest.approx(0.75, abs=0.02)
    assert 1 / (1 + np.exp(-bias)) == pytest.approx(0.25, abs=0.02)


def test_several_labels_per_text_take_their_threshold_from_the_examples(tiny_bases, job, tmp_path):
    tuner = tuners.build("label-names", base=str(tiny_bases["bert"]))
    tuner.fit(job("multi"), tmp_path)
    texts = [example.text for example in job("multi").train]
    probs = tuner.predict(tmp_path, texts, ("probs",), 0).probs
    assert probs.mean() == pytest.approx(job("multi").targets(job("multi").train).mean(), abs=0.05)


def test_a_name_is_read_as_words_and_a_description_follows_it():
    job = FitJob([], "single", ("opening_hours", "sign-up", "_"), 0, descriptions={"sign-up": "new accounts"})
    assert phrases(job) == ["opening hours", "sign up: new accounts", "_"]


def test_the_same_job_gives_the_same_bytes_and_a_template_others(tiny_bases, job, tmp_path):
    def weights(name, **options):
        (tmp_path / name).mkdir()
        tuners.build("label-names", base=str(tiny_bases["bert"]), **options).fit(job(), tmp_path / name)
        return (tmp_path / name / "head.safetensors").read_bytes()

    first = weights("1")
    assert weights("2") == first
    assert weights("3", template="the {label} train") != first


def test_a_model_of_another_base_is_refused(tiny_bases, job, tmp_path):
    tuners.build("label-names", base=str(tiny_bases["bert"])).fit(replace(job(), train=[]), tmp_path)
    with pytest.raises(ModelError, match="another base"):
        tuners.build("label-names", base=str(tiny_bases["llama"])).predict(tmp_path, ["a"], ("probs",), 0)


@pytest.mark.parametrize("template", ["", "about", "{label} or {label}"])
def test_a_template_without_the_label_is_refused(template):
    with pytest.raises(ConfigError, match="label"):
        tuners.build("label-names", template=template)
