import pickle
import random
import sqlite3
import subprocess
import sys
from functools import partial
from operator import call

import numpy as np
import pytest

from alloop.augmenters import Prepares, Surroundings, augmenters
from alloop.errors import ConfigError
from alloop.rounds import run_round
from alloop.steps.augment import _made
from tests.hostile import HOSTILE

NAMES = ["delete-words", "keyboard", "ocr", "random-chars", "spelling", "split-words", "swap-words"]
TEXT = "Please tell me why my card was declined, I don't understand what (really) happened there."


KEPT = {
    "a formula with words": '=HYPERLINK("https://a.b/?x="&A1;"my ',
    "HTML": HOSTILE["HTML"].split("<!--")[0],
    "placeholders": "{{name}}, {order} %s %(card)s ${CARD} <NAME> [MASK] __TOKEN__ ",
    "special tokens": "</s> <pad> <unk> [MASK] <mask>",
    "control characters": HOSTILE["control characters"].split(" here")[0],
    "backslashes": r"C:\new\table \d+\1",
}


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


@pytest.mark.parametrize("name", NAMES)
def test_hostile_texts_do_no_harm(name):
    for what, text in HOSTILE.items():
        found = made(name, text, 2)
        assert len(set(found)) == len(found) <= 2, what
        assert text.strip() not in found, what
        assert all(variant.strip() for variant in found), what
        assert all(len(variant) < 1.1 * len(text) + 50 for variant in found), what


@pytest.mark.parametrize("name", NAMES)
def test_formulas_markup_and_code_stay_as_they_are(name):
    assert made(name, HOSTILE["a CSV formula"]) == []
    assert made(name, HOSTILE["a script"]) == []
    for what, kept in KEPT.items():
        for variant in made(name, HOSTILE[what], 5):
            assert kept in variant, what


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


def test_a_scanner_takes_letters_for_others_and_digits_for_digits():
    assert set(made("ocr", "will", 9, letters=0.01)) == {"wi1l", "wil1"}
    assert made("ocr", "0815 hat nix", 9) == []


def test_a_scanner_reads_words_that_it_can_misread():
    assert set(made("ocr", "my family lent him the phat cat", 9)) == {
        "my fami1y lent him the phat cat",
        "my family 1ent him the phat cat",
    }


@pytest.mark.parametrize(
    ("action", "found"),
    [
        ("swap", {"acfe", "cfae", "caef"}),
        ("delete", {"afe", "cfe", "cae", "caf"}),
        (
            "substitute",
            {"aafe", "eafe", "fafe", "ccfe", "cefe", "cffe", "caae", "cace", "caee", "cafa", "cafc", "caff"},
        ),
    ],
)
def test_random_chars_does_what_its_action_says_with_the_letters_of_the_text(action, found):
    assert set(made("random-chars", "cafe", 200, action=action)) == found


def test_random_chars_puts_in_letters_that_the_text_has():
    letters = [sorted(variant) for variant in made("random-chars", "cafe", 50, action="insert")]
    assert {"".join(one) for one in letters} == {"aacef", "accef", "aceef", "aceff"}


def test_random_chars_keeps_the_alphabet_and_the_capitals():
    for action in ("insert", "substitute"):
        (variant,) = made("random-chars", "ПРИВІТ", 1, action=action)
        assert set(variant) <= set("ПРИВІТ")


def test_splitting_puts_one_space_into_a_long_word():
    assert set(made("split-words", "my card", 9)) == {"my c ard", "my ca rd"}
    assert made("split-words", "two old men") == []


def test_splitting_parts_no_accent_from_its_letter():
    decomposed = "cafe\u0301s"
    assert set(made("split-words", decomposed, 9)) == {"c afe\u0301s", "ca fe\u0301s", "caf e\u0301s", "cafe\u0301 s"}


def test_options_out_of_range_are_refused():
    for name, options in (
        ("random-chars", {"letters": 0.6}),
        ("random-chars", {"action": "shuffle"}),
        ("ocr", {"letters": 0}),
        ("tfidf-words", {"texts": 0}),
    ):
        with pytest.raises(ConfigError, match=next(iter(options))):
            augmenters.build(name, **options)


IN_ANOTHER_PROCESS = """
import pickle, sys
given, answer, sys.stdout = sys.stdin.buffer, sys.stdout.buffer, sys.stderr  # what a library prints is no answer
call = pickle.load(given)
pickle.dump([call(one) for one in pickle.load(given)], answer)
"""


@pytest.mark.slow
def test_a_round_makes_the_same_variants_in_any_order_and_process(nltk_data, tmp_path):
    texts = [f"{TEXT} {word}" for word in ("Alpha", "beta", "gamma")]
    pool = Surroundings("single", {}, lambda: texts * 2, tmp_path)
    work = []
    for name in ["antonyms", "synonyms", "tfidf-words", *NAMES]:
        augmenter = augmenters.build(name)
        make = partial(_made, augmenter.prepared(pool) if isinstance(augmenter, Prepares) else augmenter, name, 7)
        work += [partial(make, (f"t1-{number}", text, 3)) for number, text in enumerate(texts)]
    helper = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=pickle.dumps(call) + pickle.dumps(work[::-1]),
        capture_output=True,
        env={"PYTHONHASHSEED": "123", "PATH": "", "PYTHONPATH": ":".join(sys.path), "NLTK_DATA": str(nltk_data)},
        check=True,
    )
    found = [call(one) for one in work]
    assert all(found)
    assert pickle.loads(helper.stdout) == found[::-1]


@pytest.mark.slow
@pytest.mark.usefixtures("nltk_data")
def test_rounds_learn_from_the_variants_of_every_augmenter_and_make_the_same_again(make_project):
    found = []
    use = ["antonyms", "synonyms", "tfidf-words", *NAMES]
    for name in ("one", "two"):
        project = make_project(name, more=f'[augment]\nuse = {use}\ngate = "off"\n')
        run_round(project)
        run_round(project)
        with sqlite3.connect(project.root / "alloop.db") as database:
            found.append(
                database.execute("SELECT augmenter, parent_id, text FROM variants ORDER BY 1, 2, 3").fetchall()
            )
    assert found[0] == found[1]
    assert {name for name, *_ in found[0]} >= {"synonyms", "tfidf-words", *NAMES}
