"""Suspicious labels: those that a model contradicts which has not seen them (Northcutt et al. 2021).

Each labelled text gets probabilities by a model of the other folds; cleanlab turns them and the given labels into a
score of each label, and says how many of the lowest are likely to be wrong.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alloop import metrics
from alloop.auditing.material import Material, Section, missing, section
from alloop.crossvalidation import judge_fold, spec_of, split
from alloop.errors import DataError
from alloop.files import fingerprint, publish
from alloop.records import Kind
from alloop.seeds import seed_for
from alloop.steps import stand_in
from alloop.steps.besides import stamp

FOLDS = 5
FEWEST = 2 * FOLDS  # labelled texts; with fewer, a model of the others knows next to nothing
STAND_IN = "features"
METHOD = "self_confidence"  # of cleanlab's three, as good as any on made-up errors: tests/bench/audit.md


@dataclass(frozen=True)
class Judged:
    """What models say of the labelled texts that have not seen their labels. `probs` (N, C), rows as in the material.

    `missing` says why there are none.
    """

    tuner: str
    probs: np.ndarray
    missing: str | None = None

    @property
    def folds(self) -> int:
        return FOLDS


@dataclass(frozen=True)
class Suspects:
    """`order` holds all rows, the most suspicious label first; `suspicion` (N,) is 0 to 1.

    `is_contradicted` (N,) where the model decides otherwise; `is_error` where confident learning calls it an error.
    """

    order: np.ndarray
    suspicion: np.ndarray
    is_contradicted: np.ndarray
    is_error: np.ndarray


def judge(material: Material, tuner: str | None, on_fold: Callable[[str], None] = lambda words: None) -> Judged:
    """Out-of-fold probabilities by the stand-in, or by a tuner as the project's rounds train it.

    The tuner's predictions are kept in the project's `cache`, fold by fold, for the same labels and options.
    """
    nothing = np.zeros(material.y.shape, np.float32)
    if why := too_few(material):
        return Judged(tuner or STAND_IN, nothing, why)
    if tuner is None:
        seed = seed_for(material.config.round.seed, 0, "audit")
        return Judged(STAND_IN, stand_in.out_of_fold(material.config, material.vectors, material.y, FOLDS, seed))
    try:
        parts = split(material.project, FOLDS, material.resolved)
    except DataError as error:
        return Judged(tuner, nothing, error.message)
    project, spec = material.project, spec_of(parts.config, tuner)
    stamps = stamp(project, parts.config, spec)
    probs = nothing
    for fold in range(FOLDS):
        on_fold(f"{tuner}: fold {fold + 1} of {FOLDS}")
        name = fingerprint([parts.fingerprint, spec.name, dict(spec.options), fold, *stamps])
        where = publish(
            project.root / "cache" / "audit" / name,
            lambda out, fold=fold: np.save(out / "probs.npy", judge_fold(project, parts, spec, fold)[0]),  # type: ignore[misc]
        )
        probs[parts.judged_in(fold)] = np.load(where / "probs.npy")
    return Judged(tuner, probs)


def too_few(material: Material) -> str | None:
    """Why no model can judge these labels, None where one can."""
    n = len(material.resolved)
    if n < FEWEST:
        return f"that takes {FEWEST} labelled texts, there are {n}"
    if len(np.unique(material.y, axis=0)) < 2:
        return f"that takes texts with different labels; all {n} have the same"
    return None


def suspects(y: np.ndarray, probs: np.ndarray, kind: Kind) -> Suspects:
    """How suspicious each given label y (N, C) is, by probs (N, C) of models that have not seen it."""
    probs = np.clip(np.asarray(probs, np.float64), 0, 1)
    decided = metrics.decide(probs, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels with few texts, which are said elsewhere
        quality, is_error = (_of_one if kind == "single" else _of_several)(y, probs)
    suspicion = 1 - quality
    order = np.argsort(-suspicion, kind="stable")
    return Suspects(order, suspicion, (decided != y).any(1), is_error)


def _of_one(y: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    given, probs = y.argmax(1), probs / probs.sum(1, keepdims=True)
    quality = get_label_quality_scores(given, probs, method=METHOD)
    return np.asarray(quality, float), np.asarray(find_label_issues(given, probs, n_jobs=1), bool)


def _of_several(y: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from cleanlab.multilabel_classification import get_label_quality_scores
    from cleanlab.multilabel_classification.filter import find_label_issues

    given = [np.flatnonzero(row).tolist() for row in y]
    quality = get_label_quality_scores(given, probs, method=METHOD)
    return np.asarray(quality, float), np.asarray(find_label_issues(given, probs, n_jobs=1), bool)


def suspicious(material: Material, judged: Judged) -> Section:
    """The labels that the model contradicts, the most suspicious first; "errors" of them are errors to cleanlab."""
    if judged.missing:
        return missing(judged.missing)
    found = suspects(material.y, judged.probs, material.config.task.kind)
    rows = [int(row) for row in found.order if found.is_contradicted[row]]
    errors = int((found.is_error & found.is_contradicted).sum())
    return section(described(material, judged, found, rows), len(material.resolved), errors=errors)


def described(material: Material, judged: Judged, found: Suspects, rows: Sequence[int]) -> list[dict[str, Any]]:
    """These rows in words: "says" is what the model would, "probability" how surely it contradicts what was given."""
    names, kind = material.config.task.names, material.config.task.kind
    decided = metrics.decide(judged.probs, kind)
    against = contradiction(material.y, judged.probs, kind)
    items: list[dict[str, Any]] = []
    for row, about in zip(rows, material.about([material.ids[row] for row in rows]), strict=True):
        said: Mapping[str, Any] = {
            "says": [name for name, is_said in zip(names, decided[row], strict=True) if is_said],
            "probability": round(float(against[row]), 4),
            "suspicion": round(float(found.suspicion[row]), 4),
            "is_error": bool(found.is_error[row]),
        }
        items.append({**about, **said})
    return items


def contradiction(y: np.ndarray, probs: np.ndarray, kind: Kind) -> np.ndarray:
    """(N,) how surely the model says something else: its best other label's p; the farthest label's, of several."""
    if kind == "single":
        return np.asarray(np.where(y > 0, -1, probs).max(1))
    return np.asarray(np.abs(y - probs).max(1))
