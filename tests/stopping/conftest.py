"""What tests of stopping rules share: rounds by the values of one metric."""

from collections.abc import Callable, Sequence

import pytest

from alloop.metrics import Metric
from alloop.stopping import Seen

Rounds = Callable[..., list[Seen]]


@pytest.fixture
def rounds() -> Rounds:
    """rounds("stop", "kappa", [0.9, None]): rounds 1, 2, … of `batch` labels each; None was not measured."""

    def make(split: str, name: str, values: Sequence[float | None], n: int = 1_000, batch: int = 25) -> list[Seen]:
        return [
            Seen(
                number,
                batch * number,
                60.0 * number,
                {} if value is None else {split: {name: Metric(name, value, None, None, n)}},
            )
            for number, value in enumerate(values, 1)
        ]

    return make
