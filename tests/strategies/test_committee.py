from types import SimpleNamespace

import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.rounds import run_round
from alloop.strategies import Picks, Pool, strategies
from alloop.work import load_predictions

MEASURES = ["kl", "max-kl", "vote-entropy", "consensus-entropy"]


def pick(members, n, kind="single", **options) -> Picks:
    members = np.asarray(members, np.float32)
    ids = [f"t1-{row}" for row in range(members.shape[1])]
    pool = Pool(ids, ids, kind, members=members)
    return strategies.build("committee", **options)(pool, n, np.random.default_rng(0))


def by_text(picks: Picks) -> np.ndarray:
    return picks.score[np.argsort(picks.index)]


@pytest.mark.parametrize("measure", ["kl", "max-kl", "vote-entropy"])
def test_a_divided_committee_is_worth_a_label_and_shared_doubt_is_not(measure):
    picks = pick([[[0.9, 0.1], [0.5, 0.5]], [[0.1, 0.9], [0.5, 0.5]]], 2, measure=measure)
    assert picks.index.tolist() == [0, 1]
    assert picks.score[1] == 0
    if measure == "vote-entropy":
        assert picks.score[0] == pytest.approx(np.log(2))


def test_consensus_entropy_also_sees_shared_doubt():
    assert by_text(pick([[[1, 0], [0.5, 0.5]], [[0, 1], [0.5, 0.5]]], 2, measure="consensus-entropy")) == pytest.approx(
        [np.log(2)] * 2
    )


def test_the_measures_are_modals():
    from modAL.disagreement import KL_max_disagreement, consensus_entropy, vote_entropy

    members = np.random.default_rng(0).dirichlet([1, 1, 1], (5, 30)).astype(np.float32)

    class Answered:
        classes_ = (0, 1, 2)

        def __len__(self):
            return 5

        def __iter__(self):
            return iter(range(5))

        def vote(self, x):
            return members.argmax(-1).T

        def vote_proba(self, x):
            return members.transpose(1, 0, 2)

        def predict_proba(self, x):
            return members.mean(0)

    references = {"vote-entropy": vote_entropy, "consensus-entropy": consensus_entropy, "max-kl": KL_max_disagreement}
    for measure, reference in references.items():
        expected = reference(Answered(), SimpleNamespace(shape=(30,)))
        assert by_text(pick(members, 30, measure=measure)) == pytest.approx(expected, abs=1e-6)


def test_mean_divergence_is_that_of_mccallum_and_nigam():
    members = np.random.default_rng(0).dirichlet([1, 1, 1], (4, 20))
    mean = members.mean(0)
    expected = [
        sum(members[e, i, c] * np.log(members[e, i, c] / mean[i, c]) for e in range(4) for c in range(3)) / 4
        for i in range(20)
    ]
    assert by_text(pick(members, 20)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("measure", MEASURES)
def test_of_several_labels_each_is_a_choice_of_its_own(measure):
    members = np.random.default_rng(0).random((4, 10, 3))
    each = [by_text(pick(np.stack([members[..., c], 1 - members[..., c]], -1), 10, measure=measure)) for c in range(3)]
    assert by_text(pick(members, 10, "multi", measure=measure)) == pytest.approx(np.mean(each, 0), abs=1e-6)


def test_a_committee_of_one_is_refused():
    with pytest.raises(ConfigError, match="agrees with itself"):
        strategies.build("committee", members=1)
    with pytest.raises(ModelError, match="no committee"):
        pick([[[0.5, 0.5]]], 1)


@pytest.mark.slow
def test_a_round_trains_as_many_members_as_the_strategy_asks_for(make_project):
    project = make_project(strategy="committee", more="[options.committee]\nmembers = 3\n")
    run_round(project)
    run_round(project)
    directory = project.path(project.store.step_results(2)["score"]["directory"])
    assert load_predictions(directory).members.shape[0] == 3
    assert "committee" in {pick.strategy for pick in project.store.picks(2)}
