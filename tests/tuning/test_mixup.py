from dataclasses import replace

import numpy as np
import pytest

from alloop.config import parse
from alloop.errors import ConfigError
from alloop.project import check_plugins, mixup_of
from alloop.records import Example
from alloop.tuning import FitJob, Mixup, tuners
from alloop.tuning._linear import fit_linear, linear_logits, probabilities
from alloop.tuning._mixup import with_mixed
from alloop.work import TunerSpec, run_job, write_fit
from tests.conftest import project_toml

X = np.array([[1, 0], [0, 1], [9, 9]], np.float32)
PAIR = [Example("a", ("x",)), Example("b", ("y",))]


def pair(more=(), **options):
    return FitJob([*PAIR, *more], "single", ("x", "y"), seed=3, **options)


def content(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*.*"))}


def test_a_mixture_of_two_texts_lies_between_them_and_has_their_labels_in_the_same_shares():
    x, y = with_mixed(pair(mixup=Mixup(3, 1.0)), X[:2], np.eye(2, dtype=np.float32))
    assert len(x) == len(y) == 2 + 2 * 3
    assert (x[:2] == X[:2]).all()
    assert (y[:2] == np.eye(2)).all()
    assert np.allclose(x[2:], y[2:])  # the first text is (1, 0) and has the label (1, 0)
    assert np.allclose(x[2:].sum(1), 1)
    assert 0 < x[2:].min() < x[2:].max() < 1


def test_variants_are_learnt_from_and_never_mixed():
    job = pair([Example("a!", ("x",), is_variant=True)], mixup=Mixup(5, 1.0))
    x, _ = with_mixed(job, X, job.targets(job.train))
    assert (x[:3] == X).all()
    assert len(x) == 3 + 2 * 5
    assert x[3:].max() <= 1, "(9, 9) is in none of them"


def test_of_some_rows_nothing_else_is_mixed_in():
    job = pair([Example("c", ("y",))], mixup=Mixup(4, 1.0))
    x, _ = with_mixed(job, X, job.targets(job.train), np.array([0, 1]))
    assert len(x) == 2 + 2 * 4
    assert x.max() <= 1


def test_one_text_has_nothing_to_be_mixed_with():
    job = FitJob(PAIR[:1], "single", ("x", "y"), seed=0, mixup=Mixup(2, 0.2))
    assert len(with_mixed(job, X[:1], job.targets(job.train))[0]) == 1


def test_texts_of_one_label_have_mixtures_of_exactly_that_label():
    train = [Example(name, ("x", "y")) for name in "abc"]
    job = FitJob(train, "multi", ("x", "y", "z"), seed=0, mixup=Mixup(20, 0.1))
    _, y = with_mixed(job, X, job.targets(train))
    assert (y == [1, 1, 0]).all()


def test_a_soft_target_is_two_examples_with_its_shares():
    from sklearn.linear_model import LogisticRegression

    x = np.array([[0], [1], [2], [1]], np.float32)
    y = np.array([[1, 0], [1, 0], [0, 1], [0.25, 0.75]], np.float32)
    expected = LogisticRegression(C=5.0, max_iter=1000).fit(
        [[0], [1], [2], [1], [1]], [0, 0, 1, 0, 1], sample_weight=[1, 1, 1, 0.25, 0.75]
    )
    single = probabilities(linear_logits(x, fit_linear(x, y, "single", 5.0)), "single")
    assert single == pytest.approx(expected.predict_proba(x), abs=1e-4)
    multi = probabilities(linear_logits(x, fit_linear(x, y, "multi", 5.0)), "multi")
    assert multi == pytest.approx(expected.predict_proba(x), abs=1e-4)


def test_an_even_mixture_of_opposite_texts_makes_the_middle_even():
    """8 of 10 texts, at -1, say x; 2, at +1, say y. The middle leans to x, unless half of each is learnt there."""
    x = np.array([[-1.0]] * 8 + [[1.0]] * 2, np.float32)
    y = np.eye(2, dtype=np.float32)[[0] * 8 + [1] * 2]
    middle = np.zeros((1, 1), np.float32)
    before = probabilities(linear_logits(middle, fit_linear(x, y, "single", 1.0)), "single")[0]
    mixed_x = np.concatenate([x, np.repeat(middle, 1000, 0)])
    mixed_y = np.concatenate([y, np.full((1000, 2), 0.5, np.float32)])
    after = probabilities(linear_logits(middle, fit_linear(mixed_x, mixed_y, "single", 1.0)), "single")[0]
    assert before[0] > 0.55
    assert after == pytest.approx([0.5, 0.5], abs=0.01)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_an_equal_job_gives_equal_bytes_and_another_seed_others(kind, job, tiny_bases, tmp_path):
    tuner = tuners.build("features", base=str(tiny_bases["bert"]))
    with_mixup = job(kind, mixup=Mixup(2, 0.4))
    jobs = {"one": with_mixup, "two": with_mixup, "other": replace(with_mixup, seed=9), "without": job(kind)}
    for name, one in jobs.items():
        (tmp_path / name).mkdir()
        tuner.fit(one, tmp_path / name)
    one, two, other, without = (content(tmp_path / name) for name in jobs)
    assert one == two
    assert one["head.safetensors"] != other["head.safetensors"]
    assert one["head.safetensors"] != without["head.safetensors"]


def test_held_back_texts_do_not_change_what_is_mixed(job, tiny_bases, tmp_path):
    tuner = tuners.build("features", base=str(tiny_bases["bert"]))
    for name, dev in (("none", None), ("some", [Example("a dear bus", ("null",))])):
        (tmp_path / name).mkdir()
        tuner.fit(job(mixup=Mixup(1, 0.2), dev=dev), tmp_path / name)
    assert content(tmp_path / "none") == content(tmp_path / "some")


def test_a_committee_mixes_by_its_members_seeds(job, tiny_bases, tmp_path):
    tuner = tuners.build("features", base=str(tiny_bases["bert"]))
    tuner.fit(job(mixup=Mixup(1, 0.4), members=3), tmp_path)
    heads = [(tmp_path / place / "head.safetensors").read_bytes() for place in (".", "member-1", "member-2")]
    assert len(set(heads)) == 3


def test_a_temperature_is_found_on_models_that_mix_too(job, tiny_bases, tmp_path):
    tuner = tuners.build("features", base=str(tiny_bases["bert"]), calibrate="folds")
    many = job()
    many = replace(many, train=[replace(one, text=f"{one.text} {n}") for n in range(6) for one in many.train])
    found = {}
    for name, mixup in (("with", Mixup(3, 1.0)), ("without", None)):
        (tmp_path / name).mkdir()
        found[name] = tuner.fit(replace(many, mixup=mixup), tmp_path / name)["temperature"]
    assert found["with"] != found["without"]


def test_another_process_is_told_what_to_mix(job, tiny_bases, tmp_path):
    spec = TunerSpec("features", {"base": str(tiny_bases["bert"])})
    asked = job(mixup=Mixup(2, 0.4))
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
    write_fit(tmp_path / "there", spec, asked)
    run_job(tmp_path / "there")
    spec.build().fit(asked, tmp_path / "here")
    assert content(tmp_path / "there" / "out") == content(tmp_path / "here")


def test_the_config_says_what_is_mixed():
    toml = project_toml(tuner="features", more='[augment]\nuse = ["swap-words", "mixup"]\nper_text = 3')
    assert mixup_of(parse(toml)) == Mixup(3, 0.2)
    assert mixup_of(parse(toml + "[options.mixup]\nalpha = 1\n")) == Mixup(3, 1.0)
    assert mixup_of(parse(project_toml(tuner="features"))) is None


def test_a_tuner_that_cannot_mix_is_refused_with_the_line_and_the_way_out(tmp_path):
    path = tmp_path / "alloop.toml"
    path.write_text(project_toml(tuner="tfidf", more='[augment]\nuse = ["mixup"]'))
    with pytest.raises(ConfigError) as caught:
        check_plugins(parse(path.read_text()), path)
    line = path.read_text().splitlines().index('use = ["mixup"]') + 1
    assert f"line {line}: augment.use: mixup" in caught.value.message
    assert "'tfidf'" in caught.value.message
    assert 'model.tuner = "features"' in caught.value.hint


@pytest.mark.parametrize("alpha", [0, -1, 1000, float("nan")])
def test_an_alpha_out_of_range_is_refused(alpha, tmp_path):
    with pytest.raises(ConfigError, match="alpha"):
        check_plugins(
            parse(project_toml(tuner="features", more=f'[augment]\nuse = ["mixup"]\n[options.mixup]\nalpha = {alpha}'))
        )
