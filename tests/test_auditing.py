"""alloop audit: what is wrong with labels and texts, on projects small enough to know the answer by hand."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alloop import auditing
from alloop.auditing.confusions import differences
from alloop.auditing.material import material
from alloop.auditing.slices import _chosen, _measured
from alloop.auditing.strays import neighbour_distance
from alloop.auditing.suspects import suspects
from alloop.auditing.words import CHAPTERS
from alloop.ingest import text_id
from alloop.project import Project
from alloop.records import Annotation
from alloop.rounds import run_round
from tests.audited import OTHER, WRONG, audited, labelled, write
from tests.command import alloop, done
from tests.conftest import sentences

Make = Callable[..., Project]
SECTIONS = (
    "suspicious conflicts leakage confused_by_people confused_by_model slices suggestions outliers languages balance"
).split()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return partial(audited, tmp_path)


def found_in(project: Project, *words: str) -> dict[str, Any]:
    return dict(json.loads(done("audit", project.root, "--json", *words).out))


def test_labels_that_are_turned_round_are_suspicious_and_no_others_are(make: Make) -> None:
    found = found_in(make(labelled()))["suspicious"]
    assert (found["n"], found["of"]) == (3, 96)
    assert {item["text"] for item in found["items"]} == set(WRONG)
    truth = dict(sentences())
    for item in found["items"]:
        assert item["labels"] == [OTHER[truth[item["text"]]]]
        assert item["says"] == [truth[item["text"]]]
        assert item["probability"] > 0.8
        (source,) = item["sources"]
        assert source["file"].endswith("pool.csv")
        assert item["annotators"] == [source["file"]]
        row = list(dict(sentences())).index(item["text"]) + 1
        assert source["row"] == row
    suspicion = [item["suspicion"] for item in found["items"]]
    assert suspicion == sorted(suspicion, reverse=True)


@pytest.mark.slow
def test_a_tuner_can_judge_instead_and_its_folds_are_trained_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make(labelled())
    first = found_in(project, "--tuner", "tfidf")
    assert first["judged_by"] == {"tuner": "tfidf", "folds": 5}
    assert set(WRONG) <= {item["text"] for item in first["suspicious"]["items"]}
    monkeypatch.setattr("alloop.auditing.suspects.judge_fold", lambda *_: pytest.fail("trained again"))
    assert found_in(project, "--tuner", "tfidf")["suspicious"] == first["suspicious"]
    ran = alloop("audit", project.root, "--tuner", "loar")
    assert ran.code == 1
    assert "did you mean 'lora'?" in ran.err


def test_every_section_has_the_keys_of_the_contract_and_reading_writes_nothing_to_the_database(make: Make) -> None:
    project = make(labelled())
    before = list(project.store._connection.iterdump())
    with project.lock("another command"):
        found = found_in(project)
    assert list(project.store._connection.iterdump()) == before
    assert {"project", "kind", "label_names", "labels", "texts", "judged_by", "review"} <= set(found)
    for name in SECTIONS:
        assert {"n", "of", "items", "missing"} <= set(found[name]), name
    assert found["labels"] == 96
    assert found["review"] is None


@pytest.mark.parametrize(("contradicted", "is_weak"), [(3, False), (50, True)])
def test_a_judge_that_contradicts_most_labels_is_called_weak(contradicted: int, is_weak: bool) -> None:
    section = {"n": contradicted, "of": 96, "errors": 2}
    said = CHAPTERS[0].said(section, {"judged_by": {"tuner": "features", "folds": 5}}, str)
    assert ("it is the model that is weak" in said) == is_weak


def test_nearly_equal_texts_with_different_labels_are_pairs_and_those_with_equal_labels_are_not(make: Make) -> None:
    rows = [
        ("the parcel I ordered last week has not arrived yet", "animal", {}),
        ("The parcel I ordered  last week has not arrived yet", "vehicle", {}),
        ("the parcel I ordered last week has not arrived yet!", "vehicle", {}),
        ("something else entirely that nobody would mistake", "animal", {}),
    ]
    found = found_in(make(rows))["conflicts"]
    assert found["n"] == 2
    exact, near = found["items"]
    assert (exact["is_exact"], exact["resemblance"]) == (True, 1.0)
    assert {tuple(text["labels"]) for text in exact["texts"]} == {("animal",), ("vehicle",)}
    assert not near["is_exact"]
    assert 0.8 <= near["resemblance"] < 1


def test_a_test_text_that_is_nearly_in_the_pool_is_a_leak_and_labelled_ones_come_first(make: Make) -> None:
    rows = [
        ("an unlabelled message about the app that crashes at night", "", {}),
        ("a labelled message about the shop that closes too early", "animal", {}),
        ("a message of which there is nothing in the test", "vehicle", {}),
    ]
    test = [
        ("An unlabelled message about the app that crashes at  night", "animal"),
        ("a labelled message about the shop that closes too early.", "vehicle"),
        ("what the test alone has", "animal"),
    ]
    found = found_in(make(rows, test))["leakage"]
    assert [found[key] for key in ("n", "of", "test", "pool_texts", "labelled")] == [2, 3, 3, 2, 1]
    labelled_one, exact = found["items"]
    assert [text["text"] for text in labelled_one["texts"]] == [rows[1][0], test[1][0]]
    assert [text["labels"] for text in labelled_one["texts"]] == [["animal"], ["vehicle"]]
    assert (labelled_one["is_exact"], exact["is_exact"]) == (False, True)
    assert exact["texts"][0]["labels"] is None


def test_a_text_far_from_all_others_is_an_outlier(make: Make) -> None:
    odd = "Lorem ipsum dolor sit amet"
    found = found_in(make([*labelled(()), (odd, "animal", {})], vector={odd: (0, 0, -1)}))["outliers"]
    assert found["of"] == 97
    assert found["items"][0]["text"] == odd
    assert found["items"][0]["is_far"]
    assert found["items"][0]["distance"] > found["limit"] > found["usual"]
    assert found["n"] < 10


def test_the_distance_to_neighbours_is_the_mean_over_the_nearest() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)  # three others each: 10 neighbours are not there
    assert neighbour_distance(vectors).tolist() == pytest.approx([1.0, 1.0, 1.0, 5 / 3])


def test_texts_in_another_language_are_named(make: Make) -> None:
    german = "Ich möchte mein Konto so bald wie möglich wieder öffnen können, bitte"
    rows = [(f"I would like to see account number {n} as soon as possible, please", "", {}) for n in range(30)]
    found = found_in(make([*rows, (german, "animal", {})], test=[(f"{german} Danke.", "animal")]))["languages"]
    assert (found["at_home"], found["of"]) == (["en"], 32)
    assert [(one["text"], one["language"], one["is_test"]) for one in found["items"]] == [
        (f"{german} Danke.", "de", True),
        (german, "de", False),
    ] or [one["text"] for one in found["items"]] == [german, f"{german} Danke."]


def test_labels_are_counted_and_rare_and_unused_ones_are_marked(make: Make) -> None:
    rows = [(f"text number {n}", "animal", {}) for n in range(20)] + [("a lonely text", "vehicle", {})]
    found = found_in(make(rows, labels=["animal", "vehicle", "plant"]))["balance"]
    assert [(one["label"], one["texts"], one["is_unused"], one["is_rare"]) for one in found["items"]] == [
        ("plant", 0, True, False),
        ("vehicle", 1, False, True),
        ("animal", 20, False, False),
    ]
    assert (found["n"], found["ratio"]) == (2, 20.0)


def test_a_part_of_the_texts_where_the_model_fails_is_named_and_a_harmless_column_is_not(make: Make) -> None:
    rows = [(text, label, {"region": "ab"[n % 2], "source": "web"}) for n, (text, label) in enumerate(sentences())]
    wrong = [text for n, (text, _) in enumerate(sentences()) if n % 6 == 1][:14]  # all of region b
    noisy = [(text, OTHER[label] if text in wrong else label, about) for text, label, about in rows]
    found = found_in(make(noisy))["slices"]
    assert found["measured_on"] == "out of fold"
    assert found["tested"] == 2, "region a and b; the other column has one value"
    (weak,) = found["items"]
    assert (weak["column"], weak["value"], weak["n"]) == ("region", "b", 48)
    assert weak["difference"]["low"] <= weak["difference"]["value"] <= weak["difference"]["high"] < 0
    assert weak["accuracy"] < weak["rest"]
    assert {one["text"] for one in weak["examples"]} <= set(wrong)


def test_parts_are_named_at_a_false_discovery_rate() -> None:
    assert _chosen(np.array([0.5, 0.001, 0.04, 0.02])) == [1, 3]  # limits 0.0125 0.025 0.0375 0.05; 0.04 > 0.0375
    assert _chosen(np.array([0.5, 0.5])) == []
    rng = np.random.default_rng(0)
    alarms = [bool(_chosen(rng.random(20))) for _ in range(400)]
    assert np.mean(alarms) < 0.09, "with nothing to find, one audit in twenty raises an alarm"


def test_the_difference_of_a_part_has_newcombes_interval() -> None:
    part, rest = np.repeat([True, False], [56, 14]), np.repeat([True, False], [48, 32])
    gap = _measured(part, rest, 1.959964)["difference"]  # 56/70 - 48/80 = 0.2, 0.0524 to 0.3339 (Newcombe 1998)
    assert gap == {"value": 0.2, "low": 0.0524, "high": 0.3339}


def test_pairs_that_people_and_the_model_confuse_come_with_texts(make: Make, tmp_path: Path) -> None:
    project = make(labelled(WRONG[:1]))
    twice = tmp_path / "twice.csv"
    write(twice, ["text", "label"], [["the cow sleeps here", "vehicle"], ["the hen sleeps here", "animal"]])
    done("add", project.root, twice)
    found = found_in(project)
    people = found["confused_by_people"]
    assert (people["of"], people["texts"]) == (2, 1)
    (pair,) = people["items"]
    assert (pair["labels"], pair["n"], pair["of"]) == (["animal", "vehicle"], 1, 2)
    assert [one["text"] for one in pair["examples"]] == ["the cow sleeps here"]
    assert [one["labels"] for one in pair["examples"][0]["answers"]] == [["animal"], ["vehicle"]]
    (pair,) = found["confused_by_model"]["items"]
    assert pair["labels"] == ["animal", "vehicle"]
    assert WRONG[0] in [one["text"] for one in pair["examples"]]
    assert pair["examples"][0]["says"] == ["animal"]


def test_of_several_labels_those_stand_against_each_other_that_the_other_answer_lacks() -> None:
    assert differences(["a", "b"], ["a", "c"]) == {("b", "c")}
    assert differences(["a", "b"], ["a"]) == {("b", None)}
    assert differences([], ["c"]) == {("c", None)}
    assert differences(["a"], ["a"]) == set()


def test_several_labels_per_text_are_judged_label_by_label() -> None:
    y = np.tile(np.array([[1, 0, 1], [0, 1, 0]], float), (20, 1))
    probs = np.where(y > 0, 0.95, 0.05)
    probs[0] = [0.95, 0.05, 0.02]  # a label too many
    probs[1] = [0.05, 0.95, 0.99]  # and one too few
    found = suspects(y, probs, "multi")
    assert set(found.order[:2].tolist()) == {0, 1}
    assert np.flatnonzero(found.is_contradicted).tolist() == [0, 1]
    assert np.flatnonzero(found.is_error).tolist() == [0, 1]


def test_several_labels_per_text_are_audited_as_a_whole(make: Make) -> None:
    rows = [(text, f"{label}|loud" if "here" in text else label, {}) for text, label, _ in labelled(())]
    rows[5] = (rows[5][0], "loud", {})  # a goat
    found = found_in(make(rows, labels=["animal", "vehicle", "loud"], kind="multi"))
    assert found["kind"] == "multi"
    worst = found["suspicious"]["items"][0]
    assert (worst["text"], worst["labels"]) == (rows[5][0], ["loud"])
    assert "animal" in worst["says"]
    assert found["balance"]["without"] == 0
    assert {"labels", "n", "of", "examples"} <= set(found["confused_by_model"]["items"][0])


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "that takes 10 labelled texts, there are 0"),
        ([("a cat", "animal", {})], "there are 1"),
        ([("a cat", "animal", {}), ("a dog", "animal", {}), ("a bus", "vehicle", {})], "there are 3"),
        ([(f"the cat number {n}", "animal", {}) for n in range(12)], "all 12 have the same"),
    ],
    ids=["none", "one", "three", "one kind"],
)
def test_with_few_labels_it_says_what_is_missing_and_the_rest(
    make: Make, rows: list[tuple[str, str, dict[str, str]]], says: str
) -> None:
    project = make([*rows, ("a text without a label", "", {})])
    ran = done("audit", project.root)
    assert says in ran.out
    assert found_in(project)["suspicious"]["missing"]
    ran = alloop("audit", project.root, "--push")
    assert ran.code == 1
    assert says in ran.err


@pytest.mark.slow
def test_an_answer_against_the_models_suggestion_is_listed(make_project: Callable[..., Project]) -> None:
    project = make_project(batch=24, more="[options.simulated]\nerror_rate = 0.3\n")
    for _ in range(3):
        run_round(project)
    run_round(project, push=False)
    found = auditing.suggestions(auditing.material(project))
    assert found["n"] > 0
    for item in found["items"]:
        assert item["given"] != item["says"]
        assert item["round"] >= 2
        assert not item["is_shown"]


def test_where_no_label_was_ever_given_the_balance_says_so(make: Make) -> None:
    project = make([(f"text {n} about nothing much", "[]", {}) for n in range(12)], kind="multi")
    assert found_in(project)["balance"]["ratio"] is None
    said = " ".join(done("audit", project.root).out.split())
    assert "How often each label is given: nobody uses: animal, vehicle; 12 texts have none of the labels." in said


def test_the_labels_audited_are_those_that_models_learn_from(make: Make) -> None:
    project = make([(text, "", {}) for text, _ in sentences()])
    config = project.root / "alloop.toml"
    config.write_text(config.read_text().replace("[annotate]", "[annotate]\nconsensus = 'dawid-skene'"))
    project = Project.open(project.root)
    votes = []
    for at, (text, label) in enumerate(sentences()):
        turned = {"ann": False, "bob": False, "cat": bool(at & 1), "dan": bool(at & 2), "eve": bool(at & 4)}
        votes += [(text, who, OTHER[label] if is_wrong else label) for who, is_wrong in turned.items()]
    with project.store.transaction():
        project.store.add_annotations(
            "terminal",
            [
                Annotation(f"{text}#{who}", "1", None, text_id(text), who, "labelled", (said,), None, "2026-01-01")
                for text, who, said in votes
            ],
        )
    found = material(project).labels
    assert found == {text_id(text): (label,) for text, label in sentences()}, "also where three of five are wrong"
