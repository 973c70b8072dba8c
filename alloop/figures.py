"""Draws reports: a PNG to show around, and text for the terminal. Nothing depends on colour.

One library, one file: matplotlib, plotext and rich are known here, and imported only when something is drawn.
"""

import itertools
import math
import os
import stat
import tempfile
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from alloop.agreement import agreement_words
from alloop.anchoring import anchoring_words
from alloop.augmentation import DECISIONS, VARIANTS, decision_rows, variant_rows
from alloop.errors import DataError
from alloop.repeats import self_agreement_words
from alloop.reports import calibration_words, confused, headline, metric_words, per_label, with_interval

Report = Mapping[str, Any]

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#000000",
)  # Okabe & Ito 2008: safe for the colour-blind
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)), (0, (1, 1)), (0, (8, 2, 1, 2, 1, 2)))
RANDOM = "#777777"  # the colour of what others are compared with
MOST_TOGETHER = 7  # curves that can be told apart in one picture
PANELS_ACROSS = 4
LETTERS = ("o", "x", "+", "*", "#", "@")
STEP_SHADES = {
    "train": ("#16425B", ""),
    "score": ("#3A7CA5", ""),
    "evaluate": ("#81A4CD", ""),
    "augment": ("#C9D6DF", "///"),
    "select": ("#D9A441", ""),
    "other": ("#E4E4E4", ""),
}
SUBTITLE = 24  # points below a title, for a line of words or a legend
MOST_LABELS = 20  # bars that can still be read
MOST_CONFUSED = 8
MOST_ANNOTATORS = 20
MOST_PAIRS = 10
OTHER_SCRIPTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "PingFang SC",
    "Hiragino Sans",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)
STYLE = {
    "font.size": 10,
    "text.parse_math": False,  # a label may hold a $
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.axisbelow": True,
    "axes.labelcolor": "#333333",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
}


def curve_png(reports: Sequence[Report], path: Path, metric: str | None = None) -> None:
    """Draw the label-efficiency curves into a PNG, with the last round's labels and every round's seconds below.

    The same reports give the same bytes. Raises DataError where no round has trained a model yet.
    """
    drawn = [report for report in reports if report["points"]]
    if not drawn:
        raise DataError("there is no curve yet: no round has trained a model", "alloop status says what to do next")
    if path.suffix.lower() != ".png":
        raise DataError(f"{path} does not end in .png", f"name it: {path.with_suffix('.png')}")
    metric = metric or headline(drawn[0])
    known = {name for report in drawn for point in report["points"] for name in point["metrics"]}
    if known and metric not in known:
        raise DataError(f"there is no metric {metric!r}", f"there are: {', '.join(sorted(known))}")
    with _matplotlib():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        below = max(2.6, 0.6 + 0.24 * min(MOST_LABELS, max(len(per_label(report)) for report in drawn)))  # inches
        room = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0.04, hspace=0.04)
        panels = training_panels(drawn)
        figure = Figure(figsize=(10, 4.6 + below + 2.4 * bool(panels)), dpi=150, layout=room)
        FigureCanvasAgg(figure)
        rows = [["curve"] * 6, ["labels"] * 3 + ["seconds"] * 3]
        if panels:
            rows.append([f"training {n * len(panels) // 6}" for n in range(6)])
        heights = [4.2, below, 2.4][: len(rows)]
        places: dict[str, Any] = figure.subplot_mosaic(rows, height_ratios=heights)  # type: ignore[arg-type]
        _draw_curves(places["curve"], drawn, metric)
        _draw_labels(places["labels"], drawn)
        _draw_seconds(places["seconds"], drawn)
        for number, panel in enumerate(panels):
            _draw_training(places[f"training {number}"], drawn, panel)
        _save(figure, path)


def bands_png(curves: Sequence[Mapping[str, Any]], path: Path, metric: str, band: str) -> None:
    """Draw mean curves {"name", "tuner", "is_random", "labels", "mean", "low", "high"} into a PNG.

    More than MOST_TOGETHER get a panel each, with the others behind. `band` says what lies between low and high. The
    same curves give the same bytes.
    """
    with _matplotlib():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        together = len(curves) <= MOST_TOGETHER
        down = 1 if together else -(-len(curves) // PANELS_ACROSS)
        figure = Figure(figsize=(10, 5.4 if together else 0.9 + 2.1 * down), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        ends = [value for one in curves for edge in ("mean", "low", "high") for value in one[edge] or ()]
        limits = value_range(min(ends), max(ends))
        draw = _draw_bands if together else _draw_panels
        draw(figure, curves, limits, metric, band)
        _save(figure, path)


def _draw_bands(
    figure: Any, curves: Sequence[Mapping[str, Any]], limits: tuple[float, float], metric: str, band: str
) -> None:
    axes = figure.subplots()
    numbers, randoms = itertools.count(), itertools.count(1)
    for one in curves:
        look = _line(next(numbers), len(COLOURS) - 1) if not one["is_random"] else _random_line(next(randoms))
        style = {"color": look["color"], "linestyle": look["linestyle"]}
        if one["low"] is not None:
            axes.fill_between(one["labels"], one["low"], one["high"], color=style["color"], alpha=0.1, linewidth=0)
            for edge in (one["low"], one["high"]):
                axes.plot(one["labels"], edge, **style, alpha=0.35, linewidth=0.7)
        axes.plot(one["labels"], one["mean"], **look, linewidth=2, label=one["name"])
    axes.set_ylim(*limits)
    axes.set_title(f"How {metric_words(metric)} grows with labels", pad=12)
    axes.set_xlabel("labels")
    axes.set_ylabel(metric_words(metric))
    axes.text(1, 1.03, band, transform=axes.transAxes, ha="right", fontsize=9, color="#666666")
    axes.grid(True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, handlelength=3.2)


def _draw_panels(
    figure: Any, curves: Sequence[Mapping[str, Any]], limits: tuple[float, float], metric: str, band: str
) -> None:
    """Twenty lines in one picture cannot be told apart, whatever they look like."""
    figure.suptitle(f"How {metric_words(metric)} grows with labels\n", x=0.01, ha="left", fontweight="bold")
    dashed = "; dashed: random" if any(one["is_random"] for one in curves) else ""
    words = f"{band}{dashed}; pale: all others"
    figure.text(0.99, 0.992, words, ha="right", va="top", fontsize=9, color="#666666")
    down = -(-len(curves) // PANELS_ACROSS)
    panels = figure.subplots(down, PANELS_ACROSS, sharex=True, sharey=True, squeeze=False).flat
    for panel, one in zip(panels, curves, strict=False):
        for other in curves:
            panel.plot(other["labels"], other["mean"], color="#DADADA", linewidth=0.8)
        for rival in curves:
            if rival["is_random"] and rival["tuner"] == one["tuner"]:
                panel.plot(rival["labels"], rival["mean"], color=RANDOM, linestyle="--", linewidth=1.2)
        colour = RANDOM if one["is_random"] else COLOURS[0]
        if one["low"] is not None:
            panel.fill_between(one["labels"], one["low"], one["high"], color=colour, alpha=0.2, linewidth=0)
        panel.plot(one["labels"], one["mean"], color=colour, linewidth=2)
        panel.set_title(short(one["name"], 30), fontsize=9.5, pad=4)
        panel.set_ylim(*limits)
        panel.grid(True)
    for panel in panels[len(curves) :]:
        panel.set_visible(False)
    for panel in panels[max(0, len(curves) - PANELS_ACROSS) : len(curves)]:
        panel.tick_params(labelbottom=True)
    figure.supxlabel("labels", fontsize=10, color="#333333")
    figure.supylabel(metric_words(metric), fontsize=10, color="#333333")


def _save(figure: Any, path: Path) -> None:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    attempt = path.with_name(f".{path.name}.new")
    attempt.write_bytes(buffer.getvalue())
    attempt.replace(path)


def curve_text(reports: Sequence[Report], width: int = 80, metric: str | None = None) -> str:
    """The curves, and as tables their numbers, the last round's labels and what it confuses; no line is longer."""
    drawn = [report for report in reports if report["points"]]
    parts = [
        f"{report['project']}: no round has trained a model yet; alloop status says what to do next"
        for report in reports
        if not report["points"]
    ]
    if drawn:
        metric = metric or headline(drawn[0])
        parts.insert(0, _plot(drawn, width, metric))
        parts += _efficiency_tables(drawn, width)
    for report in drawn:
        if report.get("anchoring"):
            parts.append(
                "\n".join(textwrap.wrap(f"{report['project']}: {anchoring_words(report['anchoring'])}", width))
            )
        parts += _agreement_parts(report, width)
        if "ece_uncalibrated" in report["points"][-1]["metrics"]:
            words = f"{report['project']}: calibration error {calibration_words(report['points'][-1])}"
            parts.append("\n".join(textwrap.wrap(words, width)))
        parts += [_rounds_table(report, width), _labels_table(report, width), _confusions_table(report, width)]
        parts.append(_stopping_table(report, width))
        parts += _augmentation_tables(report, width)
    return "\n\n".join(part for part in parts if part)


def _draw_curves(axes: Any, reports: Sequence[Report], metric: str) -> None:
    from matplotlib.ticker import MultipleLocator

    lows, highs = [], []
    for number, report in enumerate(reports):
        points = [point for point in report["points"] if metric in point["metrics"]]
        x = [point["labels_paid"] for point in points]
        measured = [point["metrics"][metric] for point in points]
        y = [one["value"] for one in measured]
        low = [one["value"] if one["low"] is None else one["low"] for one in measured]
        high = [one["value"] if one["high"] is None else one["high"] for one in measured]
        look = _line(number)
        colour = look["color"]
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
        for edge in (low, high):  # seen where bands overlap, and in grey
            axes.plot(x, edge, color=colour, alpha=0.35, linewidth=0.7, linestyle=look["linestyle"])
        if len(reports) == 1 or len(points) == 1:
            axes.vlines(x, low, high, color=colour, alpha=0.45, linewidth=1)
        axes.plot(
            x,
            y,
            **look,
            markersize=6,
            linewidth=2,
            label=report["project"],
        )
        for before, point in itertools.pairwise(points):
            if point["new_labels"]:
                middle = (before["labels_paid"] + point["labels_paid"]) / 2
                axes.axvline(middle, color=colour, linewidth=0.8, linestyle=":")
                new = f" + {short(', '.join(point['new_labels']))}"
                axes.annotate(new, (middle, 0.02), xycoords=("data", "axes fraction"), fontsize=8, color=colour)
        lows += low
        highs += high
    words = metric_words(metric)
    whose = f"{reports[0]['project']}: how" if len(reports) == 1 else "How"
    axes.set_title(f"{whose} {words} grows with labels", pad=12)
    axes.set_xlabel("labels paid for" + (", those of test texts included" if pays_for_test(reports) else ""))
    axes.set_ylabel(words)
    if lows:
        bottom, top = value_range(min(lows), max(highs))
        axes.set_ylim(bottom, top + 0.004)  # the line at 1.0 is not cut in half
        axes.yaxis.set_major_locator(MultipleLocator(0.05 if top - bottom < 0.45 else 0.1))
    else:
        axes.text(
            0.5, 0.5, "no labelled texts to measure on yet", transform=axes.transAxes, ha="center", color="#888888"
        )
    axes.xaxis.get_major_locator().set_params(integer=True)
    paid = [point["labels_paid"] for report in reports for point in report["points"]]
    if min(paid) < 0.5 * max(paid) or len(set(paid)) == 1:
        axes.set_xlim(left=0)
    axes.grid(True)
    axes.text(1, 1.03, measured_on(reports, metric), transform=axes.transAxes, ha="right", fontsize=9, color="#666666")
    if len(reports) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, handlelength=3.2)


def value_range(low: float, high: float) -> tuple[float, float]:
    """Room around the curve, ending on a twentieth, and never so narrow that noise looks like progress."""
    bottom = math.floor((low - 0.02) * 20) / 20
    if low >= 0:
        bottom = max(0.0, bottom)
    top = math.ceil((high + 0.02) * 20) / 20
    if high <= 1:
        top = min(1.0, top)
    return (bottom, top) if top - bottom >= 0.2 else (min(bottom, max(0.0, top - 0.2)), top)


def pays_for_test(reports: Sequence[Report]) -> bool:
    """Whether people label the test texts too, so that their labels are among those paid for."""
    return any(report.get("pays_for_test") and report["points"] for report in reports)


def measured_on(reports: Sequence[Report], metric: str) -> str:
    """What the numbers rest on, in words."""
    said = []
    for report in reports:
        last = next((p["metrics"][metric] for p in reversed(report["points"]) if metric in p["metrics"]), None)
        if last is not None:
            kind = "test texts" if report["measured_on"] == "test" else "random texts judged before labelling"
            said.append(f"{last['n']:,} {kind}")
    unique = list(dict.fromkeys(said))
    return f"band: 95 % interval, {' / '.join(unique)}" if unique else ""


def _draw_labels(axes: Any, reports: Sequence[Report]) -> None:
    """F1 of each label after the last round: bars for one project, marks for several."""
    found = [{row["label"]: row for row in per_label(report) if row["f1"] is not None} for report in reports]
    order = list(dict.fromkeys(label for rows in found for label in rows))  # the first project's, worst first
    shown = order[:MOST_LABELS]
    which = f"the {len(shown)} weakest of {len(order)} labels" if len(order) > len(shown) else "each label"
    axes.set_title(f"F1 of {which}", pad=SUBTITLE)
    said = "n: texts that truly have the label" if len(found) == 1 else "marks as above"
    axes.text(0, 1.0, f"last round; {said}", transform=_above(axes, 8), fontsize=9, color="#666666")
    axes.set_xlim(0, 1.005)
    axes.set_ylim(len(shown) - 0.4, -0.6)  # the worst at the top: it is what one looks for
    axes.set_yticks(range(len(shown)), [short(label) for label in shown])
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x")
    axes.spines["left"].set_visible(False)
    for number, rows in enumerate(found):
        places = [place for place, label in enumerate(shown) if label in rows]
        values = [rows[shown[place]]["f1"] for place in places]
        if len(found) > 1:
            axes.plot(values, places, linestyle="", **_mark(number), markersize=7, alpha=0.9)
            continue
        axes.barh(places, values, height=0.66, color="#A9C5DE")
        for place, value in zip(places, values, strict=True):
            n = rows[shown[place]]["n"]
            inside = value > 0.25
            axes.text(
                value + (-0.015 if inside else 0.015),
                place,
                f"{value:.2f}",
                ha="right" if inside else "left",
                va="center",
                fontsize=8.5,
            )
            if n is not None:
                axes.text(1.03, place, f"n = {n:,}", va="center", fontsize=8.5, color="#777777")
    if not shown:
        axes.text(0.5, 0.5, "nothing measured yet", transform=axes.transAxes, ha="center", color="#888888")


def _line(number: int, colours: int = len(COLOURS)) -> dict[str, Any]:
    """How a curve is told from the others, with or without colour: the first `colours` * 6 differ."""
    return {**_mark(number, colours), "linestyle": DASHES[_turn(number, colours) % len(DASHES)]}


def _random_line(number: int) -> dict[str, Any]:
    """Of several tuners, each has its own."""
    return {"color": RANDOM, "linestyle": DASHES[number % len(DASHES)], "marker": ""}


def _turn(number: int, colours: int) -> int:
    """The second time, a colour comes with other dashes and another marker."""
    return number % colours + number // colours


def _mark(number: int, colours: int = len(COLOURS)) -> dict[str, Any]:
    return {
        "color": COLOURS[number % colours],
        "marker": MARKERS[_turn(number, colours) % len(MARKERS)],
        "markeredgecolor": "white",
        "markeredgewidth": 0.8,
    }


def _draw_seconds(axes: Any, reports: Sequence[Report]) -> None:
    """Where the time of a round goes: a bar for every round, or for every project where there are several."""
    if len(reports) == 1:
        axes.set_title("Seconds per round", pad=SUBTITLE)
        axes.set_xlabel("round")
        names = [str(point["round"]) for point in reports[0]["points"]]
        bars = [grouped(point["seconds"]) for point in reports[0]["points"]]
    else:
        axes.set_title("Seconds per round, on average", pad=SUBTITLE)
        names = [short(report["project"], 16) for report in reports]
        bars = []
        for report in reports:
            rounds = [grouped(point["seconds"]) for point in report["points"]]
            bars.append({step: sum(one[step] for one in rounds) / len(rounds) for step in STEP_SHADES})
    bottom = [0.0] * len(bars)
    for step, (colour, hatch) in STEP_SHADES.items():
        heights = [bar[step] for bar in bars]
        if max(heights) < 0.01 * max(max(sum(bar.values()) for bar in bars), 1e-9):
            continue
        axes.bar(
            range(len(bars)),
            heights,
            0.72,
            bottom,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.6,
            label=step,
        )
        bottom = [b + h for b, h in zip(bottom, heights, strict=True)]
    every = max(1, -(-len(names) // 12))
    axes.set_xticks(range(0, len(names), every), names[::every])
    if len(reports) > 2:
        axes.tick_params(axis="x", rotation=20)
        for name in axes.get_xticklabels():
            name.set_horizontalalignment("right")
    axes.set_xlim(-0.6, max(len(names), 4) - 0.4)
    axes.tick_params(axis="x", length=0)
    axes.grid(True, axis="y")
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        bbox_transform=_above(axes, 4),
        ncols=len(STEP_SHADES),
        borderaxespad=0,
        borderpad=0,
        handlelength=0.9,
        handletextpad=0.4,
        columnspacing=1.1,
        fontsize=9,
    )


@dataclass(frozen=True)
class TrainingPanel:
    """What one small figure of a model's training shows: keys of the points, without and with held-back labels."""

    title: str
    key: str | None
    dev_key: str | None = None


@dataclass(frozen=True)
class Training:
    """How a round's model was trained; `number` is the project's."""

    number: int
    project: str
    round: int
    is_last: bool
    points: Sequence[Mapping[str, float]]


def trainings(reports: Sequence[Report]) -> list[Training]:
    """The trainings to draw, the last ones on top: of one project those of all rounds, of several the last of each."""
    found = []
    for number, report in enumerate(reports):
        with_curve = [point for point in report["points"] if point.get("training")]
        shown = with_curve if len(reports) == 1 else with_curve[-1:]
        found += [
            Training(number, report["project"], one["round"], one is with_curve[-1], one["training"]) for one in shown
        ]
    return found


def training_panels(reports: Sequence[Report]) -> list[TrainingPanel]:
    """Small figures of how models were trained; none where no tuner says."""
    keys = {key for training in trainings(reports) for point in training.points for key in point}
    held_back = sorted(key for key in keys if key.startswith("dev_") and key != "dev_loss")
    panels = [TrainingPanel("loss", "loss", "dev_loss")]
    panels += [TrainingPanel(f"held-back {metric_words(key.removeprefix('dev_'))}", None, key) for key in held_back[:1]]
    panels.append(TrainingPanel("learning rate", "learning_rate"))
    return panels if keys else []


def training_words(reports: Sequence[Report]) -> str:
    """What is drawn how in the figures of trainings."""
    shown = trainings(reports)
    words = [f"Round {shown[-1].round}" if len(reports) == 1 else "The last round of each project"]
    if any(not one.is_last for one in shown):
        words.append("earlier ones pale")
    if any("dev_loss" in point for one in shown for point in one.points):
        words.append("dashed: labels held back from training")
    return "; ".join(words) + "."


def _draw_training(axes: Any, reports: Sequence[Report], panel: TrainingPanel) -> None:
    axes.set_title(f"Training: {panel.title}" if panel.key == "loss" else panel.title.capitalize(), pad=SUBTITLE)
    if panel.key == "loss":
        said = axes.text(0, 1.0, training_words(reports), transform=_above(axes, 8), fontsize=9, color="#666666")
        said.set_in_layout(False)  # it may reach over the next panel
    for one in trainings(reports):
        look = {**_mark(one.number), "linewidth": 1.6, "markersize": 5}
        if not one.is_last:
            look = {"color": "#DADADA", "linewidth": 0.9}
        for key, dash in ((panel.key, "-"), (panel.dev_key, (0, (5, 2)))):
            x, y = along(one, key)
            if x:  # marks at all held-back values, and where a line ends: several are told apart by them
                axes.plot(x, y, **look, linestyle=dash, markevery=1 if key == panel.dev_key else [len(x) - 1])
    axes.set_xlabel("step")
    axes.set_xlim(left=0)
    if panel.key is not None:
        axes.set_ylim(bottom=0)
    axes.grid(True)


def along(training: Training, key: str | None) -> tuple[list[float], list[float]]:
    """Steps, and what was measured at them; nothing for no key."""
    shown = [(point["step"], point[key]) for point in training.points if key is not None and key in point]
    return [step for step, _ in shown], [value for _, value in shown]


def _above(axes: Any, points: float) -> Any:
    """Coordinates of the axes, moved up by some points."""
    from matplotlib.transforms import ScaledTranslation

    return axes.transAxes + ScaledTranslation(0, points / 72, axes.figure.dpi_scale_trans)


def grouped(seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds of the steps that have a shade, and of all others together."""
    grouped = dict.fromkeys(STEP_SHADES, 0.0)
    for step, taken in seconds.items():
        grouped[step if step in grouped else "other"] += taken
    return grouped


def short(name: str, most: int = 26) -> str:
    """A name in one line, without its middle where it is longer than `most`."""
    name = " ".join(name.split())
    return (
        name if len(name) <= most else f"{name[: most // 2]}…{name[most // 2 + 1 - most :]}"
    )  # ends differ more often


def _plot(reports: Sequence[Report], width: int, metric: str) -> str:
    """Points with their intervals for one project; for several, a letter each, as their intervals would overlap."""
    curves = [
        [(p["labels_paid"], p["metrics"][metric]) for p in report["points"] if metric in p["metrics"]]
        for report in reports
    ]
    measured = [one for curve in curves for _, one in curve]
    if not measured:
        return ""
    import plotext

    figure = plotext.figure.clear()  # plotext has one figure per process
    figure.theme("colorless").plot_size(width, 20)
    for curve, letter in zip(curves, itertools.cycle(LETTERS), strict=False):
        x, y = [paid for paid, _ in curve], [one["value"] for _, one in curve]
        for paid, one in curve if len(curves) == 1 else []:
            if one["low"] is not None:
                figure.draw(figure.segment([paid, paid], [one["low"], one["high"]], marker="│"))
        figure.draw(figure.signal(x, y, marker=letter))
    ends = [one[end] for one in measured for end in ("value", "low", "high") if one[end] is not None]
    bottom, top = value_range(min(ends), max(ends))
    levels = [n / 20 for n in range(round(bottom * 20), round(top * 20) + 1) if top - bottom < 0.45 or n % 2 == 0]
    paid = sorted({paid for curve in curves for paid, _ in curve})
    shown = paid[:: max(1, -(-len(paid) // 10))]
    figure.ruler("y").lim(bottom, top)
    figure.ruler("y").ticks(levels, [f"{level:.2f}" for level in levels])
    figure.ruler("x").ticks(shown, [f"{one}" for one in shown])
    if len(paid) > 1:
        margin = 0.03 * (paid[-1] - paid[0])
        figure.ruler("x").lim(paid[0] - margin, paid[-1] + margin)
    figure.axes(False, axis="x", side="upper").axes(False, axis="y", side="right")
    words = metric_words(metric)
    axis = f"{words} by labels paid for"
    if len(curves) == 1:
        axis += f"; bars: {measured_on(reports, metric).removeprefix('band: ')}"
    else:
        axis += "; " + ", ".join(
            f"{letter} {report['project']}" for letter, report in zip(itertools.cycle(LETTERS), reports, strict=False)
        )
    drawing = figure.build().string(colorless=True).rstrip()
    figure.clear()
    return "\n".join([*(line.rstrip() for line in drawing.splitlines()), *textwrap.wrap(axis, width)])


def _efficiency_tables(reports: Sequence[Report], width: int) -> list[str]:
    found = [report for report in reports if report.get("efficiency")]
    if not found:
        return []
    said = [report["efficiency"] for report in found]
    title = "\n".join(textwrap.wrap(efficiency_words(found), width))
    head = ("project", "area", *against_header(found))
    rows = [(short(report["project"]), *area_cells(report, len(head) - 1)) for report in found]
    parts = [f"{title}\n{table('', head, rows, width, words={0, 2})}"] if said[0]["labels"] else [title]
    targets = [
        (short(report["project"]), f"{metric_words(one['metric'])} {to['target']:g}", target_words(report, to))
        for report, one in zip(found, said, strict=True)
        for to in one["targets"]
    ]
    return [*parts, table("labels that reach a target", ("project", "target", "labels"), targets, width, words={0, 1})]


def efficiency_words(reports: Sequence[Report]) -> str:
    """What areas and their intervals are, of reports that have them."""
    said = [report["efficiency"] for report in reports]
    if said[0]["labels"] is None:
        return "No areas under the curves: the projects have no numbers of labels in common."
    low, high = said[0]["labels"]
    words = f"Area: mean height of the curve from {low:,g} to {high:,g} labels paid for."
    if any(one["has_intervals"] for one in said):
        words += " Intervals (95 %) say what other test texts would change; another run could differ by more."
    if not all(one["has_intervals"] for one in said):
        words += " No interval: no test texts, or their predictions are gone."
    return words


def against_header(reports: Sequence[Report]) -> tuple[str, ...]:
    """A heading for differences from the first project, where there are any."""
    rivals = [one["project"] for report in reports if (one := report["efficiency"]["against_first"])]
    return (f"against {short(rivals[0])}",) if rivals else ()


def area_cells(report: Report, columns: int) -> list[str]:
    """The area, and in a second column the difference from the first project's."""
    found = report["efficiency"]
    return [with_interval(found["area"]), _against_words(found["against_first"])][:columns]


def _against_words(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    interval = "" if found["low"] is None else f" ({found['low']:+.3f} to {found['high']:+.3f})"
    return f"{found['value']:+.3f}{interval}{'' if found['is_paired'] else ', on other texts'}"


def target_words(report: Report, reached: Mapping[str, Any]) -> str:
    """The labels that reach a target, with their interval."""
    paid = [point["labels_paid"] for point in report["points"]]

    def shown(labels: float | None) -> str:
        if labels is None:
            return f"over {max(paid):,}"
        return f"≤{labels:,.0f}" if labels <= min(paid) else f"{labels:,.0f}"

    value, low, high = (shown(reached[end]) for end in ("labels", "low", "high"))
    has_interval = report["efficiency"]["has_intervals"] and not value == low == high
    return f"{value} ({low} to {high})" if has_interval else value


def _rounds_table(report: Report, width: int) -> str:
    name = headline(report)
    rows = [
        (
            str(point["round"]),
            f"{point['labels_paid']:,}",
            point["strategy"],
            with_interval(point["metrics"].get(name)),
            with_interval(point["metrics"].get("f1_macro")),
            f"{sum(point['seconds'].values()):.1f}",
        )
        for point in report["points"]
    ]
    header = ("round", "paid for", "strategy", metric_words(name), "macro-F1", "seconds")
    on = "" if report["measured_on"] == "test" else ", measured on random texts before they were labelled"
    return table(f"{report['project']}: rounds{on}", header, rows, width, words={2})


def _labels_table(report: Report, width: int) -> str:
    rows = [
        (
            row["label"],
            *("–" if row[kind] is None else f"{row[kind]:.2f}" for kind in ("precision", "recall", "f1")),
            "–" if row["n"] is None else f"{row['n']:,}",
        )
        for row in per_label(report)
    ]
    which = "labels" if len(rows) <= MOST_LABELS else f"the {MOST_LABELS} weakest of {len(rows)} labels"
    header = ("label", "precision", "recall", "F1", "n")
    return table(f"{report['project']}: {which} after the last round", header, rows[:MOST_LABELS], width, words={0})


def _confusions_table(report: Report, width: int) -> str:
    rows = [
        (pair["label"], pair["taken_for"], f"{pair['n']} of {pair['of']}") for pair in confused(report)[:MOST_CONFUSED]
    ]
    header = ("texts of", "were taken for", "how often")
    return table(f"{report['project']}: most confused", header, rows, width, words={0, 1})


def _agreement_parts(report: Report, width: int) -> list[str]:
    found, words = report.get("agreement"), agreement_sentences(report)
    parts = ["\n".join(textwrap.wrap(f"{report['project']}: {words}", width))] if words else []
    if not found:
        return parts
    title = f"{report['project']}: annotators, and how often they say what most of the others do"
    header, rows = annotator_rows(report)
    parts.append(table(title, header, rows[:MOST_ANNOTATORS], width, words={0}))
    if len(rows) > MOST_ANNOTATORS:
        parts.append(f"and {len(rows) - MOST_ANNOTATORS:,} more: alloop report --json has all")
    title = f"{report['project']}: the pairs with the most texts in common, least agreed first"
    parts.append(table(title, *pair_rows(found), width, words={0}))
    return parts


def agreement_sentences(report: Report) -> str:
    """How far annotators agree with each other and with themselves; empty where neither is known."""
    words = agreement_words(report["agreement"]) if report.get("agreement") else []
    again = report.get("self_agreement")
    return " ".join([*words, *([self_agreement_words(again)] if again else [])])


def annotator_rows(report: Report) -> tuple[tuple[str, ...], list[list[str]]]:
    """The header and the rows of a table of annotators; with what the rule thinks of them, where it does."""
    found = report["agreement"]
    again = {one["annotator"]: one for one in (report.get("self_agreement") or {"annotators": []})["annotators"]}
    is_rated = any(one["quality"] is not None for one in found["annotators"])
    header: tuple[str, ...] = ("annotator", "answers", "compared", "agrees (95 %)")
    header += ("with self (95 %)",) * bool(again) + (found["rule"],) * is_rated
    rows = []
    for one in found["annotators"]:
        compared = one["agrees"]["n"] if one["agrees"] else 0
        row = [one["annotator"], f"{one['answers']:,}", f"{compared:,}", with_interval(one["agrees"], 2)]
        row += [with_interval(again.get(one["annotator"]), 2)] * bool(again)
        rows.append(row + [with_interval(_bare(one["quality"]), 2)] * is_rated)
    return header, rows


def pair_rows(found: Mapping[str, Any]) -> tuple[tuple[str, ...], list[list[str]]]:
    """The header and the rows of a table of the pairs with the most texts in common, least agreed first."""
    few = found["pairs"][:MOST_PAIRS]
    pairs = sorted(few, key=lambda one: (one["kappa"] is None, one["kappa"] or 0, -one["n"]))
    return ("annotators", "texts", "agree", "kappa"), [
        [" and ".join(one["annotators"]), f"{one['n']:,}", f"{one['agree']:.2f}", with_interval(_bare(one["kappa"]), 2)]
        for one in pairs
    ]


def _bare(value: float | None) -> dict[str, float | None] | None:
    return None if value is None else {"value": value, "low": None, "high": None}


def _stopping_table(report: Report, width: int) -> str:
    rows = [(one["rule"], one["round"], one["labels"], one["evidence"]) for one in stopping_rows(report)]
    title = f"{report['project']}: stopping rules, where each would have ended the labelling, and what it says now"
    return table(title, ("rule", "round", "labels", "now"), rows, width, words={0, 3})


def stopping_rows(report: Report) -> list[dict[str, str]]:
    """A row of a table for each stopping rule: {"rule", "round", "labels", "evidence"}."""
    return [
        {
            "rule": name,
            "round": f"{said['first']['round']}" if said["first"] else "–",
            "labels": f"{said['first']['labels']:,}" if said["first"] else "–",
            "evidence": f"{'stop' if said['stop'] else 'go on'}: {said['evidence']}",
        }
        for name, said in report.get("stopping", {}).items()
    ]


def _augmentation_tables(report: Report, width: int) -> list[str]:
    found = report.get("augmentation")
    if not found:
        return []
    title = f"{report['project']}: augmentation, whether the labels at hand show that it helps"
    return [
        table(title, DECISIONS, decision_rows(found), width, words={1, 3, 4}),
        table(f"{report['project']}: variants", VARIANTS, variant_rows(found), width, words={0, 3}),
    ]


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], width: int, words: set[int]) -> str:
    """An aligned table in plain characters; columns of `words` are to the left, numbers to the right."""
    if not rows:
        return ""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column, name in enumerate(header):
        drawn.add_column(
            name, justify="left" if column in words else "right", overflow="fold", no_wrap=column not in words
        )
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))  # as Text: a label may look like rich's [markup]
    out = StringIO()
    Console(file=out, width=width, color_system=None, force_terminal=False).print(drawn)
    lines = [line.rstrip() for line in out.getvalue().rstrip().splitlines()]
    return "\n".join([*textwrap.wrap(title, width), *lines])


@contextmanager
def _matplotlib() -> Iterator[None]:
    """matplotlib in its own style, whatever the user's is, and with its font cache outside the home directory."""
    os.environ.setdefault("MPLCONFIGDIR", str(_cache()))
    import matplotlib.style
    from matplotlib import font_manager

    there = set(font_manager.get_font_names())
    family = ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in there)]
    with matplotlib.style.context(["default", {**STYLE, "font.family": family}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn instead
        yield


def _cache() -> Path:
    """A directory of this user alone that outlives the process: listing all fonts takes seconds."""
    path = Path(tempfile.gettempdir()) / f"alloop-fonts-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():  # somebody else was quicker
        return Path(tempfile.mkdtemp(prefix="alloop-fonts-"))
    return path
