"""Tests of alloop.consensus.crowdlab."""

import random

import numpy as np
import pytest

from alloop.consensus import Votes, consensus_rules
from tests.consensus.test_dawid_skene import LABELS, drawn_votes


def said_by_a_model(votes: Votes, seed: int, labels: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {one: rng.dirichlet(np.ones(labels)) for one in votes}


def by_cleanlab(answers: dict[str, dict[str, int]], probs: np.ndarray):
    import pandas as pd
    from cleanlab.multiannotator import get_label_quality_multiannotator

    table = pd.DataFrame.from_dict(answers, orient="index").sort_index()
    return get_label_quality_multiannotator(table, probs, verbose=False)


@pytest.mark.parametrize("seed", range(3))
def test_it_says_what_cleanlab_says(seed):
    votes = drawn_votes(seed)
    model = said_by_a_model(votes, seed)
    found = consensus_rules.build("crowdlab")(votes, "single", LABELS, model)
    table = {one: {who: LABELS.index(label) for who, (label,) in said} for one, said in votes.items()}
    theirs = by_cleanlab(table, np.stack([model[one] for one in sorted(votes)]))
    quality = theirs["label_quality"]
    assert [LABELS.index(found[one][0][0]) for one in sorted(votes)] == quality["consensus_label"].tolist()
    assert np.allclose([found[one][1] for one in sorted(votes)], quality["consensus_quality_score"], atol=1e-9)
    rated = consensus_rules.build("crowdlab").qualities(votes, "single", LABELS, model)
    assert rated == pytest.approx(theirs["annotator_stats"]["annotator_quality"].to_dict())


def test_of_several_labels_each_is_a_question_of_its_own():
    votes = drawn_votes(4)
    model = said_by_a_model(votes, 4)
    found = consensus_rules.build("crowdlab")(votes, "multi", LABELS, model)
    for at, label in enumerate(LABELS):
        table = {one: {who: int(label in answer) for who, answer in said} for one, said in votes.items()}
        yes = np.array([model[one][at] for one in sorted(votes)])
        theirs = by_cleanlab(table, np.stack([1 - yes, yes], axis=1))["label_quality"]
        assert [int(label in found[one][0]) for one in sorted(votes)] == theirs["consensus_label"].tolist()


def test_a_model_that_agrees_with_people_decides_where_they_do_not():
    votes = {f"t{n:02}": [("anna", (label,)), ("ben", (label,))] for n, label in enumerate("ab" * 10)}
    model = {one: np.array([0.9, 0.1] if said[0][1] == ("a",) else [0.1, 0.9]) for one, said in votes.items()}
    votes["odd"] = [("anna", ("a",)), ("ben", ("b",))]
    labels, confidence = consensus_rules.build("crowdlab")(
        votes, "single", ("a", "b"), model | {"odd": np.array([0.1, 0.9])}
    )["odd"]
    assert labels == ("b",)
    assert 0.5 < confidence < 0.9


def test_texts_that_no_model_knows_keep_their_plain_votes():
    votes = drawn_votes(6)
    known = {one: probs for one, probs in said_by_a_model(votes, 6).items() if one < "t030"}
    rule, plain = consensus_rules.build("crowdlab"), consensus_rules.build("majority")(votes, "single", LABELS)
    found = rule(votes, "single", LABELS, known)
    assert {one: found[one] for one in votes if one >= "t030"} == {one: plain[one] for one in votes if one >= "t030"}
    assert found != plain
    assert rule(votes, "single", LABELS) == rule(votes, "single", LABELS, {}) == plain
    alone = {one: said for one, said in votes.items() if one < "t030"}
    assert {one: found[one] for one in alone} == rule(alone, "single", LABELS, known)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_where_votes_and_model_are_even_the_label_given_first_stands_and_nothing_is_drawn(kind):
    votes = {f"t{n}": [("anna", (label,)), ("ben", ("ab".replace(label, ""),))] for n, label in enumerate("abab")}
    even = {one: np.array([0.5, 0.5]) for one in votes}
    before = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    found = consensus_rules.build("crowdlab")(votes, kind, ("a", "b"), even)
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before  # noqa: NPY002
    if kind == "single":
        assert [found[one][0] for one in sorted(votes)] == [("a",), ("b",), ("a",), ("b",)]
    assert [confidence for _, confidence in found.values()] == pytest.approx([0.5] * 4)


def test_rows_of_a_file_that_label_one_text_are_voices_of_their_own():
    votes = {
        "t": [("f.csv", ("a",)), ("f.csv", ("a",)), ("f.csv", ("b",))],
        "u": [("f.csv", ("b",)), ("f.csv", ("b",))],
    }
    model = {one: np.array([0.5, 0.5]) for one in votes}
    found = consensus_rules.build("crowdlab")(votes, "single", ("a", "b"), model)
    assert {one: labels for one, (labels, _) in found.items()} == {"t": ("a",), "u": ("b",)}
    assert set(consensus_rules.build("crowdlab").qualities(votes, "single", ("a", "b"), model)) == {"f.csv"}
