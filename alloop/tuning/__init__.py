"""Tuners: how a model learns from examples and what it says of other texts. A model is a directory.

tuners.build("lora", base="minilm").fit(job, out)          # writes the model into the empty directory `out`
tuners.build("lora", base="minilm").predict(out, texts, ("probs",), seed=0).probs
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from alloop.records import Example, Kind
from alloop.registry import Registry


@dataclass(frozen=True)
class OtherTask:
    """Labelled texts of another task, from which a model may learn too."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    train: Sequence[Example]


@dataclass(frozen=True)
class Mixup:
    """How many mixtures with others each labelled text gets; their shares are drawn from Beta(alpha, alpha)."""

    per_text: int
    alpha: float


@dataclass(frozen=True)
class FitJob:
    """All that a fit may depend on: the same job gives the same model.

    `train` holds variants too (`Example.is_variant`); `dev` is labels held back for early stopping, never variants,
    and None where there are too few to spare. `unlabelled` is a sample of the pool, None unless the tuner wants one.
    `others` are further tasks, none unless the tuner wants them. `init` is a model directory to go on from. `members` >
    1 asks for a committee of models that differ in their seeds. `mixup` is None unless the tuner says that it `mixes`.
    """

    train: Sequence[Example]
    kind: Kind
    labels: tuple[str, ...]
    seed: int
    dev: Sequence[Example] | None = None
    unlabelled: Sequence[str] | None = None
    descriptions: dict[str, str] = field(default_factory=dict)
    init: Path | None = None
    members: int = 1
    others: Sequence[OtherTask] = ()
    mixup: Mixup | None = None

    def targets(self, examples: Sequence[Example]) -> np.ndarray:
        """y (N, C) float32, one where the text has the label."""
        column = {label: c for c, label in enumerate(self.labels)}
        y = np.zeros((len(examples), len(self.labels)), np.float32)
        for row, example in enumerate(examples):
            for label in example.labels:
                y[row, column[label]] = 1
        return y


@dataclass(frozen=True)
class Predictions:
    """What a model says of N texts. Without a model there are only embeddings.

    probs (N, C) float32: rows sum to 1 for single-label tasks, are independent for multi-label ones; `labels` names the
    columns. logits (N, C), which a tuner that calibrates has yet to divide by its temperature; embeddings (N, D);
    samples (T, N, C), probabilities of T draws; members (E, N, C), of a committee.
    """

    probs: np.ndarray | None = None
    logits: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    samples: np.ndarray | None = None
    members: np.ndarray | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Range:
    """Values of a numeric option that a search may try, from `low` to `high`; with `log`, evenly by their logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """Values that a search may try, in their order from less to more.

    With `reshapes`, a model trained with one of them cannot go on with another.
    """

    values: tuple[Any, ...]
    reshapes: bool = False


# option -> what may be tried; several options that only make sense together: ("rank", "alpha") -> Choice of pairs
Search = Mapping[str | tuple[str, ...], Range | Choice]


class Tuner(Protocol):
    """A fine-tuning method. A tuner with a pretrained base has the options `base` and `max_tokens`.

    `gives` says which fields of Predictions it can fill, with its options. A tuner with a class variable
    `search: Search` can be tuned by `alloop tune`.

    Three more that a tuner may have: `unlabelled: int`, how many texts of the pool `FitJob.unlabelled` is to hold;
    `check_task(kind, labels)`, which raises an AlloopError where it cannot learn a task, before a round begins; and a
    class variable `mixes = True`, if it learns from mixtures as `FitJob.mixup` asks.
    """

    @property
    def gives(self) -> tuple[str, ...]: ...

    def fit(self, job: FitJob, out: Path) -> dict[str, Any]:
        """Write a model into the existing, empty directory `out`; return measurements such as `train_loss`.

        JSON has to hold them, and all numbers are finite. `alloop compare` shows `trainable_parameters` where it is
        among them; reports draw `curve`, points {"step", "loss", "learning_rate"} and, where held-back texts were
        looked at, "dev_loss" and "dev_<metric>".
        """
        ...

    def predict(self, model: Path | None, texts: Sequence[str], needs: Sequence[str], seed: int) -> Predictions:
        """Predictions for `texts`, holding at least what `needs` names, fields of Predictions.

        `model=None` is the bare base, which has embeddings only. Raises ModelError for a damaged directory, ConfigError
        for a need that is not among `gives`.
        """
        ...


tuners: Registry[Tuner] = Registry("tuners", "alloop.tuning")
