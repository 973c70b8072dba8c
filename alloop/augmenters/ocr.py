"""Letters that a scanner takes for others."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alloop.augmenters import _nlpaug


@dataclass(frozen=True)
class Ocr:
    """Misreads some letters as optical character recognition does: l as 1, O as 0, r as k, S as 8. Numbers stay.

    For texts that were scanned, or will be. Knows twenty letters of the Latin alphabet.

    share: how many of the words, between 0 and 1; at least one.
    letters: how many of the letters of such a word, between 0 and 1; at least one.
    """

    share: float = 0.1
    letters: float = 0.1

    def __post_init__(self) -> None:
        _nlpaug.refuse_shares(self, "share", "letters")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        return _nlpaug.variants(texts, n, rng, _scanner(self))


plugin = Ocr


@lru_cache
def _scanner(options: Ocr) -> _nlpaug.Change:
    scanner = _nlpaug.build(
        "char",
        "OcrAug",
        aug_word_p=options.share,
        aug_word_max=None,
        aug_char_p=options.letters,
        aug_char_min=1,
        aug_char_max=None,
    )
    misread = {key: values for key, values in scanner.model.model.items() if key.isalpha()}
    scanner.model.model = misread
    # else it would choose words in which it can misread nothing
    scanner.stopwords_regex = re.compile(f"[^{''.join(sorted(misread))}]*$")
    return _nlpaug.through(scanner)
