from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.intake import create
from alloop.rounds import run_round
from alloop.strategies import Labelled, Picks, Pool, strategies
from alloop.strategies._batches import make_batch
from tests.conftest import project_toml, sentences

IDS = ["a", "b", "c", "d"]


def drawn(mode, beta, times=4000, n=1, doubt=(0.1, 0.2, 0.3, 0.4)) -> Counter:
    """How often each of four texts, of these scores, is among the n drawn."""
    p = np.array(doubt)
    pool, rng = Pool(IDS, IDS, probs=np.stack([p, 1 - p], 1)), np.random.default_rng(0)
    strategy = strategies.build("least-confidence")
    return Counter(
        IDS[row] for _ in range(times) for row in make_batch(strategy, pool, n, rng, mode=mode, beta=beta).index
    )


@pytest.mark.parametrize(
    ("mode", "beta", "chance"),
    [
        ("power", 1.0, [0.1, 0.2, 0.3, 0.4]),
        ("power", 2.0, np.array([1, 4, 9, 16]) / 30),
        ("softmax", 5.0, np.exp([0.5, 1, 1.5, 2]) / np.exp([0.5, 1, 1.5, 2]).sum()),
        ("soft-rank", 1.0, np.array([1 / 4, 1 / 3, 1 / 2, 1]) / (25 / 12)),
        ("power", 0.0, [0.25] * 4),
    ],
)
def test_texts_are_drawn_as_often_as_the_paper_says(mode, beta, chance):
    found = drawn(mode, beta)
    assert [found[one] / 4000 for one in IDS] == pytest.approx(chance, abs=0.03)


def test_a_text_without_a_score_is_drawn_last():
    found = drawn("power", 1.0, times=50, n=3, doubt=(0, 0.001, 0.3, 0.4))
    assert found == {"b": 50, "c": 50, "d": 50}


@pytest.mark.parametrize("mode", ["power", "softmax", "soft-rank"])
def test_a_drawn_batch_holds_different_texts_with_their_own_scores(mode):
    p = np.random.default_rng(0).random(30) / 2
    pool = Pool([str(row) for row in range(30)], ["x"] * 30, probs=np.stack([p, 1 - p], 1))
    picks = make_batch(strategies.build("least-confidence"), pool, 12, np.random.default_rng(1), mode=mode)
    assert len(set(picks.index.tolist())) == 12
    assert picks.score == pytest.approx(p[picks.index])
    again = make_batch(strategies.build("least-confidence"), pool, 12, np.random.default_rng(1), mode=mode)
    assert again.index.tolist() == picks.index.tolist()


def test_the_top_is_what_the_strategy_picks():
    assert drawn("top", 1.0, times=5, n=2) == {"c": 5, "d": 5}


def test_a_strategy_that_picks_a_batch_as_a_whole_is_refused(make_project):
    with pytest.raises(ConfigError, match="'badge' picks a batch as a whole"):
        make_project(strategy="badge", batch_mode="power")


@dataclass(frozen=True)
class InOrder:
    """The first texts of the pool first, which remembers how many were asked for."""

    asked: list[int] = field(default_factory=list)
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        self.asked.append(n)
        return Picks(np.arange(n), -np.array([float(one) for one in pool.ids[:n]]))


def batch(texts, n, strategy=None, labels=None, seen=(0, 0, 0), kind="single", **rules) -> list[int]:
    """The rows of a batch, of texts with these most likely labels of three and so many labelled texts of each."""
    probs = None if labels is None else np.eye(3, dtype=np.float32)[list(labels)] * 0.4 + 0.2
    y = np.repeat(np.eye(3, dtype=np.float32), seen, axis=0)
    ids = [str(row) for row in range(len(texts))]
    labelled = Labelled([f"l{row}" for row in range(len(y))], y)
    pool = Pool(ids, texts, kind, probs=probs, labelled=labelled)
    picks = make_batch(strategy or InOrder(), pool, n, np.random.default_rng(0), **rules)
    assert picks.score.tolist() == [-row for row in picks.index]
    return picks.index.tolist()


WORDS = ["a cat sleeps", "some dogs bark", "one horse runs", "the old cow eats", "two hens fly", "that goat stands"]


def test_a_balanced_batch_has_as_many_texts_of_each_predicted_label_the_best_of_each():
    assert sorted(batch(WORDS, 3, labels=[0, 0, 0, 0, 2, 1], balance=True)) == [0, 4, 5]


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_rare_labels_come_first_and_get_more(kind):
    found = batch(WORDS, 4, labels=[0, 1, 2, 2, 2, 2], seen=(4, 3, 0), kind=kind, balance=True)
    assert found == [2, 3, 4, 1] or found == [2, 3, 4, 5]  # of three labels with three each any may be next


def test_labels_take_turns_so_that_half_a_batch_is_even_too():
    found = batch(WORDS, 6, labels=[0, 0, 1, 1, 2, 2], balance=True)
    assert {row // 2 for row in found[:3]} == {row // 2 for row in found[3:]} == {0, 1, 2}


def test_a_label_that_has_no_texts_left_leaves_its_turns_to_the_others():
    assert sorted(batch(WORDS, 5, labels=[0, 0, 0, 0, 2, 1], seen=(9, 0, 0), balance=True)) == [0, 1, 2, 4, 5]


def test_each_label_is_asked_of_its_own_texts_so_that_a_rare_one_is_always_found():
    strategy = InOrder()
    labels = [0] * 500 + [1, 2]
    assert {500, 501} <= set(batch([f"text {row}" for row in range(502)], 3, strategy, labels, balance=True))
    assert strategy.asked == [1, 1, 1]


NEARLY = "we regret that order number 4711 did not reach you in time and send another one today"
LIKE_IT = NEARLY.replace("4711", "4712")
OTHER = "the app crashes when i open the settings"


def test_a_pick_that_is_like_one_before_it_is_skipped_for_the_next():
    strategy = InOrder()
    assert batch([NEARLY, LIKE_IT, OTHER, "a cat"], 2, strategy, unlike=[]) == [0, 2]
    assert strategy.asked == [2, 4]


def test_a_pick_that_is_like_a_text_asked_before_is_skipped():
    assert batch([NEARLY, OTHER, "a cat"], 2, unlike=[LIKE_IT]) == [1, 2]


def test_a_batch_without_near_duplicates_is_what_the_strategy_was_asked_for_once():
    strategy = InOrder()
    assert batch(WORDS, 4, strategy, unlike=["a duck swims"]) == [0, 1, 2, 3]
    assert strategy.asked == [4]


def test_case_and_spaces_make_no_difference_and_other_words_do():
    assert batch(["A  cat\nSLEEPS", "a cat wakes"], 1, unlike=["a cat sleeps"]) == [1]
    assert batch(["ok", "OK ", "no"], 2, unlike=[]) == [0, 2]


def test_one_word_of_a_short_text_makes_another_text():
    assert batch(["i do like this", "i do not like this"], 1, unlike=["i do like that"]) == [0]
    assert batch(["i do not like this", "a cat"], 1, unlike=["i do like this"]) == [0]


def test_near_duplicates_fill_a_batch_for_which_there_is_nothing_else():
    assert batch([NEARLY, LIKE_IT, NEARLY, OTHER], 3, unlike=[]) == [0, 3, 1]
    assert batch(["", "", ""], 3, unlike=[""]) == [0, 1, 2]


def test_how_many_picks_are_looked_at_is_bounded():
    strategy = InOrder()
    assert batch([NEARLY] * 100 + [OTHER], 2, strategy, unlike=[]) == [0, 1]
    assert strategy.asked == [2, 8, 32, 1]


def test_a_near_duplicate_is_replaced_within_its_label_and_by_another_label_where_it_has_no_other():
    texts = [NEARLY, LIKE_IT, OTHER, "some dogs bark", "one horse runs"]
    assert sorted(batch(texts, 4, labels=[0, 0, 0, 1, 1], balance=True, unlike=[])) == [0, 2, 3, 4]
    texts = [NEARLY, LIKE_IT, "some dogs bark", "one horse runs"]
    assert sorted(batch(texts, 3, labels=[0, 0, 1, 1], seen=(0, 9, 9), balance=True, unlike=[])) == [0, 2, 3]


def test_a_balanced_batch_needs_the_probabilities_and_says_so():
    with pytest.raises(ModelError, match="no probabilities"):
        batch(WORDS, 2, balance=True)


def test_an_even_batch_of_random_texts_is_refused(make_project):
    with pytest.raises(ConfigError, match=r"round\.balance = true evens out") as caught:
        make_project(strategy="random", rules="balance = true")
    assert caught.value.hint == 'set round.balance = false, or round.strategy = "margin"'


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["margin", "kmeans", "badge"])
def test_rounds_balance_with_any_strategy(make_project, strategy):
    project = make_project(strategy=strategy, rules="balance = true")
    run_round(project)
    run_round(project)
    chosen = [pick.predicted for pick in project.store.picks(2) if pick.strategy == strategy]
    animals = sum(said["animal"] > 0.5 for said in chosen)
    before = Counter(label for one in project.store.resolved(2, "pool") for label in one.labels)
    assert animals + before["animal"] == pytest.approx((len(chosen) + 8) / 2, abs=1)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["margin", "coreset"])
def test_a_project_asks_about_one_of_many_near_duplicates(write_csv, tmp_path, strategy):
    rows = [
        (f"{said} {n:02}", label) for n in range(20) for said, label in ((NEARLY, "animal"), (OTHER * 3, "vehicle"))
    ]
    rows += [row for row in sentences() if "here" in row[0]]
    config = tmp_path / "alloop.toml"
    config.write_text(project_toml(strategy=strategy, batch=4, rules="random_share = 0.0"))
    project, _ = create(tmp_path / "project", source=config, data=[write_csv("pool.csv", ["text", "label"], rows)])
    for _ in range(3):
        run_round(project)
    asked = project.store.texts([pick.text_id for n in (1, 2, 3) for pick in project.store.picks(n)])
    assert len(asked) == 12
    assert sum(len(one.text) > 50 for one in asked) <= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "rule", "counts"),
    [("margin", "skip", [1, 8 + 1]), ("margin", "pick", [None, None])],
)
def test_picks_are_unlike_what_was_asked_and_drawn(make_project, monkeypatch, strategy, rule, counts):
    given = []

    def noted(*arguments, unlike, **options):
        given.append(unlike)
        return make_batch(*arguments, unlike=unlike, **options)

    monkeypatch.setattr("alloop.steps.select.make_batch", noted)
    rules = f'random_share = 0.125\nnear_duplicates = "{rule}"'  # one of eight is drawn at random
    project = make_project(strategy=strategy, rules=rules)
    run_round(project)
    run_round(project)
    assert [unlike and len(unlike) for unlike in given] == counts
    if counts[1]:
        drawn = [pick.text_id for pick in project.store.picks(2) if pick.strategy == "random"]
        assert {one.text for one in project.store.texts(drawn)} <= set(given[1])


@pytest.mark.slow
def test_a_round_draws_its_batch_once_there_is_a_model(make_project):
    project = make_project(batch_mode="power")
    run_round(project)
    run_round(project)
    assert {pick.strategy for pick in project.store.picks(1)} <= {"kmeans", "random"}
    scores = [pick.score for pick in project.store.picks(2) if pick.strategy == "margin"]
    assert len(scores) >= 7
    assert sorted(scores, reverse=True) != scores


def test_picks_drawn_at_random_stay_as_they_are():
    texts = ["the parcel is late again today"] * 20
    ids = [f"t1-{row:02}" for row in range(20)]
    drawn = make_batch(strategies.build("random"), Pool(ids, texts), 5, np.random.default_rng(3), unlike=texts)
    expected = strategies.build("random")(Pool(ids, texts), 5, np.random.default_rng(3))
    np.testing.assert_array_equal(drawn.index, expected.index)
    assert drawn.at_random


def test_what_a_strategy_says_of_its_picks_is_kept_and_not_what_it_says_of_parts():
    @dataclass(frozen=True)
    class Chatty:
        needs = ("probs",)

        def __call__(self, pool, n, rng):
            return Picks(np.arange(n), np.zeros(n), note=f"out of {len(pool)}")

    texts = [f"text number {row} is of its own {'abcdefghij'[row] * 9}" for row in range(10)]
    pool = Pool(texts, texts, probs=np.tile([[0.9, 0.1], [0.1, 0.9]], (5, 1)).astype(np.float32))
    assert make_batch(Chatty(), pool, 4, np.random.default_rng(0), unlike=[]).note == "out of 10"
    assert make_batch(Chatty(), pool, 4, np.random.default_rng(0)).note == "out of 10"
    assert make_batch(Chatty(), pool, 4, np.random.default_rng(0), balance=True).note == ""
