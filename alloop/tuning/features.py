"""Frozen features: the base as it is, and a linear model on its vectors. Hard to beat with a handful of labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from alloop.errors import ModelError
from alloop.tuning import Choice, FitJob, Predictions, Range, Search
from alloop.tuning._calibration import Calibrate, linear_temperature
from alloop.tuning._committee import fit_committee, predict_committee
from alloop.tuning._directory import TRAIN_AGAIN, read_model, refuse_needs, write_model
from alloop.tuning._laplace import draw_samples, fit_posterior
from alloop.tuning._linear import ClassWeights, fit_linear, linear_logits, probabilities
from alloop.tuning._mixup import with_mixed
from alloop.tuning._vectors import look_up

POSTERIOR = "posterior.safetensors"  # the file that samples are drawn from


@dataclass(frozen=True)
class Features:
    """Logistic regression on the vectors of a frozen base. Trains in a second; the model is under a megabyte.

    The baseline that fine-tuning has to beat: with under five labels a class, or many classes, it often does not.

    base: "minilm", a directory, or a Hub id. max_tokens: where longer texts are cut. strength: trust in the examples
    (scikit-learn's C, on vectors of length 1). class_weights: "balanced" makes rare labels count as much as frequent
    ones, "sqrt" goes half the way. samples: how many models strategies such as "bald" draw from what the labels leave
    open (the Laplace approximation, MacKay 1992). vectors: a directory of vectors read before, which `alloop simulate`
    fills. calibrate: "folds" makes probabilities mean what they say, by a temperature found on the labels in five
    folds, from 50 labels on; "none" leaves them.
    """

    base: str = "minilm"
    max_tokens: int = 128
    strength: float = 30.0
    class_weights: ClassWeights = "sqrt"
    samples: int = 20
    vectors: str = ""
    calibrate: Calibrate = "none"

    gives: ClassVar[tuple[str, ...]] = ("probs", "logits", "embeddings", "members", "samples")
    mixes: ClassVar[bool] = True
    search: ClassVar[Search] = {
        "strength": Range(0.3, 1000, log=True),
        "class_weights": Choice(("none", "sqrt", "balanced")),
    }

    def __post_init__(self) -> None:
        if self.strength <= 0 or self.max_tokens < 1:
            raise ValueError("strength and max_tokens must be above 0")
        if self.samples < 2:
            raise ValueError("samples must be above 1: they are compared with each other")

    def fit(self, job: FitJob, out: Path) -> dict[str, float]:
        """Deterministic: `job.dev` and `job.init` do not matter, and `job.seed` only to a committee and to mixtures."""
        return fit_committee(self._fit_one, job, out, resample=True)

    def predict(self, model: Path | None, texts: Sequence[str], needs: Sequence[str], seed: int) -> Predictions:
        """Gives probs, logits, embeddings (N, D) of length 1, members if the model is a committee, and samples.

        The samples (T, N, C) of a text depend on `seed` alone.
        """
        refuse_needs("features", needs, self.gives)
        if model is None:
            return Predictions(embeddings=self._embed(texts, self.max_tokens))
        return predict_committee(lambda directory: self._predict_one(directory, texts, needs, seed), model, needs)

    def _fit_one(self, job: FitJob, out: Path) -> dict[str, float]:
        from alloop.tuning._bases import load_base

        base = load_base(self.base)
        x, y = self._embed([example.text for example in job.train], self.max_tokens), job.targets(job.train)
        arrays = fit_linear(*with_mixed(job, x, y), job.kind, self.strength, self.class_weights)
        temperature = linear_temperature(job, x, y, self.strength, self.class_weights, self.calibrate)
        about = {
            "labels": job.labels,
            "kind": job.kind,
            "base": self.base,
            "base_fingerprint": base.fingerprint,
            "base_revision": base.revision,
            "max_tokens": self.max_tokens,
            "pooling": base.pooling,
            "temperature": temperature,
        }
        # for every model, though few strategies ask: which of them will is not known here, and may change.
        # Without mixtures: they say nothing that the labels do not, and would leave less open
        posterior = fit_posterior(x, y, arrays, job.kind, self.strength, self.class_weights)
        write_model(out, "features", about, {"head.safetensors": arrays, POSTERIOR: posterior})
        probs = probabilities(linear_logits(x, arrays), job.kind)
        loss = float(-np.log(np.where(y > 0, probs, 1 - probs).clip(1e-7)).mean())
        trainable = float(sum(array.size for array in arrays.values()))
        return {"train_loss": loss, "trainable_parameters": trainable, "temperature": temperature}

    def _predict_one(self, model: Path, texts: Sequence[str], needs: Sequence[str], seed: int) -> Predictions:
        from alloop.tuning._bases import load_base

        about, files = read_model(model, "features")
        if about["base_fingerprint"] != load_base(self.base).fingerprint:
            message = f"{model} was trained on another base: {about['base']!r}, and this is {self.base!r}"
            raise ModelError(message, f"set model.base back, or {TRAIN_AGAIN}")
        if "samples" in needs and POSTERIOR not in files:
            raise ModelError(f"{model} has no samples: an older alloop trained it", TRAIN_AGAIN)
        kind, linear = about["kind"], files["head.safetensors"]
        x = self._embed(texts, about["max_tokens"])
        logits = linear_logits(x, linear)
        temperature = about.get("temperature", 1.0)
        samples = None
        if "samples" in needs:
            samples = draw_samples(x, linear, files[POSTERIOR], kind, self.samples, seed, temperature)
        probs = probabilities(logits / temperature, kind)
        return Predictions(probs, logits, embeddings=x, samples=samples, labels=tuple(about["labels"]))

    def _embed(self, texts: Sequence[str], max_tokens: int) -> np.ndarray:
        from alloop.tuning._bases import load_base
        from alloop.tuning._encoding import embed_texts, frozen

        def read(some: Sequence[str]) -> np.ndarray:
            base = load_base(self.base)
            return embed_texts(base, frozen(base), some, lambda chunk: base.tokenize(chunk, max_tokens))

        return look_up(Path(self.vectors), self.base, max_tokens, texts, read) if self.vectors else read(texts)


plugin = Features
