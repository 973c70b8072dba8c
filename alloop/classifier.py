"""A text classifier by scikit-learn's rules, so that its cross-validation, cleanlab and modAL take it as it is.

Needs scikit-learn at once, which takes a second: imported only when `alloop.load` or `alloop.TextClassifier` is asked
for.
"""

import json
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from alloop.config import restore
from alloop.errors import ConfigError, DataError, ModelError
from alloop.leaving import SMALL, SPEC
from alloop.predicting import last_model
from alloop.project import DATABASE, Project, tuner_spec
from alloop.records import Example, Kind
from alloop.store import RoundRow
from alloop.tuning import FitJob, Tuner, tuners
from alloop.tuning._directory import read_about, tuner_of
from alloop.work import TunerSpec


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A tuner and its options, which `fit` trains on texts and their labels.

    tuner: its name, `alloop plugins tuners` lists them. base, max_tokens: as in alloop.toml; a tuner without a base
    does not read them. options: the tuner's other options. kind: "single", or "multi" for any number of labels per
    text. descriptions: label -> what it means, for tuners that read it. seed: the same one gives the same model.

    Texts are a list, an array or a pandas Series of strings. `classes_` are the labels, sorted; the columns of
    probabilities are in their order.
    """

    _last: Any  # what deletes the model of the last fit

    def __init__(
        self,
        tuner: str = "lora",
        *,
        base: str = "minilm",
        max_tokens: int = 128,
        options: Mapping[str, Any] | None = None,
        kind: Kind = "single",
        descriptions: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        self.tuner = tuner
        self.base = base
        self.max_tokens = max_tokens
        self.options = options
        self.kind = kind
        self.descriptions = descriptions
        self.seed = seed

    def fit(self, X: Any, y: Any) -> "TextClassifier":  # noqa: N803 (scikit-learn's name)
        """Train from the base. Raises DataError for texts and labels that do not go together.

        y: a label for each text. Where kind is "multi", a collection of labels for each text, or ones and zeros
        (N, C), whose labels are then the numbers of the columns.
        """
        texts = _as_texts(X)
        if not texts:
            raise DataError("no texts to learn from", "give a text for each of two labels at least")
        classes, given = _as_sets(y) if self.kind == "multi" else _as_labels(y)
        if len(texts) != len(given):
            raise DataError(f"{len(texts)} texts and {len(given)} labels", "each text needs what belongs to it")
        if not len(classes):
            raise DataError(f"none of the {len(texts)} texts has a label", "give labels, or ones and zeros (N, C)")
        if self.kind == "single" and len(classes) < 2:
            raise DataError(f"all {len(texts)} texts have the same label", "a classifier needs texts of two labels")
        names = tuple(map(str, classes.tolist()))
        train = [Example(text, tuple(names[c] for c in row)) for text, row in zip(texts, given, strict=True)]
        job = FitJob(train, self.kind, names, self.seed, descriptions=dict(self.descriptions or {}))
        out = Path(tempfile.mkdtemp(prefix="alloop-"))
        try:
            self._learner(names).fit(job, out)
        except BaseException:
            shutil.rmtree(out)
            raise
        self._take(out, names, classes)
        self._owns(out)
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The likeliest label of each text (N,); where kind is "multi", ones for labels with a probability of half."""
        probs = self.predict_proba(X)
        if self.kind_ == "multi":
            return np.asarray(probs >= 0.5, dtype=int)
        return np.asarray(self.classes_[probs.argmax(1)])

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities (N, C); rows sum to 1 unless kind is "multi"."""
        check_is_fitted(self, "model_")
        probs = self.tuner_.predict(self.model_, _as_texts(X), ("probs",), self.seed).probs
        assert probs is not None
        probs = probs[:, self.columns_].astype(np.float64)
        return np.asarray(probs if self.kind_ == "multi" else probs / probs.sum(1, keepdims=True))

    def _learner(self, names: tuple[str, ...]) -> Tuner:
        tuner = self._spec().build()
        if getattr(tuner, "others", ()):
            raise ConfigError(f"the tuner {self.tuner!r} learns from other tasks in a project only", "alloop round")
        if check := getattr(tuner, "check_task", None):
            check(self.kind, names)
        return tuner

    def _spec(self) -> TunerSpec:
        shared = {"base": self.base, "max_tokens": self.max_tokens}
        known = tuners.options(self.tuner)
        return TunerSpec(self.tuner, {k: v for k, v in shared.items() if k in known} | dict(self.options or {}))

    def _take(self, model: Path, names: tuple[str, ...], classes: np.ndarray) -> None:
        """Be fitted: predict with a model directory whose columns are of these names, which stand for these labels."""
        order = np.argsort(classes, kind="stable")
        self.classes_ = classes[order]
        self.columns_ = order
        self.model_ = model
        self.kind_ = read_about(model)["kind"]
        self.tuner_ = tuner_of(model, base=self.base)

    def _owns(self, model: Path) -> None:
        """The directory of a fitted model goes when the object does."""
        if "_last" in vars(self):
            self._last()
        self._last = weakref.finalize(self, shutil.rmtree, model, True)

    def __getstate__(self) -> dict[str, Any]:
        """With the files of the model, so that a pickle works on another machine, if its base is there."""
        state: dict[str, Any] = {key: value for key, value in super().__getstate__().items() if key != "_last"}
        if "model_" in state:
            files = [path for path in sorted(self.model_.rglob("*")) if path.is_file()]
            state["model_"] = {str(path.relative_to(self.model_)): path.read_bytes() for path in files}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "model_" in state:
            self.model_ = Path(tempfile.mkdtemp(prefix="alloop-"))
            for name, content in state["model_"].items():
                (self.model_ / name).parent.mkdir(parents=True, exist_ok=True)
                (self.model_ / name).write_bytes(content)
            self._owns(self.model_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.kind == "multi"
        tags.input_tags.two_d_array, tags.input_tags.one_d_array, tags.input_tags.string = False, True, True
        return tags


def load(directory: str | Path) -> TextClassifier:
    """The classifier in a directory: an exported one, a round's (`rounds/0004/train-…`), or a project's newest.

    It predicts at once, as long as the directory is there; `fit` trains anew, with the same tuner and options.
    Raises ModelError where there is none.
    """
    path = Path(directory)
    if (path / DATABASE).exists():
        with Project.opened(path) as project:
            return _of_round(project, *last_model(project))
    model = path / SMALL if (path / SMALL / "model.json").exists() else path
    if not (model / "model.json").exists():
        raise ModelError(
            f"{path} is neither a model nor a project",
            "name a project, what alloop export --model wrote, or a directory such as rounds/0004/train-…",
        )
    model = model.absolute()
    if (model / SPEC).exists():
        return _of_export(model)
    root = model.resolve().parent.parent.parent
    if (root / DATABASE).exists() and model.parent.name.isdigit():
        with Project.opened(root) as project:
            return _of_round(project, project.store.round(int(model.parent.name)), model)
    about = read_about(model)
    return _ready(TunerSpec(about["tuner"], _shared(about) | about.get("options", {})), model)


def _of_round(project: Project, row: RoundRow, model: Path) -> TextClassifier:
    config = restore(row.config)
    said = {label.name: label.description for label in config.task.labels if label.description}
    return _ready(project.located(tuner_spec(config)), model.absolute(), said, row.seed)


def _of_export(model: Path) -> TextClassifier:
    about = json.loads((model / SPEC).read_text(encoding="utf-8"))
    options = about["options"]
    if (model / str(options.get("base"))).is_dir():  # it came along
        options["base"] = str(model / options["base"])
    return _ready(TunerSpec(about["tuner"], options), model, about["descriptions"], about["seed"])


def _ready(
    spec: TunerSpec, model: Path, descriptions: Mapping[str, str] | None = None, seed: int = 0
) -> TextClassifier:
    about = read_about(model)
    rest = {key: value for key, value in spec.options.items() if key not in ("base", "max_tokens")}
    names = tuple(about["labels"])
    made = TextClassifier(
        spec.name,
        **_shared(spec.options),
        options=rest or None,
        kind=about["kind"],
        descriptions=dict(descriptions) if descriptions else None,
        seed=seed,
    )
    made._take(model, names, np.array(names))
    return made


def _shared(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: options[key] for key in ("base", "max_tokens") if key in options}


def _as_texts(given: Any) -> list[str]:
    """A list of strings. Raises DataError for anything else, None and NaN too: what they mean is not ours to say."""
    if isinstance(given, str):
        raise DataError("one text where several are expected", "put it into a list: [text]")
    if getattr(given, "ndim", 1) != 1:
        raise DataError(f"texts in {given.ndim} dimensions", 'give one column: frame["text"], or array[:, 0]')
    texts = given.tolist() if hasattr(given, "tolist") else list(given)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"row {row} is no text but {text!r}", "leave it out, or write what it says")
    return texts


def _as_labels(y: Any) -> tuple[np.ndarray, list[list[int]]]:
    """The sorted labels, and for each text the number of its own, in a list."""
    if getattr(y, "ndim", 1) != 1:
        raise DataError(f"labels in {y.ndim} dimensions, and kind is 'single'", 'kind="multi" takes several a text')
    labels = np.asarray(y.tolist() if hasattr(y, "tolist") else list(y))
    if labels.ndim != 1 or any(one is None or one != one for one in labels.tolist()):
        raise DataError("a text has no label, or several, and kind is 'single'", 'kind="multi" takes any number')
    classes, rows = np.unique(labels, return_inverse=True)
    return classes, [[row] for row in rows.tolist()]


def _as_sets(y: Any) -> tuple[np.ndarray, list[list[int]]]:
    """The sorted labels, and for each text the numbers of its own."""
    y = y.toarray() if hasattr(y, "toarray") else y.to_numpy() if hasattr(y, "to_numpy") else y
    if isinstance(y, np.ndarray) and y.ndim == 2:
        if not np.isin(y, (0, 1)).all():
            raise DataError("labels are neither ones and zeros nor collections", "give a list of labels for each text")
        return np.arange(y.shape[1]), [np.flatnonzero(row).tolist() for row in y]
    rows = list(y)
    if any(isinstance(row, str) or not isinstance(row, Iterable) for row in rows):
        raise DataError("a text has a label instead of a list of labels, and kind is 'multi'", '["label"], or []')
    classes = np.unique(np.asarray([label for row in rows for label in row]))
    number = {label: c for c, label in enumerate(classes.tolist())}
    return classes, [sorted({number[label] for label in row}) for row in rows]
