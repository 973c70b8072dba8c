"""alloop.load and alloop.TextClassifier: what scikit-learn, cleanlab and modAL expect of a classifier of texts."""

import copy
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from modAL import uncertainty
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.utils import estimator_checks

from alloop import TextClassifier, load
from alloop.errors import AlloopError, DataError, ModelError
from alloop.project import Project
from tests.command import done
from tests.conftest import sentences
from tests.tuning.conftest import tiny_bases  # noqa: F401

TEXTS, LABELS = (list(column) for column in zip(*sentences(), strict=True))
SETS = [
    [name for name in ("animal", "here") if name == label or text.endswith(f" {name}")] for text, label in sentences()
]


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def classifier() -> TextClassifier:
    return TextClassifier("tfidf", options={"strength": 30.0})


@pytest.mark.parametrize(
    "form", [list, np.array, lambda x: np.array(x, object), pd.Series], ids=["list", "array", "objects", "series"]
)
def test_texts_and_labels_come_in_any_of_the_usual_forms(classifier: TextClassifier, form: Callable) -> None:
    classifier.fit(form(TEXTS), form(LABELS))
    assert classifier.classes_.tolist() == ["animal", "vehicle"]
    assert classifier.predict(form(["the goat sleeps", "a bus stops"])).tolist() == ["animal", "vehicle"]
    assert classifier.predict_proba(form(["the goat"])).sum() == pytest.approx(1)
    assert classifier.score(form(TEXTS), form(LABELS)) == 1


def test_labels_may_be_numbers(classifier: TextClassifier) -> None:
    y = np.array([10 if label == "animal" else 9 for label in LABELS])
    classifier.fit(TEXTS, y)
    assert classifier.classes_.tolist() == [9, 10], "sorted as numbers, not as words"
    assert np.array_equal(classifier.predict(TEXTS), y)


def test_scikit_learn_takes_it_as_one_of_its_own(classifier: TextClassifier) -> None:
    assert is_classifier(classifier)
    assert cross_val_score(classifier, TEXTS, LABELS, cv=3).mean() > 0.9
    probs = cross_val_predict(classifier, np.array(TEXTS), LABELS, cv=3, method="predict_proba")
    assert probs.shape == (96, 2)
    search = GridSearchCV(
        classifier, {"options": [{"strength": 1e-6}, {"strength": 30.0}]}, scoring="neg_log_loss", cv=2
    )
    assert search.fit(pd.Series(TEXTS), LABELS).best_params_ == {"options": {"strength": 30.0}}


@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_get_params_invariance",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_scikit_learns_own_checks_pass_where_they_do_not_train_on_numbers(check: str) -> None:
    getattr(estimator_checks, check)("TextClassifier", TextClassifier("tfidf"))


def test_a_clone_has_the_parameters_and_nothing_learnt(classifier: TextClassifier) -> None:
    again = clone(classifier.fit(TEXTS, LABELS).set_params(seed=3))
    assert again.get_params() == {**classifier.get_params(), "options": {"strength": 30.0}, "seed": 3}
    with pytest.raises(NotFittedError):
        again.predict(["a"])


def test_fitting_again_forgets_what_was_learnt_before() -> None:
    classifier = TextClassifier("tfidf")
    first = classifier.fit(TEXTS, LABELS).model_
    classifier.fit(TEXTS, ["here" if "here" in text else "elsewhere" for text in TEXTS])
    assert classifier.predict(["a cow, here"]).tolist() == ["here"]
    assert not first.exists()
    last = classifier.model_
    del classifier
    assert not last.exists()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copy", "pickle"])
def test_a_copy_lives_on_without_the_original(copied: Callable) -> None:
    classifier = TextClassifier("tfidf").fit(TEXTS, LABELS)
    expected, again = classifier.predict_proba(TEXTS), copied(classifier)
    del classifier
    assert np.array_equal(again.predict_proba(TEXTS), expected)


def test_several_labels_a_text_give_rows_of_ones_and_zeros() -> None:
    classifier = TextClassifier("tfidf", kind="multi", options={"strength": 100.0}).fit(TEXTS, SETS)
    assert classifier.classes_.tolist() == ["animal", "here"]
    y = np.array([[name in row for name in ("animal", "here")] for row in SETS], int)
    assert f1_score(y, classifier.predict(TEXTS), average="micro") > 0.9
    by_columns = clone(classifier).fit(TEXTS, y)
    assert by_columns.classes_.tolist() == [0, 1]
    assert np.array_equal(by_columns.predict_proba(TEXTS), classifier.predict_proba(TEXTS))
    assert cross_val_score(by_columns, TEXTS, y, cv=2, scoring="f1_micro").shape == (2,)


@pytest.mark.parametrize(
    ("texts", "labels", "says"),
    [
        ("the cat", ["animal"], "one text where several are expected"),
        (["the cat", None], ["animal", "vehicle"], "row 1 is no text but None"),
        (pd.DataFrame({"text": ["a"]}), ["animal"], "texts in 2 dimensions"),
        (["the cat"], ["animal", "vehicle"], "1 texts and 2 labels"),
        (["the cat", "a bus"], ["animal", "animal"], "all 2 texts have the same label"),
        (["the cat", "a bus"], ["animal", None], "a text has no label"),
        (["the cat", "a bus"], [["animal"], ["vehicle"]], "several, and kind is 'single'"),
    ],
)
def test_texts_and_labels_that_do_not_go_together_are_named(
    classifier: TextClassifier, texts: object, labels: object, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        classifier.fit(texts, labels)


@pytest.mark.parametrize("labels", [["animal", "vehicle"], np.array([[0, 2], [1, 1]])])
def test_labels_that_are_no_collections_are_refused_where_a_text_has_several(labels: object) -> None:
    with pytest.raises(DataError):
        TextClassifier("tfidf", kind="multi").fit(["the cat", "a bus"], labels)


def test_an_unknown_tuner_or_option_is_named_when_it_is_used() -> None:
    with pytest.raises(AlloopError, match="there is no tuner named 'tf'"):
        TextClassifier("tf").fit(TEXTS, LABELS)
    with pytest.raises(AlloopError, match="has no option 'force'"):
        TextClassifier("tfidf", options={"force": 1}).fit(TEXTS, LABELS)


def test_modal_asks_it_which_texts_are_unsure(classifier: TextClassifier) -> None:
    classifier.fit(TEXTS, LABELS)
    texts = np.array(["the cat sleeps here", "the bus stops here", "here", "the dog sleeps in town"])
    for query in (uncertainty.uncertainty_sampling, uncertainty.entropy_sampling, uncertainty.margin_sampling):
        assert np.asarray(query(classifier, texts)[0]).ravel()[0] == 2, query.__name__


def test_cleanlab_finds_labels_that_are_wrong(classifier: TextClassifier) -> None:
    pytest.importorskip("cleanlab")
    from cleanlab.classification import CleanLearning
    from cleanlab.filter import find_label_issues

    y = np.array([int(label == "vehicle") for label in LABELS])
    y[[5, 40]] = 1 - y[[5, 40]]
    probs = cross_val_predict(classifier, TEXTS, y, cv=4, method="predict_proba")
    assert set(np.flatnonzero(find_label_issues(y, probs, n_jobs=1))) == {5, 40}
    cleaned = CleanLearning(classifier, seed=0, cv_n_folds=4, find_label_issues_kwargs={"n_jobs": 1})
    issues = cleaned.fit(np.array(TEXTS), y).get_label_issues()
    assert set(np.flatnonzero(issues["is_label_issue"])) == {5, 40}
    assert cleaned.predict(np.array(["the cow sleeps", "the plane stops"])).tolist() == [0, 1]


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    made = make_project("p", labels='labels = ["vehicle", {name = "animal", description = "it breathes"}]')
    with open("p/alloop.toml", "a") as config:
        config.write("[options.tfidf]\nstrength = 7.0\n")
    done("run", "p", "--rounds", 3)
    return made


def test_a_project_its_rounds_and_what_it_exports_load_in_one_line(project: Project) -> None:
    done("export", "p", "--model", "model")
    rounds = sorted(Path("p/rounds").glob("*/train-*"))
    newest = load("p")
    said = newest.predict_proba(["the goat sleeps", "a bus"])
    assert newest.classes_.tolist() == ["animal", "vehicle"], "sorted, as scikit-learn's metrics expect"
    assert said.argmax(1).tolist() == [0, 1]
    for directory in (rounds[-1], "model", "model/alloop", Path("model").absolute()):
        found = load(directory)
        assert np.array_equal(found.predict_proba(["the goat sleeps", "a bus"]), said)
        assert found.get_params() == newest.get_params()
        assert found.options == {"strength": 7.0}
        assert found.descriptions == {"animal": "it breathes"}
    assert not np.array_equal(load(rounds[0]).predict_proba(["the goat sleeps", "a bus"]), said)


def test_a_model_without_its_project_still_loads(project: Project) -> None:
    shutil.copytree(sorted(Path("p/rounds").glob("*/train-*"))[-1], "alone")
    assert np.array_equal(load("alone").predict_proba(["a goat"]), load("p").predict_proba(["a goat"]))


def test_what_was_loaded_can_be_trained_anew(project: Project) -> None:
    loaded = load("p")
    before = loaded.model_
    assert (
        loaded.fit(TEXTS, ["here" if "here" in text else "elsewhere" for text in TEXTS]).predict(["a cow, here"])
        == "here"
    )
    assert before.exists()
    assert cross_val_score(load("p"), TEXTS, LABELS, cv=2).mean() > 0.9


def test_a_directory_without_a_model_is_named(make_project: Callable[..., Project]) -> None:
    with pytest.raises(ModelError, match="nowhere is neither a model nor a project"):
        load("nowhere")
    make_project("p")
    with pytest.raises(ModelError, match="p has no model yet"):
        load("p")


@pytest.mark.slow
def test_with_a_base_it_trains_and_travels_too(tiny_bases: dict[str, Path]) -> None:  # noqa: F811
    classifier = TextClassifier("lora", base=str(tiny_bases["bert"]), max_tokens=16, options={"steps": 2, "rank": 2})
    classifier.fit(TEXTS, LABELS)
    again = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(again.predict_proba(TEXTS), classifier.predict_proba(TEXTS))
    assert load(classifier.model_).get_params()["options"] == {"alpha": 32.0, "rank": 2}
