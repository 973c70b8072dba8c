import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alloop.errors import DataError
from alloop.figures import (
    bands_png,
    curve_png,
    curve_text,
    pays_for_test,
    training_panels,
    training_words,
    trainings,
    value_range,
)


def made_up(project: str = "pets", rounds: int = 3, labels: tuple[str, ...] = ("cat", "dog"), **more: Any) -> Any:
    """A report whose accuracy is 0.6, 0.7, 0.8, … after 25, 50, 75, … labels."""
    points = []
    for number in range(1, rounds + 1):
        value = min(0.95, 0.5 + number / 10)
        metrics = {
            "accuracy": {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 200},
            "f1_micro": {"value": value, "low": None, "high": None, "n": 200},
            "f1_macro": {"value": value - 0.1, "low": value - 0.15, "high": value - 0.05, "n": 200},
        }
        for label in labels:
            for name in ("precision", "recall", "f1"):
                metrics[f"{name}[{label}]"] = {"value": value, "low": None, "high": None, "n": 200}
        points.append(
            {
                "round": number,
                "labels": 25 * number,
                "labels_paid": 25 * number,
                "strategy": "margin",
                "metrics": metrics,
                "seconds": {"pull": 0.01, "train": 4.0 + number, "score": 2.0, "augment": 0.5},
                "new_labels": [],
            }
        )
    size = range(len(labels))
    confusion = [[40 if row == column else 3 for column in size] for row in size]
    report = {"project": project, "kind": "single", "measured_on": "test", "label_names": list(labels)}
    return {**report, "points": points, "confusion": confusion, **more}


def with_training(report: Any, held_back: bool = True) -> Any:
    """The report of a tuner that says how its models were trained, 100 steps and more each."""
    for point in report["points"]:
        point["training"] = [
            {"step": step * point["round"], "loss": 1 / step, "learning_rate": 1e-3 / step}
            | ({"dev_loss": 2 / step, "dev_accuracy": 1 - 1 / step} if held_back and step % 25 == 0 else {})
            for step in range(5, 101, 5)
        ]
    return report


def words_of(text: str, start: str) -> list[str]:
    """The words of the first line that begins so, after spaces."""
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()


def test_second_opinions_are_paid_for_and_are_no_labels_of_test_texts() -> None:
    report = made_up()
    for point in report["points"]:
        point["labels_paid"] += 10
    assert not pays_for_test([report])
    assert pays_for_test([{**report, "pays_for_test": True}])


EMPTY = made_up(rounds=0, confusion=None)


@pytest.mark.parametrize(
    "reports",
    [
        [made_up()],
        [made_up(rounds=1)],
        [made_up("margin"), made_up("random", rounds=5), made_up("entropy", labels=("cat", "dog", "hen"))],
        [made_up(labels=tuple(f"a long label with the number {n}" for n in range(77)))],
        [made_up(labels=("cost in $ and $$", "猫", "[b]bold"))],
        [made_up(kind="multi", confusion=[[5, 1, 2, 9], [4, 0, 1, 12]])],
        [made_up(confusion=None, measured_on="audit")],
        [EMPTY, made_up()],
        [with_training(made_up())],
        [with_training(made_up(), held_back=False), made_up("others")],
    ],
    ids=[
        *("one", "one round", "several", "many labels", "odd labels", "multi", "audit", "one is empty"),
        *("training", "training of one"),
    ],
)
def test_any_report_is_drawn_and_told_within_80_columns(reports: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "new directory" / "curve.png"
    curve_png(reports, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [one.name for one in path.parent.iterdir()] == ["curve.png"]
    assert max(len(line) for line in curve_text(reports).splitlines()) <= 80


def test_rounds_that_measured_nothing_are_drawn_without_a_curve(tmp_path: Path) -> None:
    report = made_up()
    for point in report["points"]:
        point["metrics"] = {}
    curve_png([report], tmp_path / "curve.png")
    text = curve_text([report])
    assert text.startswith("pets: rounds")
    assert words_of(text, "1         25") == ["1", "25", "margin", "–", "–", "7.5"]


def test_how_models_were_trained_is_drawn_below(tmp_path: Path) -> None:
    heights = {}
    for name, report in (("without", made_up()), ("with", with_training(made_up()))):
        curve_png([report], tmp_path / f"{name}.png")
        heights[name] = struct.unpack(">I", (tmp_path / f"{name}.png").read_bytes()[20:24])[0]
    assert heights["with"] == heights["without"] + 360


def test_of_one_project_all_rounds_are_drawn_and_of_several_the_last_ones() -> None:
    one, other = with_training(made_up()), with_training(made_up("others", rounds=5), held_back=False)
    assert [(it.round, it.is_last) for it in trainings([one])] == [(1, False), (2, False), (3, True)]
    assert [(it.project, it.round, it.is_last) for it in trainings([one, made_up(), other])] == [
        ("pets", 3, True),
        ("others", 5, True),
    ]
    assert [panel.title for panel in training_panels([one])] == ["loss", "held-back accuracy", "learning rate"]
    assert [panel.title for panel in training_panels([other])] == ["loss", "learning rate"]
    assert training_panels([made_up()]) == []
    assert training_words([one]) == "Round 3; earlier ones pale; dashed: labels held back from training."


def test_the_range_of_a_curve_hides_nothing_below_zero() -> None:
    """A correlation can be negative."""
    assert value_range(-0.3, 0.1) == pytest.approx((-0.35, 0.15))
    assert value_range(0.9, 0.99) == pytest.approx((0.8, 1.0))


def test_a_new_label_is_marked_where_the_curve_breaks(tmp_path: Path) -> None:
    plain, broken = made_up(), made_up()
    broken["points"][1]["new_labels"] = ["hen"]
    curve_png([plain], tmp_path / "plain.png")
    curve_png([broken], tmp_path / "broken.png")
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "broken.png").read_bytes()


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        curve_png([made_up()], tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_without_a_model_there_is_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no round has trained a model"):
        curve_png([EMPTY], tmp_path / "curve.png")
    assert list(tmp_path.iterdir()) == []
    assert curve_text([EMPTY]).startswith("pets: no round has trained a model yet")


def test_a_metric_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'acuracy'"):
        curve_png([made_up()], tmp_path / "curve.png", metric="acuracy")


def test_only_png_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not end in \.png"):
        curve_png([made_up()], tmp_path / "curve.pdf")


def test_the_text_has_every_number_and_no_colour() -> None:
    text = curve_text([made_up()])
    assert "3         75   margin     0.800 (0.75–0.85)   0.700 (0.65–0.75)       9.5" in text
    assert "accuracy by labels paid for; bars: 95 % interval, 200 test texts" in text
    assert words_of(text, "cat  ") == ["cat", "0.80", "0.80", "0.80", "43"]
    assert words_of(text, "dog        cat") == ["dog", "cat", "3", "of", "43"]
    assert "\x1b" not in text


def test_several_projects_have_a_letter_each() -> None:
    plot = curve_text([made_up("margin"), made_up("random", rounds=5)]).split("\n\n")[0]
    assert plot.splitlines()[-1] == "accuracy by labels paid for; o margin, x random"
    assert plot.count("x") >= 2


def test_the_drawn_axis_starts_and_ends_on_round_numbers() -> None:
    plot = curve_text([made_up()]).split("\n\n")[0].splitlines()
    assert [line[:4] for line in plot if "┤" in line] == [f"{n / 20:.2f}" for n in range(18, 9, -1)]


def test_drawing_writes_nothing_into_the_home_directory(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from tests.test_figures import made_up; from alloop.figures import curve_png\n"
        "curve_png([made_up()], Path(sys.argv[2]))"
    )
    here = str(Path(__file__).parents[1])
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", code, here, str(tmp_path / "curve.png")], check=True, env=environment)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("n", [1, 3, 8, 20])
def test_mean_curves_are_drawn_together_or_with_a_panel_each(n: int, tmp_path: Path) -> None:
    curves = [
        {
            "name": f"s{number}" if number else "random",
            "tuner": "tfidf",
            "is_random": not number,
            "labels": [10, 20],
            "mean": [0.5, 0.7 + number / 100],
            "low": [0.4, 0.6] if number else None,
            "high": [0.6, 0.95] if number else None,
        }
        for number in range(n)
    ]
    bands_png(curves, tmp_path / "curves.png", "accuracy", "band: something")
    width, height = struct.unpack(">II", (tmp_path / "curves.png").read_bytes()[16:24])
    assert (width, height) == (1500, 810 if n <= 7 else round(150 * (0.9 + 2.1 * -(-n // 4))))
