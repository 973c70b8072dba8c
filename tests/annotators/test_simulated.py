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


def by_annotator(desk):
    return {(one.task_key, one.annotator): one.labels for one in Simulated().pull("", desk).annotations}


def test_second_opinions_and_reviews_come_from_annotators_who_have_not_answered(desk, make_task):
    desk = know(desk, annotators_per_text=2)
    annotator = Simulated(annotators=6)
    asked = [(1, "pick"), (2, "relabel"), (3, "review")]
    annotator.push([make_task(n, ask=ask, purpose=purpose) for n in range(20) for ask, purpose in asked], desk)
    for n in range(20):
        who = [name for key, name in by_annotator(desk) if key.startswith(f"p1:t1-{n}:")]
        assert len(who) == len(set(who)) == 6


def test_whoever_is_asked_for_their_own_second_opinion_says_the_same(desk, make_task):
    desk = know(desk)
    tasks = [make_task(n, ask=ask, purpose="relabel" if ask > 1 else "pick") for n in range(30) for ask in (1, 2)]
    Simulated(error_rate=0.5).push(tasks, desk)
    said = by_annotator(desk)
    assert all(said[f"p1:t1-{n}:1", "a1"] == said[f"p1:t1-{n}:2", "a1"] for n in range(30))


def test_a_hidden_repeat_goes_to_the_same_annotator_who_errs_anew(desk, make_task):
    desk = know(desk)
    tasks = [make_task(n, ask=ask, purpose="repeat" if ask > 1 else "pick") for n in range(300) for ask in (1, 2)]
    Simulated(annotators=3, error_rate=0.3).push(tasks, desk)
    said = by_annotator(desk)
    who = {key.rpartition(":")[0]: name for key, name in said if key.endswith(":1")}
    assert all((f"{text}:2", name) in said for text, name in who.items())
    same = sum(said[f"{text}:1", name] == said[f"{text}:2", name] for text, name in who.items())
    assert 0.45 < same / 300 < 0.65  # 0.7 * 0.7 + 0.3 * 0.3 / 2


def test_each_annotator_may_err_as_often_as_their_rate_says(desk, make_task):
    desk = know(desk)
    annotators.build("simulated", annotators=3, error_rate=[0, 0.2, 1.0]).push([make_task(n) for n in range(600)], desk)
    wrong = {
        name: [labels != ("billing",) for (_, who), labels in by_annotator(desk).items() if who == name]
        for name in ("a1", "a2", "a3")
    }
    rates = {name: sum(one) / len(one) for name, one in wrong.items()}
    assert (rates["a1"], rates["a3"]) == (0, 1)
    assert 0.1 < rates["a2"] < 0.3


def test_as_many_rates_as_annotators_are_needed():
    with pytest.raises(ConfigError, match="error_rate has 2 rates, there are 3 annotators"):
        annotators.build("simulated", annotators=3, error_rate=[0.1, 0.2])
    with pytest.raises(ConfigError, match=r"error_rate = 1\.2 must be between 0 and 1"):
        annotators.build("simulated", annotators=2, error_rate=[0.1, 1.2])


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
