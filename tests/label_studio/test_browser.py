"""People label with a real browser. What they see is kept in artefacts/, as pictures to look at."""

import csv
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alloop.annotators.label_studio import KEY
from alloop.intake import create
from alloop.project import Project
from tests.command import done
from tests.label_studio.server import ROOT, StudioServer

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = pytest.mark.slow

PICTURES = ROOT / "artefacts" / "label-studio"
NUMBER = ".lsf-current-task__task-id"
NOTHING_LEFT = "No More Tasks Left in Queue"
INSTRUCTIONS = """
# Why does the customer write?

Choose the **one** reason that decides who should answer.

- Two reasons: take the one that *costs more* to get wrong.
- No idea: skip it.

1. Read to the end.
2. Type `<b>` and it stays text.
"""

VERBS = "cancel change declined failed find lost pending refund request verify wrong".split()
NOUNS = "bank_transfer_that_is_on_its_way card cash pin statement top_up virtual_card".split()


class Annotator:
    """Somebody with a browser, logged in."""

    def __init__(self, page: "Page", server: StudioServer) -> None:
        self.page, self.server = page, server
        self.dialogs: list[str] = []
        page.set_default_timeout(15_000)
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.set_viewport_size({"width": 1280, "height": 800})

    def visit(self, url: str) -> None:
        """Open an address, logging in on the way where need be."""
        self.page.goto(url)
        if "/user/login" in self.page.url:
            self.page.fill("input[name=email]", self.server.email)
            self.page.fill("input[name=password]", self.server.password)
            self.page.click("button[type=submit]")
            self.page.wait_for_url(f"{url}*")

    def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")

    def text(self) -> str:
        """The text that is asked about."""
        shown = self.page.locator(".alloop-text > .lsf-object .lsf-richtext__container")
        shown.wait_for()
        return shown.inner_text()

    def chosen(self) -> list[str]:
        return [str(box.get_attribute("name")) for box in self.page.locator(".lsf-choices input:checked").all()]

    def click(self, label: str) -> None:
        self.page.locator(f'.lsf-choices input[name="{label}"]').click()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def submit(self, by_hotkey: bool = False) -> None:
        """Hand the answer in and wait for the next text, or for the news that there is none."""
        before = self.number()
        if by_hotkey:
            self.press("Control+Enter")
        else:
            self.page.get_by_test_id("bottombar-submit-button").click()
        self.wait_for_another_than(before)

    def skip(self) -> None:
        before = self.number()
        self.page.get_by_test_id("bottombar-skip-button").click()
        self.wait_for_another_than(before)

    def number(self) -> str:
        """The id of the task, such as #7."""
        return self.page.locator(NUMBER).inner_text()

    def wait_for_another_than(self, number: str) -> None:
        changed = "([css, old]) => document.querySelector(css)?.innerText !== old"
        self.page.wait_for_function(changed, arg=[NUMBER, number])
        self.page.locator(NUMBER).or_(self.page.get_by_text(NOTHING_LEFT)).wait_for()


@pytest.fixture
def annotator(
    browser: "BrowserContext", studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Annotator]:
    monkeypatch.setenv(KEY, studio_server.token)
    annotator = Annotator(browser.new_page(), studio_server)
    yield annotator
    assert annotator.dialogs == []


def shipped(name: str, root: Path, server: StudioServer, label_column: str, more: str = "") -> dict[str, str]:
    """A copy of a shipped project without its labels, for people to label; returns text -> label."""
    source = ROOT / "projects" / name
    with open(source / "data" / "pool.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    truth = {row["text"]: row.pop(label_column) for row in rows}
    pool = root.with_suffix(".csv")
    with open(pool, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    config = root.with_suffix(".toml")
    changed = (source / "alloop.toml").read_text(encoding="utf-8")
    changed = re.sub(
        r'with = "simulated".*', f'with = "label-studio"\nurl = "{server.url}"\n{more}', changed, flags=re.S
    )
    changed = re.sub(r'tuner = "\w+"', 'tuner = "tfidf"', changed)
    changed = re.sub(r"batch = \d+", "batch = 6", changed)
    config.write_text(re.sub(r"^label = .*\n", "", changed, flags=re.M), encoding="utf-8")
    create(root, source=config, data=[str(pool)], test=str(source / "data" / "test.csv"))
    return truth


def asked(root: Path, number: int) -> list[tuple[str, bool, str]]:
    """(text, blind, task id on the server) of a round, in the order of rank."""
    return [
        (text, bool(blind), remote)
        for text, blind, remote in rows_of(
            root,
            "SELECT x.text, t.blind, t.remote_id FROM tasks t JOIN texts x ON x.id = t.text_id"
            f" WHERE t.round = {number} ORDER BY t.rank",
        )
    ]


def rows_of(root: Path, query: str) -> list[Any]:
    with sqlite3.connect(root / "alloop.db") as connection:
        return connection.execute(query).fetchall()


def answers(root: Path, number: int) -> list[tuple[str, str, list[str]]]:
    """(text, state, labels) of the newest answer to each text of a round, in the order of rank."""
    found = rows_of(
        root,
        "SELECT x.text, a.state, a.labels FROM annotations a JOIN tasks t ON t.key = a.task_key"
        f" JOIN texts x ON x.id = t.text_id WHERE t.round = {number} AND a.seq IN"
        " (SELECT max(seq) FROM annotations GROUP BY backend, remote_id) ORDER BY t.rank",
    )
    return [(text, state, json.loads(labels)) for text, state, labels in found]


def address(words: str) -> str:
    found = re.search(r"answer the tasks at (\S+), then", words)
    assert found is not None, words
    return found[1]


def as_shown(text: str) -> str:
    return text.replace("\r\n", "\n")


def test_a_person_clicks_types_skips_and_thinks_again(
    annotator: Annotator, studio_server: StudioServer, tmp_path: Path
) -> None:
    root = tmp_path / "support-desk"
    options = 'suggest = 0.5\n[options.label-studio]\ninstructions = "instructions.md"'
    truth = shipped("support-desk", root, studio_server, "label", options)
    (root / "instructions.md").write_text(INSTRUCTIONS, encoding="utf-8")
    url = address(done("round", root).err)
    page, first = annotator.page, asked(root, 1)
    key_of = dict(zip(Project.open(root).config.task.names, "123456789a", strict=True))

    annotator.visit(url)
    page.get_by_role("heading", name="Why does the customer write?").wait_for()
    assert page.locator(".alloop-instructions li").count() == 4
    assert "Type <b> and it stays text." in page.locator(".alloop-instructions").inner_text()
    annotator.text()
    annotator.picture("1-instructions")
    page.keyboard.press("Escape")

    seen = [annotator.text()]
    assert "channel:" in page.locator(".alloop-about").inner_text()
    assert annotator.chosen() == []
    page.get_by_test_id("bottombar-submit-button").click()
    refusal = page.get_by_text("Choose a label, or skip this text.")
    page.get_by_role("button", name="OK").click(trial=True)  # waits until it has come to rest
    assert refusal.is_visible()
    annotator.picture("2-no-answer-is-refused")
    page.get_by_role("button", name="OK").click()
    refusal.wait_for(state="hidden")
    annotator.click(truth[first[0][0]])
    page.set_viewport_size({"width": 1180, "height": 680})
    annotator.picture("label-studio")  # of which docs/label-studio.png is a copy
    page.set_viewport_size({"width": 1280, "height": 800})
    annotator.picture("3-a-text")
    annotator.submit()

    seen.append(annotator.text())
    annotator.press(key_of[truth[first[1][0]]])
    assert annotator.chosen() == [truth[first[1][0]]]
    annotator.submit(by_hotkey=True)
    seen.append(annotator.text())
    annotator.skip()
    for text, _, _ in first[3:]:
        seen.append(annotator.text())
        annotator.press(key_of[truth[text]])
        annotator.submit(by_hotkey=True)
    assert seen == [as_shown(text) for text, _, _ in first]
    page.get_by_text(NOTHING_LEFT).wait_for()
    annotator.picture("4-nothing-left")

    annotator.visit(f"{url.split('?')[0]}?task={first[1][2]}")
    page.get_by_test_id("bottombar-update-button").wait_for()
    assert annotator.chosen() == [truth[first[1][0]]]
    annotator.press(key_of["feedback"])
    assert annotator.chosen() == ["feedback"]
    annotator.picture("5-thinking-again")
    with page.expect_response(lambda answer: "/api/annotations/" in answer.url and answer.request.method == "PATCH"):
        page.get_by_test_id("bottombar-update-button").click()

    assert "Trained on 5 labels" in done("round", root).err
    expected = [(text, "labelled", [truth[text]]) for text, _, _ in first]
    expected[1] = (first[1][0], "labelled", ["feedback"])
    expected[2] = (first[2][0], "skipped", [])
    assert answers(root, 1) == expected
    assert rows_of(root, "SELECT DISTINCT annotator FROM annotations") == [(studio_server.email,)]
    assert rows_of(root, "SELECT count(*) FROM annotations WHERE seconds IS NULL") == [(0,)]

    second, shown = asked(root, 2), []
    predicted = rows_of(
        root, "SELECT x.text, p.predicted FROM picks p JOIN texts x ON x.id = p.text_id WHERE round = 2"
    )
    suggested = {text: max(json.loads(said).items(), key=lambda item: item[1])[0] for text, said in predicted}
    assert 0 < sum(blind for _, blind, _ in second) < len(second)
    annotator.visit(url)
    page.locator(".alloop-instructions").wait_for()
    page.keyboard.press("Escape")
    for text, blind, _ in second:
        assert annotator.text() == as_shown(text)
        shown.append(annotator.chosen())
        annotator.picture("7-blind" if blind else "6-suggested")
        if annotator.chosen() != [truth[text]]:
            annotator.click(truth[text])
        assert annotator.chosen() == [truth[text]]
        annotator.submit(by_hotkey=True)
    assert shown == [[] if blind else [suggested[text]] for text, blind, _ in second]
    assert "Trained on 11 labels" in done("round", root).err
    assert answers(root, 2) == [(text, "labelled", [truth[text]]) for text, _, _ in second]


def test_many_labels_and_awkward_texts_fit_the_page(
    annotator: Annotator, studio_server: StudioServer, tmp_path: Path
) -> None:
    texts = {
        "html": 'My <b>hub</b> says <script>alert("1")</script> & <img src=x onerror=alert(1)> &amp;\nnext\n\n  deep',
        "long": "\n\n".join(f"Paragraph {number}. " + "It blinks and blinks. " * 25 for number in range(30)),
        "right-to-left": "طلبت جرس الباب R-61192 قبل أسبوعين ولم يصل بعد.\nشكرا جزيلا!",
        "one-word": "https://example.com/" + "a" * 500,
    }
    with open(tmp_path / "texts.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts.values())])
    names = [f"{verb}_{noun}" for verb in VERBS for noun in NOUNS]
    config = f"""
[task]
labels = {names}
[model]
tuner = "tfidf"
[round]
batch = 4
[annotate]
with = "label-studio"
url = "{studio_server.url}"
"""
    (tmp_path / "many.toml").write_text(config)
    root = tmp_path / "many"
    create(root, source=tmp_path / "many.toml", data=[str(tmp_path / "texts.csv")])
    page = annotator.page
    annotator.visit(address(done("round", root).err))
    name_of, chosen = {text: name for name, text in texts.items()}, {}
    for text, _, _ in asked(root, 1):
        assert annotator.text() == text
        page.locator(".lsf-choices").wait_for()
        annotator.picture(f"many-{name_of[text]}")
        assert page.locator(".lsf-choices").bounding_box()["y"] < 200  # type: ignore[index]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shown = page.locator(".alloop-text .lsf-richtext__line").last
        starts = shown.evaluate(
            "line => line.getBoundingClientRect().left - line.parentElement.getBoundingClientRect().left"
        )
        assert (starts > 50) == (name_of[text] == "right-to-left")

        chosen[text] = names[len(name_of[text]) + 40]
        annotator.press("/")
        page.keyboard.type(chosen[text])
        assert page.locator(".lsf-choice:visible").count() == 1
        annotator.picture(f"many-{name_of[text]}-filtered")
        annotator.press("Enter")
        assert annotator.chosen() == [chosen[text]]
        annotator.submit()
    done("round", root)
    assert {text: labels for text, _, labels in answers(root, 1)} == {text: [one] for text, one in chosen.items()}


def test_several_labels_and_none(annotator: Annotator, studio_server: StudioServer, tmp_path: Path) -> None:
    root = tmp_path / "guest-reviews"
    truth = shipped("guest-reviews", root, studio_server, "labels", 'suggest = "all"')
    page = annotator.page
    annotator.visit(address(done("round", root).err))
    expected = []
    for number, (text, _, _) in enumerate(asked(root, 1)):
        assert annotator.text() == as_shown(text)
        labels = [] if number == 0 else [label for label in truth[text].split("|") if label]
        for label in labels:
            annotator.click(label)
        assert sorted(annotator.chosen()) == sorted(labels)
        if len(labels) > 1:
            annotator.picture("several-labels")
        annotator.submit()
        expected.append((text, "labelled", sorted(labels)))
    page.get_by_text(NOTHING_LEFT).wait_for()
    done("round", root)
    assert [(text, state, sorted(labels)) for text, state, labels in answers(root, 1)] == expected
