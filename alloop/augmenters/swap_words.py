"""Neighbouring words change places."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alloop.augmenters import _nlpaug


@dataclass(frozen=True)
class SwapWords:
    """Lets some words change places with a neighbour (Wei & Zou 2019, "EDA"). For any language written with spaces.

    share: how many of the words, between 0 and 1; at least one.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share = {self.share} must be above 0 and at most 1")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        swapper = _nlpaug.build("word", "RandomWordAug", action="swap", aug_p=self.share, aug_max=None)
        return _nlpaug.variants(texts, n, rng, _nlpaug.through(swapper))


plugin = SwapWords
