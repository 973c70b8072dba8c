"""Draws reports: a PNG to show around, and text for the terminal. Nothing depends on colour.

One library, one file: matplotlib, plotext and rich are known here, and imported only when something is drawn.
"""

import os
import stat
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from alloop.errors import DataError
from alloop.reports import confused, headline, metric_words, per_label, with_interval

Report = Mapping[str, Any]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000")  # Okabe & Ito 2008: safe for the colour-blind
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)), (0, (1, 1)), (0, (8, 2, 1, 2, 1, 2)))
LETTERS = ("o", "x", "+", "*", "#", "@")
STEP_SHADES = {
    "train": ("#16425B", ""),
    "score": ("#3A7CA5", ""),
    "evaluate": ("#81A4CD", ""),
    "augment": ("#C9D6DF", "///"),
    "select": ("#D9A441", ""),
    "other": ("#E4E4E4", ""),
}
MOST_LABELS = 20  # bars that can still be read
OTHER_SCRIPTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "PingFang SC", "Hiragino Sans", "WenQuanYi Zen Hei", "Arial Unicode MS")
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
    with _matplotlib():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        bars = min(MOST_LABELS, max(len(per_label(report)) for report in drawn))
        figure = Figure(figsize=(10, 4.6 + max(2.6, 0.6 + 0.24 * bars)), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12, wspace=0.04, hspace=0.04)
        places = figure.subplot_mosaic(
            [["curve", "curve"], ["labels", "seconds"]], height_ratios=[4.2, max(2.6, 0.6 + 0.24 * bars)]
        )
        _draw_curves(places["curve"], drawn, metric)
        _draw_labels(places["labels"], drawn)
        _draw_seconds(places["seconds"], drawn)
        buffer = BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    attempt = path.with_name(f".{path.name}.new")
    attempt.write_bytes(buffer.getvalue())
    attempt.replace(path)


def _draw_curves(axes: Any, reports: Sequence[Report], metric: str) -> None:
    lows, highs = [], []
    for number, report in enumerate(reports):
        points = [point for point in report["points"] if metric in point["metrics"]]
        x = [point["labels_paid"] for point in points]
        measured = [point["metrics"][metric] for point in points]
        y = [one["value"] for one in measured]
        low = [one["value"] if one["low"] is None else one["low"] for one in measured]
        high = [one["value"] if one["high"] is None else one["high"] for one in measured]
        colour = COLOURS[number % len(COLOURS)]
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
        for edge in (low, high):  # seen where bands overlap, and in grey
            axes.plot(x, edge, color=colour, alpha=0.35, linewidth=0.7, linestyle=DASHES[number % len(DASHES)])
        axes.plot(
            x,
            y,
            color=colour,
            linestyle=DASHES[number % len(DASHES)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.8,
            linewidth=2,
            label=report["project"],
        )
        for before, point in zip(points, points[1:], strict=False):
            if point["new_labels"]:
                middle = (before["labels_paid"] + point["labels_paid"]) / 2
                axes.axvline(middle, color=colour, linewidth=0.8, linestyle=":")
                new = f" + {_short(', '.join(point['new_labels']))}"
                axes.annotate(new, (middle, 0.02), xycoords=("data", "axes fraction"), fontsize=8, color=colour)
        lows += low
        highs += high
    words = metric_words(metric)
    axes.set_title(f"{words[0].upper()}{words[1:]} per label paid for", pad=12)
    axes.set_xlabel("texts labelled by people" + (", test texts included" if _pays_for_test(reports) else ""))
    axes.set_ylabel(words)
    if lows:
        axes.set_ylim(*_range(min(lows), max(highs)))
    else:
        axes.text(0.5, 0.5, "no labelled texts to measure on yet", transform=axes.transAxes, ha="center", color="#888888")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlim(left=0)
    axes.grid(True)
    axes.text(1, 1.03, _measured_on(reports, metric), transform=axes.transAxes, ha="right", fontsize=9, color="#666666")
    if len(reports) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, handlelength=3.2)


def _range(low: float, high: float) -> tuple[float, float]:
    """Room around the curve, ending on a twentieth, within 0 to 1 and never so narrow that noise looks like progress."""
    bottom = max(0.0, int((low - 0.02) * 20) / 20)
    top = min(1.0, -int(-(high + 0.02) * 20 // 1) / 20)
    if top - bottom < 0.2:
        bottom = max(0.0, top - 0.2)
    return bottom, top + 0.004  # the line at 1.0 is not cut in half


def _pays_for_test(reports: Sequence[Report]) -> bool:
    return any(point["labels_paid"] != point["labels"] for report in reports for point in report["points"])


def _measured_on(reports: Sequence[Report], metric: str) -> str:
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
    found = [{row["label"]: row for row in per_label(report)} for report in reports]
    order = list(dict.fromkeys(row["label"] for report in reports for row in per_label(report)))
    shown = order[:MOST_LABELS]
    left_out = f", the {len(shown)} lowest of {len(order)}" if len(order) > len(shown) else ""
    axes.set_title(f"F1 of each label, last round{left_out}")
    axes.set_xlim(0, 1.0)
    axes.set_ylim(len(shown) - 0.4, -0.6)  # the worst at the top: it is what one looks for
    axes.set_yticks(range(len(shown)), [_short(label) for label in shown])
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x")
    axes.spines["left"].set_visible(False)
    for number, rows in enumerate(found):
        offset = 0.0 if len(found) == 1 else 0.5 * (number / (len(found) - 1) - 0.5)
        for place, label in enumerate(shown):
            if label not in rows:
                continue
            f1 = rows[label]["f1"]
            if len(found) == 1:
                axes.barh(place, f1["value"], height=0.66, color="#A9C5DE")
            if f1["low"] is not None:
                ends = (f1["low"], f1["high"])
                axes.plot(ends, (place + offset,) * 2, color=COLOURS[number % len(COLOURS)], linewidth=1.3, alpha=0.8)
            axes.plot(
                f1["value"],
                place + offset,
                marker=MARKERS[number % len(MARKERS)],
                markersize=5,
                color=COLOURS[number % len(COLOURS)],
                markeredgecolor="white",
                markeredgewidth=0.6,
            )
            if len(found) == 1 and f1["n"]:
                axes.text(1.02, place, f"n = {f1['n']:,}", va="center", fontsize=8.5, color="#777777")
    if not shown:
        axes.text(0.5, 0.5, "nothing measured yet", transform=axes.transAxes, ha="center", color="#888888")


def _draw_seconds(axes: Any, reports: Sequence[Report]) -> None:
    """Where the time of a round goes: a bar for every round, or for every project where there are several."""
    if len(reports) == 1:
        axes.set_title("Seconds per round")
        axes.set_xlabel("round")
        names = [str(point["round"]) for point in reports[0]["points"]]
        bars = [_grouped(point["seconds"]) for point in reports[0]["points"]]
    else:
        axes.set_title("Seconds per round, on average")
        names = [_short(report["project"], 16) for report in reports]
        bars = []
        for report in reports:
            rounds = [_grouped(point["seconds"]) for point in report["points"]]
            bars.append({step: sum(one[step] for one in rounds) / len(rounds) for step in STEP_SHADES})
    bottom = [0.0] * len(bars)
    for step, (colour, hatch) in STEP_SHADES.items():
        heights = [bar[step] for bar in bars]
        if max(heights) < 0.01 * max(max(sum(bar.values()) for bar in bars), 1e-9):
            continue
        axes.bar(
            range(len(bars)), heights, 0.72, bottom, color=colour, hatch=hatch, edgecolor="white", linewidth=0.6, label=step
        )
        bottom = [b + h for b, h in zip(bottom, heights, strict=True)]
    every = max(1, -(-len(names) // 12))
    axes.set_xticks(range(0, len(names), every), names[::every])
    axes.set_xlim(-0.6, max(len(names), 4) - 0.4)
    axes.tick_params(axis="x", length=0)
    axes.grid(True, axis="y")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, handlelength=1.2
    )  # in the order of the stack


def _grouped(seconds: Mapping[str, float]) -> dict[str, float]:
    grouped = dict.fromkeys(STEP_SHADES, 0.0)
    for step, taken in seconds.items():
        grouped[step if step in grouped else "other"] += taken
    return grouped


def _short(name: str, most: int = 26) -> str:
    name = " ".join(name.split())
    return name if len(name) <= most else f"{name[: most - 1]}…"


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
