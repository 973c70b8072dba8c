"""Label names: zero-shot classification, by how like a label's name or description a text is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from alloop.errors import ModelError
from alloop.records import Kind
from alloop.tuning import Choice, FitJob, Predictions, Search
from alloop.tuning._directory import TRAIN_AGAIN, read_model, refuse_needs, write_model
from alloop.tuning._linear import linear_logits, probabilities

SHARPNESS = 20.0  # logits for one of cosine, where no label says otherwise: the strategy of this name has the same
THRESHOLD = 0.2  # of a cosine above the average, from which a label applies, in multi-label tasks without an example
SHARPEST, TEXTS = (1.0, 100.0), 2_000  # between which the labels choose; texts that they are judged by


@dataclass(frozen=True)
class LabelNames:
    """Zero-shot (the setting of Yin et al. 2019, arXiv:1909.00161): no label is needed, and no weight is learnt.

    The cosine of a text's vector, of the frozen base, and that of "name: description" of each label, less its mean over
    the texts at hand: else one name might be the nearest to nearly all of them. The labels say one thing only, how
    sharp the probabilities are, and in multi-label tasks from where on a label applies. It is as good as the names are
    telling: write them out, and describe them. To beat with the first labels, and the better model until then; the
    strategy "label-names" is the same thought as a cold start.

    template: what is embedded, such as "This text is about {label}." base: "minilm", a directory, or a Hub id; one
    whose vectors mean something untrained. max_tokens: where longer texts are cut.
    """

    template: str = "{label}"
    base: str = "minilm"
    max_tokens: int = 128

    gives: ClassVar[tuple[str, ...]] = ("probs", "logits", "embeddings")
    search: ClassVar[Search] = {
        "template": Choice(("{label}", "This text is about {label}.", "This example is {label}."))
    }

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError("max_tokens must be above 0")
        if self.template.count("{label}") != 1:
            raise ValueError(f"template = {self.template!r} must have {{label}} in it, once")

    def fit(self, job: FitJob, out: Path) -> dict[str, float]:
        """Deterministic; works without an example."""
        from alloop.tuning._bases import load_base

        base = load_base(self.base)
        names = self._embed([self.template.replace("{label}", one) for one in phrases(job)])  # (C, D)
        train = job.train[:TEXTS]
        likeness = self._embed([example.text for example in train]) @ names.T  # (N, C)
        mean = likeness.mean(0) if len(train) else np.zeros(len(names), np.float32)
        y = job.targets(train)
        sharpness, bias = _scale(likeness - mean, y, job.kind)
        head = {"weight": sharpness * names, "bias": bias - sharpness * mean}
        head = {name: array.astype(np.float32) for name, array in head.items()}
        about = {
            "labels": job.labels,
            "kind": job.kind,
            "base": self.base,
            "base_fingerprint": base.fingerprint,
            "base_revision": base.revision,
            "max_tokens": self.max_tokens,
            "pooling": base.pooling,
        }
        write_model(out, "label-names", about, {"head.safetensors": head})
        probs = probabilities(sharpness * (likeness - mean) + bias, job.kind)
        loss = {"train_loss": float(-np.log(np.where(y > 0, probs, 1 - probs).clip(1e-7)).mean())} if train else {}
        return {**loss, "sharpness": sharpness, "trainable_parameters": float(1 + (job.kind == "multi"))}

    def predict(self, model: Path | None, texts: Sequence[str], needs: Sequence[str], seed: int) -> Predictions:
        """Gives probs, logits and embeddings (N, D) of length 1, which are the frozen base's."""
        from alloop.tuning._bases import load_base

        refuse_needs("label-names", needs, self.gives)
        if model is None:
            return Predictions(embeddings=self._embed(texts))
        about, files = read_model(model, "label-names")
        if about["base_fingerprint"] != load_base(self.base).fingerprint:
            message = f"{model} was trained on another base: {about['base']!r}, and this is {self.base!r}"
            raise ModelError(message, f"set model.base back, or {TRAIN_AGAIN}")
        x = self._embed(texts, about["max_tokens"])
        logits = linear_logits(x, files["head.safetensors"])
        return Predictions(probabilities(logits, about["kind"]), logits, embeddings=x, labels=tuple(about["labels"]))

    def _embed(self, texts: Sequence[str], max_tokens: int | None = None) -> np.ndarray:
        from alloop.tuning._bases import load_base
        from alloop.tuning._encoding import embed_texts, frozen

        base = load_base(self.base)
        return embed_texts(base, frozen(base), texts, lambda some: base.tokenize(some, max_tokens or self.max_tokens))


plugin = LabelNames


def phrases(job: FitJob) -> list[str]:
    """What each label is called, as words: "name: description"."""
    names = [label.replace("_", " ").replace("-", " ").strip() or label for label in job.labels]
    described = [job.descriptions.get(label, "") for label in job.labels]
    return [f"{name}: {more}".removesuffix(": ") for name, more in zip(names, described, strict=True)]


def _scale(likeness: np.ndarray, y: np.ndarray, kind: Kind) -> tuple[float, float]:
    """The sharpness and bias of logits that make the labels y (N, C) likeliest; a guess where nothing can be said."""
    if kind == "multi":
        if not y.any() or y.all():
            return SHARPNESS, -SHARPNESS * THRESHOLD
        from sklearn.linear_model import LogisticRegression

        line = LogisticRegression(C=1e4, max_iter=1000).fit(likeness.reshape(-1, 1), y.ravel())
        return float(np.clip(line.coef_[0, 0], *SHARPEST)), float(line.intercept_[0])

    def surprise(sharpness: float) -> float:
        return float(-np.log(probabilities(sharpness * likeness, "single")[y > 0].clip(1e-12)).mean())

    return (float(min(np.geomspace(*SHARPEST, 81), key=surprise)) if len(y) else SHARPNESS), 0.0
