"""The model is sure of what it says."""

from collections.abc import Sequence
from dataclasses import dataclass

from alloop.stopping import Advice, Seen, check_rounds, check_share, recent, unmeasured


@dataclass(frozen=True)
class Uncertainty:
    """Stops when the model is sure about the stop set on the whole: overall uncertainty.

    Zhu, Wang & Hovy 2008: the mean entropy of the probabilities, here divided by the most it could be, so that it lies
    between 0 and 1 however many labels there are. It knows only how sure a model is, not how right: one that is
    over-confident stops at once, one that is never sure, as on texts that people disagree about, does not stop at all.

    threshold: no value suits all tasks and models; 0.05 is small-text's, and its mean must be below it.
    rounds: 1, as it needs no model to compare with.
    """

    threshold: float = 0.05
    rounds: int = 1

    def __post_init__(self) -> None:
        check_share(threshold=self.threshold)
        check_rounds(self.rounds)

    def __call__(self, history: Sequence[Seen]) -> Advice:
        found = recent(history, "stop", ["uncertainty"], self.rounds)
        if not found:
            return unmeasured("uncertainty", self.rounds)
        mean = sum(one.value for one in found) / len(found)
        return Advice(
            mean < self.threshold, f"mean entropy {mean:.3f} of the stop set (stops below {self.threshold:g})"
        )


plugin = Uncertainty
