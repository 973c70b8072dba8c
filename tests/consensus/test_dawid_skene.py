"""Tests of alloop.consensus.dawid_skene."""

import warnings

import numpy as np
import pytest

from alloop.consensus import Votes, consensus_rules
from alloop.errors import ConfigError

LABELS = ("a", "b", "c")


def drawn_votes(seed: int, texts: int = 60, annotators: int = 7, each: int = 4) -> dict[str, list]:
    """Annotators who err more and more often, from 5 to 60 %."""
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(texts):
        true = int(rng.integers(3))
        said = []
        for who in rng.choice(annotators, each, replace=False):
            answer = true if rng.random() > 0.05 + 0.55 * who / annotators else int(rng.integers(3))
            said.append((f"anna {who}", (LABELS[answer],)))
        found[f"t{number:03}"] = said
    return found


def by_crowd_kit(votes: Votes, answers: list[str]) -> np.ndarray:
    import pandas as pd
    from crowdkit.aggregation import DawidSkene

    rows = [(one, who, label) for one, said in votes.items() for who, (label,) in said]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probs = DawidSkene(n_iter=100).fit_predict_proba(pd.DataFrame(rows, columns=["task", "worker", "label"]))
    return probs.reindex(index=sorted(votes), columns=answers).to_numpy()


@pytest.mark.parametrize("seed", range(3))
def test_it_says_what_crowd_kit_says(seed):
    votes = drawn_votes(seed)
    found = consensus_rules.build("dawid-skene")(votes, "single", LABELS)
    probs = by_crowd_kit(votes, list(LABELS))
    assert [found[one][0][0] for one in sorted(votes)] == [LABELS[at] for at in probs.argmax(1)]
    assert np.allclose([found[one][1] for one in sorted(votes)], probs.max(1), atol=1e-6)


def test_of_several_labels_each_is_a_question_of_its_own():
    votes = drawn_votes(5)
    found = consensus_rules.build("dawid-skene")(votes, "multi", LABELS)
    for label in LABELS:
        yes = {one: [(who, ("yes" if label in said else "no",)) for who, said in given] for one, given in votes.items()}
        probs = by_crowd_kit(yes, ["no", "yes"])
        assert [label in found[one][0] for one in sorted(votes)] == (probs[:, 1] > 0.5).tolist()


def test_one_who_says_the_same_of_everything_is_not_believed():
    votes = {
        f"t{n:02}": [("anna", (label,)), ("lazy", ("a",)), ("ben", (label,))] for n, label in enumerate("aabbb" * 4)
    }
    votes["unsure"] = [("lazy", ("a",)), ("anna", ("b",))]
    labels, confidence = consensus_rules.build("dawid-skene")(votes, "single", LABELS)["unsure"]
    assert labels == ("b",)
    assert confidence > 0.99
    assert consensus_rules.build("majority")(votes, "single", LABELS)["unsure"] == (("a",), 0.5)


def test_what_the_votes_leave_even_goes_to_the_label_given_first():
    votes = {"t": [("x", ("b",)), ("y", ("a",))], "u": [("x", ("a",)), ("y", ("b",))]}
    found = consensus_rules.build("dawid-skene")(votes, "single", LABELS)
    assert {one: labels for one, (labels, _) in found.items()} == {"t": ("b",), "u": ("a",)}


def test_with_one_vote_a_text_the_votes_stand_as_they_are():
    votes = {"t": [("x", ("b",))], "u": [("y", ("a",))]}
    assert consensus_rules.build("dawid-skene")(votes, "single", LABELS) == {"t": (("b",), 1.0), "u": (("a",), 1.0)}


@pytest.mark.parametrize(("option", "value"), [("iterations", 0), ("tolerance", 0.0), ("iterations", 1.5)])
def test_options_that_make_no_sense_are_refused(option, value):
    with pytest.raises(ConfigError, match=option):
        consensus_rules.build("dawid-skene", **{option: value})
