"""Misspellings that people really make."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alloop.augmenters import _nlpaug


@dataclass(frozen=True)
class Spelling:
    """Misspells some words as people did in the wild, from nlpaug's list of 13,000 English words.

    Texts in other languages get few variants or none.

    share: how many of the words, between 0 and 1; at least one, and never more than the list knows.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        _nlpaug.refuse_shares(self, "share")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        return _nlpaug.variants(texts, n, rng, _speller(self.share))


plugin = Spelling


@lru_cache
def _speller(share: float) -> _nlpaug.Change:
    speller = _nlpaug.build("word", "SpellingAug", aug_p=share, aug_max=None, include_reverse=False)
    speller.model = _nlpaug.misspellings()
    misspell = _nlpaug.through(speller)

    def change(words: list[str]) -> list[str]:
        # The list has few capitals: a word is looked up as it stands, else in small letters.
        asked = [word if speller.model.dict.get(word) else word.lower() for word in words]
        answers = zip(words, asked, misspell(asked), strict=True)
        return [word if new == old else _nlpaug.in_the_case_of(word, new) for word, old, new in answers]

    return change
