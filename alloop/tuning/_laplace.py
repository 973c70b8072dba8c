"""What the labels leave open of a logistic regression: a normal distribution of its weights, and models drawn from it.

The Laplace approximation (MacKay 1992): weights ~ N(the ones found, inverse of the Hessian there). The prior is the
penalty they were found with: variance C, scikit-learn's, for weights, and none for intercepts. The likelihood's Hessian
is a sum over texts of x x^T (D, D) times L (C, C), L = diag(p) - p p^T for a softmax and diag(p (1 - p)) for sigmoids.
It is taken for one Kronecker product A x G (Ritter et al. 2018; Daxberger et al. 2021, "Laplace Redux"), whose factors
are its partial traces: in A a text counts by the trace of its L. For two classes, or one label, nothing is lost by it.

Intercepts are those at the weighted mean of the texts, where they are independent of the weights. What is stored is the
eigenvectors of both factors: no more than min(M, D) of length D, for M labelled texts, however many labels there are.
"""

import numpy as np

from alloop.records import Kind
from alloop.tuning._linear import ClassWeights, class_weight_vector, linear_logits, probabilities

NEGLIGIBLE = 1e-4  # of the prior: a direction of which the labels tell less is left to the prior alone
LEAST = 1e-3  # of what the labels tell of an intercept: with a huge C every text is certain, and they tell nothing


def fit_posterior(
    x: np.ndarray,
    y: np.ndarray,
    linear: dict[str, np.ndarray],
    kind: Kind,
    strength: float,
    class_weights: ClassWeights = "none",
) -> dict[str, np.ndarray]:
    """The distribution of the weights `linear` that `fit_linear` found, given all else that it was given.

    mean (D,), of the texts. directions (R, D), orthonormal. contrasts (C, K): how the logits change with each of K
    independent coordinates; those of labels that were not learnt never do. spread (K, R), the standard deviation of a
    coordinate's weight in each direction; spread_elsewhere (1,), in all others; spread_of_intercept (K,).
    """
    probs = probabilities(linear_logits(x, linear), kind).astype(np.float64)  # (M, C)
    factor, trace, contrasts = _label_factor(probs, y, kind, class_weights)
    mean, prior = trace @ x / trace.sum(), 1 / strength
    told, directions = _eigenvectors(np.sqrt(trace)[:, None] * (x - mean))
    by_labels = factor[:, None] * told  # (K, min(M, D))
    is_known = (by_labels > NEGLIGIBLE * prior).any(0)
    arrays = {
        "mean": mean,
        "directions": directions[is_known],
        "contrasts": contrasts,
        "spread": (by_labels[:, is_known] + prior) ** -0.5,
        "spread_elsewhere": np.array([prior**-0.5]),
        "spread_of_intercept": np.maximum(factor * trace.sum(), LEAST) ** -0.5,
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def draw_samples(
    x: np.ndarray,
    linear: dict[str, np.ndarray],
    posterior: dict[str, np.ndarray],
    kind: Kind,
    samples: int,
    seed: int,
    temperature: float = 1.0,
) -> np.ndarray:
    """Probabilities (T, N, C) float32 by T models; the models depend on the seed alone, never on the texts.

    Each is as sure as the temperature of the weights found says, so that they stay draws around what those predict.
    """
    rng = np.random.default_rng(seed)
    directions, contrasts, elsewhere = posterior["directions"], posterior["contrasts"], posterior["spread_elsewhere"]
    drawn = np.empty((samples, len(x), len(contrasts)), np.float32)
    for sample in drawn:
        noise = rng.standard_normal((contrasts.shape[1], x.shape[1]), np.float32)  # (K, D)
        shrunk = (noise @ directions.T) * (posterior["spread"] - elsewhere)  # (K, R)
        weight = contrasts @ (noise * elsewhere + shrunk @ directions)  # (C, D)
        bias = contrasts @ (rng.standard_normal(contrasts.shape[1], np.float32) * posterior["spread_of_intercept"])
        bias -= weight @ posterior["mean"]
        model = {"weight": linear["weight"] + weight, "bias": linear["bias"] + bias}
        sample[:] = probabilities(linear_logits(x, model) / temperature, kind)
    return drawn


def _label_factor(
    probs: np.ndarray, y: np.ndarray, kind: Kind, class_weights: ClassWeights
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """G as its eigenvalues (K,), the trace of each text's L (M,), and G's eigenvectors as contrasts (C, K)."""
    weight, c = class_weight_vector(y, kind, class_weights), y.shape[1]
    if kind == "multi":
        learnt = np.flatnonzero(y.any(0) & ~y.all(0))
        diagonal = (np.where(y > 0, weight, 1) * probs * (1 - probs))[:, learnt]  # (M, K)
        trace = np.maximum(diagonal.sum(1), 1e-12)
        return diagonal.sum(0) / trace.sum(), trace, np.eye(c)[:, learnt]
    learnt = np.flatnonzero(y.any(0))
    p = probs[:, learnt]
    p /= p.sum(1, keepdims=True)  # as fitted: the logits of the others were added afterwards
    counted = weight[y.argmax(1)][:, None] * p  # (M, seen)
    trace = np.maximum((counted * (1 - p)).sum(1), 1e-12)
    values, vectors = np.linalg.eigh((np.diag(counted.sum(0)) - counted.T @ p) / trace.sum())
    values, vectors = values[1:].clip(0), vectors[:, 1:]  # without what changes all logits alike, and no probability
    if len(learnt) == 2:  # scikit-learn penalizes one row, the difference of the two that `fit_linear` makes of it
        values, vectors = values / 2, vectors / np.sqrt(2)
    contrasts = np.zeros((c, len(values)))
    contrasts[learnt] = vectors
    return values, trace, contrasts


def _eigenvectors(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (R,) and eigenvectors (R, D) of rows^T rows, for rows (M, D), R = min(M, D)."""
    if len(rows) < rows.shape[1]:
        _, singular, vectors = np.linalg.svd(rows, full_matrices=False)
        return singular**2, vectors
    values, vectors = np.linalg.eigh(rows.T @ rows)
    return values.clip(0), vectors.T
