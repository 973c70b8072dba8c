"""The honest baseline: counted words and a linear model. Trains and predicts thousands of texts in a second or two."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from alloop.tuning import Choice, FitJob, Predictions, Range, Search
from alloop.tuning._calibration import Calibrate, linear_temperature
from alloop.tuning._committee import fit_committee, predict_committee
from alloop.tuning._directory import read_model, refuse_needs, write_model
from alloop.tuning._linear import ClassWeights, fit_linear, linear_logits, probabilities

LONGEST = 100_000  # characters of a text that are looked at; a book-long outlier would hold up the others
HASHED, EMBEDDED = 2**14, 128  # buckets and dimensions of the embeddings


@dataclass(frozen=True)
class TfIdf:
    """TF-IDF of words, word pairs and pieces of words, with logistic regression. Needs no base model.

    Takes a second and no accelerator, so it is the baseline that any fine-tuning has to beat. Its embeddings are
    stateless (hashed words under a fixed random projection, 128 dimensions, unit length): the same text has the same
    one with any model and with none.

    strength: trust in the examples (scikit-learn's C). max_features: words and pieces kept, the most frequent ones.
    class_weights: "balanced" makes rare labels count as much as frequent ones, "sqrt" goes half the way. calibrate:
    "folds" makes probabilities mean what they say, by a temperature found on the labels in five folds, from 50 labels
    on; "none" leaves them.
    """

    strength: float = 10.0
    max_features: int = 50_000
    class_weights: ClassWeights = "sqrt"
    calibrate: Calibrate = "none"

    gives: ClassVar[tuple[str, ...]] = ("probs", "logits", "embeddings", "members")
    search: ClassVar[Search] = {
        "strength": Range(0.1, 1000, log=True),
        "class_weights": Choice(("none", "sqrt", "balanced")),
    }

    def __post_init__(self) -> None:
        if self.strength <= 0 or self.max_features < 1:
            raise ValueError("strength and max_features must be above 0")

    def fit(self, job: FitJob, out: Path) -> dict[str, float]:
        """Deterministic: `job.dev` and `job.init` do not matter, and `job.seed` only to a committee."""
        return fit_committee(self._fit_one, job, out, resample=True)

    def predict(self, model: Path | None, texts: Sequence[str], needs: Sequence[str], seed: int) -> Predictions:
        """Gives probs, logits, embeddings, and members if the model is a committee."""
        refuse_needs("tfidf", needs, self.gives)
        texts = [text[:LONGEST] for text in texts]
        embeddings = _embed(texts) if "embeddings" in needs else None
        if model is None:
            return Predictions(embeddings=embeddings)
        predictions = predict_committee(lambda directory: _predict_one(directory, texts), model, needs)
        return replace(predictions, embeddings=embeddings)

    def _fit_one(self, job: FitJob, out: Path) -> dict[str, float]:
        texts, y = [example.text[:LONGEST] for example in job.train], job.targets(job.train)
        vocabularies, idf, columns = {}, {}, []
        for name, options in _VIEWS.items():
            vectorizer = _vectorizer(options, max_features=self.max_features)
            try:
                columns.append(vectorizer.fit_transform(texts))
            except ValueError:  # "empty vocabulary": texts of nothing but signs and spaces
                continue
            vocabularies[name] = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.get)
            idf[f"idf.{name}"] = vectorizer.idf_.astype(np.float32)
        x = _side_by_side(columns, len(texts))
        arrays = fit_linear(x, y, job.kind, self.strength, self.class_weights)
        temperature = linear_temperature(job, x, y, self.strength, self.class_weights, self.calibrate)
        about = {"labels": job.labels, "kind": job.kind, "temperature": temperature}
        files = {"weights.safetensors": {**arrays, **idf}, "vocabulary.json": vocabularies}
        write_model(out, "tfidf", about, files)
        probs = probabilities(linear_logits(x, arrays), job.kind)
        loss = float(-np.log(np.where(y > 0, probs, 1 - probs).clip(1e-7)).mean())
        trainable = float(sum(array.size for array in arrays.values()))
        return {"train_loss": loss, "trainable_parameters": trainable, "temperature": temperature}


plugin = TfIdf

_VIEWS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b|[^\w\s]"},
    "pieces": {"analyzer": "char_wb", "ngram_range": (2, 5)},  # survives misspellings, inflection, unspaced scripts
}


def _vectorizer(view: dict[str, Any], **more: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **view, **more)


def _predict_one(model: Path, texts: Sequence[str]) -> Predictions:
    about, files = read_model(model, "tfidf")
    arrays = files["weights.safetensors"]
    logits = linear_logits(_features(texts, arrays, files["vocabulary.json"]), arrays)
    probs = probabilities(logits / about.get("temperature", 1.0), about["kind"])
    return Predictions(probs=probs, logits=logits, labels=tuple(about["labels"]))


def _features(texts: Sequence[str], arrays: dict[str, np.ndarray], vocabularies: dict[str, list[str]]) -> Any:
    """x (N, F), sparse, with the columns the model was fitted on."""
    if not texts:  # which scikit-learn refuses
        return np.zeros((0, arrays["weight"].shape[1]), np.float32)
    columns = []
    for name, vocabulary in vocabularies.items():
        vectorizer = _vectorizer(_VIEWS[name], vocabulary=vocabulary)
        vectorizer.idf_ = arrays[f"idf.{name}"]
        columns.append(vectorizer.transform(texts))
    return _side_by_side(columns, len(texts))


def _side_by_side(columns: list[Any], rows: int) -> Any:
    from scipy.sparse import csr_array, hstack

    return hstack(columns, format="csr") if columns else csr_array((rows, 1), dtype=np.float32)


def _embed(texts: Sequence[str]) -> np.ndarray:
    """embeddings (N, 128) float32, rows of length 1, or 0 for a text without a word."""
    from sklearn.feature_extraction.text import HashingVectorizer

    hashed = HashingVectorizer(n_features=HASHED, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", dtype=np.float32)
    if not texts:
        return np.zeros((0, EMBEDDED), np.float32)
    projected = np.asarray(hashed.transform(texts) @ _projection(), np.float32)  # (N, 128)
    length = np.linalg.norm(projected, axis=1, keepdims=True)
    return np.asarray(projected / np.maximum(length, 1e-12))


@lru_cache(1)
def _projection() -> np.ndarray:
    """(HASHED, EMBEDDED): keeps angles, approximately (Johnson & Lindenstrauss 1984). Fixed for ever by its seed."""
    return np.random.default_rng(128).standard_normal((HASHED, EMBEDDED)).astype(np.float32)
