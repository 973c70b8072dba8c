"""No decision changes any more."""

from collections.abc import Sequence
from dataclasses import dataclass

from alloop.stopping import Advice, Seen, check_rounds, check_share, recent, unmeasured


@dataclass(frozen=True)
class Change:
    """Stops when no decision about the stop set changes from one model to the next: classification change.

    Zhu, Wang & Hovy 2008, who ask it of the whole unlabelled pool; the stop set is a sample of it. The strictest of
    the rules: a model that is trained anew changes its mind about a few texts for no reason but chance.

    threshold: the share of texts that may still change; theirs is 0.
    rounds: in how many rounds in a row; theirs is 1, two successive models.
    """

    threshold: float = 0.0
    rounds: int = 1

    def __post_init__(self) -> None:
        check_share(threshold=self.threshold)
        check_rounds(self.rounds)

    def __call__(self, history: Sequence[Seen]) -> Advice:
        found = recent(history, "stop", ["change"], self.rounds)
        if not found:
            return unmeasured("change", self.rounds)
        most = max(one.value for one in found)
        rounds = "in the last round" if self.rounds == 1 else f"at most, over {self.rounds} rounds"
        return Advice(
            most <= self.threshold, f"{most:.1%} of decisions changed {rounds} (stops at {self.threshold:.1%} or less)"
        )


plugin = Change
