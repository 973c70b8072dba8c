"""A strategy that approximates for size reaches 95 % of its own objective: with limits low enough for a small pool.

At 20,000 texts and the limits as they are: tests/bench/approximation.py.
"""

import pytest

from alloop.strategies import discriminative
from tests.bench.approximation import PACKAGE, SHARES, TARGET, made_up

SIZE = 2_000
LOW = {  # about what they are to 20,000
    "_geometry.FULL": SIZE // 2,
    "herding.ROOM": SIZE * SIZE * 2 // 3,
    "probcover.ROOM": SIZE * SIZE // 2,
    "probcover.FEWEST": 1,
    "typiclust.MEASURED": SIZE // 5,
    "density.MOST": SIZE // 10,
    "cluster_margin.MERGED": SIZE // 4,
}


@pytest.fixture(scope="module")
def pool():
    return made_up(SIZE, width=32, groups=20, labelled=50)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARES)
def test_of_its_objective_a_strategy_reaches_nearly_all(pool, monkeypatch, name):
    for limit, value in LOW.items():
        monkeypatch.setattr(PACKAGE + limit, value)
    assert discriminative.OF_EACH * 50 < SIZE
    assert SHARES[name](pool, 10) >= TARGET
