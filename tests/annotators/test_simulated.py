import dataclasses

import pytest

from alloop.annotators import annotators
from alloop.annotators.simulated import Simulated
from alloop.errors import ConfigError, DataError


def know(desk, **more):
    return dataclasses.replace(desk, gold=lambda ids: dict.fromkeys(ids, ("billing",)), **more)


def answers(annotator, desk):
    found = annotator.pull("", desk).annotations
    return {one.remote_id.split(":", 1)[1]: (one.state, one.labels) for one in found}


def test_it_answers_with_the_true_labels_and_says_how_long_it_took(desk, make_task):
    desk = know(desk)
    assert Simulated(seconds_per_text=4).push([make_task(1)], desk) == {"p1:t1-1:1": "p1:t1-1:1"}
    (one,) = Simulated().pull("", desk).annotations
    assert (one.remote_id, one.annotator, one.state, one.labels) == ("p1:t1-1:1#a1", "a1", "labelled", ("billing",))
    assert (one.seconds, one.task_key) == (4, "p1:t1-1:1")


def test_pushing_again_after_a_kill_answers_each_task_once(desk, make_task):
    desk, tasks = know(desk), [make_task(n) for n in range(5)]
    annotator = Simulated(error_rate=0.5)
    annotator.push(tasks, desk)
    path = desk.inbox / "simulated.jsonl"
    whole = answers(annotator, desk)
    path.write_bytes(path.read_bytes()[:-300])  # killed while it wrote
    annotator.push(tasks, desk)
    assert answers(annotator, desk) == whole
    assert len(annotator.pull("", desk).annotations) == 5


def test_answers_do_not_depend_on_order_nor_on_the_project(desk, make_task, tmp_path):
    tasks = [make_task(n) for n in range(40)]
    other = [dataclasses.replace(task, key=task.key.replace("p1", "p2")) for task in reversed(tasks)]
    here, there = know(desk), know(desk, inbox=tmp_path / "other")
    annotator = Simulated(error_rate=0.4, skip_rate=0.2)
    annotator.push(tasks, here)
    annotator.push(other, there)
    assert answers(annotator, here) == answers(annotator, there)
    assert len({state for state, _ in answers(annotator, here).values()}) == 2


def test_the_error_rate_is_the_share_of_wrong_answers(desk, make_task):
    tasks = [make_task(n) for n in range(1000)]
    for kind in ("single", "multi"):
        at = know(desk, kind=kind, inbox=desk.inbox / kind)
        annotator = Simulated(error_rate=0.2)
        annotator.push(tasks, at)
        said = [labels for _, labels in answers(annotator, at).values()]
        assert 160 < sum(labels != ("billing",) for labels in said) < 240
        assert kind == "multi" or all(len(labels) == 1 for labels in said)


def test_as_many_annotators_answer_as_are_asked_for(desk, make_task):
    desk = know(desk, annotators_per_text=2)
    Simulated(annotators=3).push([make_task(n) for n in range(30)], desk)
    found = Simulated().pull("", desk).annotations
    assert len(found) == len({one.remote_id for one in found}) == 60
    assert {one.annotator for one in found} == {"a1", "a2", "a3"}


def test_a_text_without_a_true_label_is_named_and_nothing_is_answered(desk, make_task):
    known = dataclasses.replace(desk, gold=lambda ids: {"t1-1": ("billing",)})
    for at in (known, desk):
        with pytest.raises(DataError, match="t1-") as caught:
            Simulated().push([make_task(1), make_task(2)], at)
        assert "--label-column" in caught.value.hint
    assert Simulated().pull("", desk).annotations == []


def test_a_rate_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="error_rate"):
        annotators.build("simulated", error_rate=1.5)
