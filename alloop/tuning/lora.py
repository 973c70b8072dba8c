"""LoRA: the base stays as it is, and small matrices beside its own learn the task."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from alloop.errors import ModelError
from alloop.tuning import Choice, Predictions, Range, Search
from alloop.tuning._directory import TRAIN_AGAIN
from alloop.tuning._families import family_of, is_transposed, layers_of
from alloop.tuning._finetuning import FineTuner

if TYPE_CHECKING:
    from alloop.tuning._bases import Base


# options that a model names only where they are others: models were written before there were any
VARIANTS = {"targets": "all", "layers": 0, "rank_stabilised": False, "dora": False, "four_bit": False}
MAGNITUDE = "lora_magnitude_vector.default.weight"  # where peft keeps what dora learns of a layer
USE_FEATURES = 'choose another model.base, or set model.tuner = "features"'


@dataclass(frozen=True)
class LoRA(FineTuner):
    """Low-rank adapters in every linear layer of an encoder or decoder (Hu et al. 2021, arXiv:2106.09685).

    Learns what frozen features do not know, with half of a full fine-tuning's memory; the model is a few megabytes.
    The defaults are measured (tests/bench/recipe.md): all linear layers beat attention only, many small steps beat
    fewer large ones, and a head on vectors of length 1 beats one on vectors as they come. Twice the rank or the
    learning rate is sometimes better and sometimes much worse.

    base: "minilm", a directory, or a Hub id. max_tokens: where longer texts are cut. rank: width of the matrices.
    alpha: the adapter counts alpha / rank times. dropout: share of the adapter's inputs set to 0 in training.
    targets: "all" linear layers, those of "attention", or a list of what their names end with. layers: how many of the
    last ones are adapted; 0 for all. rank_stabilised: the adapter counts alpha / sqrt(rank) times, for high ranks
    (Kalajdzievski 2023, arXiv:2312.03732). dora: the lengths of the weights' rows are learnt apart from their
    directions (Liu et al. 2024, arXiv:2402.09353), slower and without dropout. four_bit: the base is held in
    4 bits (QLoRA, Dettmers et al. 2023, arXiv:2305.14314), a quarter of its memory, on a CUDA GPU and with
    alloop[four-bit]; only the memory of the GPU gets less, the base is read in full first.
    learning_rate: the peak, reached after warmup_share of the steps. steps, epochs: at least so many of both.
    batch: examples a step. class_weights: "balanced" makes rare labels count as much as frequent ones, "sqrt" goes half
    the way. label_smoothing: for single-label tasks with noisy labels. samples: how many models strategies such as
    "bald" draw from the dropout; each costs as much as a prediction.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    samples: int = 10
    targets: str | tuple[str, ...] = "all"
    layers: int = 0
    rank_stabilised: bool = False
    dora: bool = False
    four_bit: bool = False

    name: ClassVar[str] = "lora"
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
        if self.layers < 0:
            raise ValueError("layers must be 0, for all, or above")
        if not isinstance(self.targets, str):
            object.__setattr__(self, "targets", tuple(self.targets))
        if self.targets not in ("all", "attention") and (isinstance(self.targets, str) or not self.targets):
            raise ValueError(f'targets is "all", "attention" or a list of names of layers, not {self.targets!r}')
        if self.dora and self.dropout:
            raise ValueError("dora goes without dropout: set one of the two to 0 or false")

    @property
    def mergeable(self) -> bool:  # type: ignore[override]
        """A base in 4 bits stays as it is: merged, it would be rounded once more."""
        return not self.four_bit

    @property
    def scale(self) -> float:
        """How many times an adapter counts."""
        return self.alpha / (self.rank**0.5 if self.rank_stabilised else self.rank)

    @property
    def gives(self) -> tuple[str, ...]:
        """Samples only with dropout: without, they would all be the same."""
        return (*super().gives, "samples") if self.dropout else super().gives

    def adapt(self, base: "Base") -> Any:
        """A copy of the base's network with adapters, in fp32 and alone in requiring a gradient."""
        import torch
        from peft import LoraConfig, inject_adapter_in_model

        from alloop.tuning._encoding import copy_for_speed

        names = self._names(base)
        network = _in_four_bits(base) if self.four_bit else copy_for_speed(base.network)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            target_modules=names,
            fan_in_fan_out=is_transposed(network.get_submodule(names[0])),
            use_rslora=self.rank_stabilised,
            use_dora=self.dora,
        )
        try:
            network = inject_adapter_in_model(config, network)
        except ValueError as error:  # peft knows layers that it cannot adapt, such as Mamba's
            raise ModelError(f"the base {base.name!r} cannot be adapted: {error}", USE_FEATURES) from error
        for name, parameter in network.named_parameters():
            parameter.requires_grad_("lora_" in name)
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.float32)
        for module in network.modules():
            if hasattr(module, "lora_dropout"):
                module.lora_dropout.train()  # all else stays in evaluation mode: dropout in the base costs a quarter
                # Autocast casts; peft's cast to fp32 and back costs a tenth. Only 4 bits are predicted with unmerged.
                module.cast_input_dtype_enabled = self.four_bit
        return network

    def apply(self, base: "Base", learnt: dict[str, np.ndarray]) -> Any:
        """The base's network with the adapters added to its weights, W + B A alpha / rank: as fast as the base.

        With dora the rows of the sum are brought to the lengths learnt. With four_bit nothing is merged.
        """
        from copy import deepcopy

        import torch

        if self.four_bit:
            return super().apply(base, learnt)
        network = deepcopy(base.network)
        for key in learnt:
            if ".lora_A." in key:
                module = network.get_submodule(key.split(".lora_A.")[0])
                delta = torch.from_numpy(learnt[key.replace(".lora_A.", ".lora_B.")] @ learnt[key])  # (out, in)
                module.weight.data += (delta.T if is_transposed(module) else delta) * self.scale
                if self.dora:
                    lengths = torch.from_numpy(learnt[f"{key.split('.lora_A.')[0]}.{MAGNITUDE}"])  # (out,)
                    weight = module.weight.data.T if is_transposed(module) else module.weight.data  # (out, in)
                    weight *= (lengths / weight.norm(dim=1))[:, None]
        return network

    def _names(self, base: "Base") -> list[str]:
        """Full names of the linear layers that get adapters."""
        names = _linear_layers(base)
        if self.layers:
            last = tuple(f"{layer}." for layer in layers_of(base)[-self.layers :])
            names = [name for name in names if name.startswith(last)]
        if self.targets == "all":
            return names
        if self.targets == "attention":
            family = family_of(base)
            wanted: tuple[str, ...] = tuple(
                f"{layer}.{part}" for layer in layers_of(base) for part in (*family.attention, family.attention_out)
            )
            return [name for name in names if name in wanted]
        for target in self.targets:
            if not any(f".{name}".endswith(f".{target}") for name in names):
                known = sorted({name.rpartition(".")[2] for name in names})
                raise ModelError(
                    f"the base {base.name!r} has no linear layer whose name ends with {target!r}",
                    f"set targets under [options.lora]; names end with: {', '.join(known)}",
                )
        return [name for name in names if f".{name}".endswith(tuple(f".{target}" for target in self.targets))]

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
        if shaped.dora:
            raise ModelError(f"{model} was trained with dora, hence without dropout to draw from", TRAIN_AGAIN)
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

    def as_trained(self, about: dict[str, Any]) -> Self:
        """This tuner with the options that a model was trained with, also where they were not options yet."""
        return super().as_trained({**about, "options": {"dropout": 0.0, **VARIANTS, **about["options"]}})

    def _shape(self) -> dict[str, Any]:
        targets = self.targets if isinstance(self.targets, str) else list(self.targets)  # as JSON has it
        now = {**{name: getattr(self, name) for name in VARIANTS}, "targets": targets}
        variants = {name: value for name, value in now.items() if value != VARIANTS[name]}
        return {"rank": self.rank, "alpha": self.alpha, **variants}


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


def _in_four_bits(base: "Base") -> Any:
    """The base's network on the GPU, its linear layers in NF4 with their scales quantised too, to compute in bfloat16.

    Raises ModelError where this cannot be.
    """
    import torch

    off = "set four_bit = false under [options.lora]"
    if not torch.cuda.is_available():
        raise ModelError("four_bit needs a CUDA GPU, and torch sees none on this machine", off)
    if find_spec("bitsandbytes") is None:
        raise ModelError(
            "four_bit needs bitsandbytes, which is not installed", f"pip install 'alloop[four-bit]', or {off}"
        )
    from transformers import AutoModel, BitsAndBytesConfig

    from alloop.pretrained import quiet

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    with quiet():
        network = AutoModel.from_pretrained(
            base.directory,
            quantization_config=config,
            device_map={"": torch.cuda.current_device()},
            dtype=torch.bfloat16,
            use_safetensors=True,
            trust_remote_code=False,
        )
    if getattr(network, "pooler", None) is not None:
        network.pooler = None  # as in base.network
    return network.eval().requires_grad_(False)
