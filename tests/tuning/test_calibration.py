"""Temperature: found on labels that a model has not learnt from, stored with it, and applied to its probabilities."""

import json

import numpy as np
import pytest

from alloop.metrics import log_loss
from alloop.records import Example
from alloop.tuning import FitJob, tuners
from alloop.tuning._calibration import ENOUGH, FROM, fit_temperature, out_of_fold
from alloop.tuning._linear import probabilities
from tests.tuning.families import WORDS


def drawn(kind, n, rng, labels=4):
    """Logits (N, C) and targets drawn from the probabilities that they stand for."""
    logits = rng.normal(0, 2, (n, labels)).astype(np.float32)
    p = probabilities(logits, kind)
    if kind == "multi":
        return logits, (rng.random(p.shape) < p).astype(np.float32)
    return logits, np.eye(labels, dtype=np.float32)[[rng.choice(labels, p=row / row.sum()) for row in p.astype(float)]]


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_the_temperature_is_found_that_the_labels_were_drawn_by(kind, scale):
    logits, y = drawn(kind, 4_000, np.random.default_rng(0))
    assert fit_temperature(scale * logits, y, kind) == pytest.approx(scale, rel=0.05)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_few_labels_move_it_little_and_many_all_the_way(kind):
    rng = np.random.default_rng(1)
    means = []
    for n in (3, 30, 3_000):
        found = [fit_temperature(3 * logits, y, kind) for logits, y in (drawn(kind, n, rng) for _ in range(10))]
        means.append(np.mean(found))
    assert 1 < means[0] < 1.8 < means[1] < means[2]
    assert means[2] == pytest.approx(3, rel=0.05)
    assert fit_temperature(np.zeros((0, 4)), np.zeros((0, 4)), kind) == 1


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_labels_that_are_all_predicted_rightly_or_all_wrongly_leave_it_finite(kind):
    y = np.eye(3, dtype=np.float32)[[0, 1, 2] * 30]
    right = fit_temperature(10 * y - 5, y, kind)
    wrong = fit_temperature(5 - 10 * y, y, kind)
    assert 0.05 < right < 1 < wrong < 20


def examples(n, **more):
    return [Example(f"text {row}", (str(row % 2),), **more) for row in range(n)]


def targets(of):
    return np.array([[one.labels == (label,) for label in "01"] for one in of], np.float32)


def test_no_model_says_anything_of_a_text_it_has_learnt_from_nor_of_its_copies_and_variants():
    of = examples(60) + examples(30) + examples(60, is_variant=True)
    asked = []

    def learn(rows, held):
        assert not {of[row].text for row in rows} & {of[row].text for row in held}
        assert not any(of[row].is_variant for row in [*rows, *held])
        asked.extend(held)
        return np.zeros((len(held), 2), np.float32)

    logits, y = out_of_fold(of, targets(of), learn)
    assert sorted(asked) == list(range(90))
    assert (len(logits), y.sum()) == (90, 90)


def test_a_label_that_the_others_do_not_have_says_nothing():
    of = [*examples(60), Example("the only one", ("2",))]
    y = np.array([[one.labels == (label,) for label in "012"] for one in of], np.float32)
    _, known = out_of_fold(of, y, lambda rows, held: np.zeros((len(held), 3), np.float32))
    assert known.sum(0).tolist() == [30, 30, 0]


def test_too_few_labels_say_nothing_and_enough_spare_further_fits():
    fits = []

    def learn(rows, held):
        fits.append(len(rows))
        return np.zeros((len(held), 2), np.float32)

    few, many = examples(FROM - 1), examples(3 * ENOUGH)
    assert len(out_of_fold(few, targets(few), learn)[0]) == 0
    assert fits == []
    assert len(out_of_fold(many, targets(many), learn)[0]) == 1.2 * ENOUGH
    assert fits == [2.4 * ENOUGH] * 2


def noisy(n, seed):
    """Texts of which one word decides, but a label in four is wrong."""
    rng = np.random.default_rng(seed)
    made = []
    for text in (" ".join(rng.choice(WORDS[:-2], 5)) for _ in range(n)):
        said = (text.count("red") > 0) ^ (rng.random() < 0.25)
        made.append(Example(text, ("yes" if said else "no",)))
    return made


@pytest.fixture(params=["tfidf", "features"])
def too_sure(request, tiny_bases):
    """A linear model that trusts its examples far too much."""
    more = {"base": str(tiny_bases["bert"])} if request.param == "features" else {}
    return lambda **options: tuners.build(request.param, **{"strength": 1e4, "calibrate": "folds", **more, **options})


def test_probabilities_that_were_too_sure_mean_what_they_say(too_sure, tmp_path):
    job, unseen = FitJob(noisy(70, 0), "single", ("no", "yes"), 0), noisy(300, 1)
    texts, y = [one.text for one in unseen], job.targets(unseen)
    said = {}
    for calibrate in ("folds", "none"):
        (tmp_path / calibrate).mkdir()
        measured = too_sure(calibrate=calibrate).fit(job, tmp_path / calibrate)
        said[calibrate] = too_sure().predict(tmp_path / calibrate, texts, ("probs", "logits"), 0)
        stored = json.loads((tmp_path / calibrate / "model.json").read_text())["temperature"]
        assert measured["temperature"] == stored
        assert said[calibrate].probs == pytest.approx(probabilities(said[calibrate].logits / stored, "single"))
    assert stored == 1, "none"
    assert log_loss(y, said["folds"].probs, "single") < 0.9 * log_loss(y, said["none"].probs, "single")
    assert (said["folds"].probs.argmax(1) == said["none"].probs.argmax(1)).all()
    assert said["folds"].logits == pytest.approx(said["none"].logits), "logits stay as they are"


def test_a_model_of_an_older_alloop_has_the_temperature_1(too_sure, tmp_path):
    too_sure().fit(FitJob(noisy(150, 0), "single", ("no", "yes"), 0), tmp_path)
    about = json.loads((tmp_path / "model.json").read_text())
    assert about.pop("temperature") > 1
    (tmp_path / "model.json").write_text(json.dumps(about))
    said = too_sure().predict(tmp_path, ["the red car"], ("probs", "logits"), 0)
    assert said.probs == pytest.approx(probabilities(said.logits, "single"))


def test_each_member_of_a_committee_has_a_temperature_of_its_own(too_sure, tmp_path):
    too_sure().fit(FitJob(noisy(150, 0), "single", ("no", "yes"), 0, members=3), tmp_path)
    found = [json.loads(path.read_text())["temperature"] for path in sorted(tmp_path.rglob("model.json"))]
    assert len(set(found)) == 3
    assert min(found) > 1, "copies of an example are in one fold: otherwise each member would know its answers"


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_samples_are_as_sure_as_the_prediction_they_are_around(kind, tiny_bases, tmp_path):
    train = noisy(150, 0)
    if kind == "multi":
        train += [Example(f"{one.text} cheap", ("no", "yes")) for one in train[:20]]
    tuner = tuners.build("features", base=str(tiny_bases["bert"]), strength=1e4, samples=300, calibrate="folds")
    tuner.fit(FitJob(train, kind, ("no", "yes"), 0), tmp_path)
    texts = [one.text for one in noisy(40, 1)]
    said = tuner.predict(tmp_path, texts, ("probs", "samples"), 0)
    sure = lambda probs: np.abs(probs - 0.5).mean()  # noqa: E731
    about = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**about, "temperature": 1.0}))
    raw = tuner.predict(tmp_path, texts, ("probs", "samples"), 0)
    assert about["temperature"] > 1.5
    assert sure(said.samples) < sure(raw.samples)
    assert np.abs(said.samples.mean(0) - said.probs).mean() < np.abs(raw.samples.mean(0) - raw.probs).mean()


@pytest.fixture
def quick(tiny_bases):
    few = {"base": str(tiny_bases["bert"]), "steps": 8, "epochs": 0.1, "rank": 4}
    return lambda **options: tuners.build("lora", **few | options)


@pytest.mark.slow
def test_fine_tuning_asks_the_labels_held_back(quick, job, tmp_path):
    right = job().train * 4
    wrong = [Example(e.text, ("null",) if e.labels == ("no",) else ("no",)) for e in right]
    found = {}
    for name, dev in (("right", right), ("wrong", wrong), ("none", None)):
        (tmp_path / name).mkdir()
        tuner = quick(learning_rate=5e-3, alpha=8.0, steps=40)
        measured = tuner.fit(job(dev=dev, members=2), tmp_path / name)
        found[name] = [json.loads(p.read_text())["temperature"] for p in sorted((tmp_path / name).rglob("model.json"))]
        assert measured["temperature"] == found[name][-1]
        assert len(found[name]) == 2
    assert max(found["right"]) < 1 < min(found["wrong"])
    assert set(found["none"]) == {1.0}
    (tmp_path / "off").mkdir()
    assert quick(calibrate="none").fit(job(dev=wrong), tmp_path / "off")["temperature"] == 1


@pytest.mark.slow
def test_fine_tuning_in_folds_needs_no_labels_held_back(quick, tmp_path):
    job = FitJob(noisy(60, 0), "single", ("no", "yes"), 0)
    one, two = tmp_path / "1", tmp_path / "2"
    one.mkdir(), two.mkdir()
    measured = quick(calibrate="folds").fit(job, one)
    assert measured["temperature"] != 1
    plain = quick().fit(job, two)
    assert plain["temperature"] == 1
    weights = [(path / "adapter.safetensors").read_bytes() for path in (one, two)]
    assert weights[0] == weights[1], "the further fits change nothing but the temperature"
