"""Frozen features: the base as it is, and a linear model on its vectors. Hard to beat with a handful of labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alloop.errors import ModelError
from alloop.tuning import FitJob, Predictions
from alloop.tuning._directory import TRAIN_AGAIN, read_model, refuse_needs, write_model
from alloop.tuning._linear import ClassWeights, fit_linear, linear_logits, probabilities


@dataclass(frozen=True)
class Features:
    """Logistic regression on the vectors of a frozen base. Trains in a second; the model is a few kilobytes.

    The baseline that fine-tuning has to beat: with under five labels a class, or many classes, it often does not.

    base: "minilm", a directory, or a Hub id. max_tokens: where longer texts are cut. strength: trust in the examples
    (scikit-learn's C, on vectors of length 1). class_weights: "balanced" makes rare labels count as much as frequent
    ones, "sqrt" goes half the way.
    """

    base: str = "minilm"
    max_tokens: int = 256
    strength: float = 30.0
    class_weights: ClassWeights = "sqrt"

    def __post_init__(self) -> None:
        if self.strength <= 0 or self.max_tokens < 1:
            raise ValueError("strength and max_tokens must be above 0")

    def fit(self, job: FitJob, out: Path) -> dict[str, float]:
        """Deterministic: neither `job.seed` nor `job.dev` nor `job.init` matters."""
        from alloop.tuning._bases import load_base

        base = load_base(self.base)
        x, y = self._embed([example.text for example in job.train]), job.targets(job.train)
        arrays = fit_linear(x, y, job.kind, self.strength, self.class_weights)
        about = {
            "labels": job.labels,
            "kind": job.kind,
            "base": self.base,
            "base_fingerprint": base.fingerprint,
            "max_tokens": self.max_tokens,
            "pooling": base.pooling,
        }
        write_model(out, "features", about, {"head.safetensors": arrays})
        probs = probabilities(linear_logits(x, arrays), job.kind)
        return {"train_loss": float(-np.log(np.where(y > 0, probs, 1 - probs).clip(1e-7)).mean())}

    def predict(self, model: Path | None, texts: Sequence[str], needs: Sequence[str], seed: int) -> Predictions:
        """Gives probs, logits and embeddings (N, D), of length 1."""
        from alloop.tuning._bases import load_base

        refuse_needs("features", needs, {"probs", "logits", "embeddings"})
        if model is None:
            return Predictions(embeddings=self._embed(texts))
        about, files = read_model(model, "features")
        if about["base_fingerprint"] != load_base(self.base).fingerprint:
            raise ModelError(
                f"{model} was trained on the base {about['base']!r}, which is not {self.base!r}", TRAIN_AGAIN
            )
        x = self._embed(texts)
        logits = linear_logits(x, files["head.safetensors"])
        probs = probabilities(logits, about["kind"])
        return Predictions(probs=probs, logits=logits, embeddings=x, labels=tuple(about["labels"]))

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        from alloop.tuning._bases import load_base
        from alloop.tuning._encoding import embed, frozen

        base = load_base(self.base)
        return embed(base, frozen(base), base.tokenize(texts, self.max_tokens))


plugin = Features
