import json
from dataclasses import replace

import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.records import Example
from alloop.tuning import FitJob, tuners


def build(base, **options):
    return tuners.build("lora", base=str(base), **{"steps": 40, "rank": 4, "alpha": 8.0, **options})


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_any_encoder_or_decoder_learns(name, tiny_bases, job, tmp_path):
    tuner = build(tiny_bases[name], learning_rate=5e-3)
    measured = tuner.fit(job(), tmp_path)
    predictions = tuner.predict(tmp_path, [example.text for example in job().train], ("probs",), 0)
    assert (predictions.probs.argmax(1) == [0] * 6 + [1] * 6).mean() > 0.8
    assert measured["steps"] == 40


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_padding_does_not_change_what_is_predicted(name, tiny_bases, job, tmp_path):
    tuner = build(tiny_bases[name])
    tuner.fit(job(), tmp_path)
    texts = ["red", "the red apple is very dear"]  # few of each length, so they are padded together
    together = tuner.predict(tmp_path, texts, ("embeddings",), 0).embeddings
    alone = np.concatenate([tuner.predict(tmp_path, [text], ("embeddings",), 0).embeddings for text in texts])
    assert together == pytest.approx(alone, abs=0.03)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_the_merged_network_says_what_the_trained_one_said(name, tiny_bases, job, tmp_path, monkeypatch):
    import torch

    from alloop.tuning import _encoding, _finetuning
    from alloop.tuning._bases import load_base

    monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device: False)
    tuner, base = build(tiny_bases[name]), load_base(str(tiny_bases[name]))
    tuner.fit(job(), tmp_path)
    _, files = tuner._read(tmp_path, base)
    tokens = base.tokenize(["the red apple", "a bus is slow"], 16)
    with torch.random.fork_rng():
        adapted = tuner.adapt(base).eval()
    _finetuning._put(adapted, files["adapter.safetensors"])
    merged = tuner.apply(base, files["adapter.safetensors"])
    assert _encoding.embed(base, merged, tokens) == pytest.approx(_encoding.embed(base, adapted, tokens), abs=1e-5)
    assert not np.allclose(
        _encoding.embed(base, merged, tokens), _encoding.embed(base, base.network, tokens), atol=1e-3
    )


def test_only_the_adapter_is_learnt_and_the_base_stays_as_it_is(tiny_bases, job, tmp_path):
    from alloop.tuning._bases import load_base

    base = load_base(str(tiny_bases["bert"]))
    before = {name: p.clone() for name, p in base.network.named_parameters()}
    build(tiny_bases["bert"]).fit(job(), tmp_path)
    assert all((p == before[name]).all() for name, p in base.network.named_parameters())
    assert not any("lora" in name for name in before)
    adapted = [name for name, p in build(tiny_bases["bert"]).adapt(base).named_parameters() if p.requires_grad]
    assert len(adapted) == 2 * 6 * 2, "A and B of query, key, value, output and two of the feed-forward, in two layers"


def test_a_model_of_another_base_is_refused(tiny_bases, job, tmp_path):
    build(tiny_bases["bert"]).fit(job(), tmp_path)
    with pytest.raises(ModelError, match="another base"):
        build(tiny_bases["llama"]).predict(tmp_path, ["a"], ("probs",), 0)


def test_prediction_goes_by_the_options_the_model_was_trained_with(tiny_bases, job, tmp_path):
    build(tiny_bases["bert"]).fit(job(), tmp_path)
    expected = build(tiny_bases["bert"]).predict(tmp_path, ["a red car"], ("probs",), 0).probs
    others = build(tiny_bases["bert"], rank=2, alpha=99.0, max_tokens=3)
    assert others.predict(tmp_path, ["a red car"], ("probs",), 0).probs == pytest.approx(expected)


def test_training_goes_on_from_an_earlier_model_even_with_another_label(tiny_bases, job, tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(), second.mkdir()
    build(tiny_bases["bert"], steps=60, learning_rate=5e-3).fit(job(), first)
    grown = replace(job(init=first), labels=("new", *job().labels))
    slow = build(tiny_bases["bert"], steps=1, epochs=0.1, learning_rate=1e-6)
    slow.fit(grown, second)
    texts = [example.text for example in grown.train]
    before, after = (slow.predict(path, texts, ("logits",), 0).logits for path in (first, second))
    assert after[:, 1:] == pytest.approx(before, abs=0.1)


def test_training_does_not_go_on_from_an_adapter_of_another_shape(tiny_bases, job, tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(), second.mkdir()
    build(tiny_bases["bert"]).fit(job(), first)
    with pytest.raises(ModelError, match="rank"):
        build(tiny_bases["bert"], rank=8).fit(job(init=first), second)


def test_held_back_examples_stop_training_early_and_keep_the_best_weights(tiny_bases, job, tmp_path):
    wrong = [Example(e.text, ("null",) if e.labels == ("no",) else ("no",)) for e in job().train]  # only gets worse
    measured = build(tiny_bases["bert"], steps=500, learning_rate=5e-3).fit(job(dev=wrong), tmp_path)
    assert measured["steps"] == 100, "three looks without improvement after the first one, 25 steps apart"
    assert measured["dev_loss"] > 0


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_the_first_head_says_how_frequent_labels_are_so_that_no_step_is_spent_on_it(kind, tiny_bases, job):
    """Otherwise the vectors of all texts move together, and in multi-label tasks they become one (recipe.md)."""
    import torch

    from alloop.tuning._bases import load_base

    tuner, task = build(tiny_bases["bert"]), job(kind)
    many = FitJob(task.train * 50, kind, task.labels, 0)
    y = many.targets(many.train)
    head = tuner.first_head(load_base(str(tiny_bases["bert"])), many)
    loss = tuner.objective(kind, y, "cpu")(None, head(torch.zeros(len(y), 32)), torch.from_numpy(y))
    loss.backward()
    assert head.bias.grad.abs().max() < 0.01
    assert head.weight.abs().max() == 0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_not_a_number_stops_training(tiny_bases, job, tmp_path):
    with pytest.raises(ModelError, match="training failed") as caught:
        build(tiny_bases["bert"], learning_rate=1e38).fit(job(), tmp_path)
    assert "learning_rate" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"rank": 0}, {"dropout": 1.0}, {"steps": 0}, {"label_smoothing": -0.1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        tuners.build("lora", **options)


def test_smoothing_dropout_and_balanced_weights_train(tiny_bases, job, tmp_path):
    tuner = build(tiny_bases["bert"], label_smoothing=0.1, dropout=0.1, class_weights="balanced")
    measured = tuner.fit(job(), tmp_path)
    assert measured["train_loss"] > 0


def test_minilm_learns_in_a_few_steps_what_is_rare(tmp_path):
    """The bundled base, and one example in ten of the rare label."""
    common = ["what time is it", "when do you open", "until when are you open", "which days are you closed", "open now"]
    train = [Example(text, ("hours",)) for text in common * 2] + [Example("my parcel is broken", ("damage",))]
    tuner = tuners.build("lora", steps=20)
    tuner.fit(FitJob(train, "single", ("hours", "damage"), 0), tmp_path)
    probs = tuner.predict(tmp_path, ["the box was damaged", "are you open on sunday"], ("probs",), 0).probs
    assert probs.argmax(1).tolist() == [1, 0]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 8_000_000


def test_samples_are_draws_around_the_prediction_and_the_same_for_the_same_seed(tiny_bases, job, tmp_path):
    tuner = build(tiny_bases["bert"], dropout=0.2, samples=30, learning_rate=5e-3)
    tuner.fit(job(), tmp_path)
    texts = ["the red apple", "a bus", "the slow pear"]
    said = tuner.predict(tmp_path, texts, ("probs", "samples"), 3)
    assert said.samples.shape == (30, 3, 3)
    assert said.samples.dtype == np.float32
    assert said.samples.sum(-1) == pytest.approx(np.ones((30, 3)), abs=1e-5)
    assert said.samples.std(0).max() > 0.005
    assert said.samples.mean(0) == pytest.approx(said.probs, abs=0.15)
    again = tuner.predict(tmp_path, texts, ("samples",), 3).samples
    assert np.array_equal(again, said.samples)
    assert not np.allclose(tuner.predict(tmp_path, texts, ("samples",), 4).samples, said.samples)


def test_each_sample_is_one_model_whatever_it_is_asked_about(tiny_bases, job, tmp_path):
    tuner = build(tiny_bases["gpt2"], dropout=0.2, samples=3)
    tuner.fit(job(), tmp_path)
    together = tuner.predict(tmp_path, ["the red apple", "a bus", "a bus is slow"], ("samples",), 0).samples
    alone = tuner.predict(tmp_path, ["a bus"], ("samples",), 0).samples
    assert alone == pytest.approx(together[:, 1:2], abs=0.02)


def test_a_sample_without_the_inputs_that_were_dropped_is_what_dropout_says(tiny_bases, job, tmp_path, monkeypatch):
    """The mask on an adapter's inputs, as peft would multiply them, equals the mask on its weights."""
    from alloop.tuning import _encoding, _finetuning
    from alloop.tuning._bases import load_base

    monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device: False)
    tuner, base = (
        build(tiny_bases["bert"], dropout=0.5, samples=2, learning_rate=5e-3),
        load_base(str(tiny_bases["bert"])),
    )
    tuner.fit(job(), tmp_path)
    about, files = tuner._read(tmp_path, base)
    rng, masks = np.random.default_rng(9), {}
    for key in sorted(files["adapter.safetensors"]):
        if ".lora_A." in key:
            masks[key.split(".lora_A.")[0]] = (rng.random(files["adapter.safetensors"][key].shape[1]) >= 0.5) * 2.0

    import torch

    class Mask(torch.nn.Module):
        def __init__(self, mask):
            super().__init__()
            self.mask = torch.from_numpy(mask).float()

        def forward(self, x):
            return x * self.mask

    with torch.random.fork_rng():
        adapted = tuner.adapt(base).eval()
    _finetuning._put(adapted, files["adapter.safetensors"])
    for name, mask in masks.items():
        adapted.get_submodule(name).lora_dropout["default"] = Mask(mask)
    expected = tuner._said_by(adapted, base, about, files, ["the red apple"]).probs
    found = tuner.predict(tmp_path, ["the red apple"], ("samples",), 9).samples[0]
    assert found == pytest.approx(expected, abs=1e-5)


def test_without_dropout_there_is_nothing_to_draw_from(tiny_bases, job, tmp_path):
    tuner = build(tiny_bases["bert"], steps=2)
    tuner.fit(job(), tmp_path)
    with pytest.raises(ConfigError, match="cannot give samples") as caught:
        tuner.predict(tmp_path, ["a"], ("samples",), 0)
    assert "[options.lora]" in caught.value.hint


VARIANTS = {
    "attention": {"targets": "attention"},
    "last layer": {"layers": 1},
    "rank-stabilised": {"rank_stabilised": True},
    "dora": {"dora": True},
    "all of them": {"targets": "attention", "layers": 1, "rank_stabilised": True, "dora": True},
}


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_merged_variant_says_what_the_trained_one_said(variant, name, tiny_bases, job, tmp_path, monkeypatch):
    import torch

    from alloop.tuning import _encoding, _finetuning
    from alloop.tuning._bases import load_base

    monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device: False)
    tuner = build(tiny_bases[name], learning_rate=1e-2, steps=20, **VARIANTS[variant])
    tuner.fit(job(), tmp_path)
    base = load_base(str(tiny_bases[name]))
    about, files = tuner._read(tmp_path, base)
    assert json.loads((tmp_path / "model.json").read_text())["options"] == {
        "rank": 4,
        "alpha": 8.0,
        **VARIANTS[variant],
    }
    tokens = base.tokenize(["the red apple", "a bus is slow"], 16)
    with torch.random.fork_rng():
        adapted = tuner.adapt(base).eval()
    _finetuning._put(adapted, files["adapter.safetensors"])
    others = build(tiny_bases[name], dropout=0.1).as_trained(about)  # of the usual options
    merged = others.apply(base, files["adapter.safetensors"])
    assert _encoding.embed(base, merged, tokens) == pytest.approx(_encoding.embed(base, adapted, tokens), abs=1e-5)
    assert not np.allclose(
        _encoding.embed(base, merged, tokens), _encoding.embed(base, base.network, tokens), atol=1e-3
    )


@pytest.mark.parametrize(
    ("name", "options", "adapted"),
    [
        ("bert", {"targets": "attention"}, {"query", "key", "value", "dense"}),
        ("gpt2", {"targets": "attention"}, {"c_attn", "c_proj"}),
        ("llama", {"targets": "attention"}, {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("llama", {"targets": ["q_proj", "mlp.up_proj"]}, {"q_proj", "up_proj"}),
    ],
)
def test_only_the_targets_are_adapted_in_only_the_layers_asked_for(name, options, adapted, tiny_bases):
    from alloop.tuning._bases import load_base

    base = load_base(str(tiny_bases[name]))
    for layers, many in ((0, 2), (1, 1), (2, 2)):
        names = build(tiny_bases[name], layers=layers, **options)._names(base)
        assert {one.rpartition(".")[2] for one in names} == adapted
        assert len(names) == many * len(adapted)
        assert all("mlp.c_proj" not in one and "intermediate" not in one for one in names)


def test_a_target_that_no_layer_has_is_refused_with_those_there_are(tiny_bases, job, tmp_path):
    with pytest.raises(ModelError, match="ends with 'q_proj'") as caught:
        build(tiny_bases["bert"], targets=["query", "q_proj"]).fit(job(), tmp_path)
    assert "names end with: dense, key, query, value" in caught.value.hint


@pytest.mark.parametrize(
    "options", [{"targets": "some"}, {"targets": []}, {"layers": -1}, {"dora": True, "dropout": 0.1}]
)
def test_variants_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        tuners.build("lora", **options)


def test_a_model_from_before_there_were_variants_is_read_as_it_was_meant(tiny_bases, job, tmp_path):
    build(tiny_bases["bert"]).fit(job(), tmp_path)
    assert json.loads((tmp_path / "model.json").read_text())["options"] == {"rank": 4, "alpha": 8.0}
    expected = build(tiny_bases["bert"]).predict(tmp_path, ["a red car"], ("probs",), 0).probs
    others = build(tiny_bases["bert"], dora=True, rank_stabilised=True, layers=1, targets=["query"])
    assert others.predict(tmp_path, ["a red car"], ("probs",), 0).probs == pytest.approx(expected)


def test_a_model_trained_with_dora_has_nothing_to_draw_from(tiny_bases, job, tmp_path):
    build(tiny_bases["bert"], dora=True, steps=2).fit(job(), tmp_path)
    with pytest.raises(ModelError, match="trained with dora"):
        build(tiny_bases["bert"], dropout=0.1).predict(tmp_path, ["a"], ("samples",), 0)


def test_dora_starts_from_the_lengths_of_the_bases_weights(tiny_bases):
    import torch

    from alloop.tuning._bases import load_base
    from alloop.tuning.lora import MAGNITUDE

    base = load_base(str(tiny_bases["llama"]))
    with torch.random.fork_rng():
        parameters = dict(build(tiny_bases["llama"], dora=True).adapt(base).named_parameters())
    name = "layers.0.self_attn.q_proj"
    assert parameters[f"{name}.{MAGNITUDE}"].requires_grad
    assert parameters[f"{name}.{MAGNITUDE}"].dtype == torch.float32
    lengths = base.network.get_submodule(name).weight.norm(dim=1)
    assert torch.allclose(parameters[f"{name}.{MAGNITUDE}"], lengths, rtol=0.01)


def test_four_bits_are_refused_where_there_is_no_gpu_or_no_library(tiny_bases, job, tmp_path, monkeypatch):
    import torch

    from alloop.tuning import lora
    from alloop.tuning._bases import load_base

    tuner = build(tiny_bases["bert"], four_bit=True)
    assert not tuner.mergeable
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="needs a CUDA GPU") as caught:
        tuner.fit(job(), tmp_path)
    assert "four_bit = false" in caught.value.hint
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="needs bitsandbytes") as caught:
        tuner.adapt(load_base(str(tiny_bases["bert"])))
    assert "pip install 'alloop[four-bit]'" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
