"""Words in the place of words that mean the opposite."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alloop.augmenters import _nlpaug, _wordnet


@dataclass(frozen=True)
class Antonyms:
    """Replaces some English words by antonyms of WordNet (Niu & Bansal 2018): the label may be wrong then.

    A variant inherits the label of its text, and an antonym may change it: "good" becomes "bad", and the review is
    still called positive. Take it where labels say what a text is about, not what it thinks of that; keep share small
    and the gate and the filters on, which stop what does harm. Verbs, adjectives and adverbs are replaced; forms of be,
    do and have, and negations, stay. Many texts have no word with an antonym, and get no variant. It needs wordnet and
    averaged_perceptron_tagger_eng of nltk's data, and says how to get what is missing.

    share: how many of the words, between 0 and 1; at least one, and only words that have antonyms.
    senses: how many senses of a word are looked at, the commonest first; 0 = all.
    """

    share: float = 0.05
    senses: int = 2

    def __post_init__(self) -> None:
        _nlpaug.refuse_shares(self, "share")
        if self.senses < 0:
            raise ValueError(f"senses = {self.senses} must be 0 or above")
        _wordnet.need_data("antonyms")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        return _nlpaug.variants(texts, n, rng, _replacer(self))


plugin = Antonyms


@lru_cache
def _replacer(options: Antonyms) -> _nlpaug.Change:
    return _wordnet.replacing(
        "AntonymAug", lambda lemma: lemma.antonyms(), parts="var", share=options.share, senses=options.senses
    )
