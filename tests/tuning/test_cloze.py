import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.records import Example
from alloop.tuning import FitJob, tuners
from alloop.tuning._bases import load_base
from alloop.tuning._training import SCALE
from tests.tuning.conftest import WORDS

ABOUT = {"no": ["apple", "pear"], "null": "car"}


@pytest.fixture(scope="session")
def masked(tmp_path_factory):
    """Directories of masked language models of a few thousand weights, by family."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        DistilBertConfig,
        DistilBertForMaskedLM,
        ModernBertConfig,
        ModernBertForMaskedLM,
        PreTrainedTokenizerFast,
        RobertaConfig,
        RobertaForMaskedLM,
    )

    root = tmp_path_factory.mktemp("masked")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS, "it", "about", "."])}
    usual = {"vocab_size": len(vocabulary), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    usual |= {"intermediate_size": 64, "pad_token_id": 0, "max_position_embeddings": 66}
    distil = {"vocab_size": len(vocabulary), "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    modern = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = {
            "bert": BertForMaskedLM(BertConfig(**usual)),
            "roberta": RobertaForMaskedLM(RobertaConfig(**usual)),
            "distilbert": DistilBertForMaskedLM(DistilBertConfig(**distil, max_position_embeddings=64)),
            "modernbert": ModernBertForMaskedLM(ModernBertConfig(**usual, **modern)),
        }
        with torch.no_grad():
            for model in made.values():  # so that a bias that is forgotten shows
                if model.get_output_embeddings().bias is not None:
                    model.get_output_embeddings().bias.normal_()
    for name, model in made.items():
        words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        words.normalizer = normalizers.Lowercase()
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        words.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]", "sep_token": "[SEP]"}
        model.save_pretrained(root / name)
        PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(root / name)
    return {name: root / name for name in made}


def build(base, **options):
    return tuners.build("cloze", base=str(base), **{"steps": 60, "learning_rate": 1e-3, "words": ABOUT, **options})


def said_by_the_base(directory, ids, words):
    """What transformers' own masked language model says of the gap: logits of words."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model = AutoModelForMaskedLM.from_pretrained(directory).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, ids.index(tokenizer.mask_token_id)]
    return logits[tokenizer.convert_tokens_to_ids(words)].numpy()


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "modernbert"])
def test_before_training_it_says_what_the_masked_language_model_says(family, masked, job):
    import torch

    from alloop.tuning import _encoding

    tuner, base = build(masked[family]), load_base(str(masked[family]))
    one = FitJob([Example("the red apple", ("no",))], "single", job().labels, 0)  # the gap's length is its own
    ids = tuner.tokenize(base, ["the red apple"])
    with torch.random.fork_rng():
        network = tuner.adapt(base).float().eval()
        head = tuner.first_head(base, one)
    with torch.no_grad():
        vector = torch.from_numpy(_encoding.embed(base, network, ids))
        logits = head(SCALE * vector)[0].numpy()
    apple, pear, car = said_by_the_base(masked[family], ids[0], ["apple", "pear", "car"])
    assert logits[:2] == pytest.approx([(apple + pear) / 2, car], abs=0.02)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "modernbert"])
def test_it_learns_and_is_the_same_after_its_directory(family, masked, job, tmp_path):
    tuner = build(masked[family], steps=200, learning_rate=3e-3)  # drawn at random, it has first to look at the text
    tuner.fit(job(), tmp_path)
    texts = [example.text for example in job().train]
    probs = tuner.predict(tmp_path, texts, ("probs",), 0).probs
    assert (probs.argmax(1) == [0] * 6 + [1] * 6).mean() > 0.8
    alone = np.concatenate([tuner.predict(tmp_path, [text], ("probs",), 0).probs for text in texts])
    assert alone == pytest.approx(probs, abs=0.03)
    others = build(masked[family], pattern="{mask} {text}", words={})
    assert others.predict(tmp_path, texts, ("probs",), 0).probs == pytest.approx(probs), "the pattern is the model's"


def test_the_same_job_gives_the_same_bytes(masked, job, tmp_path):
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        build(masked["bert"], steps=5).fit(job("multi"), tmp_path / name)
    one, other = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("1", "2"))
    assert one == other


def test_several_labels_per_text_start_as_frequent_as_they_are_and_are_learnt(masked, job, tmp_path):
    tuner, base = build(masked["bert"], steps=60), load_base(str(masked["bert"]))
    head, plain = tuner.first_head(base, job("multi")), tuners.build("lora").first_head(base, job("multi"))
    vectors = base_vectors(tuner, base, [example.text for example in job("multi").train])
    assert head(SCALE * vectors).mean(0).tolist() == pytest.approx(plain.bias.tolist(), abs=0.05)
    tuner.fit(job("multi"), tmp_path)
    probs = tuner.predict(tmp_path, ["the red car", "a green pear"], ("probs",), 0).probs
    assert probs[0, 1] > 0.5 > probs[0, 0]


def base_vectors(tuner, base, texts):
    import torch

    from alloop.tuning import _encoding

    with torch.random.fork_rng():
        network = tuner.adapt(base).float().eval()
    return torch.from_numpy(_encoding.embed(base, network, tuner.tokenize(base, texts)))


def test_a_long_text_is_cut_and_the_pattern_is_not(masked):
    base = load_base(str(masked["bert"]))
    tokens = build(masked["bert"], max_tokens=10).tokenize(base, ["red " * 50, "", "a [MASK] b", "\ud800"])
    words = [base.tokenizer.convert_ids_to_tokens(ids) for ids in tokens]
    assert words[0] == ["[CLS]", "red", "red", "red", "it", "is", "about", "[MASK]", ".", "[SEP]"]
    assert words[1] == ["[CLS]", "it", "is", "about", "[MASK]", ".", "[SEP]"]
    assert [ids.count(base.tokenizer.mask_token_id) for ids in tokens] == [1, 1, 1, 1], "a text's own gap is none"
    turned = build(masked["bert"], pattern="{mask} is {text}").tokenize(base, ["red"])[0]
    assert base.tokenizer.convert_ids_to_tokens(turned) == ["[CLS]", "[MASK]", "is", "red", "[SEP]"]


def test_a_pattern_longer_than_what_is_read_is_refused(masked, job, tmp_path):
    with pytest.raises(ConfigError, match=r"takes 7 tokens, model.max_tokens is 7"):
        build(masked["bert"], max_tokens=7).fit(job(), tmp_path)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_a_base_that_cannot_fill_a_gap_is_refused(name, tiny_bases, job, tmp_path):
    """The tiny BERT has no mask token, the others are decoders."""
    with pytest.raises(ModelError, match="cannot fill a gap") as caught:
        build(tiny_bases[name]).fit(job(), tmp_path)
    assert "model.base" in caught.value.hint


def test_words_for_a_label_that_is_none_are_an_error(masked, job, tmp_path):
    with pytest.raises(ConfigError, match="'yes' is no label; there are: no, null, 1e5"):
        build(masked["bert"], words={"yes": "red"}).fit(job(), tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"pattern": "{text}"},
        {"pattern": "{mask}"},
        {"pattern": "{text} {mask} {mask}"},
        {"words": {"no": 3}},
        {"words": {"no": []}},
        {"words": {"no": " "}},
        {"words": ["apple"]},
    ],
)
def test_patterns_and_words_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigError):
        tuners.build("cloze", **options)


def test_a_base_without_a_head_for_words_compares_the_gap_with_words_as_they_are_read(job, tmp_path):
    """The bundled one."""
    base = load_base("minilm")
    tuner = build("minilm", steps=2)
    from alloop.tuning.cloze import _masked_lm

    _, weight, bias = _masked_lm(base)
    assert weight is base.network.get_input_embeddings().weight
    assert not bias.any()
    tuner.fit(job(), tmp_path)
    assert tuner.predict(tmp_path, ["the red apple"], ("probs",), 0).probs.shape == (1, 3)
