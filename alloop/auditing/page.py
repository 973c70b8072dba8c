"""An audit as one HTML file, to be read beside the instructions: it holds the texts, and needs no network.

Texts, labels and columns are anybody's words: they are escaped, shown without what turns the reading direction, and the
browser is told to run nothing but the page's own script. Annotators are a1, a2, … as in everything that is passed on.
"""

from collections.abc import Mapping
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from alloop import pages
from alloop.annotators._session import harmless
from alloop.auditing.words import CHAPTERS, Chapter, Entry, review_words
from alloop.errors import DataError
from alloop.files import write_whole

LISTED = 200  # entries of a section
LONGEST = 2_000  # characters of a text
LONGEST_NAME = 200


def check(path: Path) -> None:
    """Raise before the long work where the page could not be written."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{path} does not end in .html", f"name it: {path.with_suffix('.html')}")
    if path.absolute().parent.exists() and not path.absolute().parent.is_dir():
        raise DataError(f"{path.parent} is not a directory", "name another place")


def write_page(found: Mapping[str, Any], path: Path) -> None:
    """Write what `audit` found. The same finding gives the same bytes."""
    check(path)
    write_whole(path, page(found).encode(errors="replace").decode())


def page(found: Mapping[str, Any]) -> str:
    """The whole page as HTML."""
    found = without_names(found)
    script = _file("page.js")
    title = escape(harmless(found["project"])[:LONGEST_NAME])
    links, boxes = [], []
    for chapter in CHAPTERS:
        section = found[chapter.key]
        empty = ' class="nothing"' if not section["n"] else ""
        links.append(f'<a href="#{chapter.key}"{empty}>{chapter.title} <b>{section["n"]:,}</b></a>')
        boxes.append(_box(chapter, section, found))
    review = f"<p>{escape(review_words(found['review']))}.</p>" if found["review"] else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{pages.policy([script])}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · alloop audit</title>
<style>
{pages.style()}{_file("page.css")}</style>
</head>
<body>
<main>
<h1><bdi>{title}</bdi></h1>
<p class="quiet">What may be wrong with {found["labels"]:,} labels and their texts, the worst of each kind first.</p>
{review}
<nav>{"".join(links)}</nav>
<p class="search" hidden><input id="filter" type="search" placeholder="Show entries with these words"
 aria-label="Show entries with these words" autocomplete="off"></p>
{"".join(boxes)}
<p class="quiet">Made by alloop {escape(version("alloop"))}. This page holds texts; annotators are a1, a2, …</p>
</main>
<script>{script}</script>
</body>
</html>
"""


def without_names(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same with a1, a2, … for the people who annotated; the files that labels came with keep their names."""
    known: dict[str, str] = {}

    def copied(value: Any, files: frozenset[str]) -> Any:
        if isinstance(value, Mapping):
            files = files | {one["file"] for one in value.get("sources", ())}
            return {key: replaced(key, one, files) for key, one in value.items()}
        return [copied(one, files) for one in value] if isinstance(value, list) else value

    def replaced(key: str, value: Any, files: frozenset[str]) -> Any:
        if key == "annotators":
            return [hidden(who, files) for who in value]
        return hidden(value, files) if key == "annotator" else copied(value, files)

    def hidden(who: str, files: frozenset[str]) -> str:
        return who if who in files else known.setdefault(who, f"a{len(known) + 1}")

    return dict(copied(found, frozenset()))


def _box(chapter: Chapter, section: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    title = f'<h2 id="{chapter.key}">{chapter.title}</h2>'
    if section["missing"] is not None:
        words = escape(section["missing"])
        return f'<section class="box">{title}<p class="quiet">Nothing can be said: {words}.</p></section>\n'
    said = chapter.said(section, found, _name)
    content = f"<p>{said[:1].upper()}{said[1:]}.</p>"
    if section["items"]:
        items = section["items"][:LISTED]
        entries = "".join(_entry(n, chapter.entry(item, _name), item) for n, item in enumerate(items, 1))
        content += f'<p class="quiet">{escape(chapter.todo)}</p><ol class="found">{entries}</ol>'
        content += '<p class="quiet" hidden></p>'
        if (more := max(section["n"], len(section["items"])) - len(items)) > 0:
            content += f'<p class="quiet">… {more:,} more: alloop audit --json has them.</p>'
    return f'<section class="box">{title}{content}</section>\n'


def _entry(number: int, entry: Entry, item: Mapping[str, Any]) -> str:
    texts = "".join(
        (f'<div class="said">{said}</div>' if said else "") + f'<blockquote dir="auto">{_text(text)}</blockquote>'
        for said, text in entry.texts
    )
    bar = ""
    if "suspicion" in item:
        much = item["suspicion"]
        bar = f'<span class="bar" title="suspicion {much:.2f}"><i style="width:{much:.0%}"></i></span>'
    facts = f'<div class="facts">{entry.facts}</div>' if entry.facts else ""
    return f'<li><div class="head"><span class="number">{number}</span>{entry.head}{bar}</div>{texts}{facts}</li>'


def _name(words: str) -> str:
    """Anybody's words in a line; whatever their direction of writing, they do not turn what stands beside them."""
    words = " ".join(harmless(words[: 4 * LONGEST_NAME]).split())
    return f"<bdi>{escape(words[:LONGEST_NAME])}{'…' if len(words) > LONGEST_NAME else ''}</bdi>"


def _text(text: str) -> str:
    rest = len(text) - LONGEST
    return escape(harmless(text[:LONGEST])) + (f"\n[… {rest:,} more characters]" if rest > 0 else "")


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
