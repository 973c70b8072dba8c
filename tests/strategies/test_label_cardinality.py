import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.strategies import Labelled, Pool, strategies


def pool(probs, y, kind="multi"):
    ids, known = [f"t1-{row}" for row in range(len(probs))], [f"t1-l{row}" for row in range(len(y))]
    labelled = Labelled(known, np.asarray(y).reshape(len(y), len(probs[0])))
    return Pool(ids, ids, kind, probs=np.asarray(probs), labelled=labelled)


def test_the_score_is_the_difference_from_the_usual_number_of_labels():
    some = pool([[0.9, 0.9, 0.9], [0.1, 0.1, 0.1], [0.5, 0.9, 0.1]], [[1, 1, 0], [1, 0, 0]])
    picks = strategies.build("label-cardinality")(some, 3, np.random.default_rng(0))
    assert set(picks.index[:2].tolist()) == {0, 1}
    assert picks.score == pytest.approx([1.5, 1.5, 0.5])


def test_a_task_of_one_label_per_text_is_refused_with_a_strategy_to_take():
    with pytest.raises(ConfigError, match="several labels per text") as caught:
        strategies.build("label-cardinality")(pool([[0.5, 0.5]], [[1, 0]], "single"), 1, np.random.default_rng(0))
    assert "margin" in caught.value.hint


def test_without_labels_nothing_is_usual():
    with pytest.raises(ModelError, match="no labelled texts"):
        strategies.build("label-cardinality")(pool([[0.5, 0.5]], []), 1, np.random.default_rng(0))


def test_a_config_that_names_it_for_a_task_of_one_label_is_refused_before_any_round(make_project):
    with pytest.raises(ConfigError, match="several labels per text"):
        make_project(strategy="label-cardinality")
