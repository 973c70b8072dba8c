"""Freezing: the last layers of the base learn the task, the others stay as they are."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from alloop.tuning import Choice, Range, Search
from alloop.tuning._finetuning import FineTuner

if TYPE_CHECKING:
    from alloop.tuning._bases import Base


@dataclass(frozen=True)
class Freeze(FineTuner):
    """The weights of the last layers (Lee et al. 2019, arXiv:1911.03090): less memory and time than "full".

    Nothing is computed backwards below the first layer that learns.

    layers: how many of the last ones learn. base: "minilm", a directory, or a Hub id. max_tokens: where longer texts
    are cut. learning_rate: the peak, of the base's weights; head_learning_rate: of the linear layer on top.
    """

    layers: int = 4
    learning_rate: float = 3e-4

    name: ClassVar[str] = "freeze"
    mergeable: ClassVar[bool] = True
    search: ClassVar[Search] = {
        "learning_rate": Range(2e-5, 1e-3, log=True),
        "layers": Choice((1, 2, 3, 4), reshapes=True),
        ("steps", "epochs"): Choice(((60, 1.5), (120, 3.0), (240, 6.0))),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers < 1:
            raise ValueError("layers must be above 0")

    def adapt(self, base: "Base") -> Any:
        """A copy of the base's network in which the last layers require a gradient."""
        from alloop.tuning._encoding import copy_for_speed
        from alloop.tuning._families import layers_of, unfreeze

        last = tuple(f"{layer}." for layer in layers_of(base)[-self.layers :])
        return unfreeze(
            copy_for_speed(base.network), (name for name, _ in base.network.named_parameters() if name.startswith(last))
        )

    def _shape(self) -> dict[str, Any]:
        return {"layers": self.layers}


plugin = Freeze
