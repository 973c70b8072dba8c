"""Augmenters: variants of a labelled text that inherit its labels."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from alloop.registry import Registry


class Augmenter(Protocol):
    """Makes variants. All its randomness comes from `rng`, whatever the library underneath uses."""

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        """At most n different variants of each text, never the text itself; fewer where none can be found."""
        ...


augmenters: Registry[Augmenter] = Registry("augmenters", "alloop.augmenters")
