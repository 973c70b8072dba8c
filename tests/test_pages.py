import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alloop import plots
from alloop.errors import AlloopError, DataError
from alloop.pages import page, simulation_page, write_page
from alloop.plots import COLOURS, DASHES, RANDOM_LOOK, SYMBOLS, against_random, curves, metric_names, script
from alloop.project import Project
from alloop.simulating.results import best_first, summarise
from tests.command import done
from tests.conftest import sentences
from tests.label_studio.server import chromium
from tests.test_figures import made_up, with_training

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = (
    "<script>window.hacked=1</script>",
    "<b>bold</b>",
    "<a href='https://example.org'>link</a>",
    "$x^2$",
    "2020-01-01",
    "%{x}",
    '" onmouseover="window.hacked=1',
    "&lt;i&gt;",
)
A_NAME = "<img src=x onerror=window.hacked=1>"


def a_report(project: str = "pets", rounds: int = 3, **more: Any) -> Any:
    """Like made_up, with all that a page shows; the random texts say 0.4, 0.5, … from the second round on."""
    report = made_up(project, rounds, **more)
    for point in report["points"]:
        value = 0.2 + point["round"] / 10
        audit = {"accuracy": {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 5 * point["round"]}}
        point["audit"] = audit if point["round"] > 1 else {}
        point["metrics"]["ece"] = {"value": 0.2 / point["round"], "low": 0.05, "high": 0.25, "n": 200}
        point |= {"tuner": "lora", "labels_test": 0, "labels_audit": 0, "seconds_annotating": 90.0}
    return report


def a_simulation(strategies: int, seeds: int = 3, **more: Any) -> Any:
    """Runs of s01, s02, … and random; the higher the number, the better, and random is the worst."""
    runs = []
    for number in range(strategies):
        for seed in range(seeds):
            values = [0.5 + number / 100 + seed / 1000, 0.7 + number / 100 - seed / 1000]
            points = [
                {
                    "labels": 10 * turn,
                    "labels_paid": 10 * turn,
                    "metrics": {"accuracy": {"value": value}},
                    "seconds": {"train": 2.0, "score": 1.0, "select": 0.5},
                }
                for turn, value in enumerate(values, 1)
            ]
            name = f"s{number:02}" if number else "random"
            runs.append({"strategy": name, "tuner": "tfidf", "seed": seed, "points": points})
    who = {"annotators_per_text": 3, "annotators": 3, "error_rate": 0.1, "skip_rate": 0.0}
    return {"budget": 20, "batch": 10, "annotators": who, **summarise(runs, "accuracy", [0.6, 0.99]), **more}


def fresh(project: str = "fresh") -> Any:
    return a_report(project, rounds=0, confusion=None)


class Seen:
    """A page as somebody without a network sees it; `said` is all that the browser complains about or asks for."""

    def __init__(self, page: "Page", path: Path) -> None:
        self.page = page
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        self.blocked: list[str | None] = []
        page.on("requestfailed", lambda request: self.blocked.append(request.failure))
        page.on("request", lambda request: self.said.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())

    def count(self, selector: str) -> int:
        return self.page.locator(selector).count()

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_text_contents()

    def width(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    executable = chromium()
    if executable is None:
        pytest.skip("no Chromium: .ci/run installs it, or apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture
def look(browser: "Browser", tmp_path: Path) -> Iterator[Callable[..., Seen]]:
    """Open reports, or HTML, in a browser that is offline: on a phone of 390 pixels or on a desk."""
    contexts = []

    def open_(shown: list[Any] | str, phone: bool = False, dark: bool = False) -> Seen:
        path = tmp_path / f"page-{len(contexts)}.html"
        path.write_text(shown if isinstance(shown, str) else page(shown), encoding="utf-8")
        context = browser.new_context(
            viewport={"width": 390 if phone else 1280, "height": 844},
            has_touch=phone,
            is_mobile=phone,
            offline=True,
            color_scheme="dark" if dark else "light",
        )
        contexts.append(context)
        return Seen(context.new_page(), path)

    yield open_
    for context in contexts:
        context.close()


def without_library(html: str) -> str:
    return html.replace(script(), "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "reports",
    [
        [a_report()],
        [a_report(rounds=1)],
        [a_report("margin"), fresh(), a_report("random", rounds=5)],
        [a_report(f"a project with a long name, number {n}", rounds=n) for n in range(1, 8)],
        [a_report(kind="multi", confusion=[[5, 1, 2, 9], [4, 0, 1, 12]])],
        [a_report(confusion=None, measured_on="audit")],
        [a_report(labels=tuple(f"a long label with the number {n}" for n in range(77)))],
        [a_report(A_NAME, labels=HOSTILE)],
    ],
    ids=["one", "one round", "several", "many", "multi", "audit", "77 labels", "hostile"],
)
def test_the_page_draws_itself_offline_and_never_scrolls_sideways(
    look: Callable[..., Seen], reports: list[Any]
) -> None:
    seen = look(reports, phone=True, dark=True)
    drawn = [report for report in reports if report["points"]]
    assert seen.count("#curve svg .scatterlayer path.js-line") >= sum(len(one["points"]) > 1 for one in drawn)
    assert seen.count("#curve svg .scatterlayer .points path") == sum(len(one["points"]) for one in drawn)
    assert seen.count("#labels svg .point") > 0
    assert seen.count("#seconds svg .bars .point") > 0
    assert seen.width() == 390
    seen.page.set_viewport_size({"width": 1280, "height": 800})
    seen.page.wait_for_selector("#curve .main-svg[width^='10']")  # 1086 pixels or so: the figure has grown with it
    assert seen.width() == 1280
    assert seen.said == []


@pytest.mark.slow
def test_another_metric_changes_the_curves_and_the_table(look: Callable[..., Seen]) -> None:
    seen = look([a_report()])
    assert seen.texts("#metric option") == ["accuracy", "macro-F1", "micro-F1", "calibration error"]
    assert seen.texts("#curve .ytitle") == ["accuracy"]
    assert seen.texts("tbody tr:first-child td:visible")[:3] == ["1", "25", "0.600 (0.55–0.65)"]
    seen.page.select_option("#metric", "f1_macro")
    assert seen.texts("#curve .ytitle") == ["macro-F1"]
    assert seen.texts("tbody tr:first-child td:visible")[:3] == ["1", "25", "0.500 (0.45–0.55)"]
    seen.page.select_option("#metric", "ece")
    assert seen.texts("#curve .ytitle") == ["calibration error (lower is better)"]
    assert seen.said == []


@pytest.mark.slow
@pytest.mark.parametrize("dark", [True, False])
def test_how_models_were_trained_is_drawn_in_small_figures(look: Callable[..., Seen], dark: bool) -> None:
    seen = look([with_training(a_report(A_NAME))], phone=True, dark=dark)
    assert seen.texts("#training .annotation") == ["loss", "held-back accuracy", "learning rate"]
    assert seen.count("#training svg .scatterlayer path.js-line") == 4 * 3, (
        "of three rounds: two losses, and the others"
    )
    assert seen.width() == 390
    assert seen.said == []
    assert seen.count("#training") > look([a_report()]).count("#training")


@pytest.mark.slow
def test_a_point_says_its_round_its_labels_and_its_interval(look: Callable[..., Seen]) -> None:
    seen = look([a_report()])
    seen.page.locator("#curve .points path").nth(1).hover(force=True)
    seen.page.wait_for_selector("#curve .hovertext")
    said = "".join(seen.texts("#curve .hovertext tspan.line"))
    assert said == "petsround 2, 50 labels0.700 (0.65–0.75)on 200 texts"


@pytest.mark.slow
def test_a_project_that_is_unticked_leaves_every_curve(look: Callable[..., Seen]) -> None:
    seen = look([a_report("margin"), a_report("random", rounds=5)])
    assert (seen.count("#curve .points path"), seen.count("#audit .points path")) == (3 + 5, 2 + 4)
    seen.page.uncheck("input[data-project='1']")
    assert (seen.count("#curve .points path"), seen.count("#audit .points path")) == (3, 2)
    seen.page.select_option("#metric", "f1_macro")
    assert seen.count("#curve .points path") == 3


@pytest.mark.slow
def test_a_finger_on_a_figure_scrolls_the_page_and_leaves_the_figure(look: Callable[..., Seen]) -> None:
    seen = look([a_report()], phone=True)
    seen.page.locator("#curve").scroll_into_view_if_needed()
    ticks, before = seen.texts("#curve .ytick text"), seen.page.evaluate("scrollY")
    where = seen.page.locator("#curve .nsewdrag").bounding_box()
    assert where is not None
    finger = seen.page.context.new_cdp_session(seen.page)
    x, y = where["x"] + where["width"] / 2, where["y"] + where["height"] / 2
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for up in range(10, 210, 10):
        finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y - up}]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert seen.page.evaluate("scrollY") > before + 100
    assert seen.texts("#curve .ytick text") == ticks


@pytest.mark.slow
def test_names_are_shown_letter_by_letter_and_do_nothing(look: Callable[..., Seen]) -> None:
    report = a_report(A_NAME, labels=HOSTILE)
    report["points"][2]["new_labels"] = ["<a href='https://example.org'>"]
    seen = look([report])
    assert seen.texts("h1") == [A_NAME]
    short_of_all = [name for name in HOSTILE if len(name) <= 22]
    assert set(short_of_all) <= set(seen.texts("#labels .ytick text"))
    assert set(short_of_all) <= set(seen.texts("#confusions .ytick text"))
    assert any("<a href='h" in text for text in seen.texts("#curve .annotation-text"))
    seen.page.locator("#labels .point path").nth(HOSTILE.index("<b>bold</b>")).hover(force=True)
    seen.page.wait_for_selector("#labels .hovertext")
    assert "<b>bold</b>" in "".join(seen.texts("#labels .hovertext tspan.line"))
    assert seen.count("main img, main b, main script") == 0
    assert seen.count("main a[href]:not([data-title])") == 0
    assert seen.page.evaluate("window.hacked") is None
    assert seen.said == []


@pytest.mark.slow
def test_the_browser_runs_no_other_script_and_asks_nobody(look: Callable[..., Seen]) -> None:
    smuggled = "<script>window.hacked=1</script><img src='https://example.org/x.png' onerror='window.hacked=1'></main>"
    seen = look(page([a_report()]).replace("</main>", smuggled))
    assert seen.page.evaluate("window.hacked") is None
    assert seen.count("#curve .points path") == 3
    assert len([one for one in seen.said if "Content Security Policy" in one]) >= 2
    assert seen.blocked == ["csp"]  # by the page itself, before there was a network to ask


@pytest.mark.slow
def test_no_button_takes_the_figures_to_a_server(look: Callable[..., Seen]) -> None:
    """plotly.js 4 has one, "Share chart…", unless it is told not to."""
    seen = look([a_report(kind="multi", confusion=[[5, 1, 2, 9], [4, 0, 1, 12]])])
    titles = seen.page.locator(".modebar-btn").evaluate_all("buttons => buttons.map(one => one.dataset.title)")
    assert {one.lower() for one in titles} == {
        "download plot as a png",
        "zoom",
        "pan",
        "zoom in",
        "zoom out",
        "reset axes",
    }
    with seen.page.expect_download() as saved:
        seen.page.locator("#curve .modebar-btn").first.click(force=True)
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")
    assert [one for one in seen.said if one.startswith("http")] == []


@pytest.mark.parametrize("reports", [[a_report()], [a_report(A_NAME, labels=HOSTILE), a_report()], [fresh()]])
def test_nothing_in_the_page_points_elsewhere(reports: list[Any]) -> None:
    html = without_library(page(reports))
    assert re.findall(r"<(?:link|iframe|img|script\s+src|object|base)\b|@import|url\(|fetch\(|XMLHttp", html) == []
    assert re.findall(r"<[a-z]+ [^>]*\b(?:src|href|action)\s*=", html) == []
    assert html.count("<script") == (3 if reports[0]["points"] else 1)


@pytest.mark.slow
def test_of_many_strategies_the_best_and_random_are_ticked(look: Callable[..., Seen]) -> None:
    seen = look(simulation_page(a_simulation(21), "Simulation <b>"), phone=True)
    assert seen.texts("h1") == ["Simulation <b>"]
    ticked = seen.page.locator("input:checked").evaluate_all("boxes => boxes.map(one => one.parentElement.textContent)")
    assert ticked == ["s20", "s19", "s18", "s17", "s16", "random"]
    assert seen.count("#curve .scatterlayer path.js-fill") == seen.count("#curve .scatterlayer path.js-line") / 2 == 6
    assert seen.texts("tbody th") == [f" s{number:02}" for number in range(20, 0, -1)] + [" random"]
    assert seen.texts("tbody tr:first-child td")[2:6] == ["+0.200 (+0.200 to +0.200)", "3/0/0", "≤10", "over 20"]
    assert seen.count("#against .point") == 20
    assert seen.width() == 390
    seen.page.click("button[data-tick=all]")
    assert (seen.count("#curve path.js-line"), seen.count("#curve path.js-fill")) == (21, 0)
    seen.page.click("button[data-tick=none]")
    assert seen.count("#curve path.js-line") == 0
    assert seen.said == []


@pytest.mark.slow
def test_who_points_at_a_name_sees_its_line_before_the_others(look: Callable[..., Seen]) -> None:
    seen = look(simulation_page(a_simulation(10), "Simulation"))
    seen.page.hover(".keys label:nth-child(8)")  # not ticked
    opacity = "traces => traces.map(one => one.style.opacity)"
    assert seen.page.locator("#curve .trace.scatter").evaluate_all(opacity).count("0.15") == 12
    assert seen.count("#curve path.js-line") == 14
    seen.page.hover("h1")
    assert (seen.count("#curve path.js-line"), seen.said) == (12, [])


def test_a_simulation_without_random_or_with_one_seed_says_no_more_than_it_knows() -> None:
    found = a_simulation(3, seeds=1)
    html = without_library(simulation_page(found, "Simulation"))
    assert "One seed: no intervals." in html
    assert "3 simulated annotators a text, each wrong about 10 % of the time; the majority decides" in html
    assert ">+0.020<" in html
    for key in ("summary", "curves"):
        found[key] = [one for one in found[key] if one["strategy"] != "random"]
    for row in found["summary"]:
        row["against_random"] = None
    assert 'id="against"' not in simulation_page(found, "Simulation")


def test_random_is_grey_and_no_two_strategies_look_the_same() -> None:
    rows = best_first(a_simulation(31))
    marks = re.findall(r"<tr>.*?(<svg.*?</svg>)", simulation_page(a_simulation(31), "S"))
    assert len(set(marks)) == len(rows) == 31
    assert sum(RANDOM_LOOK.colour in mark for mark in marks) == 1
    figure = against_random(rows)
    assert figure is not None
    assert [trace.marker.color == RANDOM_LOOK.colour for trace in figure.data] == [False] * 30


def test_projects_differ_in_colour_dashes_and_marks() -> None:
    assert len({plots.look(number) for number in range(36)}) == 36
    figure = curves([a_report(f"p{n}") for n in range(6)])
    lines = [trace for trace in figure.data if trace.meta == "accuracy" and trace.mode == "lines+markers"]
    assert len({trace.line.color for trace in lines}) == len(COLOURS) == 6
    assert len({trace.line.dash for trace in lines}) == len(DASHES) == 6
    assert len({trace.marker.symbol for trace in lines}) == len(SYMBOLS) == 6


def test_the_first_metric_is_the_headline_and_labels_have_none() -> None:
    assert metric_names([a_report()])[0] == "accuracy"
    assert metric_names([a_report(kind="multi")])[0] == "f1_micro"
    assert metric_names([fresh()]) == []
    assert not any("[" in name for name in metric_names([a_report()]))


def test_the_curve_breaks_where_a_label_was_added() -> None:
    report = a_report()
    assert curves([report]).layout.shapes == ()
    report["points"][1]["new_labels"] = ["hen"]
    figure = curves([report])
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes] == [(37.5, 37.5)]
    assert [note.text for note in figure.layout.annotations] == ["+ hen"]
    assert "a label was added" in without_library(page([report]))


def test_the_band_is_the_interval() -> None:
    band = next(trace for trace in curves([a_report()]).data if trace.fill == "toself")
    assert list(band.x) == [25, 50, 75, 75, 50, 25]
    assert list(band.y) == pytest.approx([0.65, 0.75, 0.85, 0.75, 0.65, 0.55])


def test_a_project_without_a_model_says_so_and_brings_no_library() -> None:
    html = page([fresh()])
    assert "No round has trained a model yet" in html
    assert len(html) < 10_000
    both = without_library(page([fresh("new one"), a_report()]))
    assert "<h2><bdi>new one</bdi></h2><p>No round" in both


def test_rounds_that_measured_nothing_still_have_a_table() -> None:
    report = a_report(confusion=None)
    for point in report["points"]:
        point |= {"metrics": {}, "audit": {}}
    html = without_library(page([report]))
    assert "No labelled texts to measure on yet." in html
    assert "<td>1</td><td>25</td>" in html


def test_one_project_has_a_matrix_and_several_have_none() -> None:
    assert 'id="confusions"' in page([a_report()])
    assert 'id="confusions"' not in page([a_report(), a_report("others")])


def test_the_same_reports_give_the_same_bytes_and_leave_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new directory" / "page.html"
    write_page([a_report()], path)
    first = path.read_bytes()
    write_page([a_report()], path)
    assert path.read_bytes() == first
    assert [one.name for one in path.parent.iterdir()] == ["page.html"]


def test_a_directory_whose_name_is_no_proper_text_can_be_written(tmp_path: Path) -> None:
    write_page([a_report("caf\udce9")], tmp_path / "page.html")
    assert "<title>caf? · alloop" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        write_page([a_report()], tmp_path / "page.pdf")
    assert refused.value.hint == f"name it: {tmp_path / 'page.html'}"
    assert list(tmp_path.iterdir()) == []


def test_without_plotly_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(AlloopError) as missing:
        write_page([a_report()], tmp_path / "page.html")
    assert missing.value.hint == "pip install 'alloop[html]'"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_writes_a_page_that_holds_no_text(
    make_project: Callable[..., Project], tmp_path: Path, look: Callable[..., Seen]
) -> None:
    project = make_project("<b>pets", cold_start="random")
    done("run", project.root, "--rounds", 4)
    path = tmp_path / "out" / "page.html"
    ran = done("report", project.root, "--html", path)
    assert (ran.out, ran.err) == ("", f"Wrote {path}.\n")
    html = path.read_text(encoding="utf-8")
    assert [text for text, _ in sentences() if text in html] == []
    seen = look(html)
    assert seen.texts("h1") == ["<b>pets"]
    assert seen.count("#curve .points path") == 3
    assert seen.said == []
