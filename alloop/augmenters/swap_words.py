"""Neighbouring words change places."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alloop.augmenters import _nlpaug


@dataclass(frozen=True)
class SwapWords:
    """Lets some words change places with a neighbour (Wei & Zou 2019, "EDA"). For any language written with spaces.

    share: how many of the words, between 0 and 1; at least one.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        _nlpaug.refuse_shares(self, "share")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        return _nlpaug.variants(texts, n, rng, _swapper(self.share))


plugin = SwapWords


@lru_cache
def _swapper(share: float) -> _nlpaug.Change:
    return _nlpaug.through(_nlpaug.build("word", "RandomWordAug", action="swap", aug_p=share, aug_max=None))
