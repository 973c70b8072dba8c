import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from alloop.augmenters import augmenters
from alloop.checks import check_augmenter
from alloop.errors import ConfigError, ModelError
from tests.hostile import HOSTILE
from tests.tuning.families import ENCODERS, make_checkpoint

TEXT = "The RED apple was very cheap, see https://a.b/c for {{name}} 12-3: my Bus is (slow)!"
KEPT = ("https://a.b/c", "{{name}} 12-3:", "(", ")!")
ACTIONS = ("substitute", "insert")


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    directory = tmp_path_factory.mktemp("masked") / "bert"
    make_checkpoint("bert", directory)
    return str(directory)


def made(base, text, n=2, seed=0, **options):
    return augmenters.build("contextual", base=base, **options)([text], n, np.random.default_rng(seed))[0]


@pytest.mark.parametrize("action", ACTIONS)
def test_it_keeps_the_contract_of_augmenters(bert, action):
    check_augmenter(augmenters.build("contextual", base=bert, action=action))


def test_some_words_are_replaced_and_everything_between_them_stays(bert):
    for variant in made(bert, TEXT, 5, share=0.3):
        assert all(kept in variant for kept in KEPT)
        old, new = TEXT.split(), variant.split()
        assert len(old) == len(new)
        assert sum(one != other for one, other in zip(old, new, strict=True)) == 4, "of twelve words"


def test_words_are_inserted_behind_others_and_all_that_was_there_stays(bert):
    for variant in made(bert, TEXT, 5, share=0.3, action="insert"):
        assert all(kept in variant for kept in KEPT)
        left = iter(re.findall(r"\w+", variant))
        assert all(any(word == other for other in left) for word in re.findall(r"\w+", TEXT))
        assert len(variant.split()) == len(TEXT.split()) + 4


def test_a_new_word_has_the_case_of_the_old_one(bert):
    for word, is_so in (("APPLE", str.isupper), ("Apple", str.istitle), ("apple", str.islower)):
        found = made(bert, word, 5)
        assert found
        assert all(map(is_so, found))


def test_the_likeliest_word_is_the_models_own_choice(bert):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(bert), AutoModelForMaskedLM.from_pretrained(bert).eval()
    encoded = tokenizer("the red [MASK]", return_tensors="pt")
    likeliest = tokenizer.convert_ids_to_tokens(model(**encoded).logits[0, 3].argsort(descending=True))
    word = next(word for word in likeliest if word.isalpha() and word != "apple")
    seen = {one for seed in range(20) for one in made(bert, "the red apple", 1, seed, top_k=1)}
    assert f"the red {word}" in seen
    assert len(seen) == 3, "one for each of the three words"


def test_variants_do_not_depend_on_which_texts_stand_beside_them(bert):
    augmenter = augmenters.build("contextual", base=bert)
    texts = [TEXT, "a slow bus", "the train " * 20]
    seeds = np.random.default_rng(5).integers(2**32, size=3)
    together = augmenter(texts, 2, np.random.default_rng(5))
    model = __import__("alloop.augmenters._models", fromlist=["load"]).load("fill-mask", bert)
    alone = [augmenter._variants_of(text, 2, int(seed), model) for text, seed in zip(texts, seeds, strict=True)]
    assert together == alone


@pytest.mark.slow
def test_variants_are_the_same_in_another_process(bert):
    code = (
        "import numpy as np; from alloop.augmenters import augmenters;"
        f"print(augmenters.build('contextual', base={bert!r})([{TEXT!r}], 3, np.random.default_rng(0))[0])"
    )
    environment = {"PYTHONHASHSEED": "123", "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == str(made(bert, TEXT, 3))


@pytest.mark.slow
@pytest.mark.parametrize("family", ENCODERS)
@pytest.mark.parametrize("action", ACTIONS)
def test_any_family_of_masked_language_models_says_whole_words(family, action, tmp_path):
    make_checkpoint(family, tmp_path / family)
    for variant in made(str(tmp_path / family), TEXT, 3, action=action):
        assert all(kept in variant for kept in KEPT)
        assert not set("Ġ▁#[]") & set(variant)
        assert "  " not in variant


@pytest.mark.parametrize("action", ACTIONS)
def test_hostile_texts_come_through(bert, action):
    for name, text in HOSTILE.items():
        for variant in made(bert, text, 1, action=action):
            assert variant != text.strip(), name
            assert abs(len(variant) - len(text)) <= 1_000, name


@pytest.mark.parametrize("action", ACTIONS)
def test_what_the_model_does_not_reach_stays_as_it_is(bert, action):
    text = "the red apple was very cheap " * 100
    for variant in made(bert, text, 3, share=1.0, action=action):
        assert variant.endswith(text[-2_000:].strip())
        assert not variant.startswith(text[:30])


def test_no_model_with_words_is_a_mistake_in_the_config():
    for base in ("", "minilm"):
        with pytest.raises(ConfigError, match="distilbert-base-uncased"):
            augmenters.build("contextual", base=base)


@pytest.mark.parametrize("wrong", [{"share": 0}, {"top_k": 0}, {"temperature": 0.0}, {"action": "delete"}])
def test_an_option_out_of_range_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        augmenters.build("contextual", base="x", **wrong)


def test_a_model_that_cannot_fill_gaps_is_refused_and_says_what_can(tmp_path):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    make_checkpoint("bert", tmp_path / "whole")
    headless = AutoModelForMaskedLM.from_pretrained(tmp_path / "whole").base_model
    headless.save_pretrained(tmp_path / "headless")
    AutoTokenizer.from_pretrained(tmp_path / "whole").save_pretrained(tmp_path / "headless")
    with pytest.raises(ModelError, match="without the head") as caught:
        made(str(tmp_path / "headless"), TEXT)
    assert "distilbert-base-uncased" in caught.value.hint
    make_checkpoint("gpt2", tmp_path / "decoder")
    with pytest.raises(ModelError, match="decoder"):
        made(str(tmp_path / "decoder"), TEXT)


def test_a_model_that_is_not_there_is_named_with_what_to_do(bert, tmp_path):
    with pytest.raises(ModelError, match="the directory does not exist") as caught:
        made(str(tmp_path / "nowhere"), TEXT)
    assert "model.safetensors" in caught.value.hint
    shutil.copytree(bert, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(ModelError) as caught:
        made(str(tmp_path / "pickled"), TEXT)
    assert "save_pretrained" in caught.value.hint
