"""A space in the middle of a word."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alloop.augmenters import _nlpaug


@dataclass(frozen=True)
class SplitWords:
    """Puts a space into some words of four letters or more ("de clined"). For any language written with spaces.

    Hard on models that know whole words, as `tfidf` does; for others it is a mild typing error.

    share: how many of the words, between 0 and 1; at least one.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        _nlpaug.refuse_shares(self, "share")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        return _nlpaug.variants(texts, n, rng, _splitter(self.share))


plugin = SplitWords


@lru_cache
def _splitter(share: float) -> _nlpaug.Change:
    split = _nlpaug.through(_nlpaug.build("word", "SplitAug", aug_p=share, aug_max=None))

    def change(words: list[str]) -> list[str]:
        parts = iter(split(words))
        return [word if (part := next(parts)) == word else _in_two(part, next(parts)) for word in words]

    return change


def _in_two(first: str, second: str) -> str:
    """Both parts; a sign that stands upon the letter before it stays there."""
    while second and unicodedata.category(second[0]).startswith("M"):
        first, second = first + second[0], second[1:]
    return f"{first} {second}".strip()
