"""All of a fine-tuning tuner but the one function that makes it what it is: `adapt`."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal, Self

import numpy as np

from alloop.errors import ConfigError, ModelError
from alloop.records import Kind
from alloop.tuning import FitJob, Predictions
from alloop.tuning._bases import Base, load_base
from alloop.tuning._calibration import fit_temperature, out_of_fold
from alloop.tuning._committee import fit_committee, predict_committee
from alloop.tuning._directory import TRAIN_AGAIN, read_model, refuse_needs, write_model
from alloop.tuning._encoding import Tokens
from alloop.tuning._folds import without
from alloop.tuning._linear import class_weight_vector, linear_logits, probabilities
from alloop.tuning._steps import looks_at_folds
from alloop.tuning._training import DEV_EVERY, SCALE, Objective, Schedule, diverged, likelihood, train


@dataclass(frozen=True)
class FineTuner(Schedule, ABC):
    """Trains a copy of the base and a linear head on its pooled vectors; a tuner says what in the copy may change.

    calibrate: what makes probabilities mean what they say (Guo et al. 2017, arXiv:1706.04599): the labels held back,
    where there are any ("held-back"); else, with "folds", five further fits, from 50 labels on; or nothing ("none").
    """

    base: str = "minilm"
    max_tokens: int = 128
    calibrate: Literal["held-back", "folds", "none"] = "held-back"  # labels that say how sure a model may be

    name: ClassVar[str]
    mergeable: ClassVar[bool] = False  # whether `apply` gives a network of the base's own architecture

    @property
    def gives(self) -> tuple[str, ...]:
        return ("probs", "logits", "embeddings", "members")

    @abstractmethod
    def adapt(self, base: Base) -> Any:
        """A copy of `base.network` in which only what is to be learnt requires a gradient.

        May draw from torch's global generator, which is seeded and later put back.
        """

    def tokenize(self, base: Base, texts: Sequence[str]) -> Tokens:
        """What the network reads of each text."""
        return base.tokenize(texts, self.longest(base))

    def longest(self, base: Base) -> int:
        """How many tokens of a text are read at most."""
        return min(self.max_tokens, base.max_tokens or self.max_tokens)

    def learn(self, base: Base, network: Any, head: Any, job: FitJob) -> dict[str, Any]:
        """Train `network` and `head` in place; returns what was measured, train_loss and steps at least."""
        y, device = job.targets(job.train), next(network.parameters()).device
        tokens = self.tokenize(base, [example.text for example in job.train])
        dev = (self.tokenize(base, [one.text for one in job.dev]), job.targets(job.dev)) if job.dev else None
        objective, rng = self.objective(job.kind, y, device), np.random.default_rng(job.seed)
        return train(base, network, head, tokens, y, objective, self, rng, dev, kind=job.kind)

    def objective(self, kind: Kind, y: np.ndarray, device: Any) -> Objective:
        """What training lowers, for targets y (N, C): the likelihood, unless a tuner knows better."""
        return likelihood(kind, y, self.class_weights, self.label_smoothing, device)

    def apply(self, base: Base, learnt: dict[str, np.ndarray]) -> Any:
        """A copy of `base.network` with what was learnt, by the parameter's name, for predicting."""
        import torch

        with torch.random.fork_rng():
            network = self.adapt(base)
        _put(network, learnt)
        return network

    def fit(self, job: FitJob, out: Path) -> dict[str, Any]:
        """Train, with early stopping if there is a `job.dev`. The same job gives the same bytes (on one machine).

        Returns train_loss (the mean over the steps), steps, trainable_parameters, curve and, with dev, dev_loss.
        """
        return fit_committee(self._fit_one, job, out, resample=False)

    def predict(self, model: Path | None, texts: Sequence[str], needs: Sequence[str], seed: int) -> Predictions:
        """Gives probs, logits, embeddings (N, D) of length 1, and members if the model is a committee."""
        from alloop.tuning._encoding import embed_texts, frozen

        refuse_needs(self.name, needs, self.gives)
        base = load_base(self.base)
        if model is None:
            read = lambda some: base.tokenize(some, self.max_tokens)  # noqa: E731
            return Predictions(embeddings=embed_texts(base, frozen(base), texts, read))
        return predict_committee(lambda directory: self._predict_one(base, directory, texts), model, needs)

    def _fit_chosen_steps(self, job: FitJob, out: Path) -> dict[str, Any]:
        """Fit to all examples, for as many steps as cross-validation finds best: "chosen_steps", by "looks"."""
        if job.init is not None:
            raise ConfigError(
                "choose_steps cannot go with model.warm_start: the earlier model knows the labels that are left out",
                f"set model.warm_start = false, or choose_steps = 0 under [options.{self.name}]",
            )
        configured = self.steps_for(sum(not example.is_variant for example in job.train))
        most = DEV_EVERY * math.ceil(configured / DEV_EVERY)
        exactly = partial(replace, self, choose_steps=0, epochs=1e-9)
        trial = exactly(steps=most, patience=0, calibrate="none")

        def fit(part: FitJob) -> dict[str, Any]:
            with TemporaryDirectory() as nowhere:
                return trial._fit_one(part, Path(nowhere))

        looks = looks_at_folds(fit, job, self.choose_steps)
        best = min(looks, key=lambda look: look["dev_loss"])["step"]
        chosen = exactly(steps=min(int(best), configured))
        measured = chosen._fit_one(job, out)
        return {**measured, "chosen_steps": measured["steps"], "looks": looks}

    def _fit_one(self, job: FitJob, out: Path) -> dict[str, Any]:
        if self.choose_steps and not job.dev:
            return self._fit_chosen_steps(job, out)
        import torch

        from alloop.pretrained import best_device
        from alloop.tuning._encoding import computing_in

        base, device = load_base(self.base), best_device()
        with torch.random.fork_rng(), computing_in(self.precision):  # the caller's random numbers stay as they were
            torch.manual_seed(job.seed)
            network = self.adapt(base).to(device)
            head = self.first_head(base, job)
            if job.init is not None:
                self._continue_from(job.init, base, job, network, head)
            head = head.to(device)
            measured = self.learn(base, network, head, job)
        learnt = {name: _array(p) for name, p in network.named_parameters() if p.requires_grad}
        linear = {"weight": SCALE * _array(head.weight), "bias": _array(head.bias)}
        if not all(np.isfinite(array).all() for array in [*learnt.values(), *linear.values()]):
            raise diverged(self, f"some weights are not numbers after {measured['steps']:g} steps")
        about: dict[str, Any] = {
            "labels": job.labels,
            "kind": job.kind,
            "base": self.base,
            "base_fingerprint": base.fingerprint,
            "base_revision": base.revision,
            "pooling": base.pooling,
            "max_tokens": self.max_tokens,
            "options": self._shape(),
        }
        files = {"adapter.safetensors": learnt, "head.safetensors": linear}
        about["temperature"] = self._temperature(base, job, about, files)
        write_model(out, self.name, about, files)
        trainable = sum(array.size for array in [*learnt.values(), *linear.values()])
        return {**measured, "trainable_parameters": float(trainable), "temperature": about["temperature"]}

    def _temperature(self, base: Base, job: FitJob, about: dict[str, Any], files: dict[str, Any]) -> float:
        """How sure the model may be that `about` and `files` are, by labels that it has not learnt from.

        Those held back, where there are any; with "folds", and none, by further fits, a fifth left out of each.
        """
        from alloop.tuning._encoding import for_scoring

        if self.calibrate != "none" and job.dev:
            network = for_scoring(self.apply(base, files["adapter.safetensors"]))
            said = self._said_by(network, base, about, files, [one.text for one in job.dev])
            return fit_temperature(_logits(said), job.targets(job.dev), job.kind)
        if self.calibrate != "folds":
            return 1.0

        def learn(rows: np.ndarray, held: np.ndarray) -> np.ndarray:
            texts = [job.train[row].text for row in held]
            part = replace(job, train=[job.train[row] for row in rows], others=without(job.others, texts), init=None)
            with TemporaryDirectory() as out:
                replace(self, calibrate="none")._fit_one(part, Path(out))
                return _logits(self._predict_one(base, Path(out), texts))

        return fit_temperature(*out_of_fold(job.train, job.targets(job.train), learn), job.kind)

    def _predict_one(self, base: Base, model: Path, texts: Sequence[str]) -> Predictions:
        about, files = self._read(model, base)
        network = _network(self, model.resolve(), about["files"]["adapter.safetensors"])
        return self._said_by(network, base, about, files, texts)

    def _said_by(
        self, network: Any, base: Base, about: dict[str, Any], files: dict[str, Any], texts: Sequence[str]
    ) -> Predictions:
        """Predictions by a tuned network and the head of a model."""
        from alloop.tuning._encoding import embed_texts

        shaped = self.as_trained(about)
        vectors = embed_texts(base, network, texts, lambda some: shaped.tokenize(base, some))
        logits = linear_logits(vectors, files["head.safetensors"])
        if not np.isfinite(logits).all():
            raise ModelError("the model predicts something that is not a number", TRAIN_AGAIN)
        probs = probabilities(logits / about.get("temperature", 1.0), about["kind"])
        return Predictions(probs=probs, logits=logits, embeddings=vectors, labels=tuple(about["labels"]))

    def as_trained(self, about: dict[str, Any]) -> Self:
        """This tuner with the options that a model was trained with, as far as predicting needs them."""
        return replace(self, max_tokens=about["max_tokens"], **about["options"])

    def _shape(self) -> dict[str, Any]:
        """Options without which what was learnt cannot be put to use."""
        return {}

    def _read(self, model: Path, base: Base) -> tuple[dict[str, Any], dict[str, Any]]:
        """The model's `about` and `files`, checked to be of this base and these options."""
        about, files = read_model(model, self.name)
        if about["base_fingerprint"] != base.fingerprint:
            message = f"{model} was trained on another base: {about['base']!r}, and this is {self.base!r}"
            raise ModelError(message, f"set model.base back, or {TRAIN_AGAIN}")
        if files["head.safetensors"]["weight"].shape != (len(about["labels"]), base.width):
            raise ModelError(f"{model} is damaged: its head is not of {len(about['labels'])} labels", TRAIN_AGAIN)
        return about, files

    def first_head(self, base: Base, job: FitJob) -> Any:
        """A linear layer that knows how frequent the labels are, as weighted, and nothing of the texts.

        With a bias of zeros, the vectors of all texts first move together to say "most labels are rare", and in
        multi-label tasks they never part again. Not started from logistic regression on frozen vectors either: that
        fits a hundred examples perfectly, and leaves nothing to learn.
        """
        import torch

        y = job.targets(job.train)
        count, weight = y.sum(0), class_weight_vector(y, job.kind, self.class_weights)
        others = len(y) - count if job.kind == "multi" else np.float32(len(y))
        head = torch.nn.Linear(base.width, len(job.labels))
        bias = np.log((weight * count + 1) / (others + 1))  # (C,)
        _put(head, {"weight": np.zeros((len(job.labels), base.width), np.float32), "bias": bias.astype(np.float32)})
        return head

    def _continue_from(self, model: Path, base: Base, job: FitJob, network: Any, head: Any) -> None:
        """Start from an earlier model's weights; labels that it did not have keep their row of the head."""
        about, files = self._read(model, base)
        if about["options"] != self._shape():
            message = f"{model} has the options {about['options']}, these are {self._shape()}"
            raise ModelError(message, "set model.warm_start = false, or the options back")
        _put(network, files["adapter.safetensors"])
        linear = files["head.safetensors"]
        weight, bias = _array(head.weight), _array(head.bias)
        for row, label in enumerate(job.labels):
            if label in about["labels"]:
                old = about["labels"].index(label)
                weight[row], bias[row] = linear["weight"][old] / SCALE, linear["bias"][old]
        _put(head, {"weight": weight, "bias": bias})


@lru_cache(maxsize=1)
def _network(tuner: FineTuner, model: Path, checksum: str) -> Any:
    """The tuned network of a model directory, ready for scoring. `checksum` tells a rewritten directory apart."""
    from alloop.tuning._encoding import for_scoring

    base = load_base(tuner.base)
    about, files = tuner._read(model, base)
    return for_scoring(tuner.as_trained(about).apply(base, files["adapter.safetensors"]))


def _logits(said: Predictions) -> np.ndarray:
    assert said.logits is not None
    return said.logits


def _put(module: Any, arrays: dict[str, np.ndarray]) -> None:
    """Set a module's parameters by name. Raises ModelError where names or shapes do not fit."""
    import torch

    parameters = dict(module.named_parameters())
    for name, array in arrays.items():
        if name not in parameters or tuple(parameters[name].shape) != array.shape:
            raise ModelError(f"the model's weights {name!r} do not fit this base", TRAIN_AGAIN)
        parameters[name].data.copy_(torch.from_numpy(array))


def _array(parameter: Any) -> np.ndarray:
    array: np.ndarray = parameter.detach().float().cpu().numpy().copy()
    return array
