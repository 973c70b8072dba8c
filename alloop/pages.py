"""A page to show around: one HTML file that needs no network, with curves to point at. It holds no texts.

Names of projects and labels are anybody's words: `_name` makes them harmless in HTML, `plots.plain` in figures. The
browser is told to run the page's own two scripts only, by their sums, and to load nothing from anywhere.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from alloop import plots
from alloop.errors import DataError
from alloop.figures import MOST_CONFUSED, measured_on, pays_for_test, short, stopping_rows
from alloop.files import write_whole
from alloop.reports import confused, headline, metric_words, with_interval

Report = Mapping[str, Any]


def write_page(reports: Sequence[Report], path: Path) -> None:
    """Write the reports as one HTML file, about 5 MB: plotly.js is in it. The same reports give the same bytes.

    Projects that have no model yet are named as such. Raises AlloopError where plotly is not installed.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{path} does not end in .html", f"name it: {path.with_suffix('.html')}")
    write_whole(path, page(reports).encode(errors="replace").decode())  # a directory's name may be no proper text


def page(reports: Sequence[Report]) -> str:
    """The whole page as HTML."""
    library = plots.script()
    drawn = [report for report in reports if report["points"]]
    figures: dict[str, Any] = {}
    parts = [_cards(reports, drawn)]
    if drawn:
        parts += [_curve(drawn, figures), _audit(drawn, figures), _rounds(drawn), _labels(drawn, figures)]
        parts += [_confusions(drawn, figures), _seconds(drawn, figures)]
        parts.append(_stopping(drawn))
    data = ",".join(
        f'"{name}":{figure.to_json(engine="json")}' for name, figure in figures.items()
    )  # plotly escapes < and /
    scripts = [library, _file("page.js")] if figures else []
    title = reports[0]["project"] if len(reports) == 1 else f"{len(reports)} projects"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · alloop report</title>
<style>
{_file("page.css")}</style>
</head>
<body>
<main>
<h1>{_name(title)}</h1>
<p class="quiet">What each label bought: how good the model is after every round of labelling.</p>
{"".join(parts)}
<p class="quiet">Made by alloop {escape(version("alloop"))}. This page holds no texts and needs no network.</p>
</main>
<script type="application/json" id="figures">{{{data}}}</script>
{"".join(f"<script>{one}</script>" for one in scripts)}
</body>
</html>
"""


def _policy(scripts: Sequence[str]) -> str:
    """What the browser may do with this page: these scripts, its own styles and pictures, and nothing from outside."""
    sums = " ".join(f"'sha256-{b64encode(sha256(one.encode()).digest()).decode()}'" for one in scripts)
    runs = f"script-src {sums}; " if sums else ""
    return (
        f"default-src 'none'; {runs}style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _cards(reports: Sequence[Report], drawn: Sequence[Report]) -> str:
    """Each project in a few numbers; its line as it looks in the curves, where there are several."""
    cards = []
    for report in reports:
        name = f"<h2>{_name(report['project'])}</h2>" if len(reports) > 1 else ""
        if not report["points"]:
            words = "No round has trained a model yet: alloop status says what to do next."
            cards.append(f'<div class="box">{name}<p>{words}</p></div>')
            continue
        mark = plots.mark(drawn.index(report)) if len(drawn) > 1 else ""
        cards.append(f'<div class="box">{name}{mark}{_numbers(report)}</div>')
    return f'<div class="cards">{"".join(cards)}</div>'


def _numbers(report: Report) -> str:
    last = report["points"][-1]
    metric = headline(report)
    measured = last["metrics"].get(metric)
    rows = [("labels paid for", f"{last['labels_paid']:,}"), ("rounds", f"{len(report['points']):,}")]
    if measured and measured["low"] is not None:
        rows.insert(0, ("95 % interval", f"{measured['low']:.3f} – {measured['high']:.3f}"))
    if "ece" in last["metrics"]:
        rows.append((metric_words("ece"), with_interval(last["metrics"]["ece"])))
    if last["seconds_annotating"]:
        rows.append(("minutes annotating", f"{last['seconds_annotating'] / 60:,.1f}"))
    value = f"{measured['value']:.3f}" if measured else "–"
    listed = "".join(f"<div><dt>{name}</dt><dd>{number}</dd></div>" for name, number in rows)
    return f'<div class="big">{value}</div><div class="quiet">{metric_words(metric)}</div><dl>{listed}</dl>'


def _curve(drawn: Sequence[Report], figures: dict[str, Any]) -> str:
    names = plots.metric_names(drawn)
    if not names:
        return _box("Learning curve", "<p>No labelled texts to measure on yet.</p>")
    figures["curve"] = plots.curves(drawn)
    options = "".join(f'<option value="{name}">{escape(metric_words(name))}</option>' for name in names)
    chosen = f'<p><label>Show <select id="metric" autocomplete="off">{options}</select></label></p>'
    captions = "".join(
        f'<p class="quiet" data-metric="{name}"{"" if name == names[0] else " hidden"}>{_under_curve(drawn, name)}</p>'
        for name in names
    )
    return _box("Learning curve", f"{chosen}{_keys(drawn, with_boxes=True)}{_place('curve')}{captions}")


def _under_curve(drawn: Sequence[Report], metric: str) -> str:
    words = measured_on(drawn, metric)
    if pays_for_test(drawn):
        words += "; labels of test texts are paid for too"
    if any(point["new_labels"] for report in drawn for point in report["points"]):
        words += "; dotted line: a label was added, so the sides answer different questions"
    return escape(f"{words[:1].upper()}{words[1:]}.")


def _keys(drawn: Sequence[Report], with_boxes: bool = False) -> str:
    """Which line is whose, where there are several; with boxes, to choose which are drawn."""
    if len(drawn) == 1:
        return ""
    keys = []
    for number, report in enumerate(drawn):
        box = f'<input type="checkbox" data-project="{number}" checked autocomplete="off">' if with_boxes else ""
        keys.append(f"<label>{box}{plots.mark(number)}{_name(report['project'])}</label>")
    return f'<div class="keys">{"".join(keys)}</div>'


def _audit(drawn: Sequence[Report], figures: dict[str, Any]) -> str:
    with_test = [report for report in drawn if report["measured_on"] == "test"]  # the curve of the others is the audit
    if not any(point["audit"] for report in with_test for point in report["points"]):
        return ""
    figures["audit"] = plots.curves(
        [report if report in with_test else _unaudited(report) for report in drawn], "audit"
    )
    words = (
        "The same on the texts of every batch that were drawn at random, each judged by a model that had not seen its "
        "label: no test file is needed for it. The sum over all rounds so far, so it lags behind the newest model."
    )
    return _box("Audit: random texts", f'<p class="quiet">{words}</p>{_keys(drawn)}{_place("audit")}')


def _unaudited(report: Report) -> Report:
    """Keeps the project's place, and so its colour and marker."""
    return {**report, "points": [{**point, "audit": {}} for point in report["points"]]}


def _rounds(drawn: Sequence[Report]) -> str:
    names = plots.metric_names(drawn)
    tables = []
    for report in drawn:
        head = "<th>round</th><th>labels</th>" + "".join(
            _shown_for(name, names, "th", escape(f"{metric_words(name)} (95 %)")) for name in names
        )
        head += '<th class="words">strategy</th><th class="words">tuner</th><th>seconds</th>'
        rows = []
        for point in report["points"]:
            cells = f"<td>{point['round']}</td><td>{point['labels_paid']:,}</td>"
            cells += "".join(_shown_for(name, names, "td", with_interval(point["metrics"].get(name))) for name in names)
            cells += f'<td class="words">{_name(point["strategy"])}</td><td class="words">{_name(point["tuner"])}</td>'
            rows.append(f"<tr>{cells}<td>{sum(point['seconds'].values()):,.1f}</td></tr>")
        title = f"<h3>{_name(report['project'])}</h3>" if len(drawn) > 1 else ""
        tables.append(f"<div>{title}{_table(head, rows)}</div>")
    return _box("Rounds", f'<div class="tables">{"".join(tables)}</div>')


def _shown_for(metric: str, names: Sequence[str], tag: str, content: str) -> str:
    """A cell that is there while its metric is chosen."""
    return f'<{tag} data-metric="{metric}"{"" if metric == names[0] else " hidden"}>{content}</{tag}>'


def _labels(drawn: Sequence[Report], figures: dict[str, Any]) -> str:
    figure = plots.label_scores(drawn)
    if figure is None:
        return ""
    figures["labels"] = figure
    words = "After the last round, the weakest at the top"
    words += "; in brackets, how many measured texts truly have the label." if len(drawn) == 1 else "."
    return _box("F1 of each label", f'<p class="quiet">{words}</p>{_keys(drawn)}{_place("labels")}')


def _confusions(drawn: Sequence[Report], figures: dict[str, Any]) -> str:
    figure = plots.confusions(drawn[0]) if len(drawn) == 1 else None
    if figure is None:
        return ""
    figures["confusions"] = figure
    if drawn[0]["kind"] != "single":
        words = "After the last round: labels that were found, missed, and given to texts that do not have them."
        return _box("Hits and misses", f'<p class="quiet">{words}</p>{_place("confusions")}')
    words = "After the last round: a row for each true label, coloured where its texts went."
    width = figure.layout.meta["width"]
    pairs = [
        f'<tr><td class="words">{_name(short(pair["label"], 40))}</td>'
        f'<td class="words">{_name(short(pair["taken_for"], 40))}</td><td>{pair["n"]} of {pair["of"]}</td></tr>'
        for pair in confused(drawn[0])[:MOST_CONFUSED]
    ]
    head = '<th class="words">texts of</th><th class="words">were taken for</th><th>how often</th>'
    table = f"<h3>Most confused</h3>{_table(head, pairs)}" if pairs else ""
    return _box("Confusions", f'<p class="quiet">{words}</p>{_place("confusions", width)}{table}')


def _seconds(drawn: Sequence[Report], figures: dict[str, Any]) -> str:
    figures["seconds"] = plots.step_seconds(drawn)
    return _box("Seconds per round" + ("" if len(drawn) == 1 else ", on average"), _place("seconds"))


def _stopping(drawn: Sequence[Report]) -> str:
    """What each stopping rule says."""
    head = '<th class="words">rule</th><th>round</th><th>labels</th><th class="words">now</th>'
    tables = []
    for report in drawn:
        rows = [
            f'<tr><td class="words">{_name(row["rule"])}</td><td>{row["round"]}</td><td>{row["labels"]}</td>'
            f'<td class="words">{_name(row["evidence"])}</td></tr>'
            for row in stopping_rows(report)
        ]
        if rows:
            title = f"<h3>{_name(report['project'])}</h3>" if len(drawn) > 1 else ""
            tables.append(f"<div>{title}{_table(head, rows)}</div>")
    words = "The round and its labels at which each rule would have ended the labelling, and what it says now."
    if not tables:
        return ""
    return _box("When to stop", f'<p class="quiet">{words}</p><div class="tables">{"".join(tables)}</div>')


def _box(title: str, content: str) -> str:
    return f'<section class="box"><h2>{title}</h2>{content}</section>\n'


def _place(name: str, width: int = 0) -> str:
    """Where a figure goes; one that cannot be narrower scrolls inside its box."""
    least = f' style="min-width:{width}px"' if width else ""
    return f'<div class="scroll"><div id="{name}"{least}></div></div><noscript>The figure needs JavaScript.</noscript>'


def _table(head: str, rows: Sequence[str]) -> str:
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _name(words: str) -> str:
    """Anybody's words in HTML; whatever their direction of writing, they do not turn what stands beside them."""
    return f"<bdi>{escape(words)}</bdi>"


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
