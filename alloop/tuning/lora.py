"""LoRA: the base stays as it is, and small matrices beside its own learn the task."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from alloop.errors import ModelError
from alloop.tuning import Choice, Predictions, Range, Search
from alloop.tuning._families import is_transposed
from alloop.tuning._finetuning import FineTuner

if TYPE_CHECKING:
    from alloop.tuning._bases import Base


USE_FEATURES = 'choose another model.base, or set model.tuner = "features"'


@dataclass(frozen=True)
class LoRA(FineTuner):
    """Low-rank adapters in every linear layer of an encoder or decoder (Hu et al. 2021, arXiv:2106.09685).

    Learns what frozen features do not know, at a tenth of a full fine-tuning's memory; the model is a few megabytes.
    The defaults are measured (tests/bench/recipe.md): all linear layers beat attention only, many small steps beat
    fewer large ones, and a head on vectors of length 1 beats one on vectors as they come. Twice the rank or the
    learning rate is sometimes better and sometimes much worse.

    base: "minilm", a directory, or a Hub id. max_tokens: where longer texts are cut. rank: width of the matrices.
    alpha: the adapter counts alpha / rank times. dropout: share of the adapter's inputs set to 0 in training.
    learning_rate: the peak, reached after warmup_share of the steps. steps, epochs: at least so many of both.
    batch: examples a step. class_weights: "balanced" makes rare labels count as much as frequent ones, "sqrt" goes half
    the way. label_smoothing: for single-label tasks with noisy labels. samples: how many models strategies such as
    "bald" draw from the dropout; each costs as much as a prediction.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    samples: int = 10

    name: ClassVar[str] = "lora"
    mergeable: ClassVar[bool] = True
    search: ClassVar[Search] = {
        "learning_rate": Range(2e-4, 4e-3, log=True),
        ("steps", "epochs"): Choice(((60, 1.5), (120, 3.0), (240, 6.0))),
        ("rank", "alpha"): Choice(((4, 8.0), (8, 16.0), (16, 32.0), (32, 64.0)), reshapes=True),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise ValueError("rank and alpha must be above 0, dropout from 0 to 1")
        if self.samples < 2:
            raise ValueError("samples must be above 1: they are compared with each other")

    @property
    def gives(self) -> tuple[str, ...]:
        """Samples only with dropout: without, they would all be the same."""
        return (*super().gives, "samples") if self.dropout else super().gives

    def adapt(self, base: "Base") -> Any:
        """A copy of the base's network with adapters, in fp32 and alone in requiring a gradient."""
        import torch
        from peft import LoraConfig, inject_adapter_in_model

        from alloop.tuning._encoding import copy_for_speed

        names = _linear_layers(base)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            target_modules=names,
            fan_in_fan_out=is_transposed(base.network.get_submodule(names[0])),
        )
        try:
            network = inject_adapter_in_model(config, copy_for_speed(base.network))
        except ValueError as error:  # peft knows layers that it cannot adapt, such as Mamba's
            raise ModelError(f"the base {base.name!r} cannot be adapted: {error}", USE_FEATURES) from error
        for name, parameter in network.named_parameters():
            parameter.requires_grad_("lora_" in name)
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.float32)
        for module in network.modules():
            if hasattr(module, "lora_dropout"):
                module.lora_dropout.train()  # all else stays in evaluation mode: dropout in the base costs a quarter
                module.cast_input_dtype_enabled = False  # autocast casts; peft's cast to fp32 and back costs a tenth
        return network

    def apply(self, base: "Base", learnt: dict[str, np.ndarray]) -> Any:
        """The base's network with the adapters added to its weights, W + B A alpha / rank: as fast as the base."""
        from copy import deepcopy

        import torch

        network = deepcopy(base.network)
        for key in learnt:
            if ".lora_A." in key:
                module = network.get_submodule(key.split(".lora_A.")[0])
                delta = torch.from_numpy(learnt[key.replace(".lora_A.", ".lora_B.")] @ learnt[key])  # (out, in)
                module.weight.data += (delta.T if is_transposed(module) else delta) * (self.alpha / self.rank)
        return network

    def predict(self, model: Path | None, texts: Sequence[str], needs: Sequence[str], seed: int) -> Predictions:
        """As every fine-tuner, and samples (T, N, C) if they are needed; those of a text depend on `seed` alone."""
        said = super().predict(model, texts, needs, seed)
        if "samples" not in needs or model is None:
            return said
        return replace(said, samples=self._samples(model, texts, seed))

    def _samples(self, model: Path, texts: Sequence[str], seed: int) -> np.ndarray:
        """Probabilities (T, N, C) of T models drawn from dropout's posterior (Gal & Ghahramani 2016).

        Which inputs of an adapter are set to 0 is drawn once a model, not once a text: one draw is one model, which
        can be asked how far its answers to two texts go together (Kirsch et al. 2019), and whose adapters
        can be added to the weights.
        """
        from alloop.tuning._bases import load_base
        from alloop.tuning._encoding import for_scoring

        base, rng = load_base(self.base), np.random.default_rng(seed)
        about, files = self._read(model, base)
        shaped, learnt = self.as_trained(about), files["adapter.safetensors"]
        samples = np.empty((self.samples, len(texts), len(about["labels"])), np.float32)
        for sample in samples:
            drawn = dict(learnt)
            for key in sorted(learnt):
                if ".lora_A." in key:  # (rank, in)
                    keep = rng.random(learnt[key].shape[1]) >= self.dropout
                    drawn[key] = learnt[key] * (keep / (1 - self.dropout)).astype(np.float32)
            network = for_scoring(shaped.apply(base, drawn))
            sample[:] = self._said_by(network, base, about, files, texts).probs
        return samples

    def _shape(self) -> dict[str, Any]:
        return {"rank": self.rank, "alpha": self.alpha}


plugin = LoRA


def _linear_layers(base: "Base") -> list[str]:
    """Full names of all linear layers. peft's "all-linear" would take the pooler too, whose output nobody uses."""
    import torch

    modules = base.network.named_modules()
    names = [name for name, module in modules if isinstance(module, torch.nn.Linear) or is_transposed(module)]
    names = [name for name in names if "pooler" not in name]
    if not names:
        raise ModelError(f"the base {base.name!r} has no linear layer to adapt", USE_FEATURES)
    return names
