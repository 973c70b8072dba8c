"""The page that annotators see in Label Studio: the text at a readable size, the labels beside it, always in view.

Its looks rest on class names of Label Studio 1.23. Where a version has others, the page works and looks plain.
"""

import re
from html import escape
from xml.etree import ElementTree

from alloop.annotators import Desk
from alloop.annotators._session import hotkeys
from alloop.errors import ConfigError

MANY = 12  # up to so many labels are shown with their descriptions; more are shown in columns, with a filter

# No ">", "&" or quotes: Label Studio escapes them. Its side panels are about regions of a text; nobody draws any here.
STYLE = """
.alloop { display: flex; flex-wrap: wrap; gap: 1rem 3rem; align-items: flex-start; padding: 0.5rem; }
.alloop-text { flex: 1 1 24rem; max-width: 48rem; }
.alloop-about { margin-bottom: 0.5rem; opacity: 0.7; }
.alloop-labels { flex: 0 1 26rem; position: sticky; top: 1rem; max-height: calc(100vh - 9rem); overflow-y: auto; }
.alloop-many { flex: 1 1 34rem; }
.alloop-many .lsf-choices { columns: 16rem; }
.alloop-many .ant-input { position: sticky; top: 0; z-index: 1; background: var(--color-neutral-background); }
.alloop-text .lsf-richtext__container { padding: 0; font-size: 1.125rem; line-height: 1.6; unicode-bidi: plaintext; \
text-align: start; }
.alloop-about .lsf-richtext__container { font-size: 0.875rem; }
.alloop-text .lsf-richtext__line { display: inline; padding: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.alloop .lsf-choices { margin: 0.25rem 0; }
.alloop .lsf-choice { position: relative; padding: 1px 0; line-height: 1.4; break-inside: avoid; }
.alloop .lsf-choice__checkbox { padding: 0.3rem 0.5rem 0.3rem 2.25rem; border-radius: 4px; overflow-wrap: anywhere; \
line-height: 1.4; }
.alloop .ant-checkbox-wrapper-checked { background: rgba(90, 110, 200, 0.15); }
.alloop .lsf-hint { position: absolute; top: 0.5rem; left: 0.25rem; min-width: 1.5rem; line-height: 1.4; \
text-align: center; font-size: 0.8125rem; opacity: 0.7; }
.alloop small { display: block; font-size: 0.8125rem; font-weight: normal; opacity: 0.75; }
.lsf-sidepanels { padding: 0 !important; }
.lsf-sidepanels__wrapper { display: none; }
"""

INSTRUCTIONS_STYLE = """
.alloop-instructions h1, .alloop-instructions h2, .alloop-instructions h3 { font-size: 1.125rem; font-weight: 600; }
.alloop-instructions p, .alloop-instructions ul, .alloop-instructions ol { margin: 0.5rem 0 0.75rem; }
.alloop-instructions ul { list-style: disc; padding-left: 1.5rem; }
.alloop-instructions ol { list-style: decimal; padding-left: 1.5rem; }
.alloop-instructions code { font-family: monospace; }
"""


def label_config(desk: Desk) -> str:
    """The interface made for a project: the text, what is shown beside it, its labels, with keys if they suffice.

    Raises ConfigError for a label that Label Studio would take for the name of a column.
    """
    for name in desk.label_names:
        if re.match(r"\$\S", name):
            raise ConfigError(
                f"the label {name!r} begins with $: Label Studio would show a column of that name instead",
                f"call it {name[1:]!r} in alloop.toml, or label elsewhere",
            )
    view = ElementTree.Element("View", className="alloop")
    ElementTree.SubElement(view, "Style").text = STYLE
    texts = ElementTree.SubElement(view, "View", className="alloop-text")
    if desk.metadata:
        about = ElementTree.SubElement(texts, "View", className="alloop-about")
        ElementTree.SubElement(about, "Text", name="about", value="$about")
    ElementTree.SubElement(texts, "Text", name="text", value="$text")
    many = len(desk.label_names) > MANY
    labels = ElementTree.SubElement(view, "View", className="alloop-labels alloop-many" if many else "alloop-labels")
    if many:
        ElementTree.SubElement(
            labels,
            "Filter",
            name="filter",
            toName="label",
            minlength="0",
            hotkey="/",
            cleanup="false",  # what was chosen stays in view, and Enter pressed twice does not choose another label
            placeholder="press / to find a label, Enter to choose the first one; then click Submit",
        )
    choices = ElementTree.SubElement(
        labels,
        "Choices",
        name="label",
        toName="text",
        choice="single" if desk.kind == "single" else "multiple",
        required="true" if desk.kind == "single" else "false",
        requiredMessage="Choose a label, or skip this text.",
        showInline="false",
    )
    key_of = {name: key for key, name in hotkeys(list(desk.label_names)).items()}
    for name, description in desk.label_names.items():
        choice = {"value": name, **_described(name, description, many)}
        if name in key_of:
            choice["hotkey"] = key_of[name]
        ElementTree.SubElement(choices, "Choice", choice)
    return ElementTree.tostring(view, encoding="unicode")


def _described(name: str, description: str, many: bool) -> dict[str, str]:
    """A description below the label; with many labels only where the pointer rests on it."""
    if not description:
        return {}
    return {"hint": description} if many else {"html": f"{escape(name)}<small>{escape(description)}</small>"}


def instructions_page(markdown: str) -> str:
    """Instructions as Label Studio shows them: HTML. HTML in the Markdown is shown as text."""
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark", {"html": False}).render(markdown)
    return f'<style>{INSTRUCTIONS_STYLE}</style><div class="alloop-instructions">{html}</div>'
