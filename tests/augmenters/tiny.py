"""Language models of a few thousand random weights, for augmenters that ask one."""

from pathlib import Path

from tests.tuning.families import WORDS


def make_translator(directory: Path, seed: int) -> None:
    """Translates anything into two to five of twenty words, in a way of its own: each seed is another language."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

    from alloop.pretrained import quiet

    pad, unknown, end = 0, 1, 2
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", "</s>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", end)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", eos_token="</s>")
    config = MarianConfig(
        vocab_size=len(vocabulary),
        d_model=32,
        **{f"{part}_{what}": value for part in ("encoder", "decoder") for what, value in _SIZES.items()},
        max_position_embeddings=64,
        pad_token_id=pad,
        eos_token_id=end,
        decoder_start_token_id=pad,
        forced_eos_token_id=None,
        init_std=0.5,
    )
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MarianMTModel(config)
        told = model.generation_config
        told.min_new_tokens, told.exponential_decay_length_penalty, told.suppress_tokens = 2, (3, 3.0), [pad, unknown]
        model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


_SIZES = {"layers": 1, "attention_heads": 2, "ffn_dim": 32}
