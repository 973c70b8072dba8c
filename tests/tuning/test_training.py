import numpy as np

from alloop.tuning._training import batches


def test_every_example_is_seen_once_an_epoch_in_batches_of_similar_length():
    lengths = list(np.random.default_rng(0).integers(3, 60, 32))
    epoch = list(batches(lengths, 8, 4, np.random.default_rng(1)))
    assert sorted(row for rows in epoch for row in rows) == list(range(32))
    spread = np.mean([np.ptp([lengths[row] for row in rows]) for rows in epoch])
    assert spread < 20, "against about 50 in batches drawn at random"


def test_few_examples_are_repeated_to_fill_the_batches():
    few = list(batches([3, 4, 5], 8, 10, np.random.default_rng(0)))
    assert [len(rows) for rows in few] == [8] * 10
    assert set(np.bincount([row for rows in few[:4] for row in rows])) <= {10, 11}
