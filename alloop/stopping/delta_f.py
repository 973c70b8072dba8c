"""F would hardly change any more."""

from collections.abc import Sequence
from dataclasses import dataclass

from alloop.stopping import Advice, Seen, check_rounds, check_share, recent, unmeasured


@dataclass(frozen=True)
class DeltaF:
    """Stops when F is predicted to change by less than a threshold from round to round.

    Altschuler & Bloodgood 2019: a label that both models give to a texts, and only the one or the other to b and c,
    changes its F by about 1 - 2a / (2a + b + c) on the stop set. They have two classes and look at the positive one;
    here it is the mean over the labels that either model gives, that is 1 - macro-F1 of one model's decisions as
    judged by the other's. (Summed over labels instead, it would be nothing but `change` where a text has one label.)

    threshold: their 0.05; every one of the last rounds has to be below it.
    rounds: their window of 3.
    """

    threshold: float = 0.05
    rounds: int = 3

    def __post_init__(self) -> None:
        check_share(threshold=self.threshold)
        check_rounds(self.rounds)

    def __call__(self, history: Sequence[Seen]) -> Advice:
        found = recent(history, "stop", ["delta_f"], self.rounds)
        if not found:
            return unmeasured("delta F", self.rounds)
        most = max(one.value for one in found)
        return Advice(
            most < self.threshold,
            f"delta F at most {most:.3f} over {self.rounds} rounds (stops below {self.threshold:g})",
        )


plugin = DeltaF
