from collections import Counter

import numpy as np

from alloop.augmenters import Surroundings, augmenters
from alloop.checks import check_augmenter
from tests.hostile import HOSTILE

POOL = [
    f"the {animal} is in the {place}" for animal in ("cat", "dog", "hen") for place in ("house", "garden", "street")
]


def knowing(tmp_path, pool=POOL, labels=(), **options):
    labelled = dict.fromkeys(labels, ("animal",))
    return augmenters.build("tfidf-words", **options).prepared(Surroundings("single", labelled, lambda: pool, tmp_path))


def made(augmenter, text, n=1):
    return augmenter([text], n, np.random.default_rng(0))[0]


def test_what_all_texts_have_is_replaced_and_what_few_have_mostly_stays(tmp_path):
    augmenter, words, replaced = knowing(tmp_path), "the cat is in the house".split(), Counter()
    for seed in range(100):
        for variant in augmenter([" ".join(words)], 1, np.random.default_rng(seed))[0]:
            replaced.update(word for word, new in zip(words, variant.split(), strict=True) if word != new)
    assert replaced["the"] + replaced["is"] + replaced["in"] > 3 * (replaced["cat"] + replaced["house"])


def test_words_come_from_the_pool_and_only_common_ones(tmp_path):
    pool = [*POOL, "the unicorn is in the house"]
    found = {
        word
        for variant in made(knowing(tmp_path, pool, share=1), "the cat is in the house", 50)
        for word in variant.split()
    }
    assert found <= set("the cat dog hen is in house garden street".split())
    assert "unicorn" in {
        word
        for variant in made(knowing(tmp_path, pool, share=1, texts=1), "the cat is", 50)
        for word in variant.split()
    }


def test_a_text_that_was_labelled_meanwhile_changes_nothing(tmp_path):
    before, after = knowing(tmp_path), knowing(tmp_path, POOL[:-2], POOL[-2:])
    assert made(before, "the hen is in the sky", 5) == made(after, "the hen is in the sky", 5) != []


def test_capitals_stay_where_they_were(tmp_path):
    assert all(variant[0].isupper() for variant in made(knowing(tmp_path, share=1), "The cat sleeps", 9))
    found = made(knowing(tmp_path, [*POOL, *(f"i am {number}" for number in "abc")], share=1), "I am the one I am", 9)
    assert all(variant[0].isupper() and variant[1:] == variant[1:].lower().replace(" i ", " I ") for variant in found)


def test_without_common_words_there_are_no_variants(tmp_path):
    for pool in ([], ["all words differ"], ["same same", "same same", "same same"]):
        assert made(knowing(tmp_path, pool), "same words differ") == []
    assert augmenters.build("tfidf-words")(["the cat"], 1, np.random.default_rng(0)) == [[]]


def test_the_contract_holds_with_words_to_put_in():
    check_augmenter(augmenters.build("tfidf-words", texts=1))


def test_hostile_texts_do_no_harm_in_the_pool_or_out_of_it(tmp_path):
    hostile = [text for text in HOSTILE.values() if text.isprintable()]
    augmenter = knowing(tmp_path, [*POOL, *hostile], texts=1)
    for what, text in HOSTILE.items():
        assert text.strip() not in made(augmenter, text, 2), what
