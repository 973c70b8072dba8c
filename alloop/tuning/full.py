"""Full fine-tuning: every weight of the base learns the task."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from alloop.tuning import Choice, Range, Search
from alloop.tuning._finetuning import FineTuner

if TYPE_CHECKING:
    from alloop.tuning._bases import Base


@dataclass(frozen=True)
class Full(FineTuner):
    """All weights of the base, as BERT's authors did it (Devlin et al. 2019, arXiv:1810.04805).

    The most memory, and a model as large as the base: four numbers are held for each weight. Worth it from some
    hundreds of labels on, if `alloop compare` says so; "lora" is as good with few.

    base: "minilm", a directory, or a Hub id. max_tokens: where longer texts are cut. learning_rate: the peak, of the
    base's weights; head_learning_rate: of the linear layer on top, which starts from nothing.
    """

    learning_rate: float = 1e-4

    name: ClassVar[str] = "full"
    mergeable: ClassVar[bool] = True
    search: ClassVar[Search] = {
        "learning_rate": Range(1e-5, 5e-4, log=True),
        ("steps", "epochs"): Choice(((60, 1.5), (120, 3.0), (240, 6.0))),
    }

    def adapt(self, base: "Base") -> Any:
        """A copy of the base's network in which everything requires a gradient."""
        from alloop.tuning._encoding import copy_for_speed
        from alloop.tuning._families import unfreeze

        return unfreeze(copy_for_speed(base.network), (name for name, _ in base.network.named_parameters()))


plugin = Full
