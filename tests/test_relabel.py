"""Tests of second opinions and hidden repeats, in whole rounds with simulated annotators."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from alloop.consensus import is_tied
from alloop.project import Project
from alloop.reports import outcome_text, report
from alloop.rounds import run_round
from alloop.steps.activelab import activelab
from alloop.steps.relabel import MOST_ASKED, doubts
from tests.command import done

MakeProject = Callable[..., Project]
LABELS = ("cat", "dog", "hen")


def query(project: Project, sql: str) -> list[dict[str, Any]]:
    connection = sqlite3.connect(project.root / "alloop.db")
    connection.row_factory = sqlite3.Row
    found = [dict(row) for row in connection.execute(sql)]
    connection.close()
    return found


def several(asked: int = 1, annotators: int = 5, error_rate: object = 0.3) -> str:
    return f"annotators_per_text = {asked}\n[options.simulated]\nannotators = {annotators}\nerror_rate = {error_rate}\n"


def until_over(project: Project, until_labels: int) -> Iterator[int]:
    while (done := run_round(project, until_labels=until_labels)).pushed:
        yield done.number


def chosen(*labels: tuple[str, ...]) -> np.ndarray:
    return np.array([[name in one for name in LABELS] for one in labels], np.float32)


def test_a_label_that_the_model_contradicts_is_in_doubt_until_others_confirm_it() -> None:
    votes = [[("a", ("cat",))], [("a", ("dog",))], [("a", ("dog",)), ("b", ("dog",)), ("c", ("dog",))]]
    votes += [[(who, ("cat",))] for who in "abc" for _ in range(9)]
    y = chosen(*(said[0][1] for said in votes))
    (agrees, contradicted, confirmed, *_), error = doubts(
        votes, y, np.tile([0.96, 0.02, 0.02], (30, 1)), "single", LABELS
    )
    assert 0 < error < 0.1
    assert contradicted > 0.5 > agrees > confirmed


def test_of_several_labels_the_most_doubtful_one_counts() -> None:
    votes = [[("a", ("cat",))], [("a", ("cat", "dog"))], *([("a", ("cat",))] for _ in range(20))]
    probs = np.tile([0.99, 0.005, 0.005], (22, 1))
    (agrees, contradicted, *_), _ = doubts(votes, chosen(*(said[0][1] for said in votes)), probs, "multi", LABELS)
    assert contradicted > 0.5 > agrees


def test_activelab_asks_first_where_a_label_is_contradicted_and_last_where_three_agree() -> None:
    votes = [[("a", ("cat",))], [("a", ("dog",))], [("a", ("cat",)), ("b", ("cat",)), ("c", ("cat",))]]
    agrees, contradicted, confirmed = activelab(votes, np.tile([0.9, 0.05, 0.05], (3, 1)), "single", LABELS)
    assert contradicted > agrees > confirmed


def test_activelab_of_one_vote_each_is_the_formula_of_the_paper() -> None:
    votes = [[("a", ("cat",))], [("b", ("dog",))]]
    found = activelab(votes, np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]]), "single", LABELS)
    # the label's probability with the weight of the model and of one vote, 1/3 with that of the next annotator
    assert found == pytest.approx([1 - (2 * 0.7 + 1 / 3) / 3, 1 - (2 * 0.3 + 1 / 3) / 3])


def test_activelab_of_several_labels_asks_first_where_most_of_them_are_in_doubt() -> None:
    votes = [[("a", ("cat",))], [("a", ("cat", "dog"))], [("a", ())]]
    probs = np.array([[0.9, 0.1, 0.1], [0.9, 0.1, 0.1], [0.9, 0.9, 0.1]])
    clear, one_in_doubt, two_in_doubt = activelab(votes, probs, "multi", LABELS)
    assert two_in_doubt > one_in_doubt > clear


def test_a_share_by_activelab_is_always_filled(make_project: MakeProject) -> None:
    project = make_project(rules='relabel_share = 0.25\nrelabel_by = "activelab"', more=several())
    for _ in range(4):
        run_round(project)
    for number in (3, 4):
        again = [one for one in project.store.picks(number) if one.purpose == "relabel"]
        assert [one.strategy for one in again] == ["activelab"] * 2


def test_a_tie_goes_back_once_to_those_who_have_not_answered_it(make_project: MakeProject) -> None:
    project = make_project(more=several(asked=2, annotators=4), annotate="simulated")
    assert len(list(until_over(project, 30))) > 3
    votes = project.store.answers()
    twice = {row["text_id"] for row in query(project, "SELECT text_id FROM tasks WHERE purpose = 'relabel'")}
    assert twice
    assert all(is_tied(votes[one][:2], "single") for one in twice)
    assert {len(said) for one, said in votes.items() if one in twice} == {4}
    assert {len(said) for one, said in votes.items() if one not in twice} == {2}
    assert max(project.store.asks(list(votes)).values()) == 2
    by_round = query(project, "SELECT count(*) AS n FROM tasks WHERE purpose = 'relabel' GROUP BY round")
    assert max(row["n"] for row in by_round) <= 4


def test_hidden_repeats_go_to_whom_they_came_from_blind_and_rounds_later(make_project: MakeProject) -> None:
    rules = "repeat_share = 0.25\nrandom_share = 0.0"
    project = make_project(rules=rules, more=several(annotators=3) + '[run]\nkeep = "metrics"\n')
    assert [run_round(project).pushed for _ in range(6)] == [8] * 6
    asked = query(
        project,
        "SELECT k.round, k.blind, p.predicted,"
        " (SELECT min(o.round) FROM tasks o WHERE o.text_id = k.text_id) AS first"
        " FROM tasks k JOIN picks p ON p.text_id = k.text_id AND p.round = k.round"
        " JOIN annotations a ON a.task_key = k.key WHERE k.purpose = 'repeat'",
    )
    assert {row["round"] for row in asked} == {4, 5}
    assert len(asked) == 4
    assert "Pushed 8 texts, 2 of them asked about again, to: simulated." in outcome_text(project, 4)
    assert all(row["blind"] and row["predicted"] is None and row["round"] - row["first"] >= 3 for row in asked)
    assert len(project.store.repeats()) == 4  # each by the annotator who had answered the text before
    assert all(len(said) == 1 for said in project.store.answers().values())


def test_a_share_of_less_than_one_text_a_batch_comes_every_few_rounds(make_project: MakeProject) -> None:
    project = make_project(rules="repeat_share = 0.0625\nrandom_share = 0.0", more=several(annotators=3))
    for _ in range(8):
        run_round(project)
    asked = query(project, "SELECT round, count(*) AS n FROM tasks WHERE purpose = 'repeat' GROUP BY round")
    assert asked == [{"round": 4, "n": 1}, {"round": 6, "n": 1}, {"round": 8, "n": 1}]


@pytest.mark.slow
def test_a_part_of_each_batch_asks_again_where_an_answer_is_worth_more(make_project: MakeProject) -> None:
    project = make_project(rules="relabel_share = 0.5", more=several(error_rate=[0.1, 0.2, 0.3, 0.4, 0.5]))
    rounds = list(until_over(project, 40))
    again = query(
        project,
        "SELECT k.*, p.score, p.strategy, p.predicted FROM tasks k JOIN picks p"
        " ON p.text_id = k.text_id AND p.round = k.round WHERE k.purpose = 'relabel'",
    )
    by_round = [sum(one["round"] == number for one in again) for number in rounds]
    assert by_round[0] == 0
    assert 0 < max(by_round) <= 4
    assert all(one["blind"] and one["strategy"] in ("doubt", "tie") and one["predicted"] is None for one in again)
    assert max(project.store.asks([one["text_id"] for one in again]).values()) <= MOST_ASKED
    votes = project.store.answers()
    assert sum(len(said) - 1 for said in votes.values()) == len(again)  # nobody was asked for his own second opinion
    last = report(project)["points"][-1]
    assert (last["labels"], last["labels_paid"]) == (40, 40 + len(again))
    wrong = [one.labels for one in project.store.resolved(project.store.rounds()[-1].number, "pool")]
    assert len(wrong) == 40


@pytest.mark.slow
def test_second_opinions_on_several_labels_are_asked_for_too(tmp_path: Any, write_csv: Callable[..., str]) -> None:
    from alloop.intake import create
    from tests.conftest import project_toml, sentences

    rows = [(text, f"{label}|{text.split()[2]}") for text, label in sentences()]
    config = tmp_path / "several.toml"
    labels = 'kind = "multi"\nlabels = ["animal", "vehicle", "sleeps", "stops"]'
    config.write_text(project_toml(labels=labels, rules="relabel_share = 0.5", more=several(error_rate=0.4)))
    project, _ = create(
        tmp_path / "several",
        source=config,
        data=[write_csv("several.csv", ["text", "label"], rows[24:])],
        test=write_csv("several-test.csv", ["text", "label"], rows[:24]),
    )
    for _ in range(4):
        run_round(project)
    (again,) = query(project, "SELECT count(*) AS n FROM tasks WHERE purpose = 'relabel'")
    assert again["n"] > 0
    assert max(len(said) for said in project.store.answers().values()) > 1


def test_an_older_projects_picks_are_told_apart_by_their_probability(make_project: MakeProject) -> None:
    project = make_project(batch=10)
    run_round(project)
    purposes = [one.purpose for one in project.store.picks(1)]
    how, predicted = project.store.asked_how(2), project.store.first_predictions(2)
    connection = sqlite3.connect(project.root / "alloop.db")
    connection.execute("ALTER TABLE picks DROP COLUMN purpose")
    connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'm005_purpose'")
    connection.commit()
    older = Project.open(project.root)
    assert [one.purpose for one in older.store.picks(1)] == purposes  # as read-only commands see them
    assert (older.store.asked_how(2), older.store.first_predictions(2)) == (how, predicted)
    done("audit", project.root, "--json")
    older.store.migrate()
    assert [one.purpose for one in older.store.picks(1)] == purposes
    assert sorted(set(purposes)) == ["pick", "random"]
    assert json.dumps(purposes).count("random") == 1
