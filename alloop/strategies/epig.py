"""The texts whose labels would tell most about the labels of the others."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alloop.errors import ModelError
from alloop.strategies import Picks, Pool
from alloop.strategies._uncertainty import best, scores

CELLS = 1_000_000  # of joint probabilities at a time: 4 MB, which stay near the caches
LEAST = 1e-30  # of a probability, so that what cannot be has no infinite logarithm


@dataclass(frozen=True)
class Epig:
    """The texts with most expected predictive information gain (EPIG: Bickford Smith et al. 2023).

    The score is the mutual information in nats of the text's label and that of another text, by the samples of the
    model, as a mean over `targets` texts of the pool drawn at random. Unlike "bald" it does not pick oddities, whose
    label tells of nothing but themselves. For a multi-label task it is the mean over the labels, each by itself. Takes
    time for many labels: their number counts squared. Needs a tuner with samples: "features", or "lora" with dropout
    above 0.
    """

    targets: int = 100

    needs: ClassVar[tuple[str, ...]] = ("samples",)
    scores_each: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.targets < 1:
            raise ValueError("targets must be above 0")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        if pool.samples is None:
            raise ModelError(
                "there are no samples to pick by", "label some texts of two labels, then run: alloop round"
            )
        drawn = np.sort(rng.choice(len(pool), min(self.targets, len(pool)), replace=False))
        others = np.asarray(pool.samples[:, drawn], np.float32)  # (T, K, C)

        def gain(samples: np.ndarray) -> np.ndarray:
            samples = samples.astype(np.float32)
            if pool.kind == "single":
                return _gain(samples, others)
            each = [_gain(_yes_or_no(samples[..., c]), _yes_or_no(others[..., c])) for c in range(others.shape[-1])]
            return np.asarray(np.mean(each, 0))

        return best(scores(pool, gain, "samples"), n, rng)


plugin = Epig


def _yes_or_no(samples: np.ndarray) -> np.ndarray:
    return np.stack([samples, 1 - samples], -1)


def _gain(samples: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Mutual information (M,) of samples (T, M, C) with others (T, K, C), the mean over K; not below 0."""
    draws, texts, labels = samples.shape
    targets = others.reshape(draws, -1)  # (T, K * C)
    gain = np.empty(texts)
    size = max(1, CELLS // (labels * targets.shape[1]))
    for start in range(0, texts, size):
        some = samples[:, start : start + size].reshape(draws, -1)  # (T, B * C)
        joint = np.maximum(some.T @ targets / draws, LEAST)  # (B * C, K * C)
        # as a divergence, not as a difference of entropies: terms near 0 instead of large ones that nearly cancel
        ratio = np.maximum(np.outer(some.mean(0), targets.mean(0)), LEAST)
        np.divide(joint, ratio, out=ratio)
        np.log(ratio, out=ratio)
        ratio *= joint
        gain[start : start + size] = ratio.reshape(-1, labels * targets.shape[1]).sum(1) / others.shape[1]
    return np.maximum(gain, 0)
