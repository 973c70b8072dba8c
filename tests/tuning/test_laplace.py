"""Models drawn from what the labels leave open, against the Hessian itself where that is small enough to invert."""

import json

import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.rounds import run_round
from alloop.tuning import tuners
from alloop.tuning._laplace import draw_samples, fit_posterior
from alloop.tuning._linear import class_weight_vector, fit_linear, linear_logits

DRAWS = 4000


def rows(n, d, seed=0):
    """x (n, d) float32, of length 1 as the vectors of a base."""
    x = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def one_hot(classes, c):
    return np.eye(c, dtype=np.float32)[classes]


def drawn_logits(x, y, kind, strength, new, class_weights="sqrt", seed=0):
    """Logits (T, N, C) of the new texts by the drawn models; those of a single-label task less the first one's."""
    linear = fit_linear(x, y, kind, strength, class_weights)
    posterior = fit_posterior(x, y, linear, kind, strength, class_weights)
    samples = draw_samples(new, linear, posterior, kind, DRAWS, seed).astype(np.float64)
    return np.log(samples) - np.log(1 - samples if kind == "multi" else samples[..., :1])


def exact_deviation(x, counted, strength, new):
    """Standard deviation (N,) of the logit of new texts; `counted` (M,) is weight * p * (1 - p). One logit for two."""
    with_one, new = np.c_[x, np.ones(len(x))], np.c_[new, np.ones(len(new))]
    penalty = np.diag([1 / strength] * x.shape[1] + [0.0])
    covariance = np.linalg.inv((with_one.T * counted) @ with_one + penalty)
    return np.sqrt(np.einsum("nd,de,ne->n", new, covariance, new))


@pytest.mark.parametrize("strength", [1.0, 30.0])
@pytest.mark.parametrize(("m", "d"), [(60, 4), (12, 30)])
def test_of_two_classes_the_logits_are_drawn_from_the_exact_hessians_inverse(m, d, strength):
    x, classes, new = rows(m, d), np.arange(m) % 3 // 2, rows(9, d, seed=1)
    y = one_hot(classes, 2)
    logits = drawn_logits(x, y, "single", strength, new)[..., 1]
    found = linear_logits(x, fit_linear(x, y, "single", strength, "sqrt"))
    p = 1 / (1 + np.exp(found[:, 0] - found[:, 1]))
    counted = class_weight_vector(y, "single", "sqrt")[classes] * p * (1 - p)
    assert logits.std(0) == pytest.approx(exact_deviation(x, counted, strength, new), rel=0.05)
    expected = linear_logits(new, fit_linear(x, y, "single", strength, "sqrt"))
    assert logits.mean(0) == pytest.approx(expected[:, 1] - expected[:, 0], abs=4 * logits.std(0).max() / DRAWS**0.5)


def test_of_one_label_that_texts_have_or_not_the_logits_are_drawn_from_the_exact_hessians_inverse():
    x, new = rows(40, 5), rows(9, 5, seed=1)
    y = np.zeros((40, 3), np.float32)
    y[:10, 1], y[:, 2] = 1, 1  # the first label never, the last always: neither is learnt
    logits = drawn_logits(x, y, "multi", 3.0, new)
    linear = fit_linear(x, y, "multi", 3.0, "sqrt")
    p = 1 / (1 + np.exp(-linear_logits(x, linear)[:, 1]))
    counted = np.where(y[:, 1] > 0, class_weight_vector(y, "multi", "sqrt")[1], 1) * p * (1 - p)
    assert logits[..., 1].std(0) == pytest.approx(exact_deviation(x, counted, 3.0, new), rel=0.05)
    assert logits[..., [0, 2]].std(0).max() < 1e-3


def test_of_several_classes_the_deviations_are_close_to_those_of_the_whole_hessian():
    m, d, c = 120, 4, 4
    x, new = rows(m, d), rows(20, d, seed=1)
    y = one_hot(np.random.default_rng(2).integers(0, c, m), c)
    linear = fit_linear(x, y, "single", 5.0)
    p = np.exp(linear_logits(x, linear).astype(np.float64))
    p /= p.sum(1, keepdims=True)
    with_one = np.c_[x, np.ones(m)]
    each = np.eye(c) * p[:, :, None] - p[:, :, None] * p[:, None, :]  # (M, C, C)
    hessian = np.einsum("mij,ma,mb->iajb", each, with_one, with_one).reshape(c * (d + 1), -1)
    covariance = np.linalg.pinv(hessian + np.diag(([1 / 5.0] * d + [0]) * c), rcond=1e-10)
    logits = drawn_logits(x, y, "single", 5.0, new, "none")
    for label in range(1, c):
        contrast = np.zeros(c)
        contrast[[0, label]] = -1, 1
        at = np.einsum("i,na->nia", contrast, np.c_[new, np.ones(20)]).reshape(20, -1)
        exact = np.sqrt(np.einsum("nd,de,ne->n", at, covariance, at))
        assert logits[..., label].std(0) == pytest.approx(exact, rel=0.2)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_the_more_labels_the_less_is_open(kind):
    x, y, new = rows(200, 8), one_hot(np.arange(200) % 3, 3), rows(30, 8, seed=1)
    few, many = (drawn_logits(x[:n], y[:n], kind, 3.0, new)[..., 1].std(0).mean() for n in (20, 200))
    assert many < few / 2


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_more_is_open_far_from_the_labelled_texts_than_among_them(kind):
    x, y = rows(60, 10), one_hot(np.arange(60) % 3, 3)
    x[:, 5:] = 0  # nothing labelled has anything of the last five
    among, far = rows(10, 10, seed=1), rows(10, 10, seed=2)
    among[:, 5:], far[:, :5] = 0, 0
    logits = drawn_logits(x, y, kind, 3.0, np.concatenate([among, far]))[..., 1:].std(0)  # (20, C - 1)
    assert logits[10:].min() > logits[:10].max()


def test_what_was_not_learnt_and_what_leaves_no_doubt_give_samples_that_are_probabilities():
    x, new = rows(12, 5), rows(4, 5, seed=1)
    for y, strength in ((one_hot([1] * 12, 3), 30.0), (one_hot(np.arange(12) % 2 * 2, 3), 1e12)):
        linear = fit_linear(x, y, "single", strength)
        samples = draw_samples(new, linear, fit_posterior(x, y, linear, "single", strength), "single", 5, 0)
        assert samples.sum(-1) == pytest.approx(np.ones((5, 4)), abs=1e-5)
        assert (samples.std(0).max() < 1e-6) == (strength == 30), "of one label seen nothing can be drawn"


@pytest.mark.parametrize(("m", "most"), [(7, 6), (50, 16)])
def test_no_more_is_kept_than_the_labelled_texts_or_the_base_have_directions(m, most):
    x, y = rows(m, 16), one_hot(np.arange(m) % 3, 5)
    kept = fit_posterior(x, y, fit_linear(x, y, "single", 30.0), "single", 30.0)
    assert kept["directions"].shape == (most, 16)
    assert kept["contrasts"].shape == (5, 2)
    assert kept["directions"] @ kept["directions"].T == pytest.approx(np.eye(most), abs=1e-5)


@pytest.fixture
def features(tiny_bases):
    return tuners.build("features", base=str(tiny_bases["bert"]), samples=30)


TEXTS = ["the red apple", "a slow bus", "was"]


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_samples_are_models_around_the_prediction_and_the_same_for_the_same_seed(features, job, tmp_path, kind):
    features.fit(job(kind), tmp_path)
    said = features.predict(tmp_path, TEXTS, ("probs", "samples"), 3)
    assert said.samples.shape == (30, 3, 3)
    assert said.samples.dtype == np.float32
    if kind == "single":
        assert said.samples.sum(-1) == pytest.approx(np.ones((30, 3)), abs=1e-5)
    assert np.array_equal(features.predict(tmp_path, TEXTS, ("samples",), 3).samples, said.samples)
    assert not np.allclose(features.predict(tmp_path, TEXTS, ("samples",), 4).samples, said.samples, atol=0.01)
    alone = features.predict(tmp_path, TEXTS[1:2], ("samples",), 3).samples
    assert alone == pytest.approx(said.samples[:, 1:2], abs=0.02), "a sample is a model, whatever it is asked about"


def test_a_model_trained_by_an_older_version_predicts_but_has_no_samples(features, job, tmp_path):
    features.fit(job(), tmp_path)
    about = json.loads((tmp_path / "model.json").read_text())
    del about["files"]["posterior.safetensors"]
    (tmp_path / "model.json").write_text(json.dumps(about))
    (tmp_path / "posterior.safetensors").unlink()
    assert features.predict(tmp_path, TEXTS, ("probs",), 0).probs.shape == (3, 3)
    with pytest.raises(ModelError, match="has no samples: an older alloop trained it") as caught:
        features.predict(tmp_path, TEXTS, ("samples",), 0)
    assert "alloop round" in caught.value.hint


def test_a_committee_and_samples_come_from_one_model(features, job, tmp_path):
    features.fit(job(members=3), tmp_path)
    said = features.predict(tmp_path, TEXTS, ("members", "samples"), 0)
    assert said.members.shape == (3, 3, 3)
    assert said.samples.shape == (30, 3, 3)


def test_one_sample_is_refused(tiny_bases):
    with pytest.raises(ConfigError, match="samples must be above 1"):
        tuners.build("features", samples=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bald", "epig"])
def test_a_strategy_on_samples_picks_in_the_loop_with_frozen_features(name, tiny_bases, make_project):
    project = make_project(strategy=name, tuner="features", more=f'[options.features]\nbase = "{tiny_bases["bert"]}"\n')
    for _ in range(3):
        run_round(project)
    for number in (2, 3):
        scores = [pick.score for pick in project.store.picks(number) if pick.strategy == name]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > 0
