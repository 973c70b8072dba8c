"""Tests of alloop.agreement: the figures against libraries and hand calculation, and what a report makes of them."""

import json
import warnings
from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from alloop.agreement import agreement, agreement_words, aliases, cohen_kappa, krippendorff_alpha
from alloop.consensus import Votes
from alloop.figures import curve_text
from alloop.pages import page
from alloop.records import Annotation, Task
from alloop.reports import report
from alloop.rounds import run_round
from tests.audited import audited
from tests.test_pages import a_report

LABELS = ("a", "b", "c")


def drawn_votes(seed: int, kind: str = "single", annotators: int = 6, texts: int = 40) -> dict[str, list]:
    """From one to all annotators a text, who agree more often than not."""
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(texts):
        true = rng.random(3) < 0.4
        said = []
        for who in rng.choice(annotators, rng.integers(1, annotators + 1), replace=False):
            if kind == "single":
                answer = int(true.argmax()) if rng.random() < 0.6 else int(rng.integers(3))
                said.append((f"w{who}", (LABELS[answer],)))
            else:
                flipped = true ^ (rng.random(3) < 0.15)
                said.append((f"w{who}", tuple(label for label, has in zip(LABELS, flipped, strict=True) if has)))
        found[f"t{number:03}"] = said
    return found


def found_of(votes: Votes, kind: str = "single", labels=LABELS) -> dict:
    names = [who for said in votes.values() for who, _ in said]
    return agreement(votes, kind, labels, aliases(names))


def by_nltk(triples):
    from nltk.metrics.agreement import AnnotationTask

    return AnnotationTask(triples)


@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_that_of_nltk(seed):
    votes = drawn_votes(seed)
    triples = [(who, one, label) for one, said in votes.items() for who, (label,) in said if len(said) > 1]
    found = found_of(votes)
    assert found["alpha"]["value"] == pytest.approx(by_nltk(triples).alpha(), abs=1e-12)
    for label in LABELS:
        yes_no = [(who, one, label in given) for one, said in votes.items() for who, given in said if len(said) > 1]
        assert found["alpha"]["labels"][label] == pytest.approx(by_nltk(yes_no).alpha(), abs=1e-12)
    assert found["alpha"]["low"] < found["alpha"]["value"] < found["alpha"]["high"]


@pytest.mark.parametrize("seed", range(3))
def test_alpha_of_several_labels_is_that_of_all_yes_and_no(seed):
    votes = drawn_votes(seed, "multi")
    yes_no = [
        (who, f"{one} {label}", label in given)
        for one, said in votes.items()
        for who, given in said
        for label in LABELS
        if len(said) > 1
    ]
    found = found_of(votes, "multi")
    assert found["alpha"]["value"] == pytest.approx(by_nltk(yes_no).alpha(), abs=1e-12)
    assert found["alpha"]["low"] < found["alpha"]["value"] < found["alpha"]["high"]


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_the_kappa_of_every_pair_is_that_of_sklearn_and_nltk(kind):
    votes = drawn_votes(9, kind)
    found = {tuple(one["annotators"]): one for one in found_of(votes, kind)["pairs"]}
    called = aliases([who for said in votes.values() for who, _ in said])
    for one, other in combinations(called, 2):
        both = [dict(said) for said in votes.values() if {one, other} <= {who for who, _ in said}]
        first, second = ([str(said[who]) for said in both] for who in (one, other))
        pair = found[called[one], called[other]]
        assert pair["n"] == len(both)
        assert pair["kappa"] == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
        triples = [(who, row, str(said[who])) for row, said in enumerate(both) for who in (one, other)]
        assert pair["kappa"] == pytest.approx(by_nltk(triples).kappa_pairwise(one, other), abs=1e-12)
        assert pair["agree"] == sum(a == b for a, b in zip(first, second, strict=True)) / len(both)


def test_figures_that_can_be_checked_by_hand():
    votes = {
        "t1": [("x", ("a",)), ("y", ("a",)), ("z", ("a",))],
        "t2": [("x", ("a",)), ("y", ("b",)), ("z", ("b",))],
        "t3": [("x", ("b",)), ("y", ("b",))],
        "t4": [("z", ("b",))],
    }
    found = found_of(votes)
    # of 8 answers on three texts 4 are a: pairs that disagree 4/2 = 2, by chance (64 - 32) / 7
    assert found["alpha"]["value"] == pytest.approx(1 - 2 / (32 / 7))
    assert (found["texts"], found["answers"]) == (3, 9)
    kappas = {tuple(pair["annotators"]): pair["kappa"] for pair in found["pairs"]}
    assert kappas == {("a1", "a2"): pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9)), ("a1", "a3"): 0, ("a2", "a3"): 1}
    agrees = {one["annotator"]: one["agrees"] for one in found["annotators"]}
    assert {who: (one["value"], one["n"]) for who, one in agrees.items()} == {
        "a1": (2 / 3, 3),  # t1 and t3 with the others, t2 against both
        "a2": (1, 2),  # on t2 the others are tied
        "a3": (1, 1),
    }
    assert 0 < agrees["a1"]["low"] < 2 / 3 < agrees["a1"]["high"] < 1


def test_an_annotator_is_judged_by_the_others_and_not_by_their_own_vote():
    votes = {f"t{n}": [("x", ("a",)), ("y", ("b",))] for n in range(4)}
    found = found_of(votes)
    assert [one["agrees"]["value"] for one in found["annotators"]] == [0, 0]


@pytest.mark.parametrize(
    "votes",
    [
        {},
        {"t": [("x", ("a",))]},
        {"t": [("x", ("a",))], "u": [("y", ("b",))]},
        {"t": [("x", ("a",)), ("y", ("a",))], "u": [("x", ("a",)), ("y", ("a",))]},
    ],
    ids=["no votes", "one", "nothing in common", "unanimous"],
)
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_where_there_is_nothing_to_tell_apart_figures_are_missing(votes, kind):
    found = found_of(votes, kind)
    is_yes_and_no = kind == "multi" and found["texts"] == 2  # all say yes to a and no to b and c
    assert found["alpha"]["value"] == (1 if is_yes_and_no else None)
    assert set(found["alpha"]["labels"].values()) == {None}
    assert all(pair["kappa"] is None for pair in found["pairs"])
    assert found["texts"] == sum(len(said) > 1 for said in votes.values())
    words = agreement_words({**found, "left_out": 0, "tied": 0, "rule": "majority"})
    assert words[-1] == "Labels are made of votes by majority."


def test_perfect_agreement_is_one_and_that_of_chance_is_about_zero():
    assert krippendorff_alpha(np.array([[2, 0], [0, 3], [2, 0]])) == 1
    rng = np.random.default_rng(0)
    assert abs(krippendorff_alpha(rng.multinomial(4, [0.5, 0.5], size=4000))) < 0.03
    assert cohen_kappa([("a", "a"), ("b", "b")]) == 1
    assert cohen_kappa([("a", "b"), ("b", "a")]) == -1


def test_rows_of_a_file_count_for_alpha_and_for_nobody():
    votes = {f"t{n}": [("f.csv", ("a",)), ("f.csv", ("b",)), ("x", ("a",))] for n in range(3)}
    found = found_of(votes)
    assert found["alpha"]["value"] is not None
    assert found["pairs"] == []
    assert [(one["annotator"], one["agrees"]) for one in found["annotators"]] == [("a2", None)]


def test_a_thousand_annotators_with_a_vote_each_are_counted_and_most_pairs_left_out():
    votes = {f"t{n}": [(f"w{n}-{k}", (LABELS[(n + k) % 2],)) for k in range(5)] for n in range(200)}
    found = found_of(votes)
    assert len(found["annotators"]) == 1000
    assert len(found["pairs"]) == 100
    assert found["pairs_left_out"] == 200 * 10 - 100


# ---- in a report -----------------------------------------------------------------------------------------------------

CREW = 'annotators_per_text = 3\nconsensus = "{}"\n{}[options.simulated]\nannotators = 5\nerror_rate = 0.25\n'


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["majority", "dawid-skene"])
def test_a_report_has_the_agreement_without_names(make_project, rule):
    project = make_project(more=CREW.format(rule, ""))
    run_round(project)
    run_round(project)
    with project.store.transaction():
        project.store._sql("UPDATE annotations SET annotator = '<b>=HYPERLINK(\"x\")' WHERE annotator = 'a3'")
    found = report(project)
    assert found["agreement"]["rule"] == rule
    assert found["agreement"]["texts"] == len(project.store.answers())
    assert {one["annotator"] for one in found["agreement"]["annotators"]} == {"a1", "a2", "a3", "a4", "a5"}
    rated = [one["quality"] for one in found["agreement"]["annotators"]]
    assert all(one is None for one in rated) if rule == "majority" else all(0 <= one <= 1 for one in rated)
    assert "HYPERLINK" not in json.dumps(found)
    text = curve_text([found])
    assert "Krippendorff's alpha of" in text
    assert "annotators, and how often they say what most of the others do" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_names_that_are_tags_or_formulas_do_no_harm_in_text_json_and_html():
    people = ["<script>window.hacked=1</script>", "=HYPERLINK(1)", "", "\u202egnirts"]
    labels = ("<img src=x onerror=alert(1)>", "=1+1", "a|b", "nobody says this")
    votes = {
        f"t{n:02}": [(who, (labels[(n + at) % 2 if n % 5 else 2],)) for at, who in enumerate(people)] for n in range(20)
    }
    found = found_of(votes, labels=labels)
    found["annotators"] = [{**one, "quality": 0.5} for one in found["annotators"]]
    full = a_report(agreement={**found, "left_out": 3, "tied": 1, "rule": "<b>mine</b>"})
    assert "hacked" not in json.dumps(full["agreement"])
    html = page([full])
    assert "Agreement of annotators" in html
    for harm in (*people[:2], labels[0], "<b>mine", people[3]):
        assert harm not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "a4" in curve_text([full])


def test_of_many_annotators_a_page_shows_the_first_and_says_how_many_more():
    votes = {f"t{n}": [(f"w{n % 50}", ("a",)), (f"w{(n + 1) % 50}", ("b" if n % 3 else "a",))] for n in range(100)}
    found = found_of(votes)
    found["annotators"] = [{**one, "quality": None} for one in found["annotators"]]
    full = a_report(agreement={**found, "left_out": 0, "tied": 0, "rule": "majority"})
    assert "and 30 more" in page([full])
    assert "and 30 more: alloop report --json has all" in curve_text([full])


def test_what_is_asked_again_because_it_is_in_doubt_does_not_lower_the_agreement(tmp_path):
    project = audited(tmp_path, [(f"text {n} about nothing", "", {}) for n in range(4)])
    first, *others = project.store.pool_ids()
    asked = [(one, "pick", 1, who, "animal") for one in (first, *others) for who in ("ann", "bob")]
    asked += [(first, "relabel", 2, "cat", "vehicle"), (first, "relabel", 2, "ann", "vehicle")]
    keys = {f"x:{one}:{ask}": (one, purpose) for one, purpose, ask, _, _ in asked}
    with project.store.transaction():
        tasks = [Task(key, one, "", purpose, 1, 1, True) for key, (one, purpose) in keys.items()]
        project.store.add_tasks(tasks, {key: key for key in keys})
        given = [
            Annotation(f"{one}:{ask}:{who}", "1", f"x:{one}:{ask}", one, who, "labelled", (label,), None, "2026-01-01")
            for one, _, ask, who, label in asked
        ]
        project.store.add_annotations("terminal", given)
    found = report(project)["agreement"]
    assert (found["texts"], found["answers"], found["tied"]) == (4, 8, 0)
    assert [(pair["agree"], pair["n"]) for pair in found["pairs"]] == [(1.0, 4)]
    assert [one["annotator"] for one in found["annotators"]] == ["a1", "a2"]


@pytest.mark.slow
def test_answers_beside_a_suggestion_are_left_out_and_counted(make_project):
    project = make_project(more=CREW.format("majority", 'suggest = "all"\n'))
    for _ in range(3):
        run_round(project)
    found = report(project)["agreement"]
    shown = [one for one in project.store.judged_picks() if one.is_shown]
    assert found["left_out"] == len(shown) > 0
    assert found["answers"] + found["left_out"] == len(project.store.spoken())


@pytest.mark.slow
def test_with_one_answer_a_text_there_is_no_agreement_to_report(make_project):
    project = make_project()
    run_round(project)
    run_round(project)
    assert report(project)["agreement"] is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "alpha" not in curve_text([report(project)])
