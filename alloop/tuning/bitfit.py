"""BitFit: only the biases of the base learn the task."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from alloop.errors import ModelError
from alloop.tuning import Choice, Range, Search
from alloop.tuning._finetuning import FineTuner

if TYPE_CHECKING:
    from alloop.tuning._bases import Base


@dataclass(frozen=True)
class BitFit(FineTuner):
    """The bias terms of every layer (Ben Zaken et al. 2022, arXiv:2106.10199): a thousandth of the weights.

    For encoders; most decoders have no biases.

    base: "minilm", a directory, or a Hub id. max_tokens: where longer texts are cut. learning_rate: the peak; biases
    want a high one.
    """

    learning_rate: float = 5e-3
    head_learning_rate: float | None = 5e-3
    steps: int = 240
    epochs: float = 6.0

    name: ClassVar[str] = "bitfit"
    mergeable: ClassVar[bool] = True
    search: ClassVar[Search] = {
        "learning_rate": Range(2e-4, 1e-2, log=True),
        ("steps", "epochs"): Choice(((60, 1.5), (120, 3.0), (240, 6.0))),
    }

    def adapt(self, base: "Base") -> Any:
        """A copy of the base's network in which the biases require a gradient. Raises ModelError where it has none."""
        from alloop.tuning._encoding import copy_for_speed
        from alloop.tuning._families import unfreeze

        biases = [name for name, _ in base.network.named_parameters() if name.endswith("bias")]
        if not biases:
            raise ModelError(f"the base {base.name!r} has no biases", 'set model.tuner = "lora"')
        return unfreeze(copy_for_speed(base.network), iter(biases))


plugin = BitFit
