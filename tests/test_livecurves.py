"""Curves of two small projects that are measured on the same test texts."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from alloop import metrics
from alloop.figures import curve_text
from alloop.livecurves import _fraction, side_by_side
from alloop.pages import page
from alloop.plots import script
from alloop.project import Project
from alloop.reports import report
from alloop.rounds import run_round
from tests.command import done
from tests.test_figures import made_up

Make = Callable[..., Project]


def labelled(project: Project, labels: int) -> Project:
    while run_round(project, until_labels=labels).pushed:
        pass
    return project


def says(*projects: Project, targets: tuple[float, ...] = ()) -> list[Any]:
    return side_by_side(projects, [report(one) for one in projects], targets)


@pytest.fixture
def margin(make_project: Make) -> Project:
    return labelled(make_project("margin"), 32)


@pytest.mark.slow
def test_a_projects_area_has_an_interval_over_its_test_texts(margin: Project) -> None:
    points = report(margin)["points"]
    found = says(margin, targets=(0.05, 2.0))[0]
    x, y = [point["labels_paid"] for point in points], [point["metrics"]["accuracy"]["value"] for point in points]
    assert (found["labels"], found["metric"]) == ([8, 32], "accuracy")
    assert found["area"]["value"] == pytest.approx(np.trapezoid(y, x) / 24)
    assert found["area"]["low"] < found["area"]["value"] < found["area"]["high"]
    assert [one["labels"] for one in found["targets"]] == [8, None]
    assert found["against_first"] is None
    assert json.loads(json.dumps(found)) == found


@pytest.mark.slow
def test_the_same_test_texts_pair_two_projects(margin: Project, make_project: Make) -> None:
    rival = labelled(make_project("rival", strategy="random", cold_start="random"), 24)
    one, other = says(margin, rival)
    assert one["labels"] == other["labels"] == [8, 24]
    duel = other["against_first"]
    assert (duel["project"], duel["is_paired"]) == ("margin", True)
    assert duel["value"] == pytest.approx(other["area"]["value"] - one["area"]["value"])
    itself = says(margin, margin)[1]["against_first"]  # every resample draws the same texts for both
    assert (itself["value"], itself["low"], itself["high"], itself["is_paired"]) == (0, 0, 0, True)


@pytest.mark.slow
def test_other_test_texts_are_not_paired_and_other_labels_not_compared(margin: Project, make_project: Make) -> None:
    rival = labelled(make_project("rival"), 24)
    with rival.store.transaction():
        rival.store.remove_texts(rival.store.test_ids()[:4])
    labelled(rival, 32)
    duel = says(margin, rival)[1]["against_first"]
    assert duel["is_paired"] is False
    assert duel["low"] < duel["value"] < duel["high"]
    renamed = {**report(rival), "label_names": ["cat", "dog"]}
    assert side_by_side([margin, rival], [report(margin), renamed])[1]["against_first"] is None  # type: ignore[index]


@pytest.mark.slow
def test_without_the_predictions_there_is_an_area_and_no_interval(margin: Project) -> None:
    whole = says(margin)[0]
    shutil.rmtree(next((margin.root / "rounds").glob("0002/evaluate-*")))
    found = says(margin, targets=(0.05,))[0]
    assert found["area"] == {"value": whole["area"]["value"], "low": None, "high": None}
    assert (found["has_intervals"], found["targets"][0]["low"]) == (False, None)


@pytest.mark.slow
def test_a_curve_that_rests_on_random_texts_has_no_interval(margin: Project) -> None:
    audited = {**report(margin), "measured_on": "audit"}
    found = side_by_side([margin], [audited])[0]
    assert found is not None
    assert found["area"]["low"] is None


@pytest.mark.slow
def test_curves_without_common_labels_have_no_area(margin: Project, make_project: Make) -> None:
    late, fresh = report(margin), make_project("fresh")
    for point in late["points"]:
        point["labels_paid"] += 100
    first, second, third = side_by_side([margin, margin, fresh], [report(margin), late, report(fresh)], (0.05,))
    assert first is not None
    assert second is not None
    assert (first["labels"], first["area"], second["area"], second["against_first"]) == (None, None, None, None)
    assert second["targets"][0]["labels"] == 108
    assert third is None


@pytest.mark.slow
def test_the_command_says_it_in_text_json_and_html(margin: Project, make_project: Make) -> None:
    rival = labelled(make_project("rival", strategy="random"), 24)
    path = margin.root.parent / "page.html"
    words = ("report", margin.root, rival.root, "--target", 0.5, "--target", 0.6)
    found = json.loads(done(*words, "--json", "--html", path).out)
    assert [len(one["efficiency"]["targets"]) for one in found] == [2, 2]
    assert found[1]["efficiency"]["against_first"]["project"] == "margin"
    text = done(*words).out
    assert "Area: mean height of the curve from 8 to 24 labels paid for." in text
    assert "against margin" in text
    assert "accuracy 0.6" in text
    html = path.read_text(encoding="utf-8").replace(script(), "")
    assert "<bdi>against margin</bdi>" in html
    assert "<bdi>labels to 0.6</bdi>" in html


@pytest.mark.parametrize(("kind", "name"), [("single", "accuracy"), ("multi", "f1_micro")])
def test_the_headline_is_a_fraction_of_sums_over_texts(kind: Any, name: str) -> None:
    rng = np.random.default_rng(0)
    probs = rng.random((40, 3))
    y = np.eye(3)[rng.integers(0, 3, 40)] if kind == "single" else (rng.random((40, 3)) < 0.4).astype(float)
    top, bottom = _fraction(y, metrics.decide(probs, kind), kind)
    values = {one.name: one.value for one in metrics.evaluate(y, probs, kind, ["a", "b", "c"], rng)}
    assert top.sum() / bottom.sum() == pytest.approx(values[name])


def with_efficiency(project: str, against: str | None, is_paired: bool = True, **more: Any) -> Any:
    duel = {"project": against, "value": -0.0123, "low": -0.03, "high": 0.005, "is_paired": is_paired}
    efficiency = {
        "metric": "accuracy",
        "labels": [25, 75],
        "area": {"value": 0.7, "low": 0.65, "high": 0.75},
        "targets": [
            {"target": 0.7, "labels": 50.0, "low": 30.0, "high": None},
            {"target": 0.99, "labels": None, "low": None, "high": None},
        ],
        "has_intervals": True,
        "against_first": duel if against else None,
    }
    report = made_up(project, efficiency={**efficiency, **more})
    for point in report["points"]:
        point |= {"tuner": "lora", "audit": {}, "seconds_annotating": 0.0}
    return report


def test_the_text_says_how_projects_differ_and_what_intervals_leave_out() -> None:
    name = "a project whose name is longer than most of them are"
    reports = [with_efficiency("pets", None), with_efficiency(name, "pets", is_paired=False)]
    text = curve_text(reports)
    said = " ".join(text.split())  # the table folds its last column
    assert "what other test texts would change; another run could differ by more." in said
    assert "-0.012 (-0.030 to +0.005), on other texts" in said
    assert "pets accuracy 0.7 50 (30 to over 75)" in said
    assert "pets accuracy 0.99 over 75" in said
    assert max(len(line) for line in text.splitlines()) <= 80
    html = page(reports)
    assert "<td>-0.012 (-0.030 to +0.005), on other texts</td>" in html
    assert "<td>over 75</td>" in html


def test_without_common_labels_or_intervals_the_text_says_so() -> None:
    bare = {"labels": None, "area": None, "has_intervals": False}
    reports = [with_efficiency("pets", None, **bare), with_efficiency("others", None, **bare)]
    assert "no numbers of labels in common" in curve_text(reports)
    assert "no numbers of labels in common" in page(reports)
    alone = [with_efficiency("pets", None, has_intervals=False, area={"value": 0.7, "low": None, "high": None})]
    assert "No interval: no test texts, or their predictions are gone." in " ".join(curve_text(alone).split())
