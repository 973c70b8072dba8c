"""The labelling interface as XML; tests/label_studio/test_browser.py looks at it in a browser."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from alloop.annotators import Desk
from alloop.annotators._page import STYLE, instructions_page, label_config
from alloop.errors import ConfigError


def page(labels: dict[str, str], **more: object) -> ElementTree.Element:
    return ElementTree.fromstring(label_config(Desk("p", Path("inbox"), "single", labels, **more)))  # type: ignore[arg-type]


def test_names_and_descriptions_are_shown_as_they_are_written() -> None:
    first, second = page({"<b>": "R&D < all", "plain": ""}).iter("Choice")
    assert first.attrib == {"value": "<b>", "html": "&lt;b&gt;<small>R&amp;D &lt; all</small>", "hotkey": "1"}
    assert second.attrib == {"value": "plain", "hotkey": "2"}


def test_many_labels_get_a_filter_and_their_descriptions_as_hints() -> None:
    few, many = (page({f"label {n}": "said" for n in range(n)}) for n in (12, 13))
    assert (len(list(few.iter("Filter"))), len(list(many.iter("Filter")))) == (0, 1)
    assert {choice.get("hint") for choice in many.iter("Choice")} == {"said"}


def test_metadata_has_a_place_only_where_there_is_some() -> None:
    assert [text.get("value") for text in page({"a": "", "b": ""}).iter("Text")] == ["$text"]
    shown = page({"a": "", "b": ""}, metadata=["channel"])
    assert [text.get("value") for text in shown.iter("Text")] == ["$about", "$text"]


def test_a_label_that_label_studio_would_replace_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the label '\$text' begins with \$"):
        page({"$text": "", "b": ""})
    assert len(list(page({"$": "", "US $": ""}).iter("Choice"))) == 2


def test_the_style_has_nothing_that_label_studio_would_escape() -> None:
    assert not set(STYLE) & set("<>&\"'")


def test_html_in_instructions_is_text() -> None:
    assert "<p>&lt;script&gt;" in instructions_page("<script>alert(1)</script>")
