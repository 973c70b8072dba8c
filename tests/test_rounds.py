"""Tests of alloop.rounds and alloop.steps: what a round does, and what it promises."""

import csv
import json
import multiprocessing
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alloop.errors import ConfigError, LockedError, WaitingError
from alloop.figures import curve_text
from alloop.intake import add
from alloop.project import Project
from alloop.reports import report
from alloop.rounds import Outcome, abandon_round, run_round
from alloop.work import load_predictions

MakeProject = Callable[..., Project]
HOLDOUT = "[evaluate]\nholdout = 6\n"

pytestmark = pytest.mark.slow


def rounds(project: Project, n: int, **options: int) -> list[Outcome]:
    return [run_round(project, **options) for _ in range(n)]  # type: ignore[arg-type]


def edit(project: Project, old: str, new: str) -> None:
    path = project.root / "alloop.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    project.__dict__.pop("config", None)


def fill_in(project: Project, number: int, label: Callable[[str], str]) -> None:
    """What a person does with the file of a round."""
    path = project.root / "inbox" / f"round-{number:04}.csv"
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = label(row["text"])
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def query(project: Project, sql: str) -> list[dict[str, Any]]:
    """What anyone may ask of alloop.db."""
    connection = sqlite3.connect(project.root / "alloop.db")
    connection.row_factory = sqlite3.Row
    return [dict(row) for row in connection.execute(sql)]


def kind_of(text: str) -> str:
    return "animal" if "sleeps" in text else "vehicle"


def test_labels_grow_batch_by_batch_and_the_curve_rises(make_project: MakeProject) -> None:
    project = make_project()
    done = rounds(project, 4)
    accuracy = [m.value for m in project.store.metrics("test") if m.name == "accuracy"]
    assert [(one.number, one.labels, one.pushed) for one in done] == [(1, 0, 8), (2, 8, 8), (3, 16, 8), (4, 24, 8)]
    assert len(accuracy) == 3
    assert accuracy[-1] > 0.9


def test_no_more_labels_are_asked_for_than_the_budget(make_project: MakeProject) -> None:
    project = make_project()
    done = rounds(project, 4, until_labels=20)
    assert [(one.labels, one.pushed) for one in done] == [(0, 8), (8, 8), (16, 4), (20, 0)]


def test_no_text_is_asked_twice_and_the_pool_runs_dry(make_project: MakeProject) -> None:
    project = make_project(batch=40)
    done = rounds(project, 3)
    assert [(one.labels, one.pushed) for one in done] == [(0, 40), (40, 32), (72, 0)]
    assert len(project.store.asked_ids()) == 72


def test_a_batch_larger_than_the_pool_is_refused(make_project: MakeProject) -> None:
    project = make_project()
    edit(project, "batch = 8", "batch = 80")
    with pytest.raises(ConfigError, match=r"round\.batch is 80, the pool has 72 texts"):
        run_round(project)


def test_random_texts_carry_their_probability_and_fractions_carry_over(make_project: MakeProject) -> None:
    project = make_project(batch=5, more="[run]\nkeep = 1\n")
    edit(project, "batch = 5", "batch = 5\nrandom_share = 0.3")
    rounds(project, 3)
    drawn = [[p.probability for p in project.store.picks(n) if p.probability is not None] for n in (1, 2, 3)]
    assert [len(one) for one in drawn] == [1, 2, 1]
    assert drawn[1] == [2 / 67, 2 / 67]


def test_the_audit_judges_a_random_text_by_a_model_that_had_not_seen_it(make_project: MakeProject) -> None:
    project = make_project(batch=10)
    rounds(project, 4)
    audit = {m.round: m.n for m in project.store.metrics("audit") if m.name == "accuracy"}
    # rounds 2 and 3 draw one text each with a model; the draw of round 1 had none to be judged by
    assert audit == {3: 1, 4: 2}
    (drawn,) = [pick for pick in project.store.picks(3) if pick.probability is not None]
    trained = [json.loads(line) for row in (2, 3) for line in _examples(project, row)]
    assert drawn.predicted is not None
    assert project.store.texts([drawn.text_id])[0].text not in trained


def _examples(project: Project, number: int) -> list[str]:
    return [
        json.dumps(text.text)
        for text in project.store.texts([one.text_id for one in project.store.resolved(number, "pool")])
    ]


def test_a_round_waits_and_keeps_what_was_answered(make_project: MakeProject) -> None:
    project = make_project(annotate="file")
    run_round(project)
    fill_in(project, 1, lambda text: kind_of(text) if "cat" in text or "bus" in text else "")
    with pytest.raises(WaitingError, match="of 8 tasks are answered"):
        run_round(project)
    kept = len(project.store.answers())
    fill_in(project, 1, kind_of)
    assert run_round(project).labels == 8
    assert kept < 8


def test_now_goes_on_with_what_is_there(make_project: MakeProject) -> None:
    project = make_project(annotate="file")
    run_round(project)
    texts = iter(["animal", "vehicle", "?"] + [""] * 5)
    fill_in(project, 1, lambda text: next(texts))
    assert run_round(project, go_on=True).labels == 2


def test_a_skipped_text_is_not_asked_again(make_project: MakeProject) -> None:
    project = make_project(annotate="file")
    run_round(project)
    fill_in(project, 1, lambda text: "?")
    assert run_round(project).labels == 0
    assert not {p.text_id for p in project.store.picks(1)} & {p.text_id for p in project.store.picks(2)}


def test_low_water_starts_a_round_while_tasks_are_open(make_project: MakeProject) -> None:
    project = make_project(annotate="file")
    run_round(project)
    answers = iter(["animal", "vehicle", "animal", "vehicle", "animal", "", "", ""])
    fill_in(project, 1, lambda text: next(answers))
    with pytest.raises(WaitingError):
        run_round(project, low_water=3)
    assert run_round(project, low_water=4).labels == 5


def test_an_edited_config_takes_effect_in_the_next_round(make_project: MakeProject) -> None:
    project = make_project()
    rounds(project, 2)
    edit(project, 'strategy = "margin"', 'strategy = "entropy"')
    run_round(project)
    strategies = [{p.strategy for p in project.store.picks(n)} - {"random"} for n in (1, 2, 3)]
    assert strategies == [{"kmeans"}, {"margin"}, {"entropy"}]


def test_a_round_that_only_waited_takes_the_config_as_it_is_now(make_project: MakeProject) -> None:
    project = make_project(annotate="file")
    run_round(project)
    with pytest.raises(WaitingError):
        run_round(project)
    edit(project, 'strategy = "margin"', 'strategy = "entropy"')
    fill_in(project, 1, kind_of)
    run_round(project)
    assert {p.strategy for p in project.store.picks(2)} - {"random"} == {"entropy"}


def test_an_abandoned_round_keeps_its_labels(make_project: MakeProject) -> None:
    project = make_project(annotate="file")
    run_round(project)
    answers = iter(["animal", "vehicle", "animal", "vehicle", "animal", "", "", ""])
    fill_in(project, 1, lambda text: next(answers))
    with pytest.raises(WaitingError):
        run_round(project)
    assert abandon_round(project) == 2
    outcome = run_round(project, go_on=True)
    assert (outcome.number, outcome.labels) == (3, 5)


def test_a_holdout_is_asked_first_blind_and_never_picked(make_project: MakeProject, tmp_path: Path) -> None:
    rows = [("the cat sleeps here", "animal"), ("the bus stops here", "vehicle")]
    rows += [(f"the {i} cat sleeps", "animal") for i in range(20)] + [
        (f"the {i} bus stops", "vehicle") for i in range(20)
    ]
    project = _holdout_project(tmp_path, rows)
    test_ids = set(project.store.test_ids())
    rounds(project, 3)
    tasks = query(project, "SELECT * FROM tasks ORDER BY round, rank")
    first = [task for task in tasks if task["round"] == 1]
    assert {task["text_id"] for task in first[:6]} == test_ids
    assert all(task["blind"] for task in first[:6])
    assert not test_ids & {p.text_id for n in (1, 2, 3) for p in project.store.picks(n)}
    assert {m.n for m in project.store.metrics("test") if m.name == "accuracy"} == {6}


def _holdout_project(tmp_path: Path, rows: list[tuple[str, str]]) -> Project:
    from alloop.intake import create
    from tests.conftest import project_toml

    (tmp_path / "config.toml").write_text(project_toml(more=HOLDOUT))
    with open(tmp_path / "all.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return create(tmp_path / "held", source=tmp_path / "config.toml", data=[str(tmp_path / "all.csv")])[0]


def test_a_new_label_asks_the_test_texts_again(tmp_path: Path) -> None:
    rows = [(f"the {i} cat sleeps", "animal") for i in range(20)] + [
        (f"the {i} bus stops", "vehicle") for i in range(20)
    ]
    project = _holdout_project(tmp_path, rows)
    rounds(project, 2)
    edit(project, 'labels = ["animal", "vehicle"]', 'labels = ["animal", "vehicle", "plant"]')
    run_round(project)
    asked = list(query(project, "SELECT round, count(*) AS n FROM tasks WHERE purpose = 'test' GROUP BY round"))
    assert asked == [{"round": 1, "n": 6}, {"round": 3, "n": 6}]


def test_more_texts_join_the_pool_and_leave_the_test_alone(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project()
    run_round(project)
    (tmp_path / "more.csv").write_text("text,label\nthe cat sleeps on Mars,animal\nthe bus stops on Mars,vehicle\n")
    assert add(project, str(tmp_path / "more.csv")).new == 2
    assert project.store.counts() == {"pool": 74, "test": 24}


def test_variants_are_trained_on_and_never_asked_about(make_project: MakeProject) -> None:
    project = make_project(more='[augment]\nuse = ["swap-words"]\nper_text = 2\ngate = "off"\n')
    rounds(project, 3)
    results = project.store.step_results(3)
    assert results["augment"]["variants"] > 0
    assert results["train"]["variants"] > 0
    assert results["train"]["labels"] == 16
    assert project.store.counts() == {"pool": 72, "test": 24}


def test_variants_do_not_depend_on_the_order_of_the_texts(make_project: MakeProject) -> None:
    found = []
    for name, batch in (("one", 8), ("two", 24)):
        more = '[augment]\nuse = ["swap-words"]\ngate = "off"\n'
        project = make_project(name, batch=batch, strategy="random", more=more)
        rounds(project, 2)
        found.append({r["parent_id"]: r["text"] for r in query(project, "SELECT parent_id, text FROM variants")})
    shared = found[0].keys() & found[1].keys()
    assert shared
    assert all(found[0][one] == found[1][one] for one in shared)


@pytest.mark.parametrize("executor", ["inline", "subprocess"])
def test_every_executor_gives_the_same_model(executor: str, make_project: MakeProject) -> None:
    project = make_project(more=f'[run]\nexecutor = "{executor}"\n')
    rounds(project, 2)
    accuracy = [m.value for m in project.store.metrics("test") if m.name == "accuracy"]
    assert accuracy == [pytest.approx(accuracy[0])]
    assert list(query(project, "SELECT value FROM metrics WHERE name = 'log_loss'"))


def test_only_candidates_are_scored_and_the_probability_stays_that_of_the_pool(make_project: MakeProject) -> None:
    project = make_project(batch=10)
    edit(project, "batch = 10", "batch = 10\ncandidates = 30")
    rounds(project, 2)
    assert project.store.step_results(2)["score"]["scored"] == 30
    assert [p.probability for p in project.store.picks(2) if p.probability is not None] == [1 / 62]


def test_a_strategy_that_asks_is_given_what_the_model_says_of_the_labelled_texts(make_project: MakeProject) -> None:
    project = make_project(strategy="coreset", cold_start="coreset")
    rounds(project, 2)
    first, second = (next(project.root.glob(f"rounds/{n:04}/score-*")) for n in (1, 2))
    assert not (first / "labelled").exists()
    labelled = load_predictions(second / "labelled")
    assert np.shape(labelled.embeddings)[0] == 8
    assert labelled.probs is None
    asked = {pick.text_id for pick in project.store.picks(1)}
    assert set((second / "labelled" / "ids.txt").read_text().split()) == asked
    assert {pick.strategy for n in (1, 2) for pick in project.store.picks(n)} == {"coreset", "random"}


def test_the_probabilities_of_the_labelled_texts_come_with_their_labels(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alloop.strategies import Picks, Pool
    from alloop.strategies.coreset import Coreset

    seen: list[Pool] = []

    def first(self: Coreset, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        seen.append(pool)
        return Picks(np.arange(n), np.zeros(n))

    monkeypatch.setattr(Coreset, "needs", ("embeddings", "labelled.embeddings", "labelled.probs"))
    monkeypatch.setattr(Coreset, "__call__", first)
    rounds(make_project(strategy="coreset"), 2)
    labelled = seen[0].labelled
    assert labelled is not None
    assert labelled.probs is not None
    assert np.shape(labelled.embeddings)[0] == len(labelled.ids) == 8
    assert (labelled.probs.argmax(1) == labelled.y.argmax(1)).mean() >= 0.75  # the model was trained on them


@pytest.mark.parametrize("name", ["typiclust", "probcover", "herding", "dropquery"])
def test_a_strategy_on_embeddings_alone_starts_cold_and_goes_on(name: str, make_project: MakeProject) -> None:
    project = make_project(strategy=name, cold_start=name)
    rounds(project, 3)
    assert {len(project.store.picks(n)) for n in (1, 2, 3)} == {8}


@pytest.mark.parametrize("name", ["badge", "cluster-margin", "falcun"])
def test_a_strategy_on_probabilities_picks_in_the_loop_and_is_no_cold_start(
    name: str, make_project: MakeProject
) -> None:
    project = make_project(strategy=name)
    rounds(project, 2)
    assert {pick.strategy for pick in project.store.picks(2)} >= {name}
    with pytest.raises(ConfigError, match=f"'{name}' cannot pick before there is a model"):
        make_project("cold", cold_start=name)


def test_a_strategy_that_does_not_ask_has_no_labelled_texts_predicted(make_project: MakeProject) -> None:
    project = make_project()
    rounds(project, 2)
    assert not list(project.root.glob("rounds/*/score-*/labelled"))


def test_a_damaged_model_is_made_again(make_project: MakeProject) -> None:
    from alloop.predicting import last_model, predict

    project = make_project()
    rounds(project, 2)
    _, model = last_model(project)
    before = [answer.probabilities for answer in predict(project, ["the cat sleeps here"])]
    shutil.rmtree(model)
    assert [answer.probabilities for answer in predict(project, ["the cat sleeps here"])] == before
    (model / "manifest.json").write_text("{")
    assert [answer.probabilities for answer in predict(project, ["the cat sleeps here"])] == before


def test_old_pool_predictions_are_deleted_and_test_predictions_kept(make_project: MakeProject) -> None:
    project = make_project(more="[run]\nkeep = 1\n")
    rounds(project, 4)
    assert [path.parent.name for path in sorted(project.root.glob("rounds/*/score-*"))] == ["0004"]
    kept = [path.parent.name for path in sorted(project.root.glob("rounds/*/evaluate-*"))]
    assert kept == ["0002", "0003", "0004"]
    assert load_predictions(next(project.root.glob("rounds/0002/evaluate-*")) / "test").probs is not None


def test_several_labels_go_through_the_whole_loop(tmp_path: Path) -> None:
    from alloop.intake import create

    rows = [(f"{i} cats and {i} buses", "animal|vehicle") for i in range(12)] + [
        (f"{i} cats", "animal") for i in range(12)
    ]
    rows += [(f"{i} buses", "vehicle") for i in range(12)] + [(f"{i} of nothing", "") for i in range(12)]
    with open(tmp_path / "all.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "labels"), *rows])
    (tmp_path / "config.toml").write_text(
        '[task]\nkind = "multi"\nlabels = ["animal", "vehicle"]\n[data]\nempty_is_none = true\n'
        '[model]\ntuner = "tfidf"\n'
        '[round]\nstrategy = "entropy"\nbatch = 10\n[evaluate]\nholdout = 8\n[annotate]\nwith = "simulated"\n'
    )
    project, _ = create(tmp_path / "multi", source=tmp_path / "config.toml", data=[str(tmp_path / "all.csv")])
    rounds(project, 3)
    names = {m.name for m in project.store.metrics("test")}
    assert {"subset_accuracy", "hamming_loss", "f1_macro", "f1[animal]"} <= names
    assert np.array(project.store.step_results(3)["evaluate"]["confusion"]).shape == (2, 4)


def test_a_disagreement_is_settled_by_the_majority(make_project: MakeProject) -> None:
    more = "annotators_per_text = 3\n[options.simulated]\nannotators = 3\nerror_rate = 0.2\n"
    project = make_project(more=more)
    rounds(project, 2)
    resolved = project.store.resolved(2, "pool")
    assert {one.votes for one in resolved} == {3}
    assert {round(one.confidence, 2) for one in resolved} <= {0.67, 1.0}


def _hold(root: Path, held: "multiprocessing.synchronize.Event", release: "multiprocessing.synchronize.Event") -> None:
    with Project.open(root).lock("alloop round"):
        held.set()
        release.wait(30)


def test_a_second_round_beside_a_running_one_says_who_holds_the_project(make_project: MakeProject) -> None:
    project = make_project()
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(project.root, held, release))
    other.start()
    held.wait(30)
    with pytest.raises(LockedError, match=rf"process {other.pid} holds .* since 20.* \(alloop round\)"):
        run_round(project)
    other.kill()
    other.join()
    assert run_round(project).number == 1  # the kernel let go of the killed one's lock


def test_text_in_the_annotators_hands_is_only_what_was_picked(make_project: MakeProject) -> None:
    project = make_project(annotate="file")
    run_round(project)
    with open(project.root / "inbox" / "round-0001.csv", encoding="utf-8-sig", newline="") as file:
        shown = {row["text"] for row in csv.DictReader(file)}
    picked = {text.text for text in project.store.texts([p.text_id for p in project.store.picks(1)])}
    assert shown == picked


def test_held_out_texts_that_came_with_labels_are_not_asked_about(tmp_path: Path) -> None:
    from alloop.intake import create
    from tests.conftest import project_toml

    (tmp_path / "config.toml").write_text(project_toml(annotate="file", more=HOLDOUT))
    rows = [(f"the {i} cat sleeps", "animal" if i % 2 else "") for i in range(30)]
    with open(tmp_path / "all.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    project, _ = create(tmp_path / "held", source=tmp_path / "config.toml", data=[str(tmp_path / "all.csv")])
    run_round(project)
    known = {one.text_id for one in project.store.resolved(1, "test")}
    asked = {task["text_id"] for task in query(project, "SELECT text_id FROM tasks WHERE purpose = 'test'")}
    assert known
    assert asked == set(project.store.test_ids()) - known


def test_the_answer_to_the_last_question_counts(tmp_path: Path) -> None:
    rows = [(f"the {i} cat sleeps", "") for i in range(30)]
    from alloop.intake import create
    from tests.conftest import project_toml

    (tmp_path / "config.toml").write_text(project_toml(annotate="file", more=HOLDOUT))
    with open(tmp_path / "all.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    project, _ = create(tmp_path / "held", source=tmp_path / "config.toml", data=[str(tmp_path / "all.csv")])
    run_round(project)
    fill_in(project, 1, lambda text: "animal")
    run_round(project)
    edit(project, 'labels = ["animal", "vehicle"]', 'labels = ["animal", "vehicle", "plant"]')
    fill_in(project, 2, lambda text: "animal")
    run_round(project)
    fill_in(project, 3, lambda text: "plant")
    run_round(project)
    assert {one.labels for one in project.store.resolved(4, "test")} == {("plant",)}


def test_a_renamed_label_keeps_its_predictions_and_asks_nothing_again(tmp_path: Path) -> None:
    rows = [(f"the {i} cat sleeps", "animal") for i in range(20)]
    rows += [(f"the {i} bus stops", "vehicle") for i in range(20)]
    project = _holdout_project(tmp_path, rows)
    rounds(project, 2)
    before = [m.value for m in project.store.metrics("test") if m.round == 2 and m.name == "accuracy"]
    edit(project, 'labels = ["animal", "vehicle"]', 'labels = ["beast", "vehicle"]\nrename = { animal = "beast" }')
    run_round(project)
    asked = query(project, "SELECT round, count(*) AS n FROM tasks WHERE purpose = 'test' GROUP BY round")
    assert asked == [{"round": 1, "n": 6}]
    assert [m.value for m in project.store.metrics("test") if m.round == 2 and m.name == "accuracy"] == before


def test_a_draw_that_was_never_asked_about_is_no_audit(make_project: MakeProject) -> None:
    project = make_project(batch=10)
    rounds(project, 2)
    with project.store.transaction():
        project.store._sql("DELETE FROM tasks WHERE round = 2")
    run_round(project)
    assert project.store.random_predictions(3) == {}


def test_open_questions_count_against_the_budget(make_project: MakeProject) -> None:
    project = make_project(annotate="file")
    run_round(project, until_labels=10)
    answers = iter(["animal", "vehicle", "animal", "vehicle", "animal", "", "", ""])
    fill_in(project, 1, lambda text: next(answers))
    assert run_round(project, go_on=True, until_labels=10).pushed == 2


def test_the_kind_of_task_cannot_change_under_the_labels(make_project: MakeProject) -> None:
    project = make_project()
    run_round(project)
    edit(project, "[task]", '[task]\nkind = "multi"')
    with pytest.raises(ConfigError, match="the labels so far were given for 'single'"):
        run_round(project)


def test_lowering_the_number_of_variants_takes_effect(make_project: MakeProject) -> None:
    project = make_project(more='[augment]\nuse = ["swap-words"]\nper_text = 3\ngate = "off"\n')
    rounds(project, 2)
    edit(project, "per_text = 3", "per_text = 1")
    run_round(project)
    assert project.store.step_results(3)["train"]["variants"] <= 16


def test_auto_is_told_who_asked_about_a_text_and_what_the_bare_base_says_of_it(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alloop.strategies import Picks, Pool
    from alloop.strategies.auto import Auto

    seen: list[Pool] = []
    really = Auto.__call__

    def watched(self: Auto, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        seen.append(pool)
        return really(self, pool, n, rng)

    monkeypatch.setattr(Auto, "__call__", watched)
    project = make_project(strategy="auto", batch=10)
    rounds(project, 3)
    labelled = seen[-1].labelled
    assert labelled is not None
    assert np.shape(labelled.frozen)[0] == len(labelled.ids) == 20
    picks = {pick.text_id: (n, pick.probability is not None) for n in (1, 2) for pick in project.store.picks(n)}
    assert [(n, bool(is_random)) for n, is_random in zip(labelled.asked_in, labelled.at_random, strict=True)] == [
        picks[one] for one in labelled.ids
    ]
    assert {n for n, _ in picks.values()} == {1, 2}
    assert project.store.step_results(3)["select"]["note"].startswith("spread over the ")


def test_what_auto_draws_at_random_is_labelled_blind_and_judges_the_model(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alloop.strategies.auto import Auto

    monkeypatch.setattr(Auto, "_teaches_nothing", lambda *_: True)
    monkeypatch.setattr(Auto, "_loss", lambda *_: "at random")
    project = make_project(strategy="auto", batch=10)
    rounds(project, 3)
    assert {pick.probability for pick in project.store.picks(2) if pick.strategy == "auto"} == {9 / 61}
    asked = "SELECT purpose, blind, count(*) AS n FROM tasks WHERE round = 2 GROUP BY purpose, blind"
    assert query(project, asked) == [{"purpose": "random", "blind": 1, "n": 10}]
    assert project.store.round(3).summary["labels_audit"] == 10


def test_the_calibration_error_without_temperature_is_measured_and_outlives_the_predictions(
    make_project: MakeProject,
) -> None:
    project = make_project(batch=30, more='[run]\nkeep = "metrics"\n[options.tfidf]\ncalibrate = "folds"\n')
    rounds(project, 3)
    before, after = report(project)["points"]
    assert before["temperature"] == 1, "30 labels are too few to say"
    assert "ece_uncalibrated" not in before["metrics"]
    assert after["temperature"] != 1
    assert after["metrics"]["ece_uncalibrated"]["n"] == after["metrics"]["ece"]["n"] == 24
    assert after["metrics"]["ece_uncalibrated"]["value"] != after["metrics"]["ece"]["value"]
    told = f"before temperature {after['temperature']:.2f}"
    assert told in " ".join(curve_text([report(project)]).split())
