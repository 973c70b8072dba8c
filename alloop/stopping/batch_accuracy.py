"""The model is right even about the texts that a strategy picks."""

from collections.abc import Sequence
from dataclasses import dataclass

from alloop.stopping import Advice, Seen, check_rounds, check_share, recent, unmeasured


@dataclass(frozen=True)
class BatchAccuracy:
    """Stops when the model is right about the batches that were just labelled: selected accuracy.

    Zhu, Wang & Hovy 2008: a strategy picks what the model finds hard, and where it is right even there, it will be
    about the rest. Micro-F1 where a text has several labels: the share of texts with exactly the right ones is too
    strict with many labels, the share of right decisions is high for a model that gives none. Texts that were drawn at
    random do not count; answers that were given in sight of the model's suggestion do, and flatter it.

    threshold: 0.9 of hard texts is more of all texts; it cannot be reached where people disagree more than that.
    rounds: the batches of so many rounds count together, by their sizes: one batch of 25 is right by chance too often.
    """

    threshold: float = 0.9
    rounds: int = 3

    def __post_init__(self) -> None:
        check_share(threshold=self.threshold)
        check_rounds(self.rounds)

    def __call__(self, history: Sequence[Seen]) -> Advice:
        found = recent(history, "batch", ["accuracy", "f1_micro"], self.rounds)
        if not found:
            return unmeasured("accuracy on the batch", self.rounds)
        texts = sum(one.n for one in found)
        value = sum(one.value * one.n for one in found) / texts
        return Advice(
            value >= self.threshold,
            f"{value:.3f} right on the last {texts:,} picks (stops at {self.threshold:g} or more)",
        )


plugin = BatchAccuracy
