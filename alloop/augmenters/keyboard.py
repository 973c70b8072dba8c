"""Slips of the finger to a neighbouring key."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np

from alloop.augmenters import _nlpaug

Layout = Literal["de", "en", "es", "fr", "he", "it", "nl", "pl", "th", "tr", "uk"]


@dataclass(frozen=True)
class Keyboard:
    """Slips to a neighbouring letter of the keyboard in words of four letters or more. Digits and signs stay.

    share: how many of the words, between 0 and 1; at least one.
    letters: how many of the letters of such a word, between 0 and 1; at least one.
    layout: the language of the keyboard.
    """

    share: float = 0.1
    letters: float = 0.1
    layout: Layout = "en"

    def __post_init__(self) -> None:
        _nlpaug.refuse_shares(self, "share", "letters")
        if self.layout not in get_args(Layout):
            raise ValueError(f"layout = {self.layout!r} is none of {', '.join(get_args(Layout))}")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        return _nlpaug.variants(texts, n, rng, _typist(self))


plugin = Keyboard


@lru_cache
def _typist(options: Keyboard) -> _nlpaug.Change:
    typist = _nlpaug.build(
        "char",
        "KeyboardAug",
        aug_word_p=options.share,
        aug_word_max=None,
        aug_char_p=options.letters,
        aug_char_max=None,
        include_upper_case=False,
        lang=options.layout,
    )
    typist.model.model = _letters_only(typist.model.model)
    return _nlpaug.through(typist)


def _letters_only(neighbours: dict[str, list[str]]) -> dict[str, Any]:
    """nlpaug's own `include_special_char=False` would keep nothing but a to z, whatever the language."""
    letters = {key: [value for value in values if value.isalpha()] for key, values in neighbours.items()}
    return {key: values for key, values in letters.items() if key.isalpha() and values}
