"""What finished runs say together: a row for every strategy and tuner, mean curves with bands, a table, files."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from alloop import efficiency, figures
from alloop.efficiency import Curve
from alloop.errors import DataError
from alloop.files import write_whole
from alloop.reports import LOWER_IS_BETTER, metric_words, with_interval
from alloop.seeds import rng_for
from alloop.simulating.run import RANDOM

WIDTH = 120

Result = Mapping[str, Any]


def summarise(results: Sequence[Result], metric: str, targets: Sequence[float] = ()) -> dict[str, Any]:
    """{"summary": a row for each strategy and tuner, "curves": the mean curve of each}, in the order of the results.

    All of them are measured from and to the same labels, every answer counted: those that every run reached. Runs of
    one seed are pairs.
    Raises DataError for a metric that the runs do not have.
    """
    curves = {_key(one): _curve(one, metric) for one in results}
    try:
        low, high = efficiency.common_range(list(curves.values()))
    except ValueError as error:
        raise DataError(
            f"the runs have no labels in common: {error}", "a larger --budget, or a smaller --batch"
        ) from None
    x = efficiency.grid(list(curves.values()), low, high)
    sign = -1 if metric in LOWER_IS_BETTER else 1
    groups: dict[tuple[str, str], list[Result]] = {}
    for one in results:
        groups.setdefault((one["strategy"], one["tuner"]), []).append(one)
    values = {
        group: efficiency.values_at([curves[_key(one)] for one in sorted(runs, key=_seed)], x)
        for group, runs in groups.items()
    }
    areas = {group: [efficiency.area(x, row) for row in rows] for group, rows in values.items()}
    summary = []
    for (strategy, tuner), runs in groups.items():
        mine, rival = (strategy, tuner), (RANDOM, tuner)
        row = {
            "strategy": strategy,
            "tuner": tuner,
            "seeds": len(runs),
            "metric": metric,
            "labels": [low, high],
            "final": asdict(efficiency.mean(values[mine][:, -1])),
            "area": asdict(efficiency.mean(areas[mine])),
            # the same resamples of the seeds for all: paired
            "targets": [
                {
                    **asdict(efficiency.reach(sign * one, x, sign * values[mine], rng_for(0, 0, "targets"))),
                    "target": one,
                }
                for one in targets
            ],
            "against_random": None
            if mine == rival or rival not in areas
            else _duel(areas[mine], areas[rival], lower_wins=sign < 0),
            "seconds": _seconds(runs),
        }
        summary.append(row)
    return {"summary": summary, "curves": [_mean_curve(group, x, rows) for group, rows in values.items()]}


def _duel(areas: Sequence[float], others: Sequence[float], lower_wins: bool) -> dict[str, Any]:
    found = asdict(efficiency.duel(areas, others))
    return {**found, "wins": found["losses"], "losses": found["wins"]} if lower_wins else found


def _key(result: Result) -> tuple[str, str, int]:
    return result["strategy"], result["tuner"], result["seed"]


def _seed(result: Result) -> int:
    return int(result["seed"])


def _curve(result: Result, metric: str) -> Curve:
    points = [point for point in result["points"] if metric in point["metrics"]]
    if not points:
        run = f"{result['strategy']}, {result['tuner']}, seed {result['seed']}"
        if not result["points"]:
            raise DataError(f"{run}: no model was trained, as all labels were the same", "a larger --budget")
        known = sorted({name for point in result["points"] for name in point["metrics"] if "[" not in name})
        raise DataError(f"{run}: there is no metric {metric!r}", f"there are: {', '.join(known)}")
    return (
        np.array([point["labels_paid"] for point in points], float),
        np.array([point["metrics"][metric]["value"] for point in points], float),
    )


def _seconds(runs: Sequence[Result]) -> dict[str, float]:
    """What a round takes in the middle of all rounds that picked: scoring the pool, picking, and everything."""
    # the last one picks nothing; the first one may also have waited for libraries to load
    rounds = [point["seconds"] for one in runs for point in one["points"][1:-1] or one["points"][:-1]]
    if not rounds:
        return {}
    steps = {name: median(one.get(name, 0.0) for one in rounds) for name in ("score", "select")}
    return {**steps, "round": median(sum(one.values()) for one in rounds)}


def _mean_curve(group: tuple[str, str], x: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    mean, half = values.mean(0), efficiency.half_width(values)
    return {
        "strategy": group[0],
        "tuner": group[1],
        "seeds": len(values),
        "labels": x.tolist(),
        "mean": mean.tolist(),
        "low": None if half is None else (mean - half).tolist(),
        "high": None if half is None else (mean + half).tolist(),
    }


def write_curves(out: Path, found: Mapping[str, Any], metric: str) -> None:
    """The mean curves as curves.csv and curves.png."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("strategy", "tuner", "labels", "metric", "mean", "low", "high", "seeds"))
    for one in found["curves"]:
        ends = zip(one["low"] or [""] * len(one["mean"]), one["high"] or [""] * len(one["mean"]), strict=True)
        for labels, mean, (low, high) in zip(one["labels"], one["mean"], ends, strict=True):
            writer.writerow((one["strategy"], one["tuner"], f"{labels:g}", metric, mean, low, high, one["seeds"]))
    write_whole(out / "curves.csv", file.getvalue())
    drawn = best_first(found)
    figures.bands_png([{**one, **one["curve"]} for one in drawn], out / "curves.png", metric, band_words(drawn))


def best_first(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the summary by their areas, each with its "curve", a "name", and whether it "is_random"."""
    tuners = {one["tuner"] for one in found["summary"]}
    rows = [
        {
            **row,
            "name": row["strategy"] if len(tuners) == 1 else f"{row['strategy']}, {row['tuner']}",
            "is_random": row["strategy"] == RANDOM,
            "curve": curve,
        }
        for row, curve in zip(found["summary"], found["curves"], strict=True)
    ]
    sign = 1 if rows[0]["metric"] in LOWER_IS_BETTER else -1
    return sorted(rows, key=lambda row: sign * row["area"]["value"])


def band_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the bands of these curves are."""
    seeds = rows[0]["seeds"]
    return f"band: 95 % Student interval of the mean of {seeds} seeds" if seeds > 1 else "one seed"


def as_text(found: Mapping[str, Any]) -> str:
    """The summary for reading, the best first."""
    rows = best_first(found)
    low, high = rows[0]["labels"]
    seeds, words = rows[0]["seeds"], metric_words(rows[0]["metric"])
    head = ("strategy", "tuner")[: 1 if rows[0]["name"] == rows[0]["strategy"] else 2]
    named = [tuple(one[column] for column in head) for one in rows]
    of = f"means of {seeds} seeds with 95 % intervals" if seeds > 1 else "one seed, so that there are no intervals"
    title = f"{words} from {low:g} to {high:g} labels, {of}; area: mean height of the curve"
    if len(head) == 1:
        title = f"{rows[0]['tuner']}: {title}"
    header = (*head, f"{words} at {high:g}", "area", "against random", "won/tied/lost")
    cells = [
        (*name, with_interval(one["final"]), with_interval(one["area"]), *duel_words(one["against_random"]))
        for name, one in zip(named, rows, strict=True)
    ]
    costs = [
        (*name, *(labels_words(to, low, high, seeds > 1) for to in one["targets"]), *seconds_words(one["seconds"]))
        for name, one in zip(named, rows, strict=True)
    ]
    targets = [f"{words} {one['target']:g}" for one in rows[0]["targets"]]
    costs_title = (
        f"{'labels that reach a target, and ' if targets else ''}seconds: to pick a batch, and of a whole round"
    )
    left = {0, len(head) - 1}
    return "\n\n".join(
        [
            figures.table(title, header, cells, WIDTH, words=left),
            figures.table(costs_title, (*head, *targets, "to pick", "a round"), costs, WIDTH, words=left),
        ]
    )


def labels_words(reached: Mapping[str, Any], first: float, last: float, has_interval: bool) -> str:
    """The labels that reach a target: "120 (100 to over 200)". An interval that is the value itself is left out."""

    def shown(labels: float | None) -> str:
        return f"over {last:g}" if labels is None else f"≤{labels:.0f}" if labels <= first else f"{labels:.0f}"

    value, low, high = shown(reached["labels"]), shown(reached["low"]), shown(reached["high"])
    return f"{value} ({low} to {high})" if has_interval and not value == low == high else value


def duel_words(duel: Mapping[str, Any] | None) -> tuple[str, str]:
    """A difference from random with its interval, and how many seeds won, tied and lost it."""
    if duel is None:
        return "–", "–"
    interval = "" if duel["low"] is None else f" ({duel['low']:+.3f} to {duel['high']:+.3f})"
    return f"{duel['value']:+.3f}{interval}", f"{duel['wins']}/{duel['ties']}/{duel['losses']}"


def seconds_words(seconds: Mapping[str, float]) -> tuple[str, str]:
    """What picking a batch takes, scoring the pool included, and the whole round."""
    if not seconds:
        return "–", "–"
    return f"{seconds['score'] + seconds['select']:.2f} s", f"{seconds['round']:.2f} s"


def annotators_words(found: Mapping[str, Any]) -> str:
    """Who labels: "3 simulated annotators a text, each wrong about 10 % of the time; the majority decides"."""
    asked = found["annotators_per_text"]
    who = "1 simulated annotator" if asked == 1 else f"{asked} simulated annotators"
    who += f" a text, of {found['annotators']}" if found["annotators"] > asked else " a text"
    rate = found["error_rate"]
    if isinstance(rate, Sequence):
        said = [f"wrong about {100 * min(rate):g} to {100 * max(rate):g} % of the time"]
    else:
        said = [f"{'each ' if asked > 1 else ''}wrong about {100 * rate:g} % of the time" if rate else "never wrong"]
    said += [f"skips about {100 * found['skip_rate']:g} %"] if found["skip_rate"] else []
    rule = found.get("consensus", "majority")
    decides = "the majority" if rule == "majority" else rule
    return f"{who}, {', '.join(said)}" + (f"; {decides} decides" if asked > 1 else "")


def write_summary(out: Path, found: Mapping[str, Any]) -> None:
    write_whole(out / "summary.json", json.dumps(found, ensure_ascii=False, indent=1) + "\n")
