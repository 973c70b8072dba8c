"""Prompt tuning: only the embeddings of a few virtual tokens before the text learn the task."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from alloop.tuning import Choice, Range, Search
from alloop.tuning._finetuning import FineTuner
from alloop.tuning._prompting import with_prompt

if TYPE_CHECKING:
    from alloop.tuning._bases import Base


@dataclass(frozen=True)
class Prompt(FineTuner):
    """Soft prompts (Lester et al. 2021, arXiv:2104.08691): virtual tokens, read before every text.

    The fewest weights of all, and the network itself stays untouched. Its authors found it equal to a full fine-tuning
    only with bases of billions of weights; with small ones "lora" is better. Texts are longer by the prompt, hence
    slower to read.

    length: virtual tokens; max_tokens is lowered where the base has no positions for both. base: "minilm", a directory,
    or a Hub id. max_tokens: where longer texts are cut. learning_rate: the peak, of the prompt, which wants a high one;
    head_learning_rate: of the linear layer on top.
    """

    length: int = 20
    learning_rate: float = 1e-2

    name: ClassVar[str] = "prompt"
    search: ClassVar[Search] = {
        "learning_rate": Range(1e-3, 1e-1, log=True),
        ("steps", "epochs"): Choice(((60, 1.5), (120, 3.0), (240, 6.0))),
        "length": Choice((5, 10, 20, 40), reshapes=True),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 1:
            raise ValueError("length must be above 0")

    def adapt(self, base: "Base") -> Any:
        """A copy of the base's network with a prompt, in fp32 and alone in requiring a gradient."""
        return with_prompt(base, self.length)

    def longest(self, base: "Base") -> int:
        """As many tokens as the base can read after the prompt."""
        return self.max_tokens if base.max_tokens is None else min(self.max_tokens, base.max_tokens - self.length)

    def _shape(self) -> dict[str, Any]:
        return {"length": self.length}


plugin = Prompt
