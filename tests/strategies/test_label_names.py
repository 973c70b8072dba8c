from collections import Counter

import numpy as np
import pytest

from alloop.errors import ModelError
from alloop.rounds import run_round
from alloop.strategies import Labelled, Pool, strategies
from alloop.strategies.label_names import zero_shot
from alloop.work import load_predictions

NAMES = np.eye(3, 4, dtype=np.float32)


def pool(embeddings, labelled=(), kind="single", names=NAMES) -> Pool:
    ids = [f"t1-{row:03}" for row in range(len(embeddings))]
    seen = Labelled([f"t1-l{row}" for row in range(len(labelled))], np.eye(3, dtype=np.float32)[list(labelled)])
    x = np.asarray(embeddings, np.float32)
    return Pool(ids, ids, kind, embeddings=x, labelled=seen, label_embeddings=names)


def near(label, n, seed=0) -> np.ndarray:
    """Embeddings of n texts that are most like the name of a label."""
    return NAMES[label] + np.random.default_rng(seed).random((n, 4)) / 10


def pick(given, n):
    return strategies.build("label-names")(given, n, np.random.default_rng(0))


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_every_label_gets_its_texts_however_rare_they_are(kind):
    x = np.concatenate([near(0, 200), near(1, 20), near(2, 10)])
    label = np.repeat([0, 1, 2], [200, 20, 10])
    picks = pick(pool(x, kind=kind), 6)
    assert Counter(label[picks.index].tolist()) == {0: 2, 1: 2, 2: 2}
    assert set(label[picks.index[:3]].tolist()) == {0, 1, 2}


def test_labels_that_were_given_count():
    x = np.concatenate([near(0, 20), near(1, 20), near(2, 20)])
    assert (pick(pool(x, labelled=[0, 0, 0, 1]), 5).index // 20).tolist().count(2) == 3


def test_within_a_label_the_picks_are_spread():
    x = np.concatenate([near(0, 5), np.tile([1, 0, 0, 0.9], (5, 1)) + near(0, 5) / 100, near(1, 3), near(2, 3)])
    assert {row // 5 for row in pick(pool(x), 6).index if row < 10} == {0, 1}


def test_the_likeness_to_a_name_is_a_probability_and_lengths_do_not_matter():
    probs = zero_shot(pool([[5, 0, 0, 0], [0, 0.1, 0, 0], [0, 0, 1, 0]]))
    assert probs.argmax(1).tolist() == [0, 1, 2]
    assert probs.sum(1) == pytest.approx([1, 1, 1])
    assert probs.max(1) == pytest.approx([probs[0, 0]] * 3)


def test_a_name_that_is_near_to_all_texts_is_not_the_likeliest_of_all():
    x = [[9, 1, 0, 0], [9, 2, 0, 0], [9, 0, 1, 0], [9, 0, 2, 0], [9, 0, 0, 0]]
    assert zero_shot(pool(x)).argmax(1)[[1, 3, 4]].tolist() == [1, 2, 0]


def test_a_pool_without_names_is_refused():
    with pytest.raises(ModelError, match="labels' names"):
        pick(pool(near(0, 3), names=None), 1)


@pytest.mark.slow
def test_a_project_starts_with_texts_of_each_label_by_its_description_and_goes_on(make_project):
    described = """labels = [{ name = "animal", description = "the cat sleeps, the dog sleeps" },
        { name = "vehicle", description = "the car stops, the bus stops" }]"""
    project = make_project(strategy="label-names", cold_start="label-names", labels=described)
    run_round(project)
    run_round(project)
    first = [pick for pick in project.store.picks(1) if pick.strategy == "label-names"]
    texts = [one.text for one in project.store.texts([pick.text_id for pick in first])]
    assert abs(sum("sleeps" in text for text in texts) - len(texts) / 2) <= 0.5
    (directory,) = project.root.glob("rounds/0002/score-*")
    assert np.shape(load_predictions(directory / "labels").embeddings)[0] == 2
    assert {pick.strategy for pick in project.store.picks(2)} == {"label-names", "random"}
