"""(IA)³: vectors that make single numbers inside each layer count more or less."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from alloop.tuning import Choice, Range, Search
from alloop.tuning._families import family_of, is_transposed, layers_of, unfreeze
from alloop.tuning._finetuning import FineTuner

if TYPE_CHECKING:
    from alloop.tuning._bases import Base


@dataclass(frozen=True)
class IA3(FineTuner):
    """Factors for keys, values and what is inside the feed-forward layers (Liu et al. 2022, arXiv:2205.05638).

    A few thousand weights, hence a model of kilobytes: for many projects on one base. Where a base computes queries,
    keys and values at once (GPT-2, ModernBERT), all three get factors; a factor for a query is one for its key.

    base: "minilm", a directory, or a Hub id. max_tokens: where longer texts are cut. learning_rate: the peak, of the
    factors, which want a high one, as they start at 1 and are few; head_learning_rate: of the linear layer on top.
    """

    learning_rate: float = 1e-2
    steps: int = 240
    epochs: float = 6.0

    name: ClassVar[str] = "ia3"
    mergeable: ClassVar[bool] = True
    search: ClassVar[Search] = {
        "learning_rate": Range(2e-3, 1e-1, log=True),
        ("steps", "epochs"): Choice(((60, 1.5), (120, 3.0), (240, 6.0))),
    }

    def adapt(self, base: "Base") -> Any:
        """A copy of the base's network with factors of 1, in fp32 and alone in requiring a gradient."""
        from peft import IA3Config, inject_adapter_in_model

        from alloop.tuning._encoding import copy_for_speed

        family, layers = family_of(base), layers_of(base)
        outputs = [name for name in (family.keys, family.values, family.fused) if name]
        inner = [f"{layer}.{family.feed_forward_out}" for layer in layers]
        config = IA3Config(
            target_modules=[f"{layer}.{name}" for layer in layers for name in outputs] + inner,
            feedforward_modules=inner,  # their inputs get the factors
            fan_in_fan_out=is_transposed(base.network.get_submodule(inner[0])),
        )
        network = inject_adapter_in_model(config, copy_for_speed(base.network))
        return unfreeze(network, (name for name, _ in network.named_parameters() if ".ia3_l." in name))

    def apply(self, base: "Base", learnt: dict[str, np.ndarray]) -> Any:
        """The base's network with the factors multiplied into its weights and biases: as fast as the base."""
        from copy import deepcopy

        import torch

        network = deepcopy(base.network)
        for key, factors in learnt.items():  # (out, 1) of a layer's outputs, (1, in) of its inputs
            module, by = network.get_submodule(key.split(".ia3_l.")[0]), torch.from_numpy(factors)
            module.weight.data *= by.T if is_transposed(module) else by
            if factors.shape[1] == 1 and module.bias is not None:
                module.bias.data *= by[:, 0]
        return network


plugin = IA3
