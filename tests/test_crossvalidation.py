"""Cross-validation: the same folds for all, and no text judged by a model that has seen it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from alloop import crossvalidation
from alloop.crossvalidation import Split, run_fold, spec_of, together
from alloop.errors import ConfigError, DataError
from alloop.intake import create
from alloop.project import Project
from alloop.rounds import run_round
from tests.command import change
from tests.conftest import sentences

Make = Callable[..., Project]
TRUTH = dict(sentences())


@pytest.fixture
def project(make_project: Make) -> Project:
    """Two rounds: 24 labels."""
    made = make_project(batch=24)
    run_round(made)
    run_round(made, push=False)
    return made


@pytest.fixture
def of_labels(tmp_path: Path, write_csv: Callable[..., str]) -> Callable[..., Project]:
    """A project without any round, whose file says the labels of some texts."""

    def make(counts: dict[str, int], **settings: object) -> Project:
        names = sorted({name for key in counts for name in key.split("|") if name})
        names = names if len(names) > 1 else ["a", "b"]
        rows = [(f"{key} {n}", key) for key, count in counts.items() for n in range(count)]
        file = write_csv("some.csv", ["text", "label"], [*rows, ("nobody said anything of it", "")])
        made, _ = create(
            tmp_path / "project", data=[file], labels=names, batch=2, label="label", text=["text"], **settings
        )
        return made

    return make


def sizes(split: Split) -> list[int]:
    return [len(split.judged_in(fold)) for fold in range(split.folds)]


def test_each_label_is_spread_over_the_folds(of_labels: Callable[..., Project]) -> None:
    split = crossvalidation.split(of_labels({"a": 9, "b": 6, "c": 2}), 3)
    labels = [[split.resolved[row].labels[0] for row in split.judged_in(fold)] for fold in range(3)]
    assert [Counter(one)["a"] for one in labels] == [3, 3, 3]
    assert [Counter(one)["b"] for one in labels] == [2, 2, 2]
    assert sorted(sizes(split)) == [5, 6, 6]


def test_the_folds_depend_on_the_labels_and_the_seed_alone(project: Project) -> None:
    split = crossvalidation.split(project, 5)
    again = crossvalidation.split(Project.open(project.root), 5)
    assert (again.fold, again.fingerprint) == (split.fold, split.fingerprint)
    change(project.root / "alloop.toml", {"batch = 24": "batch = 24\nseed = 1"})
    other = crossvalidation.split(project, 5)
    assert other.fold != split.fold
    assert other.fingerprint != split.fingerprint


def test_no_model_is_judged_by_a_text_it_has_seen_or_trained_on_a_test_text(project: Project) -> None:
    split = crossvalidation.split(project, 3)
    test = {text.text for text in project.store.texts(project.store.test_ids())}
    for fold in range(3):
        learnt = {example.text for example in split.fit_job(fold).train}
        judged = {split.texts[row] for row in split.judged_in(fold)}
        assert not learnt & (judged | test)
        assert learnt | judged == set(split.texts)
    assert len(split.texts) == 24


def test_what_rounds_have_besides_is_named(project: Project) -> None:
    assert crossvalidation.split(project, 2).left_out == []
    more = '[augment]\nuse = ["swap-words"]\n[annotate]'
    change(project.root / "alloop.toml", {"[annotate]": more, 'tuner = "tfidf"': 'tuner = "tfidf"\nwarm_start = true'})
    assert crossvalidation.split(project, 2).left_out == ["variants", "a warm start"]


def test_labels_are_those_of_the_last_pull(project: Project) -> None:
    resolved = project.store.resolved(2, "pool")
    assert list(crossvalidation.split(project, 2).resolved) == resolved
    gone = resolved[0].text_id
    with project.lock("test"), project.store.transaction():
        project.store.remove_texts([gone])
    assert gone not in {one.text_id for one in crossvalidation.split(project, 2).resolved}


def test_without_a_round_labels_of_files_count(of_labels: Callable[..., Project]) -> None:
    split = crossvalidation.split(of_labels({"a": 3, "b": 4}), 3)
    assert sorted(one.labels for one in split.resolved) == [("a",)] * 3 + [("b",)] * 4


def test_true_labels_that_nobody_gave_are_not_used(make_project: Make) -> None:
    project = make_project()
    assert project.store.gold(list(project.store.pool_ids()))
    with pytest.raises(DataError, match="there are: none"):
        crossvalidation.split(project, 2)


def test_held_out_texts_with_a_label_take_no_part(of_labels: Callable[..., Project]) -> None:
    project = of_labels({"a": 8, "b": 8}, holdout=4)
    texts = set(crossvalidation.split(project, 2).texts)
    assert not texts & {text.text for text in project.store.texts(project.store.test_ids())}


def test_renamed_labels_keep_their_texts_and_removed_ones_lose_them(project: Project) -> None:
    change(project.root / "alloop.toml", {'["animal", "vehicle"]': '["beast", "vehicle"]\nrename = {animal = "beast"}'})
    split = crossvalidation.split(project, 3)
    assert {one.labels for one in split.resolved} == {("beast",), ("vehicle",)}
    change(project.root / "alloop.toml", {'rename = {animal = "beast"}': ""})
    with pytest.raises(DataError, match=r"there are: vehicle \d+$"):
        crossvalidation.split(project, 3)


@pytest.mark.parametrize(
    ("counts", "there", "hint"),
    [
        ({"a": 9, "b": 3}, "a 9, b 3", "--folds 3, or label more: alloop round "),
        ({"a": 9, "b": 1}, "a 9, b 1", "label more: alloop round "),
        ({"a": 9}, "a 9", "label more: alloop round "),
    ],
)
def test_too_few_labels_are_counted_in_the_message(
    of_labels: Callable[..., Project], counts: dict[str, int], there: str, hint: str
) -> None:
    if len(counts) == 1:
        counts = {**counts, "b": 0}
    with pytest.raises(DataError) as caught:
        crossvalidation.split(of_labels(counts), 4)
    assert caught.value.message == f"4 folds need 4 labelled texts or more of two labels at least; there are: {there}"
    assert (caught.value.hint or "").startswith(hint)


def test_another_kind_of_task_is_refused(project: Project) -> None:
    change(project.root / "alloop.toml", {"[task]": '[task]\nkind = "multi"'})
    with pytest.raises(ConfigError, match=r"task.kind is 'multi', the labels were given for 'single'"):
        crossvalidation.split(project, 2)


def test_a_text_of_several_labels_is_spread_by_its_rarest(of_labels: Callable[..., Project]) -> None:
    project = of_labels({"a": 6, "a|b": 2}, kind="multi")
    split = crossvalidation.split(project, 2)
    assert [sum("b" in split.resolved[row].labels for row in split.judged_in(fold)) for fold in range(2)] == [1, 1]
    assert split.headline == "f1_micro"
    assert split.y.sum(0).tolist() == [8, 2]


def test_a_fold_is_trained_and_judged_and_leaves_nothing_behind(project: Project) -> None:
    split = crossvalidation.split(project, 3)
    files = sorted(project.root.rglob("*"))
    results = [run_fold(project, split, spec_of(split.config, "tfidf"), fold, also=["more"]) for fold in range(3)]
    assert sorted(project.root.rglob("*")) == files
    decided, loss = together(split, results)
    right = sum(columns == [int(split.y[row].argmax())] for row, columns in enumerate(decided))
    assert split.estimate(decided)["value"] == pytest.approx(right / 24)
    assert right > 18
    assert loss == pytest.approx(
        sum(len(split.judged_in(fold)) * one["log_loss"] for fold, one in enumerate(results)) / 24
    )
    assert results[0]["predicted"] == len(split.judged_in(0)) + 1
    assert results[0]["measured"]["trainable_parameters"] > 1


@pytest.mark.slow
def test_a_process_of_its_own_says_the_same(project: Project) -> None:
    split = crossvalidation.split(project, 3)
    here = run_fold(project, split, spec_of(split.config, "tfidf"), 0)
    change(project.root / "alloop.toml", {"[annotate]": '[run]\nexecutor = "subprocess"\n[annotate]'})
    split = crossvalidation.split(project, 3)
    there = run_fold(project, split, spec_of(split.config, "tfidf"), 0)
    assert (there["decided"], there["log_loss"]) == (here["decided"], here["log_loss"])


def test_the_difference_of_equal_decisions_is_nothing_and_of_better_ones_is_above(project: Project) -> None:
    split = crossvalidation.split(project, 2)
    right = [[int(row.argmax())] for row in split.y]
    wrong = [[1 - column] for (column,) in right]
    assert split.difference(right, right) == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert split.difference(right, wrong) == {"value": 1.0, "low": 1.0, "high": 1.0}
    half = right[:12] + wrong[12:]
    found = split.difference(right, half)
    assert found["value"] == 0.5
    assert 0.2 < (found["low"] or 0) < 0.4 < 0.6 < (found["high"] or 0) < 0.8
