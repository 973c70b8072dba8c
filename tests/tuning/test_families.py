"""What holds for every family of bases, and for every tuner on each family that it claims."""

from pathlib import Path

import numpy as np
import pytest

from alloop.errors import ModelError
from alloop.tuning import tuners
from alloop.tuning._adapting import AdaptJob, adapt
from alloop.tuning._bases import load_base
from alloop.tuning._encoding import embed, for_scoring, pad_batch, pool
from tests.tuning.families import DECODERS, FAMILIES, POSITIONS

TEXTS = ["red", "the red apple is very dear", "a slow bus", ""]

# Pairs that a tuner refuses, and why. All others it claims.
REFUSED = {
    "bitfit": ("modernbert", "llama", "qwen3", "gemma", "gemma2", "gemma3", "mistral"),  # no biases
    "cloze": DECODERS,  # no gap to fill
    "prefix": ("mpnet", "deberta-v2"),  # attention of their own, without room for a prefix
}
# What makes these tuners quick, or learn something in four steps.
QUICK: dict[str, dict[str, object]] = {
    "lora": {"rank": 4, "alpha": 8.0},
    "freeze": {"layers": 1},
    "ia3": {"learning_rate": 0.5},
}

ON_A_BASE = [name for name in tuners.names() if "base" in tuners.options(name)]
PAIRS = [
    pytest.param(name, family, marks=() if family in ("bert", "gpt2") else pytest.mark.slow)
    for family in FAMILIES
    for name in ON_A_BASE
]


def build(name, base: Path, **options: object):
    quick = {"steps": 4, "epochs": 1.0, "learning_rate": 1e-2} | QUICK.get(name, {}) | options
    return tuners.build(name, base=str(base), **{k: v for k, v in quick.items() if k in tuners.options(name)})


def forget():
    """As another process would start: nothing of a base or of a model is in memory."""
    from alloop.tuning import _bases, _encoding, _finetuning

    _bases._load.cache_clear()
    _encoding.frozen.cache_clear()
    _finetuning._network.cache_clear()


@pytest.fixture
def in_fp32(monkeypatch):
    from alloop.tuning import _encoding

    monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device: False)
    forget()  # of networks that are in bfloat16
    yield
    forget()


def remember_networks(tuner, monkeypatch):
    """A list that the networks come into which the tuner trains; empty for one that trains none."""
    from alloop.tuning._finetuning import FineTuner

    networks = []
    if isinstance(tuner, FineTuner):
        adapt = type(tuner).adapt

        def remember(self, base):
            networks.append(adapt(self, base))
            return networks[-1]

        monkeypatch.setattr(type(tuner), "adapt", remember)
    return networks


@pytest.mark.parametrize(("name", "family"), PAIRS)
def test_a_tuner_fits_saves_loads_and_predicts_and_the_same_seed_gives_the_same_weights(
    name, family, family_bases, job, tmp_path, in_fp32, monkeypatch
):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(), second.mkdir()
    teacher = tmp_path / "teacher"  # of those that learn from another model
    teacher.mkdir()
    tuners.build("tfidf").fit(job(), teacher)
    tuner = build(name, family_bases[family], teacher=str(teacher))
    if family in REFUSED.get(name, ()):
        with pytest.raises(ModelError) as caught:
            tuner.fit(job(), first)
        assert caught.value.hint
        assert list(first.iterdir()) == []
        return
    trained = remember_networks(tuner, monkeypatch)
    tuner.fit(job(), first)
    said = tuner.predict(first, TEXTS, ("probs", "logits", "embeddings"), 0)
    assert said.probs.shape == (len(TEXTS), 3)
    assert said.probs.sum(1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    if trained:
        base = load_base(str(family_bases[family]))
        tokens = tuner.tokenize(base, TEXTS)
        assert embed(base, trained[0].eval(), tokens) == pytest.approx(said.embeddings, abs=1e-4)
        bare = tuner.predict(None, TEXTS, ("embeddings",), 0).embeddings
        assert np.abs(said.embeddings - bare).max() > 1e-3, "it learnt something"

    forget()
    tuner.fit(job(), second)
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }
    again = tuner.predict(second, TEXTS, ("probs",), 0)
    assert again.probs == pytest.approx(said.probs, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_base_of_each_family_adapts_to_the_texts_and_a_tuner_starts_from_there(family, family_bases, job, tmp_path):
    adapted, model = tmp_path / "adapted", tmp_path / "model"
    adapted.mkdir(), model.mkdir()
    texts = [f"the {thing} is {how}" for thing in ("apple", "pear", "bus", "car") for how in ("red", "fast", "dear")]
    found = adapt(AdaptJob(str(family_bases[family]), texts[:-2], texts[-2:], 16, epochs=1, minutes=1, seed=0), adapted)
    assert found["perplexity"]["after"]["value"] > 1
    tuner = build("lora", adapted)
    tuner.fit(job(), model)
    assert tuner.predict(model, TEXTS, ("probs",), 0).probs.shape == (len(TEXTS), 3)


def test_the_table_of_refusals_names_tuners_and_families_that_exist():
    assert set(REFUSED) | set(QUICK) <= set(ON_A_BASE)
    assert {family for families in REFUSED.values() for family in families} <= set(FAMILIES)


TOKENS = {
    **dict.fromkeys(("bert", "distilbert"), "[CLS] the red apple [SEP]"),
    "roberta": "<s> the Ġred Ġapple </s>",
    "xlm-roberta": "<s> ▁the ▁red ▁apple </s>",
    "mpnet": "<s> the red apple </s>",
    "deberta-v2": "[CLS] ▁the ▁red ▁apple [SEP]",
    "modernbert": "[CLS] the Ġred Ġapple [SEP]",
    **dict.fromkeys(("llama", "mistral"), "<s> ▁the ▁red ▁apple"),
    **dict.fromkeys(("gemma", "gemma2", "gemma3"), "<bos> t he ▁red ▁apple"),
    **dict.fromkeys(("qwen2", "qwen3", "gpt2"), "the Ġred Ġapple"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_are_where_the_family_was_pretrained_to_see_them(family, family_bases):
    base = load_base(str(family_bases[family]))
    tokens = base.tokenize(["the red apple", ""], 16)
    assert " ".join(base.tokenizer.convert_ids_to_tokens(tokens[0])) == TOKENS[family]
    assert len(tokens[1]) >= 1
    cut = base.tokenize(["the slow bus is dear"], 4)[0]
    assert len(cut) == 4
    assert cut[0] == tokens[0][0], "the beginning is kept"
    assert (cut[-1] == tokens[0][-1]) == (TOKENS[family].endswith(("]", "</s>"))), "and what comes last comes last"


@pytest.mark.parametrize("family", FAMILIES)
def test_decoders_pool_the_last_token_and_encoders_the_mean(family, family_bases):
    base = load_base(str(family_bases[family]))
    assert base.pooling == ("last" if family in DECODERS else "mean")
    assert 0 <= base.pad < base.network.get_input_embeddings().num_embeddings


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_does_not_change_what_is_said(family, family_bases):
    """Of a short text beside one that is longer than a sliding window, in the order of positions it has alone."""
    import torch

    base = load_base(str(family_bases[family]))
    tokens = base.tokenize(["red", "the red apple is very dear was not my green plum"], 64)
    ids, lengths, mask = pad_batch(tokens, base.pad, torch.device("cpu"))
    with torch.inference_mode():
        together = pool(base.network(input_ids=ids, attention_mask=mask).last_hidden_state, lengths, base.pooling)
        alone = [base.network(input_ids=torch.tensor([row])).last_hidden_state for row in tokens]
    alone = torch.cat([pool(hidden, torch.tensor([hidden.shape[1]]), base.pooling) for hidden in alone])
    assert together.numpy() == pytest.approx(alone.numpy(), abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_alone_equals_the_text_in_a_batch_in_the_precision_of_this_machine(family, family_bases):
    base = load_base(str(family_bases[family]))
    network = for_scoring(base.network)
    tokens = base.tokenize(["my plum is very cheap", "the train was not slow", "a blue bus is dear", "red", "a"], 64)
    together = embed(base, network, tokens)
    alone = np.concatenate([embed(base, network, [row]) for row in tokens])
    assert (together * alone).sum(1) == pytest.approx(np.ones(len(tokens)), abs=5e-3)
    exact = embed(base, base.network, tokens)
    assert (together * exact).sum(1) == pytest.approx(np.ones(len(tokens)), abs=2e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_may_be_as_long_as_there_are_positions(family, family_bases):
    base = load_base(str(family_bases[family]))
    assert base.max_tokens == POSITIONS
    tokens = base.tokenize(["red " * 1000], 10_000)
    assert len(tokens[0]) == POSITIONS
    assert np.isfinite(embed(base, base.network, tokens)).all()


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_keeps_no_keys_and_values_for_texts_that_do_not_go_on(family, family_bases):
    import torch

    base = load_base(str(family_bases[family]))
    assert base.network(input_ids=torch.tensor([[5, 6]])).past_key_values is None


def test_a_tokenizer_that_cuts_and_pads_on_the_left_does_neither_here(family_bases, tmp_path):
    import json
    import shutil

    shutil.copytree(family_bases["mistral"], tmp_path / "base")
    path = tmp_path / "base" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncation_side": "left", "padding_side": "left"}))
    base, usual = load_base(str(tmp_path / "base")), load_base(str(family_bases["mistral"]))
    texts = ["the red apple is very dear", "red"]
    assert base.tokenize(texts, 4) == usual.tokenize(texts, 4)


def test_a_token_that_the_weights_have_no_row_for_is_left_out(family_bases, tmp_path):
    import shutil

    from transformers import AutoTokenizer

    shutil.copytree(family_bases["gemma3"], tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    tokenizer.add_tokens(["<image_soft_token>"], special_tokens=True)
    tokenizer.save_pretrained(tmp_path / "base")
    base = load_base(str(tmp_path / "base"))
    with_picture, without = base.tokenize(["red<image_soft_token>", "red"], 16)
    assert with_picture == without
    assert np.isfinite(embed(base, base.network, base.tokenize(["<image_soft_token>"], 16))).all()


def test_a_model_of_pictures_and_text_is_refused_with_a_hint(family_bases, tmp_path):
    from transformers import Gemma3Config

    Gemma3Config().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((family_bases["gemma3"] / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="reads more than text") as caught:
        load_base(str(tmp_path))
    assert "gemma-3-1b" in caught.value.hint
