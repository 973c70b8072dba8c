"""A tiny checkpoint of each family of bases, with random weights and a tokenizer of the kind the family has.

What differs between families is there: where special tokens are placed, whether there is a token for padding and on
which side, how many rows the weights have, how far a layer looks. A checkpoint is of the class that pretraining leaves.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

WORDS = "the a my your is was not very red green blue apple pear plum car bus train fast slow cheap dear".split()
TEXT = [" ".join(WORDS), *WORDS, *(f"is {word}" for word in WORDS)]  # with and without a space before each word
POSITIONS = 64

ENCODERS = ("bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "deberta-v2", "modernbert")
DECODERS = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "mistral", "gpt2")
FAMILIES = (*ENCODERS, *DECODERS)


class Checkpoints(Mapping[str, Path]):
    """Directories by family, each made when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __getitem__(self, name: str) -> Path:
        if name not in FAMILIES:
            raise KeyError(name)
        if not (self.root / name).exists():
            make_checkpoint(name, self.root / name)
        return self.root / name

    def __iter__(self) -> Iterator[str]:
        return iter(FAMILIES)

    def __len__(self) -> int:
        return len(FAMILIES)


def make_checkpoint(name: str, directory: Path) -> None:
    """As its authors would have published it: config.json, model.safetensors and a tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    from alloop.pretrained import quiet

    tokenizer = _TOKENIZERS[name]()
    sizes = _SIZES.get(
        name,
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        | ({"num_key_value_heads": 2} if name in DECODERS else {}),
    )
    special = {
        f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id")
        for kind in ("pad", "bos", "eos", "cls", "sep")
        if getattr(tokenizer, f"{kind}_token") is not None
    }
    options = {"vocab_size": len(tokenizer), "max_position_embeddings": POSITIONS} | special | sizes
    options |= _OPTIONS.get(name, {})
    if name.startswith("qwen"):
        options["vocab_size"] += 50  # rows that no token has
    config = AutoConfig.for_model("gemma3_text" if name == "gemma3" else name, **options)
    auto = AutoModelForMaskedLM if name in ENCODERS else AutoModelForCausalLM
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        auto.from_config(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)


_SIZES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
}
_ALTERNATING = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"], "head_dim": 8}
_OPTIONS: dict[str, dict[str, Any]] = {
    **{name: {"max_position_embeddings": POSITIONS + 2} for name in ("roberta", "xlm-roberta", "mpnet")},  # skip two
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 4, "bos_token_id": 1, "eos_token_id": 2},
    "qwen3": {"head_dim": 8},
    "gemma": {"head_dim": 8},
    "gemma2": _ALTERNATING,
    "gemma3": _ALTERNATING,
    "mistral": {"sliding_window": 4},
}


def _wordpiece(cls: str, *special: str, **options: Any) -> Any:
    import transformers

    letters = sorted({letter for word in WORDS for letter in word})
    pieces = [*special, *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return getattr(transformers, cls)(vocab=vocabulary, **options)


def _bytes(cls: str, *special: str, **options: Any) -> Any:
    """Byte-level BPE, which any text can be written in."""
    import json

    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, show_progress=False, special_tokens=[*special], initial_alphabet=alphabet
    )
    words.train_from_iterator(TEXT, trainer)
    trained = json.loads(words.to_str())["model"]
    return getattr(transformers, cls)(vocab=trained["vocab"], merges=[tuple(m) for m in trained["merges"]], **options)


def _sentencepiece_bpe(cls: str, *special: str, **options: Any) -> Any:
    """BPE on characters, with spaces as "▁", that falls back to bytes."""
    import json

    import transformers
    from tokenizers import Tokenizer, models, normalizers, trainers

    words = Tokenizer(models.BPE())
    words.normalizer = normalizers.Sequence([normalizers.Replace(" ", "▁"), normalizers.Prepend("▁")])
    in_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=1000, show_progress=False, special_tokens=[*special, *in_bytes])
    words.train_from_iterator([word for word in WORDS for _ in range(9)], trainer)
    trained = json.loads(words.to_str())["model"]
    return getattr(transformers, cls)(vocab=trained["vocab"], merges=[tuple(m) for m in trained["merges"]], **options)


def _unigram(cls: str, *special: str, **options: Any) -> Any:
    import transformers

    letters = sorted({letter for word in WORDS for letter in word})
    pieces = [(piece, 0.0) for piece in special] + [(f"▁{word}", -1.0) for word in WORDS]
    pieces += [(letter, -9.0) for letter in ["▁", *letters]]
    return getattr(transformers, cls)(vocab=pieces, **options)


def _modernbert() -> Any:
    """Its tokenizer has no class of its own: all that it does is in tokenizer.json."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    words = _bytes("GPT2Tokenizer", "[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]").backend_tokenizer
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = {f"{kind}_token": f"[{kind.upper()}]" for kind in ("unk", "cls", "sep", "pad", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=8192, **names)


_ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_GEMMA = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")

_TOKENIZERS: dict[str, Callable[[], Any]] = {
    "bert": lambda: _wordpiece("BertTokenizer", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", model_max_length=512),
    "roberta": lambda: _bytes("RobertaTokenizer", *_ROBERTA, model_max_length=512),
    "xlm-roberta": lambda: _unigram("XLMRobertaTokenizer", *_ROBERTA[:4]),
    "distilbert": lambda: _wordpiece("BertTokenizer", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    "mpnet": lambda: _wordpiece("MPNetTokenizer", "<s>", "<pad>", "</s>", "[UNK]", "<mask>", model_max_length=512),
    "deberta-v2": lambda: _unigram("DebertaV2Tokenizer", "[PAD]", "[CLS]", "[SEP]", "[UNK]", unk_id=3),
    "modernbert": _modernbert,
    "llama": lambda: _sentencepiece_bpe("LlamaTokenizer", "<unk>", "<s>", "</s>", add_bos_token=True),
    "qwen2": lambda: _bytes("Qwen2Tokenizer", "<|endoftext|>", model_max_length=32768),
    "qwen3": lambda: _bytes(
        "Qwen2Tokenizer", "<|endoftext|>", "<|im_end|>", eos_token="<|im_end|>", model_max_length=131072
    ),
    "gemma": lambda: _sentencepiece_bpe("GemmaTokenizer", *_GEMMA, add_bos_token=True),
    "gemma2": lambda: _sentencepiece_bpe("GemmaTokenizer", *_GEMMA, add_bos_token=True),
    "gemma3": lambda: _sentencepiece_bpe("GemmaTokenizer", *_GEMMA, add_bos_token=True),
    "mistral": lambda: _sentencepiece_bpe(
        "LlamaTokenizer", "<unk>", "<s>", "</s>", add_bos_token=True, padding_side="left"
    ),
    "gpt2": lambda: _bytes("GPT2Tokenizer", "<|endoftext|>", model_max_length=1024),
}
