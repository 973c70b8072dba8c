import numpy as np
import pytest

from alloop.consensus.one_coin import OneCoin, chances
from alloop.rounds import run_round


def test_the_chances_are_those_of_bayes_rule_with_the_rates_that_they_imply() -> None:
    prior = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]])
    found, rates = chances(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0, 1, 2]), prior)
    wrong = [1 - found[0, 0] + 1 - found[1, 2], 1 - found[0, 1]]
    first, second = (wrong[0] + 0.4) / 4, (wrong[1] + 0.4) / 3
    votes = np.array([[1 - first, first / 2, first / 2], [first / 2, first / 2, 1 - first]])
    votes[0] *= [second / 2, 1 - second, second / 2]
    assert rates == pytest.approx([first, second], abs=1e-4)
    assert found == pytest.approx(prior * votes / (prior * votes).sum(1, keepdims=True), abs=1e-4)


def test_how_often_people_err_is_found_though_only_doubtful_texts_have_a_second_vote() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=2000)

    def err(share: float) -> np.ndarray:
        return np.where(rng.random(2000) < share, (truth + rng.integers(1, 3, 2000)) % 3, truth)

    model, first, second = err(0.2), err(0.3), err(0.3)
    prior = np.full((2000, 3), 0.1)
    prior[np.arange(2000), model] = 0.8
    again = np.flatnonzero(model != first)
    question, answer = np.append(np.arange(2000), again), np.append(first, second[again])
    who = (question + np.append(np.zeros(2000, int), np.ones(len(again), int))) % 2  # the other of two people
    found, rates = chances(question, who, answer, prior)
    assert rates == pytest.approx([0.3, 0.3], abs=0.04)
    assert (found.argmax(1) == truth).mean() > 0.85 > 0.8 > (model == truth).mean()


def test_a_model_can_set_right_what_one_annotator_said_and_votes_outweigh_it():
    votes = {f"t{n}": [("ann", ("cat",)), ("bob", ("cat",))] for n in range(20)}
    votes |= {"one": [("ann", ("dog",))], "two": [("ann", ("dog",)), ("bob", ("dog",))], "none": [("ann", ("dog",))]}
    probs = {one: np.array([0.99, 0.01]) for one in votes if one != "none"}
    found = OneCoin()(votes, "single", ("cat", "dog"), probs)
    assert {one: found[one][0] for one in ("one", "two", "none")} == {
        "one": ("cat",),
        "two": ("dog",),
        "none": ("dog",),
    }
    assert found["none"][1] > 0.9


def test_how_good_annotators_are_comes_from_votes_and_model():
    votes = {f"t{n}": [("ann", ("cat",)), ("bob", ("dog" if n < 10 else "cat",))] for n in range(20)}
    probs = {one: np.array([0.9, 0.1]) for one in votes}
    quality = OneCoin().qualities(votes, "single", ("cat", "dog"), probs)
    assert quality["ann"] > 0.9
    assert quality["bob"] == pytest.approx(0.5, abs=0.05)
    assert OneCoin().qualities({"t": [("ann", ("cat",))]}, "single", ("cat", "dog"), probs) == {}


@pytest.mark.slow
def test_evenly_split_votes_are_settled_by_the_model_and_learnt_from(make_project):
    several = "annotators_per_text = 2\nconsensus = {}\n[options.simulated]\nannotators = 4\nerror_rate = 0.5\n"
    tied = {}
    for rule in ("majority", "one-coin"):
        project = make_project(rule, more=several.format(f'"{rule}"'))
        for _ in range(2):
            run_round(project)
        tied[rule] = sum(one.tied for one in project.store.resolved(2, "pool"))
    assert tied["majority"] > tied["one-coin"] == 0
