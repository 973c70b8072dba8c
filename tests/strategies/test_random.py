from collections import Counter

import numpy as np

from alloop.strategies import Pool, strategies


def test_random_draws_every_text_as_often_as_any_other():
    pool, rng = Pool(["a", "b", "c", "d"], ["a", "b", "c", "d"]), np.random.default_rng(0)
    drawn = Counter(int(row) for _ in range(2000) for row in strategies.build("random")(pool, 2, rng).index)
    assert all(900 < drawn[row] < 1100 for row in range(4))
