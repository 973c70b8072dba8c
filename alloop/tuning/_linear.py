"""Logistic regression as two arrays: `weight` (C, F) and `bias` (C,). scikit-learn finds them; numpy uses them."""

import warnings
from typing import Any, Literal

import numpy as np

from alloop.records import Kind

ClassWeights = Literal["none", "sqrt", "balanced"]


def fit_linear(
    x: Any, y: np.ndarray, kind: Kind, strength: float, class_weights: ClassWeights = "none"
) -> dict[str, np.ndarray]:
    """The arrays for features x (N, F), dense or scipy-sparse, and targets y (N, C) of ones and zeros, or between.

    A text between two labels is two examples, each of which counts by its share: the cross-entropy of soft targets.

    `strength` is scikit-learn's C: higher trusts the examples more. A label with no example, or in a multi-label task
    with nothing else, has zero weights and a bias from Laplace's rule of succession: rare, never impossible.
    """
    if kind == "multi":
        return _fit_multi(x, y, strength, class_weights)
    return _fit_single(x, y, strength, class_weights)


def linear_logits(x: Any, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """logits (N, C) float32."""
    return np.asarray(x @ arrays["weight"].T + arrays["bias"], np.float32)


def probabilities(logits: np.ndarray, kind: Kind) -> np.ndarray:
    """probs (N, C) float32 from logits of any width: softmax for single-label tasks, sigmoid for multi-label ones."""
    logits = np.asarray(logits, np.float32)
    if kind == "multi":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))  # the sigmoid, without overflow
    exp = np.exp(logits - logits.max(1, keepdims=True))  # (N, C)
    return np.asarray(exp / exp.sum(1, keepdims=True))


def class_weight_vector(y: np.ndarray, kind: Kind, class_weights: ClassWeights) -> np.ndarray:
    """How much an example counts, by label (C,) float32: of its class if single, of the label's presence if multi.

    "balanced" is inversely proportional to the count (King & Zeng 2001), "sqrt" its square root: with few labels the
    counts are themselves noise. Single-label weights average 1 over the examples. Presence weights stay within 1..10.
    """
    counts = y.sum(0)
    if class_weights == "none":
        return np.ones(y.shape[1], np.float32)
    power = 0.5 if class_weights == "sqrt" else 1.0
    if kind == "multi":
        odds = (len(y) - counts) / np.maximum(counts, 1)
        return np.asarray(np.clip(odds**power, 1, 10), np.float32)
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -power, 0)
    return np.asarray(weights * len(y) / (weights * counts).sum(), np.float32)


def _fit_single(x: Any, y: np.ndarray, strength: float, class_weights: ClassWeights) -> dict[str, np.ndarray]:
    from sklearn.linear_model import LogisticRegression

    n, c = y.shape
    seen = np.flatnonzero(y.any(0))
    weight, bias = np.zeros((c, x.shape[1]), np.float32), np.zeros(c, np.float32)
    if len(seen) > 1:
        regression = LogisticRegression(C=strength, max_iter=1000)
        each, column, share = _one_by_one(x, y)
        weights = share * class_weight_vector(y, "single", class_weights)[column]
        with warnings.catch_warnings():  # it takes many classes for a regression, and says so at every fit
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            regression.fit(each, np.searchsorted(seen, column), sample_weight=weights)
        if len(seen) == 2:  # scikit-learn keeps one row: the log odds of the second class
            weight[seen] = np.concatenate([-regression.coef_, regression.coef_]) / 2
            bias[seen] = np.concatenate([-regression.intercept_, regression.intercept_]) / 2
        else:
            weight[seen], bias[seen] = regression.coef_, regression.intercept_
    known = np.asarray(x @ weight[seen].T + bias[seen])  # (N, seen)
    total = np.log(np.exp(known).sum(1)).mean()  # of the average text
    bias[np.setdiff1d(np.arange(c), seen)] = total - np.log(n + c)
    return {"weight": weight, "bias": bias}


def _fit_multi(x: Any, y: np.ndarray, strength: float, class_weights: ClassWeights) -> dict[str, np.ndarray]:
    from sklearn.linear_model import LogisticRegression

    n, c = y.shape
    weight, bias = np.zeros((c, x.shape[1]), np.float32), np.zeros(c, np.float32)
    presence = class_weight_vector(y, "multi", class_weights)
    for label in range(c):
        present = float(y[:, label].sum())
        if 0 < present < n:
            regression = LogisticRegression(C=strength, max_iter=1000)
            each, is_there, share = _one_by_one(x, np.stack([1 - y[:, label], y[:, label]], 1))
            regression.fit(each, is_there, sample_weight=share * np.where(is_there > 0, presence[label], 1))
            weight[label], bias[label] = regression.coef_[0], regression.intercept_[0]
        else:
            bias[label] = np.log((present + 1) / (n - present + 1))
    return {"weight": weight, "bias": bias}


def _one_by_one(x: Any, y: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
    """Examples of one class each, for rows of y (N, C) that sum to 1: their features, column, and share of the text."""
    rows, columns = np.nonzero(y)
    return x if len(rows) == len(y) else x[rows], columns, y[rows, columns]
