"""Pages to show around, of reports and of simulations: HTML files that need no network, with curves to point at.

They hold no texts. Names of projects and labels are anybody's words: `_name` makes them harmless in HTML, `plots.plain`
in figures. The browser is told to run the page's own two scripts only, by their sums, and to load nothing else.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from alloop import plots
from alloop.augmentation import DECISIONS, VARIANTS, decision_rows, variant_rows
from alloop.errors import DataError
from alloop.figures import (
    MOST_ANNOTATORS,
    MOST_CONFUSED,
    MOST_LABELS,
    against_header,
    agreement_sentences,
    annotator_rows,
    area_cells,
    efficiency_words,
    measured_on,
    pair_rows,
    pays_for_test,
    short,
    stopping_rows,
    target_words,
    training_words,
)
from alloop.files import write_whole
from alloop.reports import calibration_words, confused, headline, metric_words, with_interval
from alloop.simulating.results import (
    annotators_words,
    band_words,
    best_first,
    duel_words,
    labels_words,
    seconds_words,
)

TICKED = 5  # of many lines of a simulation, at first

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
        parts += [_curve(drawn, figures), _efficiency(drawn), _audit(drawn, figures), _rounds(drawn)]
        parts += [_labels(drawn, figures)]
        parts += [_confusions(drawn, figures), _training(drawn, figures), _seconds(drawn, figures)]
        parts += [_agreement(drawn), _stopping(drawn), _augmentation(drawn)]
    title = reports[0]["project"] if len(reports) == 1 else f"{len(reports)} projects"
    about = "What each label bought: how good the model is after every round of labelling."
    return _whole(title, "alloop report", about, parts, figures, library)


def _whole(title: str, maker: str, about: str, parts: Sequence[str], figures: Mapping[str, Any], library: str) -> str:
    data = ",".join(
        f'"{name}":{figure.to_json(engine="json")}' for name, figure in figures.items()
    )  # plotly escapes < and /
    scripts = [library, _file("page.js")] if figures else []
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(scripts)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · {maker}</title>
<style>
{style()}</style>
</head>
<body>
<main>
<h1>{_name(title)}</h1>
<p class="quiet">{about}</p>
{"".join(parts)}
<p class="quiet">Made by alloop {escape(version("alloop"))}. This page holds no texts and needs no network.</p>
</main>
<script type="application/json" id="figures">{{{data}}}</script>
{"".join(f"<script>{one}</script>" for one in scripts)}
</body>
</html>
"""


def write_simulation(found: Mapping[str, Any], path: Path) -> None:
    """Write what a simulation found, the content of its summary.json, as one HTML file, about 5 MB."""
    title = f"Simulation {path.absolute().parent.name}"
    write_whole(path, simulation_page(found, title).encode(errors="replace").decode())


def simulation_page(found: Mapping[str, Any], title: str) -> str:
    """The whole page of a simulation as HTML."""
    library = plots.script()
    rows = best_first(found)
    figures: dict[str, Any] = {"curve": plots.mean_curves(rows)}
    metric, (low, high), seeds = metric_words(rows[0]["metric"]), rows[0]["labels"], rows[0]["seeds"]
    about = (
        f"Whole loops, {found['budget']:,} labels each in batches of {found['batch']:,}: "
        f"{annotators_words(found['annotators'])}. "
        + (f"Means of {seeds} seeds, with 95 % intervals over seeds." if seeds > 1 else "One seed: no intervals.")
        + f" The area is the mean height of the curve from {low:g} to {high:g} labels."
    )
    keys = _line_keys(rows)
    parts = [_box("Learning curves", f"{keys}{_place('curve')}<p class='quiet'>{escape(_under_means(rows))}</p>")]
    parts.append(_box("Best first", _means(rows)))
    if figure := plots.against_random(rows):
        figures["against"] = figure
        words = (
            f"How much the area under the curve of {metric} differs from that of random, of the same seeds and tuner."
        )
        parts.append(_box("Against random", f'<p class="quiet">{escape(words)}</p>{_place("against")}'))
    return _whole(title, "alloop simulate", escape(about), parts, figures, library)


def _line_keys(rows: Sequence[Mapping[str, Any]]) -> str:
    """Boxes to choose lines by; where there are many, the best and random are ticked."""
    others = [number for number, row in enumerate(rows) if not row["is_random"]]
    is_few = len(rows) <= plots.MOST_BANDS
    ticked = {number for number, row in enumerate(rows) if is_few or row["is_random"] or number in others[:TICKED]}
    keys = [
        f'<label><input type="checkbox" data-project="{number}"{" checked" if number in ticked else ""}'
        f' autocomplete="off">{plots.mark(its)}{_name(row["name"])}</label>'
        for number, (row, its) in enumerate(zip(rows, plots.looks(rows), strict=True))
    ]
    buttons = "" if is_few else '<button data-tick="all">all</button><button data-tick="none">none</button>'
    return f'<div class="keys">{"".join(keys)}{buttons}</div>'


def _under_means(rows: Sequence[Mapping[str, Any]]) -> str:
    words = band_words(rows)
    if len(rows) > plots.MOST_BANDS:
        words += f", drawn while at most {plots.MOST_BANDS} lines are ticked"
    return f"{words[:1].upper()}{words[1:]}. Point at a name with the mouse to see its line alone."


def _means(rows: Sequence[Mapping[str, Any]]) -> str:
    metric, (low, high), seeds = metric_words(rows[0]["metric"]), rows[0]["labels"], rows[0]["seeds"]
    heads = [f"{metric} at {high:g}", "area", "against random", "won/tied/lost"]
    heads += [f"labels to {one['target']:g}" for one in rows[0]["targets"]] + ["to pick", "a round"]
    lines = []
    for row, its in zip(rows, plots.looks(rows), strict=True):
        cells = [with_interval(row["final"]), with_interval(row["area"]), *duel_words(row["against_random"])]
        cells += [labels_words(one, low, high, seeds > 1) for one in row["targets"]]
        cells += seconds_words(row["seconds"])
        listed = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(f'<tr><th class="words">{plots.mark(its)} {_name(row["name"])}</th>{listed}</tr>')
    table = _table('<th class="words"></th>' + "".join(f"<th>{escape(one)}</th>" for one in heads), lines)
    words = "Seconds: to pick a batch, scoring the pool included, and of a whole round; the middle of all rounds."
    return f'<div class="named">{table}</div><p class="quiet">{words}</p>'


def policy(scripts: Sequence[str]) -> str:
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
        mark = plots.mark(plots.look(drawn.index(report))) if len(drawn) > 1 else ""
        cards.append(f'<div class="box">{name}{mark}{_numbers(report)}</div>')
    return f'<div class="cards">{"".join(cards)}</div>'


def _numbers(report: Report) -> str:
    last = report["points"][-1]
    metric = headline(report)
    measured = last["metrics"].get(metric)
    rows = [("labels paid for", f"{last['labels_paid']:,}"), ("rounds", f"{len(report['points']):,}")]
    if measured and measured["low"] is not None:
        rows.insert(0, ("95 % interval", f"{measured['low']:.3f} – {measured['high']:.3f}"))
    if words := calibration_words(last):
        rows.append((metric_words("ece"), words))
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
        keys.append(f"<label>{box}{plots.mark(plots.look(number))}{_name(report['project'])}</label>")
    return f'<div class="keys">{"".join(keys)}</div>'


def _efficiency(drawn: Sequence[Report]) -> str:
    found = [report for report in drawn if report.get("efficiency")]
    if not found:
        return ""
    metric = metric_words(found[0]["efficiency"]["metric"])
    words = f'<p class="quiet">{escape(efficiency_words(found))}</p>'
    has_areas = found[0]["efficiency"]["labels"] is not None
    against = against_header(found) if has_areas else ()
    targets = [one["target"] for one in found[0]["efficiency"]["targets"]]
    if not has_areas and not targets:
        return _box(f"Area under the curve: {metric}", words)
    heads = ["area", *against][: 2 * has_areas] + [f"labels to {target:g}" for target in targets]
    rows = []
    for report in found:
        cells = area_cells(report, (1 + len(against)) * has_areas)
        cells += [target_words(report, one) for one in report["efficiency"]["targets"]]
        rows.append(
            f'<tr><th class="words">{_name(report["project"])}</th>{"".join(f"<td>{one}</td>" for one in cells)}</tr>'
        )
    head = '<th class="words"></th>' + "".join(f"<th>{_name(one)}</th>" for one in heads)
    return _box(f"Area under the curve: {metric}", f'{words}<div class="named">{_table(head, rows)}</div>')


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
        head = "<th>round</th><th>labels paid for</th>" + "".join(
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


def _training(drawn: Sequence[Report], figures: dict[str, Any]) -> str:
    figure = plots.training(drawn)
    if figure is None:
        return ""
    figures["training"] = figure
    words = f'<p class="quiet">{escape(training_words(drawn))}</p>'
    return _box("Training", f"{words}{_keys(drawn)}{_place('training', figure.layout.meta['width'])}")


def _seconds(drawn: Sequence[Report], figures: dict[str, Any]) -> str:
    figures["seconds"] = plots.step_seconds(drawn)
    return _box("Seconds per round" + ("" if len(drawn) == 1 else ", on average"), _place("seconds"))


def _agreement(drawn: Sequence[Report]) -> str:
    """How far annotators agree with each other, and how good each of them is."""
    parts = []
    for report in drawn:
        if sentences := agreement_sentences(report):
            title = f"<h3>{_name(report['project'])}</h3>" if len(drawn) > 1 else ""
            tables = ""
            if found := report.get("agreement"):
                tables = _plain_table("Each beside the others", *annotator_rows(report), MOST_ANNOTATORS)
                tables += _plain_table("Pairs with the most texts in common", *pair_rows(found))
                tables += _contested(report)
            words = f'<p class="quiet">{escape(sentences)}</p>'
            parts.append(f'<div>{title}{words}<div class="tables">{tables}</div></div>')
    return _box("Agreement of annotators", "".join(parts)) if parts else ""


def _plain_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], most: int = MOST_LABELS) -> str:
    """The first column in words, up to so many rows."""
    if not rows:
        return ""
    head = "".join(f"<th{'' if at else ' class=words'}>{escape(one)}</th>" for at, one in enumerate(header))
    lines = [
        "<tr>" + "".join(f"<td{'' if at else ' class=words'}>{_name(one)}</td>" for at, one in enumerate(row)) + "</tr>"
        for row in rows[:most]
    ]
    rest = f'<p class="quiet">and {len(rows) - most:,} more</p>' if len(rows) > most else ""
    return f"<div><h3>{title}</h3>{_table(head, lines)}{rest}</div>"


def _contested(report: Report) -> str:
    """Alpha of each label against all others, the most contested first."""
    alphas = report["agreement"]["alpha"]["labels"]
    known = sorted((value, label) for label, value in alphas.items() if value is not None)
    if len(known) < 2 or (report["kind"] == "single" and len(alphas) == 2):  # two answers are one question
        return ""
    rows = [(short(label, 40), f"{value:.2f}") for value, label in known]
    return _plain_table("Alpha of each label", ("label", "alpha"), rows)


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


def _augmentation(drawn: Sequence[Report]) -> str:
    """What the gate decided of each augmenter, and what became of its variants."""
    tables = []
    for report in drawn:
        if found := report.get("augmentation"):
            title = f"<h3>{_name(report['project'])}</h3>" if len(drawn) > 1 else ""
            decisions = _words_table(DECISIONS, decision_rows(found), {1, 3, 4})
            tables.append(f"<div>{title}{decisions}{_words_table(VARIANTS, variant_rows(found), {0, 3})}</div>")
    if not tables:
        return ""
    words = (
        "On is what cross-validation on the labels at hand shows to help: the 80 % interval of its gain is above zero."
    )
    return _box("Augmentation", f'<p class="quiet">{words}</p><div class="tables">{"".join(tables)}</div>')


def _words_table(header: Sequence[str], rows: Sequence[Sequence[str]], words: set[int]) -> str:
    """A table of plain cells; columns of `words` are to the left, numbers to the right."""

    def cell(tag: str, column: int, content: str) -> str:
        kind = ' class="words"' if column in words else ""
        return f"<{tag}{kind}>{_name(content)}</{tag}>"

    lines = ["".join(cell("td", *one) for one in enumerate(row)) for row in rows]
    head = "".join(cell("th", *one) for one in enumerate(header))
    return _table(head, [f"<tr>{line}</tr>" for line in lines]) if rows else ""


def _box(title: str, content: str) -> str:
    return f'<section class="box"><h2>{title}</h2>{content}</section>\n'


def _place(name: str, width: int = 0) -> str:
    """Where a figure goes; one that cannot be narrower scrolls inside its box."""
    least = f' style="min-width:{width}px"' if width else ""
    return f'<div class="scroll"><div id="{name}"{least}></div></div><noscript>The figure needs JavaScript.</noscript>'


def _table(head: str, rows: Sequence[str]) -> str:
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def style() -> str:
    """What all pages look like."""
    return _file("page.css")


def _name(words: str) -> str:
    """Anybody's words in HTML; whatever their direction of writing, they do not turn what stands beside them."""
    return f"<bdi>{escape(words)}</bdi>"


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
