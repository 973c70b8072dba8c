"""Mixtures of two texts, where a text is its vector."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mixup:
    """Learns also from points between two labelled texts, with a share of the labels of both (Zhang et al. 2018).

    For the tuner "features", whose texts are vectors (arXiv:1710.09412; for text Guo et al. 2019, arXiv:1905.08941):
    no text is made, nothing is shown or stored, and a fit takes a little longer. Each text is mixed with
    `augment.per_text` others drawn at random, of any label; held-back texts and variants are never mixed. It makes the
    model less sure between the labels.

    alpha: how even a mixture is. Towards 0 it is nearly one of the two texts, with 1 any mixture is as likely.
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 100:
            raise ValueError(f"alpha = {self.alpha} must be above 0 and at most 100")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        """No text has variants: what is mixed are vectors, while the model is fitted."""
        return [[] for _ in texts]


plugin = Mixup
