"""Tests of alloop.consensus.majority."""

from alloop.consensus import consensus_rules

LABELS = ("a", "b", "c")


def test_the_label_most_annotators_gave_wins_with_their_share() -> None:
    votes = {"t": [("x", ("a",)), ("y", ("b",)), ("z", ("b",))]}
    assert consensus_rules.build("majority")(votes, "single", LABELS) == {"t": (("b",), 2 / 3)}


def test_a_tie_goes_to_the_label_given_first_and_says_how_unsure_it_is() -> None:
    votes = {"t": [("x", ("b",)), ("y", ("a",))]}
    assert consensus_rules.build("majority")(votes, "single", LABELS) == {"t": (("b",), 0.5)}


def test_of_several_labels_each_needs_more_than_half() -> None:
    votes = {"t": [("x", ("a", "b")), ("y", ("a",)), ("z", ("c", "a"))]}
    assert consensus_rules.build("majority")(votes, "multi", LABELS) == {"t": (("a",), 2 / 3)}


def test_annotators_may_agree_that_no_label_applies() -> None:
    assert consensus_rules.build("majority")({"t": [("x", ()), ("y", ())]}, "multi", LABELS) == {"t": ((), 1.0)}
