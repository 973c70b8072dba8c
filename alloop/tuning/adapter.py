"""Adapters: small networks between the parts of each layer learn the task."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from alloop.tuning import Choice, Range, Search
from alloop.tuning._families import family_of, layers_of, unfreeze
from alloop.tuning._finetuning import FineTuner

if TYPE_CHECKING:
    from alloop.tuning._bases import Base


@dataclass(frozen=True)
class Adapter(FineTuner):
    """Bottleneck adapters, two in every layer (Houlsby et al. 2019, arXiv:1902.00751).

    Each adds to the output of attention, or of the feed-forward part, what it makes of it by way of `width` numbers;
    they start by adding nothing. The norms stay the base's own. Unlike "lora" they cannot be merged into the base, and
    are computed for every text.

    width: of the bottleneck. base: "minilm", a directory, or a Hub id. max_tokens: where longer texts are cut.
    learning_rate: the peak; head_learning_rate: of the linear layer on top.
    """

    width: int = 48
    learning_rate: float = 1e-3

    name: ClassVar[str] = "adapter"
    search: ClassVar[Search] = {
        "learning_rate": Range(1e-4, 5e-3, log=True),
        ("steps", "epochs"): Choice(((60, 1.5), (120, 3.0), (240, 6.0))),
        "width": Choice((16, 48, 96), reshapes=True),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise ValueError("width must be above 0")

    def adapt(self, base: "Base") -> Any:
        """A copy of the base's network with adapters, in fp32 and alone in requiring a gradient.

        Hooks on the layers before the residual sums, as peft has no such adapters: all else keeps its name and place.
        """
        from alloop.tuning._encoding import copy_for_speed

        family, network = family_of(base), copy_for_speed(base.network)
        for layer in layers_of(base):
            for name in (family.attention_out, family.feed_forward_out):
                module = network.get_submodule(f"{layer}.{name}")
                module.adapter = _bottleneck(base.width, self.width)
                module.register_forward_hook(_add)
        return unfreeze(network, (name for name, _ in network.named_parameters() if ".adapter." in name))

    def _shape(self) -> dict[str, Any]:
        return {"width": self.width}


plugin = Adapter


def _bottleneck(size: int, width: int) -> Any:
    """(B, L, size) -> (B, L, size), zeros at first."""
    from torch import nn

    up = nn.Linear(width, size)
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)
    return nn.Sequential(nn.Linear(size, width), nn.GELU(), up)


def _add(module: Any, given: Any, out: Any) -> Any:
    return out + module.adapter(out)
