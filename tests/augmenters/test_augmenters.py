import random
import subprocess
import sys

import numpy as np
import pytest

from alloop.augmenters import augmenters
from alloop.errors import ConfigError

NAMES = ["delete-words", "keyboard", "spelling", "swap-words"]
TEXT = "Please tell me why my card was declined, I don't understand what (really) happened there."
ODD = ["", " ", "one", "😀 😀", "مرحبا بالعالم كيف حالك", "a\0b\nc\r\nd e", "i i i", "«Hm» …", "नमस्ते दुनिया आप", "?!"]
HUGE = ["word " * 200_000, "a" * 1_000_000, "a-" * 500_000 + "$", " \n" * 500_000 + "some words", "(" * 1_000_000]


def made(name, text, n=3, seed=0, **options):
    return augmenters.build(name, **options)([text], n, np.random.default_rng(seed))[0]


@pytest.mark.parametrize("name", NAMES)
def test_variants_are_different_and_never_the_text_itself(name):
    found = made(name, TEXT, 5)
    assert len(found) == len(set(found)) == 5
    assert TEXT not in found


@pytest.mark.parametrize("name", NAMES)
def test_variants_depend_on_text_and_rng_only_and_leave_the_global_generators_alone(name):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = made(name, TEXT)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002
    random.seed(2)
    assert made(name, TEXT) == first
    assert made(name, TEXT, seed=1) != first


@pytest.mark.slow
def test_variants_are_the_same_in_another_process():
    code = (
        "import numpy as np; from alloop.augmenters import augmenters;"
        f"print([augmenters.build(name)([{TEXT!r}], 3, np.random.default_rng(0))[0] for name in {NAMES}])"
    )
    environment = {"PYTHONHASHSEED": "123", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == str([made(name, TEXT) for name in NAMES])


@pytest.mark.parametrize("name", NAMES)
def test_odd_and_huge_texts_do_no_harm(name):
    for text in [*ODD, *HUGE]:
        found = made(name, text, 2)
        assert len(found) <= 2
        assert text.strip() not in found
        assert all(found)


@pytest.mark.parametrize("name", NAMES)
def test_links_placeholders_numbers_signs_and_lines_stay(name):
    text = "Hello {{name}},\nsee https://a.b/c?x=1 or write to me@x.org about order 12-345 <b> 😀!"
    for variant in made(name, text, 5):
        for kept in ("{{name}},\n", "https://a.b/c?x=1", "me@x.org", "12-345", "<b> 😀!"):
            assert kept in variant


def test_deleting_leaves_neither_doubled_spaces_nor_empty_brackets():
    assert set(made("delete-words", "The (dog) barks, loudly", 9)) == {
        "(Dog) barks, loudly",
        "The barks, loudly",
        "The (dog), loudly",
        "The (dog) barks,",
    }


def test_swapping_two_words_keeps_the_capital_in_front():
    assert made("swap-words", "Hello world") == ["World hello"]


def test_spelling_keeps_the_case_and_never_turns_a_word_into_another():
    found = made("spelling", "DON'T", 40)
    assert found
    assert all(variant.isupper() for variant in found)
    assert not {"DO", "DOES", "DOESN'T", "DIDN'T"} & set(found)


def test_keyboard_slips_follow_the_layout():
    assert all(variant.isalpha() for variant in made("keyboard", "привіт", 9, layout="uk"))
    assert made("keyboard", "привіт", 9, layout="uk")
    assert made("keyboard", "привіт", 9) == []


def test_the_share_says_how_many_words_change():
    words = " ".join(f"w{letter}" for letter in "abcdefghijklmnopqrst")
    assert len(made("delete-words", words, 1, share=0.5)[0].split()) == 10


@pytest.mark.parametrize("name", NAMES)
def test_a_share_out_of_range_is_refused(name):
    with pytest.raises(ConfigError, match="share"):
        augmenters.build(name, share=0)
