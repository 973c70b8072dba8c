import numpy as np
import pytest

from alloop.errors import ConfigError
from alloop.records import Example
from alloop.tuning import FitJob, tuners
from alloop.tuning.setfit import _couples, _likeness

FRUIT_OR_RIDE = [0] * 6 + [1] * 6


def build(base, **options):
    return tuners.build("setfit", base=str(base), **{"steps": 40, "learning_rate": 3e-3, **options})


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_texts_that_share_a_label_end_up_together_and_the_head_names_them(name, tiny_bases, job, tmp_path):
    tuner = build(tiny_bases[name])
    measured = tuner.fit(job(), tmp_path)
    said = tuner.predict(tmp_path, [example.text for example in job().train], ("probs", "embeddings"), 0)
    assert (said.probs.argmax(1) == FRUIT_OR_RIDE).mean() > 0.8
    assert said.probs[:, 2].max() < 0.2, "no example has the third label"
    cosines = said.embeddings @ said.embeddings.T
    assert cosines[:6, :6].mean() > cosines[:6, 6:].mean() + 0.3
    assert measured["steps"] == 40


def test_several_labels_per_text(tiny_bases, job, tmp_path):
    tuner = build(tiny_bases["bert"])
    tuner.fit(job("multi"), tmp_path)
    probs = tuner.predict(tmp_path, ["the red car", "a green pear"], ("probs",), 0).probs
    assert probs[0, 1] > 0.5 > probs[0, 0]
    assert probs[0, 2] > probs[1, 2]


def test_the_same_job_gives_the_same_bytes(tiny_bases, job, tmp_path):
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        build(tiny_bases["bert"], steps=5).fit(job(), tmp_path / name)
    one, other = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("1", "2"))
    assert one == other


@pytest.mark.parametrize("labels", [("no", "no"), ("no", "null")])
def test_two_examples_are_enough(labels, tiny_bases, tmp_path):
    train = [Example("the red apple", labels[:1]), Example("a slow bus", labels[1:])]
    tuner = build(tiny_bases["bert"], steps=5)
    tuner.fit(FitJob(train, "single", ("no", "null", "1e5"), 0), tmp_path)
    probs = tuner.predict(tmp_path, ["the red apple", "a slow bus"], ("probs",), 0).probs
    assert [("no", "null")[row] for row in probs.argmax(1)] == list(labels)


def test_labels_held_back_stop_the_pairs_early(tiny_bases, job, tmp_path):
    wrong = [Example(e.text, ("no", "null")[number % 2 :][:1]) for number, e in enumerate(job().train)]
    measured = build(tiny_bases["bert"], steps=500).fit(job(dev=wrong), tmp_path)
    assert measured["steps"] < 500
    assert measured["dev_loss"] > 0


def test_the_loss_is_the_error_of_the_cosines_half_of_it_of_pairs_that_share_a_label():
    import torch

    vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.8, 0.6], [0.0, 1.0]])
    target = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    pull = (0.4**2 + 0.2**2) / 2  # the first with the second, the second with the third
    apart = (0.0, 0.8, 0.0, 0.96, 0.8, 0.6, 1.0)  # the first with the third, and three with each that has no label
    push = sum(cosine**2 for cosine in apart) / 7
    assert float(_likeness(vectors, None, target)) == pytest.approx((pull + push) / 2)


def test_every_text_comes_in_turn_with_one_that_shares_a_label():
    y = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 1, 2]]
    rows = list(_couples(y, 4, 6, np.random.default_rng(0)))
    anchors = [row for step in rows for row in step[::2]]
    partners = [row for step in rows for row in step[1::2]]
    assert sorted(anchors) == sorted([*range(6), *range(6)])
    for anchor, partner in zip(anchors, partners, strict=True):
        assert anchor == 5 or (anchor != partner and (y[anchor] == y[partner]).all())


@pytest.mark.parametrize("options", [{"strength": 0.0}, {"batch": 1}, {"label_smoothing": 0.1}])
def test_options_without_a_use_or_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        tuners.build("setfit", **options)
