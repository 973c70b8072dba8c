"""A stand-in for the model, to judge labels, variants and annotators by: logistic regression on frozen vectors.

It is the tuner `features` whatever the project trains: a fold costs milliseconds once the texts' vectors are there, and
no label has shaped them, so that many models can be had of texts that each of them has not learnt from. Vectors stay in
the project's `cache`: each text is read once in a project's life.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alloop.config import Config
from alloop.files import fingerprint, is_whole, publish
from alloop.project import Project
from alloop.tuning import tuners
from alloop.tuning._calibration import fit_temperature
from alloop.tuning._linear import fit_linear, linear_logits, probabilities
from alloop.tuning._vectors import key_of, write_vectors
from alloop.work import TunerSpec, load_predictions, write_predict


def vectors(project: Project, config: Config, texts: Sequence[str]) -> np.ndarray:
    """Vectors (N, D) float32 of length 1 of texts, by the bare base that the config names.

    Those that were not read before are read by the config's executor and kept; in a simulation they are where the
    tuner's option `vectors` says.
    """
    given = {key: value for key, value in config.options_of("features").items() if key in ("max_tokens", "vectors")}
    options: dict[str, Any] = {"base": config.model.base, "max_tokens": config.model.max_tokens} | given
    spec = project.located(TunerSpec("features", options))
    if given.get("vectors"):
        return _read(project, config, spec, texts)
    root = project.root / "cache" / "vectors" / fingerprint([options, _files(Path(str(spec.options["base"])))])
    known = _known(root)
    missing = {key_of(text): text for text in texts if key_of(text) not in known}
    if missing:
        new = list(missing.values())

        def fill(out: Path) -> None:
            write_vectors(out, options["base"], options["max_tokens"], new, _read(project, config, spec, new))

        publish(root / fingerprint(sorted(missing)), fill)
        known = _known(root)
    return np.stack([known[key_of(text)] for text in texts]) if texts else np.zeros((0, 0), np.float32)


def _files(base: Path) -> list[tuple[str, int, int]]:
    """Stands for what is in the directory of a base; nothing of one that is none, as a name on the Hub does not change.

    Who trains a base further in its place has other vectors.
    """
    files = sorted(base.expanduser().glob("*.*"))
    return [(one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in files if one.is_file()]


def _read(project: Project, config: Config, spec: TunerSpec, texts: Sequence[str]) -> np.ndarray:
    if not texts:
        return np.zeros((0, 0), np.float32)
    with project.scratch("vectors") as out:
        project.run_job(config, lambda job: write_predict(job, spec, None, texts, ("embeddings",), 0), out)
        return np.array(load_predictions(out).embeddings)


def _known(root: Path) -> dict[str, np.ndarray]:
    """Hash -> vector (D,) of every text that was read before."""
    found: dict[str, np.ndarray] = {}
    for directory in sorted(root.glob("[!.]*")):
        if is_whole(directory):
            keys = json.loads((directory / "vectors.json").read_text())["texts"]
            found |= zip(keys, np.load(directory / "vectors.npy", mmap_mode="r"), strict=True)
    return found


def out_of_fold(config: Config, x: np.ndarray, y: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Probabilities (N, C) of texts with vectors x (N, D) and labels y (N, C), each by a model of the other folds.

    The folds hold as many of each answer as they can. Where the answers are fewer than two, or the texts than the
    folds, nothing can be learnt: every label is then as likely as its share. The probabilities are calibrated, by one
    temperature, on the same labels.
    """
    return out_of_sample(config, x, y, x[:0], folds, seed)[0]


def out_of_sample(
    config: Config, x: np.ndarray, y: np.ndarray, others: np.ndarray, folds: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `out_of_fold`; and what the same models say on average of other texts, with vectors (M, D): (M, C)."""
    kind = config.task.kind
    answers, group = np.unique(y, axis=0, return_inverse=True)
    if len(answers) < 2 or len(y) < folds:
        share = (y.mean(0) if len(y) else y.sum(0)).astype(np.float32)
        return np.tile(share, (len(y), 1)), np.tile(share, (len(others), 1))
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(y)), group.ravel()))
    fold = np.empty(len(y), np.int64)
    fold[order] = np.arange(len(y)) % folds
    logits = np.zeros(y.shape, np.float32)
    of_others = np.zeros((folds, len(others), y.shape[1]), np.float32)
    for one in range(folds):
        model = fitted(config, x[fold != one], y[fold != one])
        logits[fold == one] = linear_logits(x[fold == one], model)
        if len(others):
            of_others[one] = linear_logits(others, model)
    temperature = fit_temperature(logits, y, kind)
    return (
        probabilities(logits / temperature, kind),
        np.stack([probabilities(one / temperature, kind) for one in of_others]).mean(0),
    )


def fitted(config: Config, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """The linear model of vectors x (N, D) and labels y (N, C), with the options of `features` where they are given."""
    options = tuners.options("features") | config.options_of("features")
    return fit_linear(x, y, config.task.kind, options["strength"], options["class_weights"])


def predicted(config: Config, x: np.ndarray, model: dict[str, np.ndarray]) -> np.ndarray:
    """Probabilities (N, C) of texts with vectors x (N, D) by a model that `fitted` returned; not calibrated."""
    return probabilities(linear_logits(x, model), config.task.kind)
