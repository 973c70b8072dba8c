"""Letters put in, replaced, swapped or left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from alloop.augmenters import _nlpaug

Action = Literal["insert", "substitute", "swap", "delete"]


@dataclass(frozen=True)
class RandomChars:
    """Mistypes some words of four letters or more, at random (Belinkov & Bisk 2018). For any alphabet.

    `keyboard`, `spelling` and `ocr` make mistakes that are likelier; this one knows no language.

    action: insert puts in letters that occur elsewhere in the text, substitute replaces letters by such, swap lets
    neighbouring letters change places, delete leaves letters out.
    share: how many of the words, between 0 and 1; at least one.
    letters: how many of the letters of such a word, at most half; at least one.
    """

    action: Action = "swap"
    share: float = 0.1
    letters: float = 0.1

    def __post_init__(self) -> None:
        _nlpaug.refuse_shares(self, "share")
        if not 0 < self.letters <= 0.5:  # with more a word may vanish as a whole
            raise ValueError(f"letters = {self.letters} must be above 0 and at most 0.5")
        if self.action not in get_args(Action):
            raise ValueError(f"action = {self.action!r} is none of {', '.join(get_args(Action))}")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        return _nlpaug.variants(texts, n, rng, _mistyper(self))


plugin = RandomChars


@lru_cache
def _mistyper(options: RandomChars) -> _nlpaug.Change:
    mistyper = _nlpaug.build(
        "char",
        "RandomCharAug",
        action=options.action,
        aug_word_p=options.share,
        aug_word_max=None,
        aug_char_p=options.letters,
        aug_char_max=None,
    )
    mistype = _nlpaug.through(mistyper)

    def change(words: list[str]) -> list[str]:
        # nlpaug would put in A to Z, digits and signs, whatever the alphabet
        mistyper.model = sorted({letter for word in words for letter in word.lower() if letter.isalpha()})
        changed = zip(words, mistype(words), strict=True)
        return [new.upper() if word.isupper() else new for word, new in changed]

    return change
