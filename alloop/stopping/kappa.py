"""The models' decisions have settled."""

from collections.abc import Sequence
from dataclasses import dataclass

from alloop.stopping import Advice, Seen, check_rounds, check_share, recent, unmeasured


@dataclass(frozen=True)
class Kappa:
    """Stops when successive models agree about the stop set, beyond what chance would bring: stabilising predictions.

    Bloodgood & Vijay-Shanker 2009: the mean of Cohen's kappa between each model and the one before, over the last
    rounds, is at least the threshold. (Not how much kappa changes from round to round, as some code has it: that also
    stops where models keep disagreeing to the same degree.)

    threshold: their 0.99; lower stops earlier.
    rounds: their window of 3 agreements, so that one lucky pair is not enough.
    """

    threshold: float = 0.99
    rounds: int = 3

    def __post_init__(self) -> None:
        check_share(threshold=self.threshold)
        check_rounds(self.rounds)

    def __call__(self, history: Sequence[Seen]) -> Advice:
        found = recent(history, "stop", ["kappa"], self.rounds)
        if not found:
            return unmeasured("kappa", self.rounds)
        mean = sum(one.value for one in found) / len(found)
        return Advice(
            mean >= self.threshold,
            f"mean kappa {mean:.3f} over {self.rounds} rounds (stops at {self.threshold:g} or more)",
        )


plugin = Kappa
