"""P-tuning: a soft prompt that a small network computes while it is learnt."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from alloop.tuning import Choice, FitJob, Range, Search
from alloop.tuning.prompt import Prompt

if TYPE_CHECKING:
    from alloop.tuning._bases import Base


@dataclass(frozen=True)
class PTuning(Prompt):
    """P-tuning (Liu et al. 2021, arXiv:2103.10385): as "prompt", with an encoder that ties the virtual tokens together.

    The encoder has two layers, and adds what it computes to the words the prompt starts from (Razdaibiedina et al.
    2023, arXiv:2305.03937), so that training also goes on from an earlier model. It is gone after training: the model
    is the prompt, and `trainable_parameters` are its numbers.

    hidden: width of the encoder. length: virtual tokens; max_tokens is lowered where the base has no positions for
    both. base: "minilm", a directory, or a Hub id. max_tokens: where longer texts are cut. learning_rate: the peak, of
    the encoder; head_learning_rate: of the linear layer on top.
    """

    hidden: int = 128
    learning_rate: float = 3e-3

    name: ClassVar[str] = "p-tuning"
    search: ClassVar[Search] = {
        "learning_rate": Range(3e-4, 3e-2, log=True),
        ("steps", "epochs"): Choice(((60, 1.5), (120, 3.0), (240, 6.0))),
        "length": Choice((5, 10, 20, 40), reshapes=True),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden < 1:
            raise ValueError("hidden must be above 0")

    def learn(self, base: "Base", network: Any, head: Any, job: FitJob) -> dict[str, Any]:
        """Train in place; between first and last step the prompt is what the encoder makes of it."""
        from torch.nn.utils import parametrize

        encoder = _encoder(network.prompt.weight.shape[1], self.hidden).to(network.prompt.weight.device)
        parametrize.register_parametrization(network.prompt, "weight", encoder)
        measured = super().learn(base, network, head, job)
        parametrize.remove_parametrizations(network.prompt, "weight", leave_parametrized=True)
        return measured


plugin = PTuning


def _encoder(size: int, hidden: int) -> Any:
    """(P, size) -> (P, size), the same at first."""
    from torch import nn

    last = nn.Linear(hidden, size)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    encoder = nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), last)
    encoder.register_forward_hook(lambda module, given, out: given[0] + out)
    return encoder
