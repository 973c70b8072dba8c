"""What was meant to be spent is spent."""

from collections.abc import Sequence
from dataclasses import dataclass

from alloop.stopping import Advice, Seen


@dataclass(frozen=True)
class Budget:
    """Stops when as many labels are paid for, or annotators have worked as long, as was meant to be spent.

    Without a limit it never stops. It looks back: a batch that was asked for is paid for as a whole, where
    `alloop run --until-labels` makes the last one smaller.

    labels: at most so many, those of test texts that people labelled included; none set by default.
    hours: of all annotators together, as far as the annotator measures time; none set by default.
    """

    labels: int | None = None
    hours: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("labels", self.labels), ("hours", self.hours)):
            if value is not None and value <= 0:
                raise ValueError(f"{name} = {value:g} is not above 0")

    def __call__(self, history: Sequence[Seen]) -> Advice:
        labels, hours = (history[-1].labels, history[-1].seconds / 3600) if history else (0, 0.0)
        stop, words = False, []
        if self.labels is not None:
            stop = labels >= self.labels
            words.append(f"{labels:,} of {self.labels:,} labels")
        if self.hours is not None:
            stop = stop or hours >= self.hours
            words.append(f"{hours:.1f} of {self.hours:g} hours")
        return Advice(stop, ", ".join(words) or "no limit is set")


plugin = Budget
