import numpy as np
import pytest

from alloop.augmenters import _models, augmenters, back_translation
from alloop.checks import check_augmenter
from alloop.errors import ConfigError, ModelError
from tests.augmenters.tiny import make_translator
from tests.hostile import HOSTILE

TEXT = "The red apple was very cheap.\nMy slow bus {{x}} is dear! Is your train fast?"


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("translators")
    for seed, name in enumerate(("forth", "back")):
        make_translator(root / name, seed)
    return {name: str(root / name) for name in ("forth", "back")}


def made(models, text, n=2, seed=0, **options):
    return augmenters.build("back-translation", **models, **options)([text], n, np.random.default_rng(seed))[0]


def test_it_keeps_the_contract_of_augmenters(models):
    check_augmenter(augmenters.build("back-translation", **models))


def test_each_sentence_goes_there_and_back_and_what_is_between_them_stays(models):
    found = made(models, TEXT, 3)
    assert found
    for variant in found:
        first, second = variant.split("\n")
        assert "apple was very" not in first
        assert second.startswith("My slow bus {{x}} is dear! "), "the sentence with a placeholder stays"
        assert "Is your train" not in second


def test_a_translation_there_is_drawn_and_the_one_back_is_the_likeliest(models):
    forth, back = (_models.load("translation", models[name]) for name in ("forth", "back"))
    there = {back_translation._translated("a red car", forth, 4, 0.8, np.random.default_rng(s)) for s in range(20)}
    assert len(there) > 3
    again = {back_translation._translated("a red car", back, 4, 0.0, np.random.default_rng(s)) for s in range(3)}
    assert len(again) == 1
    assert "" not in again


def test_the_likeliest_translation_of_all_is_one_variant_whatever_the_seed(models):
    found = [made(models, "the red apple", 3, seed, temperature=0) for seed in range(3)]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 1


def test_drawing_follows_the_models_probabilities():
    import torch

    scores = torch.log(torch.tensor([[0.7, 0.2, 0.1]]))
    draw = back_translation._draw(1.0, np.random.default_rng(0))
    counts = np.bincount([int(draw(None, scores).argmax()) for _ in range(4000)], minlength=3) / 4000
    assert counts == pytest.approx([0.7, 0.2, 0.1], abs=0.03)


def test_variants_do_not_depend_on_which_texts_stand_beside_them(models):
    augmenter = augmenters.build("back-translation", **models)
    texts = [TEXT, "a slow bus", "the train"]
    seeds = np.random.default_rng(5).integers(2**32, size=3)
    loaded = [_models.load("translation", models[name]) for name in ("forth", "back")]
    alone = [augmenter._variants_of(text, 2, int(seed), *loaded) for text, seed in zip(texts, seeds, strict=True)]
    assert augmenter(texts, 2, np.random.default_rng(5)) == alone


@pytest.mark.parametrize(
    "text",
    [
        "see https://a.b/c for the apple",
        "write to me@x.org",
        "<b>a red apple</b>",
        "was it %s or [NAME]?",
        "my __TOKEN__",
    ],
)
def test_a_sentence_with_a_link_an_address_markup_or_a_placeholder_stays(models, text):
    assert made(models, text) == []


def test_a_sentence_whose_numbers_are_lost_stays(models):
    assert made(models, "the 3 red apples") == []


def test_sentences_end_with_their_sign_or_their_line_and_only_the_first_twenty_are_translated():
    text = 'It cost 3.50! "Really?" she asked…\nYes\n\nand no'
    assert [text[start:end] for start, end in back_translation.sentences(text)] == [
        "It cost 3.50!",
        '"Really?"',
        "she asked…",
        "Yes",
        "and no",
    ]
    assert len(back_translation.sentences("a bus. " * 100)) == 20
    assert back_translation.sentences("a bus " * 100_000) == [], "no sentence of a megabyte"
    assert back_translation.sentences(f"a bus{'?' * 30} and so") == [(0, 35), (36, 42)]
    assert back_translation.sentences("." * 20_000 + "a") == []  # took ten seconds, as its square


def test_hostile_texts_come_through(models):
    for name, text in HOSTILE.items():
        for variant in made(models, text, 1, beams=1):
            assert variant != text.strip(), name
            assert len(variant) <= len(text) + 1_000, name


def test_a_text_that_the_model_cannot_read_whole_has_no_translation(models):
    forth = _models.load("translation", models["forth"])
    assert forth.max_tokens == 64
    assert back_translation._translated("red " * 70, forth, 1, 0.0, np.random.default_rng(0)) == ""


def test_both_ways_have_to_be_named():
    with pytest.raises(ConfigError, match=r"forth is missing.*opus-mt-en-de"):
        augmenters.build("back-translation")
    with pytest.raises(ConfigError, match=r"back is missing.*opus-mt-de-en"):
        augmenters.build("back-translation", forth="x")


def test_a_model_that_is_not_there_is_named_with_what_to_do(models, tmp_path):
    with pytest.raises(ModelError, match=r"nowhere.*the directory does not exist") as caught:
        made(models | {"back": str(tmp_path / "nowhere")}, TEXT)
    assert "Hub id" in caught.value.hint
    with pytest.raises(ModelError, match="neither a directory nor to be had from the Hub"):
        made(models | {"forth": "nobody/opus-mt-xx-yy"}, TEXT)
