"""Some words are left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alloop.augmenters import _nlpaug


@dataclass(frozen=True)
class DeleteWords:
    """Leaves out some words (Wei & Zou 2019, "EDA"). For any language written with spaces.

    Beware where a single word decides the label: "not" goes as easily as any other.

    share: how many of the words, between 0 and 1; at least one, never all.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share = {self.share} must be between 0 and 1")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        return _nlpaug.variants(texts, n, rng, _deleter(self.share))


plugin = DeleteWords


@lru_cache
def _deleter(share: float) -> _nlpaug.Change:
    return _nlpaug.through(_nlpaug.build("word", "RandomWordAug", action="delete", aug_p=share, aug_max=None))
