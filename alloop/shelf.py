"""What plugs in: every family, its members, their options."""

import dataclasses
import inspect
import re
from typing import Any

from alloop.annotators import annotators
from alloop.augmenters import augmenters
from alloop.consensus import consensus_rules
from alloop.errors import UsageError, did_you_mean
from alloop.executors import executors
from alloop.registry import Registry
from alloop.stopping import stopping
from alloop.strategies import strategies
from alloop.tuning import tuners

FAMILIES: dict[str, Registry[Any]] = {
    "strategies": strategies,
    "tuners": tuners,
    "augmenters": augmenters,
    "annotators": annotators,
    "executors": executors,
    "stopping": stopping,
    "consensus": consensus_rules,
}


def contents(family: str | None = None, name: str | None = None) -> dict[str, dict[str, Any]]:
    """{family: {name: {"summary", "help", "options"}}} of everything, of one family, or of one plug-in."""
    if family is not None and family not in FAMILIES:
        near = did_you_mean(family, FAMILIES)
        raise UsageError(
            f"there is no family {family!r}; there are: {', '.join(FAMILIES)}",
            f"did you mean {near!r}?" if near else None,
        )
    found: dict[str, dict[str, Any]] = {}
    for one, registry in FAMILIES.items():
        if family in (None, one):
            names = registry.names() if name is None else [name]
            found[one] = {member: _about(registry, member) for member in names}
    return found


def _about(registry: Registry[Any], name: str) -> dict[str, Any]:
    plugin = registry.get(name)
    text = inspect.cleandoc(plugin.__doc__ or "")
    first_sentence = re.split(r"(?<=\.)\s+(?=[A-Z])", text, maxsplit=1)[0].replace("\n", " ")
    whole = "\n\n".join([text, *_inherited_help(plugin)])
    return {"summary": first_sentence, "help": whole, "options": registry.options(name)}


def _inherited_help(plugin: type[Any]) -> list[str]:
    """What the classes above say of options that are theirs: paragraphs that begin with an option's name."""
    above = [cls for cls in plugin.__mro__[1:] if dataclasses.is_dataclass(cls)]
    return [
        paragraph
        for cls in above
        for paragraph in inspect.cleandoc(cls.__doc__ or "").split("\n\n")
        if re.split("[:,]", paragraph)[0] in cls.__dataclass_fields__
    ]


def as_text(found: dict[str, dict[str, Any]], details: bool = False) -> str:
    """The same for reading; `details` adds the whole help."""
    lines = []
    for family, members in found.items():
        lines.append(f"{family}:")
        for name, about in members.items():
            lines.append(f"  {name:18} {about['summary']}")
            if details:
                rest = about["help"][len(about["summary"]) :].strip()
                lines += [f"    {line}".rstrip() for line in rest.splitlines()]
            lines += [f"    {option} = {value!r}" for option, value in about["options"].items()]
    return "\n".join(lines)
