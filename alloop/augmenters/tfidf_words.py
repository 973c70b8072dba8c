"""Other words of the pool, in the place of words that say little."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from alloop.augmenters import Augmenter, Surroundings, _nlpaug
from alloop.ingest import text_id
from alloop.progress import progress

TEXTS_READ = 50_000


@dataclass(frozen=True)
class TfidfWords:
    """Replaces words that say little by other words of the pool (Xie et al. 2020, "UDA"). For any language with spaces.

    What a word says is learnt from up to 50,000 texts of the project, by TF-IDF: the more texts have a word, the sooner
    it is replaced, while rare ones, which the label may depend on, mostly stay. Words put in are drawn from all, those
    that say most the least often. It reads no meaning: "not" goes as easily as "the", sentences stop making sense, and
    words of one text turn up in another.

    share: how many of the words, between 0 and 1; at least one.
    texts: how many texts must have a word that is replaced or put in. Names and misspellings are in few.
    """

    share: float = 0.1
    texts: int = 3

    def __post_init__(self) -> None:
        _nlpaug.refuse_shares(self, "share")
        if self.texts < 1:
            raise ValueError(f"texts = {self.texts} must be above 0")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        """No variants: without a pool there is nothing to learn from."""
        return [[] for _ in texts]

    def prepared(self, around: Surroundings) -> Augmenter:
        """Knowing the words of the pool and of labelled texts, whichever of the two a text is in by now."""
        texts = sorted({*around.pool(), *around.labels}, key=lambda text: (text_id(text), text))[:TEXTS_READ]
        found, counts = [], Counter[str]()
        with progress("augment: tfidf-words reads the pool", len(texts)) as advance:
            for text in texts:
                found.append(list(dict.fromkeys(word.lower() for word in _nlpaug.words_of(text))))
                counts.update(found[-1])
                advance(1)
        common = [[word for word in words if counts[word] >= self.texts] for words in found]
        return Knowing(self.share, _nlpaug.word_statistics(common))


plugin = TfidfWords


@dataclass(frozen=True, eq=False)
class Knowing:
    """Tfidf-words, with nlpaug's statistics of the words of a pool."""

    share: float
    model: Any

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        return _nlpaug.variants(texts, n, rng, _replacer(self))


@lru_cache(1)
def _replacer(known: Knowing) -> _nlpaug.Change:
    return _nlpaug.in_small_letters(_nlpaug.through(_nlpaug.by_statistics(known.model, known.share)))
