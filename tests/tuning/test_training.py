import json
import tempfile
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.records import Example
from alloop.tuning import tuners
from alloop.tuning._folds import split
from alloop.tuning._steps import looks_at_folds
from alloop.tuning._training import Schedule, _checkpoint_layers, _curve, _judge, _parts, batches
from tests.command import alloop, change, done


def test_every_example_is_seen_once_an_epoch_in_batches_of_similar_length():
    lengths = list(np.random.default_rng(0).integers(3, 60, 32))
    epoch = list(batches(lengths, 8, 4, np.random.default_rng(1)))
    assert sorted(row for rows in epoch for row in rows) == list(range(32))
    spread = np.mean([np.ptp([lengths[row] for row in rows]) for rows in epoch])
    assert spread < 20, "against about 50 in batches drawn at random"


def test_few_examples_are_repeated_to_fill_the_batches():
    few = list(batches([3, 4, 5], 8, 10, np.random.default_rng(0)))
    assert [len(rows) for rows in few] == [8] * 10
    assert set(np.bincount([row for rows in few[:4] for row in rows])) <= {10, 11}


def weights(directory):
    """Every number that was learnt, in one row."""
    from safetensors.numpy import load_file

    arrays = {**load_file(directory / "adapter.safetensors"), **load_file(directory / "head.safetensors")}
    return np.concatenate([arrays[name].ravel() for name in sorted(arrays)])


@pytest.fixture
def learnt(tiny_bases, job, tmp_path):
    """learnt("lora", accumulate=2): the weights after a few steps on a tiny base."""

    def fit(name="lora", base="bert", make_job=job, **options):
        out = Path(tempfile.mkdtemp(dir=tmp_path))
        few = {"steps": 6, "epochs": 0.1, "learning_rate": 1e-2, "precision": "fp32"}
        tuners.build(name, base=str(tiny_bases[base]), **{**few, **options}).fit(make_job(), out)
        return weights(out)

    return fit


@pytest.mark.parametrize("base", ["bert", "llama"])
def test_examples_in_parts_teach_the_same_as_all_at_once(base, learnt):
    at_once = learnt("lora", base)
    in_parts = learnt("lora", base, accumulate=3)
    assert in_parts == pytest.approx(at_once, abs=2e-4)
    assert learnt("lora", base, batch=3) != pytest.approx(at_once, abs=1e-2), "and not what smaller steps teach"


def test_parts_are_counted_by_their_examples():
    assert [list(part) for part in _parts(range(8), 3)] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [list(part) for part in _parts(range(2), 3)] == [[0], [1]]


@pytest.mark.parametrize("base", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("options", [{}, {"dropout": 0.3}])
def test_layers_computed_twice_teach_the_same(base, options, learnt, monkeypatch):
    import torch.utils.checkpoint as checkpointing

    calls = []
    original = checkpointing.checkpoint
    monkeypatch.setattr(checkpointing, "checkpoint", lambda *a, **k: calls.append(a) or original(*a, **k))
    once = learnt("lora", base, **options)
    assert not calls
    assert learnt("lora", base, checkpointing=True, **options) == pytest.approx(once, abs=1e-5)
    assert len(calls) == 6 * 2, "both layers, in each of six steps"


def test_a_network_without_layers_of_the_base_cannot_be_checkpointed(tiny_bases):
    import torch

    from alloop.tuning._bases import load_base

    with pytest.raises(ConfigError, match="checkpointing") as caught:
        _checkpoint_layers(load_base(str(tiny_bases["bert"])), torch.nn.Linear(2, 2))
    assert "accumulate" in caught.value.hint


def test_layers_that_are_given_a_cache_are_not_computed_twice(tiny_bases):
    """As prefix tuning does: the second time, they would add to it again."""
    import torch
    from transformers import DynamicCache

    from alloop.tuning._bases import load_base

    base = load_base(str(tiny_bases["llama"]))
    network = deepcopy(base.network)
    _checkpoint_layers(base, network)
    with pytest.raises(ConfigError, match="a cache of keys and values"):
        network(input_ids=torch.tensor([[5, 6]]), past_key_values=DynamicCache(config=network.config))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [0, 0.5, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0, 0.5, 1, 0.8536, 0.5, 0.1464]),
        ("constant", [0, 0.5, 1, 1, 1, 1]),
    ],
)
def test_the_learning_rate_rises_and_then_follows_its_schedule(schedule, expected, tiny_bases, job, monkeypatch):
    import torch

    rates = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda o: rates.append(o.param_groups[0]["lr"]) or step(o))
    few = {"steps": 6, "epochs": 0.1, "warmup_share": 0.34, "learning_rate": 1e-2}
    with tempfile.TemporaryDirectory() as out:
        tuners.build("lora", base=str(tiny_bases["bert"]), schedule=schedule, **few).fit(job(), Path(out))
    assert rates == pytest.approx([1e-2 * rate for rate in expected], abs=1e-6)


def test_precision_is_chosen_whatever_the_machine_is_fast_in(learnt, monkeypatch):
    from alloop.tuning import _encoding

    full, half = learnt(precision="fp32"), learnt(precision="bf16")
    assert half != pytest.approx(full, abs=1e-6)
    assert half == pytest.approx(full, abs=0.1)
    for is_fast, same in ((True, half), (False, full)):
        monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device, is_fast=is_fast: is_fast)
        assert np.array_equal(learnt(precision="auto"), same)


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "step"},
        {"accumulate": 0},
        {"accumulate": 9},
        {"precision": "fp16"},
        {"checkpointing": 1},
        {"choose_steps": 1},
        {"patience": -1},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        tuners.build("full", **options)


def test_a_curve_says_how_training_went_at_every_step_of_a_short_one(tiny_bases, job, tmp_path):
    few = {"steps": 30, "epochs": 0.1, "learning_rate": 5e-3}
    measured = tuners.build("lora", base=str(tiny_bases["bert"]), **few).fit(job(dev=job().train), tmp_path)
    curve = measured["curve"]
    assert json.loads(json.dumps(curve)) == curve
    assert [point["step"] for point in curve] == list(range(1, 31))
    assert np.mean([point["loss"] for point in curve]) == pytest.approx(measured["train_loss"])
    assert max(point["learning_rate"] for point in curve) == pytest.approx(5e-3)
    (looked_at,) = (point for point in curve if "dev_loss" in point)
    assert (looked_at["step"], looked_at["dev_loss"]) == (25, measured["dev_loss"])
    assert 0.5 < looked_at["dev_accuracy"] <= 1


def test_of_several_labels_the_curve_has_f1(tiny_bases, job, tmp_path):
    tuner = tuners.build("full", base=str(tiny_bases["bert"]), steps=25, epochs=0.1)
    task = job("multi")
    curve = tuner.fit(replace(task, dev=task.train), tmp_path)["curve"]
    assert 0 <= curve[-1]["dev_f1_micro"] <= 1


def test_held_back_examples_are_judged_as_by_hand():
    import torch

    logits = torch.tensor([[2.0, -1.0], [-1.0, 1.0], [1.0, 0.5], [-1.0, -1.0]])
    y = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], np.float32)

    def said(kind):
        return _judge(lambda tokens: (None, logits), lambda v, x, t: x.mean(), [[1]] * 4, y, kind)

    assert said("multi") == {"dev_loss": 0.0625, "dev_f1_micro": pytest.approx(2 * 3 / (4 + 4))}
    assert said("single") == {"dev_loss": 0.0625, "dev_accuracy": 0.75}
    assert said(None) == {"dev_loss": 0.0625}


def test_a_point_has_the_mean_loss_since_the_one_before():
    curve = _curve([4.0, 2.0] * 100, [0.1] * 200, {})
    assert [point["step"] for point in curve[:3]] == [4, 8, 12]
    assert curve[-1]["step"] == 200
    assert {point["loss"] for point in curve} == {3.0}


@pytest.mark.parametrize("steps", [1, 59, 60, 61, 119, 750, 751, 100_000])
@pytest.mark.parametrize("with_dev", [True, False])
def test_a_curve_has_at_most_sixty_points_however_long_the_training(steps, with_dev):
    looks = {step: {"dev_loss": 1.0} for step in range(25, steps + 1, 25)} if with_dev else {}
    curve = _curve([1.0] * steps, [0.1] * steps, looks)
    assert min(steps, 28) <= len(curve) <= 60
    assert curve[-1]["step"] == steps
    assert sum("dev_loss" in point for point in curve) >= min(len(looks), 15)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_not_a_number_says_where_and_what_to_try(tiny_bases, job, tmp_path):
    with pytest.raises(ModelError, match=r"the loss is nan at step \d+ of 120, at a learning rate of \d") as caught:
        tuners.build("full", base=str(tiny_bases["bert"]), learning_rate=1e38).fit(job(), tmp_path)
    assert "[options.full] in alloop.toml set learning_rate = 5e+37, or 1e+37" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_loss_of_held_back_examples_that_is_not_a_number_stops_training(tiny_bases, job, tmp_path, monkeypatch):
    monkeypatch.setattr("alloop.tuning._training._judge", lambda *a: {"dev_loss": float("nan")})
    with pytest.raises(ModelError, match="the loss is nan at step 25 of 120"):
        tuners.build("lora", base=str(tiny_bases["bert"])).fit(job(dev=job().train), tmp_path)


def test_weights_that_are_not_numbers_are_not_written(tiny_bases, job, tmp_path, monkeypatch):
    """The last step can lead there, and no loss says so."""
    import torch

    def step(optimizer):
        optimizer.param_groups[0]["params"][0].data[0] = float("inf")

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(ModelError, match="some weights are not numbers after 1 step") as caught:
        tuners.build("lora", base=str(tiny_bases["bert"]), steps=1, epochs=0.01).fit(job(), tmp_path)
    assert "learning_rate = 0.0005, or 0.0001" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_after_training_failed_labels_and_the_last_model_are_there_and_a_lower_rate_goes_on(tiny_bases, make_project):
    """As a user meets it: round 3 fails, is closed, and the next round trains on all labels."""
    options = f'[options.lora]\nbase = "{tiny_bases["bert"]}"\nsteps = 2\nepochs = 0.1\nlearning_rate = 0.001\n'
    project = make_project(tuner="lora", more=options)
    for _ in range(2):
        done("round", project.root)
    (point,) = json.loads(done("report", project.root, "--json").out)["points"]
    assert [one["step"] for one in point["training"]] == [1, 2]
    texts = project.root / "texts.txt"
    texts.write_text("the cat sleeps here\n")
    said = done("predict", project.root, texts).out
    change(project.root / "alloop.toml", {"learning_rate = 0.001": "learning_rate = 1e38"})
    failed = alloop("round", project.root)
    assert failed.code == 1
    assert "training failed: the loss is nan at step 2 of 2" in failed.err
    assert "[options.lora] in alloop.toml set learning_rate" in failed.err
    found = json.loads(done("status", project.root, "--json").out)
    assert (found["labels"]["labelled"], found["round"]["step"]) == (16, "train")
    assert done("predict", project.root, texts).out == said
    change(project.root / "alloop.toml", {"learning_rate = 1e38": "learning_rate = 0.001"})
    assert alloop("round", project.root).code == 1, "an open round keeps its options"
    done("round", project.root, "--abandon")
    done("round", project.root)
    points = json.loads(done("report", project.root, "--json").out)["points"]
    assert [(one["round"], one["labels"]) for one in points] == [(2, 8), (4, 16)]


def test_folds_choose_the_steps_after_which_labels_left_out_are_known_best(tiny_bases, job, tmp_path, monkeypatch):
    """Of losses that fall until step 50 in all trainings together, though not in each."""
    said = iter([1.0, 0.4, 0.6, 0.9, 1.0, 0.9, 0.2, 0.9, 1.0, 0.2, 0.9, 0.9])
    monkeypatch.setattr("alloop.tuning._training._judge", lambda *a: {"dev_loss": next(said)})
    tuner = tuners.build("lora", base=str(tiny_bases["bert"]), steps=90, epochs=0.1, choose_steps=3)
    measured = tuner.fit(job(), tmp_path)
    assert measured["steps"] == measured["chosen_steps"] == 50
    assert [look["step"] for look in measured["looks"]] == [25, 50, 75, 100]
    assert [look["dev_loss"] for look in measured["looks"]] == pytest.approx([1.0, 0.5, 1.7 / 3, 0.9])
    plain = tmp_path / "plain"
    plain.mkdir()
    replace(tuner, steps=50, choose_steps=0).fit(job(), plain)
    assert np.array_equal(weights(tmp_path), weights(plain))


def test_where_more_steps_are_always_better_training_is_as_configured(tiny_bases, job, tmp_path, monkeypatch):
    monkeypatch.setattr("alloop.tuning._training._judge", lambda *a: {"dev_loss": float(next(said))})
    said = iter([3, 2, 3, 2])
    tuner = tuners.build("lora", base=str(tiny_bases["bert"]), steps=30, epochs=0.1, choose_steps=2)
    assert tuner.fit(job(), tmp_path)["chosen_steps"] == 30


@pytest.mark.parametrize("name", ["full", "freeze", "bitfit"])
def test_steps_are_chosen_with_every_tuner_and_the_same_each_time(name, tiny_bases, job, tmp_path):
    tuner = tuners.build(name, base=str(tiny_bases["bert"]), steps=26, epochs=0.1, choose_steps=2)
    found = []
    for number in range(2):
        out = tmp_path / f"{number}"
        out.mkdir()
        found.append((tuner.fit(job(), out), weights(out).tolist()))
    assert found[0] == found[1]
    assert all(np.isfinite(look["dev_loss"]) for look in found[0][0]["looks"])


def test_folds_hold_as_many_of_each_answer_and_no_variant_and_no_text_twice(job):
    examples = [*job().train, job().train[0]]
    fold = split(examples, 3, seed=0)
    for answers in (fold[:6], fold[6:12]):
        assert np.bincount(answers).tolist() == [2, 2, 2]
    assert fold[12] == fold[0]
    seen = []
    with_variants = replace(job(), train=[*examples, Example("the crimson apple", ("no",), is_variant=True)])
    looks_at_folds(lambda part: seen.append(part) or {"curve": [{"step": 25, "dev_loss": 1.0}]}, with_variants, 3)
    assert [len(part.train) + len(part.dev) for part in seen] == [13, 13, 13]
    assert not any({one.text for one in part.train} & {one.text for one in part.dev} for part in seen)
    assert not any(one.is_variant for part in seen for one in [*part.train, *part.dev])


def test_a_tuner_that_never_looks_at_held_back_examples_cannot_choose_its_steps(job):
    with pytest.raises(ConfigError, match="does not look") as caught:
        looks_at_folds(lambda part: {"train_loss": 1.0}, job(), 2)
    assert caught.value.hint == "set choose_steps = 0"


def test_steps_are_not_chosen_by_labels_that_an_earlier_model_knows(tiny_bases, job, tmp_path):
    tuner = tuners.build("lora", base=str(tiny_bases["bert"]), choose_steps=2)
    with pytest.raises(ConfigError, match=r"choose_steps cannot go with model\.warm_start"):
        tuner.fit(job(init=tmp_path / "earlier"), tmp_path)


def test_labels_held_back_need_no_folds_and_patience_says_when_training_ends(tiny_bases, job, tmp_path):
    wrong = [Example(e.text, ("null",) if e.labels == ("no",) else ("no",)) for e in job().train]  # only gets worse
    for patience, steps in ((1, 50), (0, 110)):
        out = tmp_path / f"{patience}"
        out.mkdir()
        options = {"steps": 110, "epochs": 0.1, "learning_rate": 5e-3, "choose_steps": 2, "patience": patience}
        measured = tuners.build("lora", base=str(tiny_bases["bert"]), **options).fit(job(dev=wrong), out)
        assert (measured["steps"], "looks" in measured) == (steps, False)


@pytest.mark.parametrize(("labels", "kind", "rate"), [(6, "single", 1e-3), (80, "single", 5e-3), (80, "multi", 1e-3)])
def test_the_head_learns_faster_where_one_of_many_labels_applies(labels, kind, rate):
    assert Schedule().head_rate(labels, kind) == pytest.approx(rate)
    assert Schedule(head_learning_rate=0.5).head_rate(labels, kind) == 0.5
