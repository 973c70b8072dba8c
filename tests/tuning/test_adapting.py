"""Adapting a base: any family that has a language model, measured on texts that it has not seen."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alloop.errors import DataError, ModelError
from alloop.pretrained import best_device
from alloop.tuning import _adapting, tuners
from alloop.tuning._adapting import AdaptJob, adapt
from alloop.tuning._bases import load_base
from tests.tuning.conftest import WORDS

SUBJECTS, RIDES = "apple pear plum".split(), "car bus train".split()
TEXTS = [
    f"the {thing} is not very {how} was my {what}" for thing in SUBJECTS + RIDES for how in WORDS for what in RIDES
]
FAMILIES = ["bert", "bert-headless", "roberta", "distilbert", "gpt2", "llama"]
HEADLESS = {"bert-headless"}


@pytest.fixture(scope="session")
def readers(tiny_bases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bases with their heads, and a BERT without; the encoders' tokenizer knows a mask."""
    import torch
    from tokenizers import Tokenizer
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        BertModel,
        DistilBertConfig,
        DistilBertForMaskedLM,
        PreTrainedTokenizerFast,
        RobertaConfig,
        RobertaForMaskedLM,
    )

    root = tmp_path_factory.mktemp("readers")
    words = Tokenizer.from_file(str(tiny_bases["bert"] / "tokenizer.json"))
    words.add_special_tokens(["[MASK]"])
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **names)
    size = {"vocab_size": len(tokenizer)}
    usual = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        models = {
            "bert": BertForMaskedLM(BertConfig(**size, **usual)),
            "bert-headless": BertModel(BertConfig(**size, **usual)),
            "roberta": RobertaForMaskedLM(
                RobertaConfig(**size, **usual, max_position_embeddings=66, pad_token_id=0, eos_token_id=3)
            ),
            "distilbert": DistilBertForMaskedLM(
                DistilBertConfig(**size, dim=32, n_layers=2, n_heads=4, hidden_dim=64, pad_token_id=0)
            ),
        }
    for name, model in models.items():
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return {name: root / name for name in models} | {name: tiny_bases[name] for name in ("gpt2", "llama")}


@pytest.fixture
def work(readers: dict[str, Path], tmp_path: Path) -> Callable[..., AdaptJob]:
    def make(name: str, **changes: object) -> AdaptJob:
        texts = [TEXTS[i] for i in np.random.default_rng(0).permutation(len(TEXTS))]
        settings = {"max_tokens": 32, "epochs": 2.0, "minutes": 5.0, "seed": 0, **changes}
        return AdaptJob(str(readers[name]), texts[40:], texts[:40], **settings)  # type: ignore[arg-type]

    return make


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_adapting, "RATE", 3e-3)  # networks of random weights have far to go


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_any_family_learns_the_texts_and_is_then_a_base_like_any_other(name, work, job, tmp_path):
    (out := tmp_path / "out").mkdir()
    measured = adapt(work(name), out)
    perplexity = measured["perplexity"]
    assert perplexity["after"]["value"] < 0.6 * perplexity["before"]["value"]
    assert perplexity["ratio"]["value"] == pytest.approx(perplexity["after"]["value"] / perplexity["before"]["value"])
    assert perplexity["ratio"]["high"] < 1
    assert measured["had_head"] == (name not in HEADLESS)

    before, after = load_base(work(name).base), load_base(str(out))
    assert after.fingerprint != before.fingerprint
    assert (after.pooling, after.width, after.max_tokens) == (before.pooling, before.width, before.max_tokens)
    assert after.tokenize(TEXTS[:5], 16) == before.tokenize(TEXTS[:5], 16)
    assert {path.suffix for path in out.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".txt"}
    tuner = tuners.build("lora", base=str(out), steps=1, epochs=0.1)
    (model := tmp_path / "model").mkdir()
    assert tuner.fit(job(), model)["steps"] == 1
    assert tuner.predict(model, ["a red car"], ("probs",), 0).probs.sum() == pytest.approx(1)


def test_a_base_with_its_head_is_measured_as_it_is(work, tmp_path):
    """A network of random weights knows nothing: every token is about as likely as any other."""
    perplexity = adapt(work("bert", epochs=0.01), tmp_path)["perplexity"]
    assert perplexity["before"]["value"] == pytest.approx(4 + len(WORDS) + 1, rel=0.05), "the vocabulary"


def test_both_sides_of_the_comparison_train_the_head_alike(work, tmp_path, monkeypatch):
    """Where the base learns nothing, before and after are the same number."""
    monkeypatch.setattr(_adapting, "RATE", 1e-30)
    perplexity = adapt(work("bert-headless", epochs=0.5), tmp_path)["perplexity"]
    assert perplexity["ratio"]["value"] == pytest.approx(1, abs=0.01)
    assert perplexity["before"]["value"] < 25, "the head has learnt in both"


def test_the_same_job_gives_the_same_bytes(work, tmp_path):
    import torch

    state = torch.random.get_rng_state()
    contents = []
    for name in ("one", "two"):
        (out := tmp_path / name).mkdir()
        measured = adapt(work("bert-headless", epochs=0.3), out)
        contents.append((measured, (out / "model.safetensors").read_bytes()))
    assert contents[0] == contents[1]
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_time_that_is_given_bounds_the_steps(work, tmp_path):
    measured = adapt(work("bert", epochs=1e6, minutes=0.01), tmp_path)
    assert 1 <= measured["steps"] < 1000


def test_pooling_stays_as_the_base_says(work, readers, tmp_path):
    shutil.copytree(readers["bert"], tmp_path / "base")
    (tmp_path / "base" / "1_Pooling").mkdir()
    (tmp_path / "base" / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    (out := tmp_path / "out").mkdir()
    settings = vars(work("bert", epochs=0.01)) | {"base": str(tmp_path / "base")}
    adapt(AdaptJob(**settings), out)
    assert load_base(str(out)).pooling == "cls"


def test_masks_are_those_of_bert(readers):
    reader = _adapting._Reader(load_base(str(readers["bert"])), best_device())
    tokens = reader.base.tokenize(TEXTS, 32)
    asked = reader.questions(tokens, np.random.default_rng(0))
    read = np.array([one.ids[place] for one in asked for place in one.places])
    meant = np.array([token for one in asked for token in one.meant])
    assert [[ids[place] for place in one.places] for ids, one in zip(tokens, asked, strict=True)] == [
        one.meant for one in asked
    ]
    share = len(meant) / sum(len(ids) - 2 for ids in tokens)
    assert share == pytest.approx(0.15 + 0.85**8 / 8, abs=0.02), "15 %, and one where that gives none"
    assert (read == reader.base.tokenizer.mask_token_id).mean() == pytest.approx(0.8, abs=0.05)
    assert (read == meant).mean() == pytest.approx(0.1, abs=0.04)
    assert not set(meant) & set(reader.special.tolist())


def test_texts_without_a_known_word_are_passed_over(work, tmp_path):
    job = work("bert", epochs=0.01)
    none = AdaptJob(**(vars(job) | {"train": ["zzz"]}))
    with pytest.raises(DataError, match="no tokens"):
        adapt(none, tmp_path)


def test_a_tokenizer_without_a_mask_is_refused(tiny_bases, work, tmp_path):
    with pytest.raises(ModelError, match="mask"):
        adapt(AdaptJob(**(vars(work("bert")) | {"base": str(tiny_bases["bert"])})), tmp_path)


@pytest.mark.slow
def test_minilm_becomes_less_perplexed(tmp_path, monkeypatch):
    import csv

    monkeypatch.undo()
    path = Path(__file__).parents[2] / "projects" / "support-desk" / "data" / "pool.csv"
    with open(path, encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)][:200]
    measured = adapt(AdaptJob("minilm", texts[40:], texts[:40], 32, 2.0, 5.0, 0), tmp_path)
    assert not measured["had_head"]
    assert measured["perplexity"]["ratio"]["high"] < 1
    assert load_base(str(tmp_path)).pooling == "mean"
