import numpy as np
import pytest

from alloop import efficiency
from alloop.efficiency import Duel, Estimate, Reached

X = np.array([10.0, 20.0, 40.0])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_area_is_the_mean_height_of_the_lines_between_the_points():
    # (0.2 + 0.6) / 2 over 10 labels, (0.6 + 0.9) / 2 over 20: (4 + 15) / 30
    assert efficiency.area(X, np.array([0.2, 0.6, 0.9])) == pytest.approx(19 / 30)
    assert efficiency.area(X, np.array([0.7, 0.7, 0.7])) == pytest.approx(0.7)
    assert efficiency.area(np.array([25.0]), np.array([0.4])) == 0.4


def test_curves_are_compared_where_all_of_them_are():
    late = (np.array([20.0, 50.0]), np.array([0.0, 0.6]))
    early = (np.array([10.0, 40.0]), np.array([0.3, 0.6]))
    assert efficiency.common_range([late, early]) == (20, 40)
    x = efficiency.grid([late, early], 20, 40)
    assert x.tolist() == [20, 40]
    assert efficiency.values_at([late, early], x) == pytest.approx(np.array([[0, 0.4], [0.4, 0.6]]))
    with pytest.raises(ValueError, match="begins at 50 labels, another ends at 40"):
        efficiency.common_range([early, (np.array([50.0]), np.array([0.6]))])


def test_the_interval_of_a_mean_is_students():
    # mean 2, standard deviation 1, t(2, 0.975) = 4.3027: half = 4.3027 / sqrt(3)
    found = efficiency.mean([1.0, 2.0, 3.0])
    assert found == Estimate(2, pytest.approx(2 - 2.48414, abs=1e-5), pytest.approx(2 + 2.48414, abs=1e-5))
    assert efficiency.mean([0.5]) == Estimate(0.5, None, None)


def test_a_duel_pairs_the_seeds():
    # the seeds differ by far more than the strategies, which always differ by 0.1, once not at all
    found = efficiency.duel([0.9, 0.5, 0.3], [0.8, 0.4, 0.3])
    assert found == Duel(
        pytest.approx(0.2 / 3), pytest.approx(-0.07676, abs=1e-4), pytest.approx(0.21009, abs=1e-4), 2, 1, 0
    )
    assert efficiency.duel([0.1 + 0.2], [0.3]) == Duel(pytest.approx(0), None, None, 0, 1, 0)
    assert efficiency.duel([0.2], [0.3]).losses == 1


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([3, 1], [2, 2]),
        ([1, 3, 2, 4], [1, 2.5, 2.5, 4]),
        ([4, 3, 2, 1], [2.5, 2.5, 2.5, 2.5]),
        ([1, 5, 3, 1, 4], [1, 3, 3, 3, 4]),
    ],
)
def test_a_curve_is_made_to_rise_by_least_squares(y, expected):
    assert efficiency.rising(np.array(y, float)).tolist() == expected


def test_it_rises_as_scikit_learn_says():
    from sklearn.isotonic import isotonic_regression

    for y in rng().normal(size=(50, 12)):
        assert efficiency.rising(y) == pytest.approx(isotonic_regression(y))


def test_a_target_is_reached_between_two_points_of_the_mean_curve():
    values = np.array([[0.1, 0.5, 0.9], [0.3, 0.7, 0.9]])  # mean 0.2, 0.6, 0.9
    found = efficiency.reach(0.7, X, values, rng())
    # 0.7 is a third of the way from 0.6 to 0.9; the better seed alone gets there at 20, the worse at half way
    assert found == Reached(0.7, pytest.approx(20 + 20 / 3), pytest.approx(20), pytest.approx(30))
    assert efficiency.reach(0.7, X, values[:1], rng()) == Reached(0.7, pytest.approx(30), None, None)
    assert efficiency.reach(0.05, X, values, rng()) == Reached(0.05, 10, 10, 10)
    assert efficiency.reach(0.95, X, values, rng()) == Reached(0.95, None, None, None)


def test_an_interval_is_open_where_some_seeds_never_get_there():
    values = np.array([[0.1, 0.5, 0.6], [0.3, 0.7, 1.0]])  # mean 0.2, 0.6, 0.8
    found = efficiency.reach(0.7, X, values, rng())
    assert found == Reached(0.7, pytest.approx(30), pytest.approx(20), None)


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says():
    draws = rng().normal(0.8, 0.03, size=(2_000, 5))
    means = draws.mean(1)
    half = efficiency.half_width(draws.T)
    assert half is not None
    assert np.mean(np.abs(means - 0.8) < half) == pytest.approx(0.95, abs=0.015)
