"""What holds for every tuner that learns little of its own beside a base that stays as it is."""

from dataclasses import replace

import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.tuning import _encoding, _finetuning, tuners
from alloop.tuning._bases import load_base

QUICK = {  # options that learn the tiny task in a few steps
    "adapter": {"width": 4, "learning_rate": 1e-2},
    "ia3": {"learning_rate": 5e-2},
    "p-tuning": {"length": 4, "hidden": 8, "learning_rate": 3e-2},
    "prefix": {"length": 4, "learning_rate": 1e-1},
    "prompt": {"length": 4, "learning_rate": 1e-1},
}
BASES = ("bert", "gpt2", "llama")
LEARNT = {  # of the tiny BERT: two layers, 32 wide, 64 inside
    "adapter": (".adapter.", 2 * 2 * (32 * 4 + 4 + 4 * 32 + 32)),
    "ia3": ("ia3_l", 2 * (32 + 32 + 64)),
    "p-tuning": ("prompt.weight", 4 * 32),
    "prefix": (".prefix", 2 * 2 * 4 * 32),
    "prompt": ("prompt.weight", 4 * 32),
}
MERGEABLE = [name for name in QUICK if tuners.get(name).mergeable]


def build(name, base, **options):
    return tuners.build(name, base=str(base), **{"steps": 60, **QUICK[name], **options})


@pytest.fixture(scope="module")
def fitted(tiny_bases, tmp_path_factory):
    """The tuner and a model of it, the same for whoever asks again."""
    made = {}

    def fit(name, base, job):
        if (name, base) not in made:
            tuner, out = build(name, tiny_bases[base]), tmp_path_factory.mktemp(f"{name}-{base}")
            tuner.fit(job, out)
            made[name, base] = tuner, out
        return made[name, base]

    return fit


def as_trained_and_as_used(tuner, base, learnt):
    """The network in which it was learnt, and the one that predicts."""
    import torch

    with torch.random.fork_rng():
        adapted = tuner.adapt(base).eval()
    _finetuning._put(adapted, learnt)
    return adapted, tuner.apply(base, learnt)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", QUICK)
def test_any_encoder_or_decoder_learns(name, base, fitted, job):
    tuner, model = fitted(name, base, job())
    predictions = tuner.predict(model, [example.text for example in job().train], ("probs",), 0)
    assert (predictions.probs.argmax(1) == [0] * 6 + [1] * 6).mean() > 0.8


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", QUICK)
def test_padding_does_not_change_what_is_predicted(name, base, fitted, job):
    tuner, model = fitted(name, base, job())
    texts = ["red", "the red apple is very dear"]  # few of each length, so they are padded together
    together = tuner.predict(model, texts, ("embeddings",), 0).embeddings
    alone = np.concatenate([tuner.predict(model, [text], ("embeddings",), 0).embeddings for text in texts])
    assert together == pytest.approx(alone, abs=0.03), "bfloat16 may round differently in another batch"


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", QUICK)
def test_the_network_that_predicts_says_what_the_trained_one_said(name, base, tiny_bases, fitted, job, monkeypatch):
    (tuner, model), known = fitted(name, base, job()), load_base(str(tiny_bases[base]))
    monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device: False)
    _, files = tuner._read(model, known)
    adapted, used = as_trained_and_as_used(tuner, known, files["adapter.safetensors"])
    tokens = known.tokenize(["the red apple", "a bus is slow"], 16)
    said = _encoding.embed(known, used, tokens)
    assert said == pytest.approx(_encoding.embed(known, adapted, tokens), abs=1e-5)
    assert not np.allclose(said, _encoding.embed(known, known.network, tokens), atol=1e-3)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", MERGEABLE)
def test_a_merged_network_has_the_weights_of_its_base_and_no_others(name, base, tiny_bases, fitted, job):
    (tuner, model), known = fitted(name, base, job()), load_base(str(tiny_bases[base]))
    _, files = tuner._read(model, known)
    merged = tuner.apply(known, files["adapter.safetensors"])
    assert merged.state_dict().keys() == known.network.state_dict().keys()


@pytest.mark.parametrize("name", QUICK)
def test_it_learns_what_it_says_in_fp32_and_the_base_stays_as_it_is(name, tiny_bases, job, tmp_path):
    import torch

    base = load_base(str(tiny_bases["bert"]))
    before = {key: parameter.clone() for key, parameter in base.network.named_parameters()}
    tuner = build(name, tiny_bases["bert"], steps=5)
    tuner.fit(job(), tmp_path)
    assert before.keys() == dict(base.network.named_parameters()).keys()
    assert all(torch.equal(parameter, before[key]) for key, parameter in base.network.named_parameters())
    with torch.random.fork_rng():
        network = tuner.adapt(base)
    learnt = {key: parameter for key, parameter in network.named_parameters() if parameter.requires_grad}
    word, size = LEARNT[name]
    assert all(word in key for key in learnt)
    assert {parameter.dtype for parameter in learnt.values()} == {torch.float32}
    assert sum(parameter.numel() for parameter in learnt.values()) == size
    _, files = tuner._read(tmp_path, base)
    assert sum(array.size for array in files["adapter.safetensors"].values()) == size


@pytest.mark.parametrize("name", QUICK)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(name, tiny_bases, job, tmp_path):
    written = []
    for number, seed in enumerate((3, 3, 4)):
        out = tmp_path / str(number)
        out.mkdir()
        build(name, tiny_bases["bert"], steps=5).fit(job(seed=seed), out)
        written.append((out / "adapter.safetensors").read_bytes())
    assert written[0] == written[1] != written[2]


@pytest.mark.parametrize("name", QUICK)
def test_training_goes_on_from_an_earlier_model(name, tiny_bases, fitted, job, tmp_path):
    _, first = fitted(name, "bert", job())
    slow = build(name, tiny_bases["bert"], steps=1, epochs=0.1, learning_rate=1e-7)
    slow.fit(job(init=first), tmp_path)
    texts = [example.text for example in job().train]
    before, after = (slow.predict(path, texts, ("logits",), 0).logits for path in (first, tmp_path))
    assert after == pytest.approx(before, abs=0.1)


@pytest.mark.parametrize("name", QUICK)
def test_in_bfloat16_it_predicts_what_it_predicts_in_fp32(name, fitted, job, monkeypatch):
    """Whichever of the two this machine has in hardware; attention is computed in another way with each."""
    tuner, model = fitted(name, "gpt2", job())
    said = []
    for half in (False, True):
        monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device, half=half: half)
        _finetuning._network.cache_clear()
        said.append(tuner.predict(model, ["the red apple", "a slow bus"], ("embeddings",), 0).embeddings)
    _finetuning._network.cache_clear()
    assert said[1] == pytest.approx(said[0], abs=0.05)


def test_adapters_start_by_adding_nothing(tiny_bases, monkeypatch):
    import torch

    monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device: False)
    base = load_base(str(tiny_bases["llama"]))
    with torch.random.fork_rng():
        adapted = build("adapter", tiny_bases["llama"]).adapt(base)
    tokens = base.tokenize(["the red apple", "a bus is slow"], 16)
    assert np.array_equal(_encoding.embed(base, adapted, tokens), _encoding.embed(base, base.network, tokens))


@pytest.mark.parametrize("name", ["prompt", "p-tuning"])
def test_a_prompt_starts_as_words_and_training_moves_it(name, tiny_bases, fitted, job):
    import torch

    tuner, model = fitted(name, "bert", job())
    base = load_base(str(tiny_bases["bert"]))
    words = base.network.get_input_embeddings().weight
    with torch.random.fork_rng():
        prompt = tuner.adapt(base).prompt.weight
    assert all(any(torch.allclose(row, word, atol=0.01) for word in words[4:]) for row in prompt)
    _, files = tuner._read(model, base)
    assert not any(
        np.allclose(row, word.numpy(), atol=0.01)
        for row in files["adapter.safetensors"]["prompt.weight"]
        for word in words
    )


@pytest.mark.parametrize("base", BASES)
def test_a_prompt_and_a_long_text_fit_into_the_positions_of_the_base(base, tiny_bases, job):
    import torch

    known = load_base(str(tiny_bases[base]))
    length = known.max_tokens - 3
    tuner = build("prompt", tiny_bases[base], length=length, max_tokens=10**6)
    tokens = tuner.tokenize(known, ["a " * 1000])
    assert len(tokens[0]) == 3
    with torch.random.fork_rng():
        network = tuner.adapt(known)
        assert network(input_ids=torch.tensor(tokens), attention_mask=None).last_hidden_state.shape == (1, 3, 32)
        with pytest.raises(ModelError, match="length alone"):
            build("prompt", tiny_bases[base], length=known.max_tokens).adapt(known)


@pytest.mark.parametrize("base", BASES)
def test_a_prefix_is_what_transformers_takes_for_keys_and_values_of_earlier_tokens(base, tiny_bases, monkeypatch):
    import torch
    from transformers import DynamicCache

    known = load_base(str(tiny_bases[base]))
    monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device: False)
    with torch.random.fork_rng():
        network = build("prefix", tiny_bases[base]).adapt(known)
    ids, mask = torch.tensor([[4, 5, 6, 7], [8, 9, 0, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    earlier = DynamicCache()
    prefixes = [parameter for name, parameter in network.named_parameters() if name.endswith(".prefix")]
    for layer, (keys, values) in enumerate(prefixes):
        earlier.update(keys[None].expand(2, -1, -1, -1), values[None].expand(2, -1, -1, -1), layer)
    with torch.no_grad():
        expected = known.network(
            input_ids=ids,
            attention_mask=torch.cat([torch.ones(2, 4, dtype=torch.long), mask], 1),
            position_ids=torch.arange(4)[None].expand(2, -1),
            past_key_values=earlier,
        ).last_hidden_state
        for way in ("sdpa", "eager"):
            network.set_attn_implementation(way)
            said = network(input_ids=ids, attention_mask=mask).last_hidden_state
            assert torch.allclose(said[0], expected[0], atol=1e-5)
            assert torch.allclose(said[1, :2], expected[1, :2], atol=1e-5)
            unpadded = network(input_ids=ids[:1], attention_mask=None).last_hidden_state
            assert torch.allclose(unpadded[0], expected[0], atol=1e-5)


def test_a_prefix_is_refused_where_attention_has_no_room_for_it(tiny_bases):
    from transformers import MPNetConfig, MPNetModel

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    base = replace(load_base(str(tiny_bases["bert"])), network=MPNetModel(MPNetConfig(vocab_size=40, **small)))
    with pytest.raises(ModelError, match="in its own way") as caught:
        tuners.build("prefix").adapt(base)
    assert '"prompt"' in caught.value.hint


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adapter", {"width": 0}),
        ("ia3", {"learning_rate": 0.0}),
        ("p-tuning", {"hidden": 0}),
        ("prompt", {"length": 0}),
    ],
)
def test_options_out_of_range_are_refused(name, options):
    with pytest.raises(ConfigError):
        tuners.build(name, **options)
