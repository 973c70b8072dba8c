"""The page of alloop audit: what it shows, and that nothing in it is taken for HTML."""

import csv
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from alloop import auditing
from alloop.auditing.page import page, without_names
from alloop.auditing.words import CHAPTERS, as_text
from alloop.project import Project
from tests.audited import WRONG, audited, labelled
from tests.command import alloop, done
from tests.hostile import HOSTILE
from tests.test_pages import Seen, browser  # noqa: F401
from tests.test_pages import look as look

Make = Callable[..., Project]
pytestmark = pytest.mark.slow
TAG = "<img src=x onerror=window.hacked=1>"
LABELS = [
    "animal",
    "vehicle",
    "<b>bold</b>",
    "&amp;",
    "'\" onmouseover=alert(1) x='",
    "=1+1",
    "nom\u202eeman",
    "x" * 5_000,
]
csv.field_size_limit(sys.maxsize)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return partial(audited, tmp_path)


@pytest.fixture
def hostile(make: Make) -> dict[str, Any]:
    """What is found in a project in which every text, label, column and annotator is hostile."""
    rows: list[Any] = [(text, label, {TAG: TAG, "size": "1e999"}) for text, label, _ in labelled()]
    for n, text in enumerate(storable()):
        rows.append((f"{text} ", LABELS[n % len(LABELS)], {TAG: "<i>", "size": "nan"}))
        rows.append((f"{text} indeed {TAG}", LABELS[(n + 1) % len(LABELS)], {TAG: "<i>", "size": ""}))
    project = make(rows, labels=LABELS, test=[(f"{text} !", "animal") for text in storable()])
    with project.store.transaction():
        project.store._sql("UPDATE annotations SET annotator = ? WHERE seq % 2", (TAG,))
    return auditing.audit(project)


def storable() -> list[str]:
    """What a file can hold: some text at all, without half characters and NULs."""
    texts = [text.encode("utf-8", "ignore").decode().replace("\x00", "\x01") for text in HOSTILE.values()]
    return [text for text in texts if text.strip()]


def test_the_page_has_every_section_its_texts_and_no_names_of_people(make: Make) -> None:
    project = make(labelled())
    with project.store.transaction():
        project.store._sql("UPDATE annotations SET annotator = 'Anna Bertha'")
    found = auditing.audit(project)
    html = page(found)
    assert html == page(found), "the same finding, the same bytes"
    for chapter in CHAPTERS:
        assert html.count(f'id="{chapter.key}"') == 1
    for text in WRONG:
        assert f">{text}</blockquote>" in html
    assert "Anna" not in html
    assert "a1" in html
    assert "Anna" in as_text(found, 5)
    assert without_names(found)["suspicious"]["items"][0]["annotators"] == ["a1"]


def test_hostile_words_are_text_in_the_page_and_harmless_in_the_terminal(hostile: dict[str, Any]) -> None:
    html = page(hostile)
    body = re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.DOTALL)
    tags = set(re.findall(r"<\s*/?\s*([a-zA-Z!][\w-]*)", body))
    ours = "!DOCTYPE html head meta title body main h1 h2 bdi p nav a b input section ol li div span i blockquote"
    assert tags <= set(ours.split())
    attributes = set(re.findall(r"<\w[^<>]*?\s([\w-]+)=", body))
    assert not {name for name in attributes if name.startswith("on")}
    assert len(html) < 5_000_000, "1 MB texts are cut"
    said = as_text(hostile, 10_000)
    for unsafe in ("\x1b", "\x07", "\x00", "\u202e", "\u2067", "\x9b", "\r", "\u2028"):
        assert unsafe not in said
    assert max(map(len, said.split("\n"))) <= 120


def test_the_page_filters_its_entries_runs_nothing_else_and_fits_a_phone(
    hostile: dict[str, Any], look: Callable[..., Seen]
) -> None:
    for phone in (False, True):
        seen = look(page(hostile), phone=phone)
        assert seen.said == seen.blocked == []
        assert seen.page.evaluate("window.hacked") is None
        assert seen.width() <= (390 if phone else 1280)
        entries = seen.count("#suspicious ~ ol.found > li")
        assert entries > 3
        seen.page.fill("#filter", WRONG[0])
        shown = seen.page.locator("#suspicious ~ ol.found > li:visible").count()
        assert 1 <= shown < entries
        seen.page.fill("#filter", "")
        assert seen.page.locator("#suspicious ~ ol.found > li:visible").count() == entries


def test_a_hostile_project_is_audited_in_all_three_forms_and_reviewed(make: Make, tmp_path: Path) -> None:
    texts = [text for text in storable() if len(text) < 10_000]
    rows: list[Any] = [*labelled(), *((text, LABELS[n % len(LABELS)], {}) for n, text in enumerate(texts))]
    project = make([(text, label, {TAG: TAG}) for text, label, _ in rows], labels=LABELS)
    done("audit", project.root)
    done("audit", project.root, "--json")
    done("audit", project.root, "--html", tmp_path / "page.html")
    assert "<script>alert" not in (tmp_path / "page.html").read_text(encoding="utf-8")
    done("audit", project.root, "--push", "--share", 1)
    n = len(project.store.review_keys())
    done("label", project.root, stdin="1\n" * n)
    assert f"{n:,} were answered" in done("audit", project.root, "--apply").out


def test_where_the_page_goes_is_checked_before_the_long_work(make: Make, tmp_path: Path) -> None:
    ran = alloop("audit", make(labelled()).root, "--html", tmp_path / "page.txt")
    assert ran.code == 1
    assert "does not end in .html" in ran.err
