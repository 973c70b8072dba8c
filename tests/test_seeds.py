import subprocess
import sys

from alloop.seeds import rng_for, seed_for


def test_the_same_three_values_give_the_same_seed_in_another_process():
    code = "from alloop.seeds import seed_for; print(seed_for(0, 3, 'select'))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(there) == seed_for(0, 3, "select")


def test_a_seed_is_the_same_for_ever():
    assert seed_for(0, 1, "train") == 3736846847


def test_project_round_and_purpose_each_change_the_seed():
    seeds = [seed_for(p, r, what) for p in range(10) for r in range(10) for what in ("train", "select")]
    assert len(set(seeds)) == len(seeds)
    assert seed_for(1, 11, "x") != seed_for(11, 1, "x")


def test_a_seed_fits_into_32_bits_as_scikit_learn_and_torch_want():
    assert all(0 <= seed_for(0, r, "train") < 2**32 for r in range(200))


def test_generators_of_one_purpose_draw_the_same_numbers():
    assert rng_for(5, 2, "push").random(3).tolist() == rng_for(5, 2, "push").random(3).tolist()
