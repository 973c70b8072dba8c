"""Interactive figures of reports and simulations, drawn by plotly in the browser. Nothing depends on colour.

One library, one file: plotly is known here, and imported only when something is drawn. It reads `<b>` and its like in
any text as markup, so names go through `plain` first. What belongs to one metric carries its name as `meta`, what
belongs to one project, or to one line of a simulation, its number as `legendgroup` (a shape, as `name`): page.js shows
what is asked for.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib.util import find_spec
from typing import Any

from alloop.errors import AlloopError
from alloop.figures import COLOURS as PRINTED
from alloop.figures import (
    STEP_SHADES,
    Training,
    TrainingPanel,
    along,
    grouped,
    short,
    training_panels,
    trainings,
    value_range,
)
from alloop.reports import LOWER_IS_BETTER, headline, metric_words, per_label, with_interval

Report = Mapping[str, Any]

COLOURS = (*PRINTED[:-1], "#8A8A8A")  # grey for black: seen on dark paper too
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
PATTERNS = dict(zip(STEP_SHADES, ("", "/", ".", "", "x", "-"), strict=True))
METRICS = (
    "accuracy f1_macro f1_micro f1_weighted balanced_accuracy subset_accuracy matthews ece log_loss hamming_loss"
).split()
MOST_BANDS = 7  # of a simulation's lines, that are shown at once
MOST_COUNTED = 30  # labels of a confusion matrix whose counts can still be read in their cells


@dataclass(frozen=True)
class Look:
    """How a line is told from the others, with or without colour."""

    colour: str
    dash: str
    symbol: str  # "" for none


PALE = "rgba(138,138,138,0.35)"  # of earlier rounds
RANDOM_LOOK = Look("#8A8A8A", "dash", "")


def look(number: int, colours: int = len(COLOURS)) -> Look:
    """Of the first `colours` * 6 no two are the same: the second time, a colour comes with other dashes."""
    turn = number % colours + number // colours
    return Look(COLOURS[number % colours], _of(DASHES, turn), _of(SYMBOLS, turn))


def looks(rows: Sequence[Mapping[str, Any]]) -> list[Look]:
    """Of the rows of a simulation: random is grey and dashed, for each tuner otherwise, and nothing else is grey."""
    numbers, randoms = itertools.count(), itertools.count(1)
    return [
        replace(RANDOM_LOOK, dash=_of(DASHES, next(randoms)))
        if row["is_random"]
        else look(next(numbers), len(COLOURS) - 1)
        for row in rows
    ]


def is_installed() -> bool:
    """Whether a page can be drawn."""
    return find_spec("plotly") is not None


def script() -> str:
    """plotly.js. Its package brings the whole library only, 4.8 MB. Raises AlloopError where it is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise AlloopError(
            "alloop report --html needs plotly, which is not installed", "pip install 'alloop[html]'"
        ) from error
    return str(get_plotlyjs())


def metric_names(reports: Iterable[Report]) -> list[str]:
    """The metrics a curve can show: the first report's headline, then the others, best known first."""
    drawn = [report for report in reports if report["points"]]
    found = {name for report in drawn for point in report["points"] for name in point["metrics"] if "[" not in name}
    first = [headline(drawn[0])] if drawn else []
    known = [name for name in [*first, *METRICS, *sorted(found)] if name in found]
    return list(dict.fromkeys(known))


def curves(reports: Sequence[Report], split: str = "metrics") -> Any:
    """Every metric against the labels paid for, the first one visible; split "audit" is of the random texts.

    layout.meta says of each metric what its axis is called and where it begins and ends.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    axes = {}
    for metric in metric_names(reports):
        ends = []
        for number, report in enumerate(reports):
            points = [point for point in report["points"] if metric in point[split]]
            if points:
                ends += _draw_curve(figure, report, points, split, metric, number)
        if ends:
            words = metric_words(metric) + (" (lower is better)" if metric in LOWER_IS_BETTER else "")
            axes[metric] = {"title": words, "range": value_range(min(ends), max(ends))}
    for number, report in enumerate(reports):
        _mark_new_labels(figure, report, number)
    paid = [point["labels_paid"] for report in reports for point in report["points"]]
    is_wide = not paid or min(paid) < 0.5 * max(paid) or len(set(paid)) == 1
    _dress(figure, 420)
    figure.update_layout(meta=axes, hoverdistance=40)
    figure.update_xaxes(title="labels paid for", rangemode="tozero" if is_wide else "normal", tickformat=",d")
    figure.update_yaxes(tickformat=".2f")
    return figure


def _draw_curve(
    figure: Any, report: Report, points: Sequence[Any], split: str, metric: str, number: int
) -> list[float]:
    """The band and the line of a project; returns every number drawn."""
    x = [point["labels_paid"] for point in points]
    measured = [point[split][metric] for point in points]
    y = [one["value"] for one in measured]
    low = [one["value"] if one["low"] is None else one["low"] for one in measured]
    high = [one["value"] if one["high"] is None else one["high"] for one in measured]
    shared: dict[str, Any] = {"meta": metric, "legendgroup": str(number)}
    its = look(number)
    _draw_band(figure, x, low, high, its, shared)
    error = {
        "type": "data",
        "symmetric": False,
        "array": [top - value for top, value in zip(high, y, strict=True)],
        "arrayminus": [value - bottom for bottom, value in zip(low, y, strict=True)],
        "thickness": 1,
        "width": 0,
    }
    figure.add_scatter(
        x=x,
        y=y,
        error_y=error if len(points) == 1 else None,
        mode="lines+markers",
        line={"color": its.colour, "dash": its.dash, "width": 2.5},
        marker={"symbol": its.symbol, "size": 9},
        cliponaxis=False,
        customdata=[
            [plain(short(report["project"], 40)), point["round"], with_interval(one), one["n"]]
            for point, one in zip(points, measured, strict=True)
        ],
        hovertemplate="%{customdata[0]}<br>round %{customdata[1]}, %{x:,} labels<br><b>%{customdata[2]}</b>"
        "<br>on %{customdata[3]:,} texts<extra></extra>",
        **shared,
    )
    return [*low, *high]


def _draw_band(
    figure: Any, x: Sequence[float], low: Sequence[float], high: Sequence[float], its: Look, shared: Mapping[str, Any]
) -> None:
    figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=_faint(its.colour),
        line={"color": its.colour, "dash": its.dash, "width": 0.6},
        mode="lines",
        opacity=0.8,
        hoverinfo="skip",
        **shared,
    )


def mean_curves(rows: Sequence[Mapping[str, Any]]) -> Any:
    """The mean curves of a simulation with their bands; rows are `best_first`'s."""
    import plotly.graph_objects as go

    figure = go.Figure()
    ends: list[float] = []
    for number, (row, its) in enumerate(zip(rows, looks(rows), strict=True)):
        curve = row["curve"]
        x, mean, low, high = (curve[key] for key in ("labels", "mean", "low", "high"))
        shared = {"legendgroup": str(number)}
        if low is not None:
            _draw_band(figure, x, low, high, its, shared)
        figure.add_scatter(
            x=x,
            y=mean,
            mode="lines+markers" if its.symbol else "lines",
            line={"color": its.colour, "dash": its.dash, "width": 2.5},
            marker={"symbol": its.symbol or "circle", "size": 8},
            cliponaxis=False,
            customdata=[
                [plain(short(row["name"], 40)), with_interval({"value": value, "low": bottom, "high": top})]
                for value, bottom, top in zip(mean, low or [None] * len(x), high or [None] * len(x), strict=True)
            ],
            hovertemplate="%{customdata[0]}<br>%{x:,} labels<br><b>%{customdata[1]}</b><extra></extra>",
            **shared,
        )
        ends += [*mean, *(low or ()), *(high or ())]
    metric = rows[0]["metric"]
    words = metric_words(metric) + (" (lower is better)" if metric in LOWER_IS_BETTER else "")
    _dress(figure, 460)
    figure.update_layout(meta={"most_bands": MOST_BANDS}, hoverdistance=40)
    figure.update_xaxes(title="labels", tickformat=",d")
    figure.update_yaxes(title=words, tickformat=".2f", range=value_range(min(ends), max(ends)))
    return figure


def against_random(rows: Sequence[Mapping[str, Any]]) -> Any | None:
    """How much larger each area is than random's, a point with its interval each; None where random did not run."""
    import plotly.graph_objects as go

    found = [(row, its) for row, its in zip(rows, looks(rows), strict=True) if row["against_random"]]
    if not found:
        return None
    figure = go.Figure()
    for place, (row, its) in enumerate(found):
        duel = row["against_random"]
        value, low, high = duel["value"], duel["low"], duel["high"]
        interval = "" if low is None else f" ({low:+.3f} to {high:+.3f})"
        count = f"{duel['wins']} won, {duel['ties']} tied, {duel['losses']} lost"
        figure.add_scatter(
            x=[value],
            y=[place],
            error_x=None
            if low is None
            else {"type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low], "width": 4},
            mode="markers",
            marker={"color": its.colour, "symbol": its.symbol, "size": 10},
            cliponaxis=False,
            customdata=[[plain(short(row["name"], 40)), f"{value:+.3f}{interval}", count]],
            hovertemplate="%{customdata[0]}<br><b>%{customdata[1]}</b><br>%{customdata[2]}<extra></extra>",
        )
    _dress(figure, 95 + 24 * len(found))
    figure.add_vline(x=0, line={"color": RANDOM_LOOK.colour, "dash": "dash", "width": 2}, layer="below")
    figure.update_xaxes(title=f"difference in area, {metric_words(rows[0]['metric'])}", tickformat="+.3~f")
    figure.update_yaxes(**_ticks([row["name"] for row, _ in found]), range=[len(found) - 0.4, -0.6])
    return figure


def _mark_new_labels(figure: Any, report: Report, number: int) -> None:
    """A dotted line where the label set grew: the two sides answer different questions."""
    for before, point in itertools.pairwise(report["points"]):
        if point["new_labels"]:
            figure.add_vline(
                x=(before["labels_paid"] + point["labels_paid"]) / 2,
                line={"color": look(number).colour, "dash": "dot", "width": 1.5},
                name=str(number),
                annotation={
                    "name": str(number),
                    "text": plain(f"+ {short(', '.join(point['new_labels']))}"),
                    "textangle": -90,
                },
                annotation_position="bottom right",
            )


def label_scores(reports: Sequence[Report]) -> Any | None:
    """F1 of each label after the last round, the worst at the top: bars for one project, marks for several."""
    import plotly.graph_objects as go

    found = [{row["label"]: row for row in per_label(report) if row["f1"] is not None} for report in reports]
    order = list(dict.fromkeys(label for rows in found for label in rows))
    if not order:
        return None
    figure = go.Figure()
    for number, rows in enumerate(found):
        shown = [(place, rows[label]) for place, label in enumerate(order) if label in rows]
        shared: dict[str, Any] = {
            "x": [row["f1"] for _, row in shown],
            "legendgroup": str(number),
            "customdata": [[plain(short(row["label"], 40)), *_scores(row)] for _, row in shown],
            "hovertemplate": "<b>%{customdata[0]}</b><br>F1 %{customdata[1]}<br>precision %{customdata[2]}"
            "<br>recall %{customdata[3]}<br>n = %{customdata[4]}<extra></extra>",
        }
        if len(found) == 1:
            figure.add_bar(
                y=[place for place, _ in shown],
                orientation="h",
                marker={"color": COLOURS[0]},
                text=[f"{row['f1']:.2f}" + ("" if row["n"] is None else f" ({row['n']:,})") for _, row in shown],
                textposition=["inside" if row["f1"] > 0.45 else "outside" for _, row in shown],
                textangle=0,
                **shared,
            )
        else:
            apart = 0.44 * (number / (len(found) - 1) - 0.5)  # marks of equal values stay side by side
            marker = {"color": look(number).colour, "symbol": look(number).symbol, "size": 10}
            figure.add_scatter(
                y=[place + apart for place, _ in shown], mode="markers", marker=marker, cliponaxis=False, **shared
            )
    _dress(figure, 95 + 24 * len(order))
    figure.update_xaxes(range=[0 if len(found) == 1 else -0.02, 1.02], title="F1")
    figure.update_yaxes(**_ticks(order), range=[len(order) - 0.4, -0.6])
    figure.update_yaxes(showgrid=len(found) > 1)
    return figure


def _scores(row: Mapping[str, Any]) -> list[str]:
    scores = ["–" if row[kind] is None else f"{row[kind]:.2f}" for kind in ("f1", "precision", "recall")]
    return [*scores, "–" if row["n"] is None else f"{row['n']:,}"]


def confusions(report: Report) -> Any | None:
    """The last round's errors: a matrix of true by given label, or where labels do not compete, a bar for each."""
    if report["confusion"] is None:
        return None
    return _matrix(report) if report["kind"] == "single" else _hits_and_misses(report)


def _matrix(report: Report) -> Any:
    import plotly.graph_objects as go

    names, matrix = report["label_names"], report["confusion"]
    few = len(names) <= MOST_COUNTED
    sums = [sum(row) for row in matrix]
    figure = go.Figure(
        go.Heatmap(
            z=[
                [(n / max(1, of)) ** 0.5 for n in row] for row, of in zip(matrix, sums, strict=True)
            ],  # few are seen too
            x=list(range(len(names))),
            y=list(range(len(names))),
            zmin=0,
            zmax=1,
            text=[[f"{n:,}" if n and few else "" for n in row] for row in matrix],
            texttemplate="%{text}",
            customdata=[
                [[plain(short(true, 40)), plain(short(said, 40)), n, of] for said, n in zip(names, row, strict=True)]
                for true, row, of in zip(names, matrix, sums, strict=True)
            ],
            hovertemplate="truly <b>%{customdata[0]}</b><br>taken for <b>%{customdata[1]}</b>"
            "<br>%{customdata[2]:,} of %{customdata[3]:,}<extra></extra>",
            xgap=1,
            ygap=1,
            showscale=False,
        )
    )
    cell, font = (28, 12) if few else (12, 9)
    _dress(figure, 195 + cell * len(names))
    longest = min(22, max(len(name) for name in names))
    least = 40 + font * longest // 2 + (20 if few else cell) * len(names)  # pixels; narrower cannot be read
    figure.update_layout(meta={"width": least})
    figure.update_xaxes(**_ticks(names, font), tickangle=-45 if few else -90, title=_title("taken for"))
    figure.update_yaxes(**_ticks(names, font), title=_title("truly"), range=[len(names) - 0.5, -0.5])
    return figure


def _hits_and_misses(report: Report) -> Any:
    import plotly.graph_objects as go

    names = report["label_names"]
    figure = go.Figure()
    kinds = (("found", 0, COLOURS[2], ""), ("missed", 2, COLOURS[1], "/"), ("wrongly given", 1, COLOURS[3], "x"))
    for kind, column, colour, pattern in kinds:
        figure.add_bar(
            x=[row[column] for row in report["confusion"]],
            y=list(range(len(names))),
            orientation="h",
            name=kind,
            marker={"color": colour, "pattern": _pattern(pattern, colour)},
            customdata=[plain(short(name, 40)) for name in names],
            hovertemplate=f"<b>%{{customdata}}</b><br>{kind}: %{{x:,}}<extra></extra>",
        )
    _dress(figure, 120 + 26 * len(names), legend=True)
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="texts", tickformat=",d")
    figure.update_yaxes(**_ticks(names), range=[len(names) - 0.4, -0.6])
    return figure


def step_seconds(reports: Sequence[Report]) -> Any:
    """Where the time goes: a bar for every round, or where there are several projects, for the mean round of each."""
    import plotly.graph_objects as go

    alone = len(reports) == 1
    if alone:
        names = [f"{point['round']}" for point in reports[0]["points"]]
        bars = [grouped(point["seconds"]) for point in reports[0]["points"]]
    else:
        names = [report["project"] for report in reports]
        bars = [_mean_round(report) for report in reports]
    places = list(range(len(bars)))
    longest = max(sum(bar.values()) for bar in bars)
    figure = go.Figure()
    for step, (colour, _) in STEP_SHADES.items():
        heights = [bar[step] for bar in bars]
        if max(heights) < 0.01 * longest or not longest:
            continue
        figure.add_bar(
            x=places if alone else heights,
            y=heights if alone else places,
            orientation="v" if alone else "h",
            name=step,
            width=0.72,
            marker={
                "color": colour,
                "pattern": _pattern(PATTERNS[step], colour),
                "line": {"color": "#8A8A8A", "width": 0.6},
            },
            customdata=[
                [plain(short(f"round {name}" if alone else name, 40)), f"{s:,.1f}"]
                for name, s in zip(names, heights, strict=True)
            ],
            hovertemplate=f"%{{customdata[0]}}<br>{step}: %{{customdata[1]}} s<extra></extra>",
        )
    _dress(figure, 330 if alone else 120 + 40 * len(bars), legend=True)
    figure.update_layout(barmode="stack")
    if alone:
        every = max(1, -(-len(names) // 12))
        figure.update_xaxes(tickvals=places[::every], ticktext=names[::every], title="round", showgrid=False)
        figure.update_xaxes(range=[-0.6, max(len(names), 4) - 0.4])
        figure.update_yaxes(title="seconds", rangemode="tozero")
    else:
        figure.update_yaxes(**_ticks(names), range=[len(names) - 0.4, -0.6])
        figure.update_xaxes(title="seconds", rangemode="tozero")
    return figure


def training(reports: Sequence[Report]) -> Any | None:
    """How the models were trained, a small figure each for loss, held-back metric and learning rate, side by side."""
    import plotly.graph_objects as go

    panels = training_panels(reports)
    if not panels:
        return None
    figure = go.Figure()
    for place, panel in enumerate(panels, 1):
        for one in trainings(reports):
            _draw_training(figure, one, panel, "" if place == 1 else str(place))
    _dress(figure, 270)
    gap = 0.08
    width = (1 - gap * (len(panels) - 1)) / len(panels)
    for place, panel in enumerate(panels, 1):
        axis = "" if place == 1 else str(place)
        left = (place - 1) * (width + gap)
        figure.update_layout(
            {
                f"xaxis{axis}": {"domain": [left, left + width], "anchor": f"y{axis}", "title": "step"},
                f"yaxis{axis}": {"anchor": f"x{axis}", "rangemode": "tozero" if panel.key else "normal"},
            }
        )
        figure.add_annotation(
            text=panel.title, x=left, y=1, xref="paper", yref="paper", yanchor="bottom", xanchor="left", showarrow=False
        )
    figure.update_xaxes(automargin=True, zeroline=False, rangemode="tozero", tickformat=",d")
    figure.update_yaxes(automargin=True, zeroline=False)
    figure.update_layout(meta={"width": 250 * len(panels)})
    return figure


def _draw_training(figure: Any, one: Training, panel: TrainingPanel, axis: str) -> None:
    its = look(one.number)
    colour = its.colour if one.is_last else PALE
    for key, dash in ((panel.key, "solid"), (panel.dev_key, "dash")):
        x, y = along(one, key)
        if not x:
            continue
        name = plain(short(one.project, 40))
        words = metric_words(str(key).removeprefix("dev_"))
        what = f"{'held-back ' if key == panel.dev_key else ''}{words}"
        figure.add_scatter(
            x=x,
            y=y,
            xaxis=f"x{axis}",
            yaxis=f"y{axis}",
            mode="lines+markers" if one.is_last else "lines",
            line={"color": colour, "dash": dash, "width": 2 if one.is_last else 1},
            marker={
                "symbol": its.symbol,
                "size": 7 if key == panel.dev_key else [0] * (len(x) - 1) + [7],
                "line": {"width": 0},
            },
            cliponaxis=False,
            hovertemplate=f"{name}<br>round {one.round}, step %{{x:,}}<br>{what} <b>%{{y:.3g}}</b><extra></extra>",
            legendgroup=str(one.number),
        )


def _mean_round(report: Report) -> dict[str, float]:
    rounds = [grouped(point["seconds"]) for point in report["points"]]
    return {step: sum(one[step] for one in rounds) / len(rounds) for step in STEP_SHADES}


def mark(its: Look) -> str:
    """A line's look as a small SVG picture: colour, dashes and marker."""
    dash = {"solid": "", "dash": "6 4", "dot": "2 3", "dashdot": "6 3 2 3", "longdash": "9 4", "longdashdot": "9 3 2 3"}
    shape = {
        "circle": '<circle cx="18" cy="7" r="4.5"/>',
        "square": '<rect x="14" y="3" width="8" height="8"/>',
        "triangle-up": '<path d="M18 2l5 9h-10z"/>',
        "diamond": '<path d="M18 1l6 6-6 6-6-6z"/>',
        "triangle-down": '<path d="M18 12l5-9h-10z"/>',
        "cross": '<path d="M16 2h4v3h3v4h-3v3h-4v-3h-3v-4h3z"/>',
        "": "",
    }
    line = f'<path d="M0 7h36" stroke="{its.colour}" stroke-width="2.5" stroke-dasharray="{dash[its.dash]}"/>'
    return f'<svg width="36" height="14" fill="{its.colour}" aria-hidden="true">{line}{shape[its.symbol]}</svg>'


def plain(words: str) -> str:
    """Words that plotly shows as they are: it reads a few tags and entities, and a formula between dollar signs."""
    return escape(" ".join(words.split()), quote=False).replace("$", "&#36;")


def _of(looks: Sequence[str], number: int) -> str:
    return looks[number % len(looks)]


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.14)"


def _pattern(shape: str, colour: str) -> dict[str, Any]:
    return {"shape": shape, "bgcolor": colour, "fgcolor": "rgba(255,255,255,0.6)", "size": 7}


def _ticks(names: Sequence[str], size: int = 12) -> dict[str, Any]:
    """An axis of names. By position: plotly would take some names for numbers or dates, and equal ones for one."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": [plain(short(name, 22)) for name in names],
        "tickfont": {"size": size},
        "ticks": "",
        "showgrid": False,
    }


def _title(words: str) -> dict[str, Any]:
    """Of an axis, beyond its longest tick."""
    return {"text": words, "standoff": 8}


def _dress(figure: Any, height: int, legend: bool = False) -> None:
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 12, "r": 12, "t": 36, "b": 12},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        showlegend=legend,
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
            "traceorder": "normal",
        },
    )
    figure.update_xaxes(automargin=True, zeroline=False)
    figure.update_yaxes(automargin=True, zeroline=False)
