"""Words in the place of words that mean the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alloop.augmenters import _nlpaug, _wordnet


@dataclass(frozen=True)
class Synonyms:
    """Replaces some English words by synonyms of WordNet (Zhang et al. 2015).

    Nouns, verbs, adjectives and adverbs are replaced; forms of be, do and have, and negations, stay. WordNet knows the
    senses of a word but not which one is meant, and gives the base form: "two cards" may become "two menu". It needs
    wordnet and averaged_perceptron_tagger_eng of nltk's data, and says how to get what is missing.

    share: how many of the words, between 0 and 1; at least one, and only words that have synonyms.
    senses: how many senses of a word are looked at, the commonest first; 0 = all.
    """

    share: float = 0.1
    senses: int = 2

    def __post_init__(self) -> None:
        _nlpaug.refuse_shares(self, "share")
        if self.senses < 0:
            raise ValueError(f"senses = {self.senses} must be 0 or above")
        _wordnet.need_data("synonyms")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        return _nlpaug.variants(texts, n, rng, _replacer(self))


plugin = Synonyms


@lru_cache
def _replacer(options: Synonyms) -> _nlpaug.Change:
    return _wordnet.replacing(
        "SynonymAug", lambda lemma: [lemma], parts="nvar", share=options.share, senses=options.senses
    )
