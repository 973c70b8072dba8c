"""Bases small enough to be made on the spot: random weights, and a tokenizer of forty words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from alloop.records import Example, Kind
from alloop.tuning import FitJob
from tests.tuning.families import Checkpoints

WORDS = "the a my your is was not very red green blue apple pear plum car bus train fast slow cheap dear".split()
FRUIT = ("the red apple", "a green pear", "my plum is very cheap", "a blue plum", "the apple was not dear", "pear")
RIDES = ("the fast car", "a slow bus", "my train is very fast", "a blue bus", "the train was not slow", "car")


@pytest.fixture
def job() -> Callable[..., FitJob]:
    """A task that words decide: fruit or rides, with names that other formats would take for something else."""

    def make(kind: Kind = "single", **options: object) -> FitJob:
        labels = ("no", "null", "1e5")
        train = [Example(text, ("no",)) for text in FRUIT] + [Example(text, ("null",)) for text in RIDES]
        if kind == "multi":
            train += [
                Example("the red car", ("null", "1e5")),
                Example("the red bus", ("null", "1e5")),
                Example("is", ()),
            ]
        return FitJob(train, kind, labels, **{"seed": 0, **options})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def family_bases(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    """Directories of a tiny checkpoint of each family, by the family's name."""
    return Checkpoints(tmp_path_factory.mktemp("families"))


@pytest.fixture(scope="session")
def tiny_bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Directories of a BERT, a GPT-2 and a Llama of a few thousand weights; the decoders have no padding token."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import (
        BertConfig,
        BertModel,
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    root = tmp_path_factory.mktemp("bases")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: number for number, word in enumerate(special + WORDS)}
    small = {"vocab_size": len(vocabulary)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        models_ = {
            "bert": BertModel(
                BertConfig(**small, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
            ),
            "gpt2": GPT2LMHeadModel(GPT2Config(**small, n_embd=32, n_layer=2, n_head=4, n_positions=64)),
            "llama": LlamaForCausalLM(
                LlamaConfig(
                    **small,
                    hidden_size=32,
                    num_hidden_layers=2,
                    num_attention_heads=4,
                    num_key_value_heads=2,
                    intermediate_size=64,
                    max_position_embeddings=64,
                )
            ),
        }
    for name, model in models_.items():
        words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]" if name == "bert" else None))
        words.normalizer = normalizers.Lowercase()
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        padding = {}
        if name == "bert":
            words.post_processor = processors.TemplateProcessing(
                single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
            )
            padding = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="[SEP]", **padding)
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return {name: root / name for name in models_}
