"""Suggestions for the tasks of Label Studio, by the last round's model.

What Label Studio sends and gets is its ML backend protocol: tasks and a labelling config in, one prediction per task
out. Only labels that this config offers are ever suggested, whatever the model knows.

Who must not be influenced is not: a task that alloop asked blind gets nothing, or the audit would measure how well
people follow the model. The project's database says which tasks those are.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.parsers import expat

from alloop.config import restore
from alloop.errors import AlloopError, DataError
from alloop.predicting import Answer, answers
from alloop.project import Project
from alloop.store import RoundRow

KEY = "alloop_key"  # in a task's data: <project uid>:<text id>:<ask>


@dataclass(frozen=True)
class Choices:
    """A `<Choices>` of a labelling config: what it is called, what it is about, and what it offers.

    `field` is where a task's data has the text; `is_multiple` whether an annotator may choose several.
    """

    name: str
    to_name: str
    field: str
    offers: tuple[str, ...]
    is_multiple: bool


@lru_cache(maxsize=16)
def choices_of(label_config: str) -> tuple[Choices, ...]:
    """Every `<Choices>` of a labelling config that is about a text. Raises DataError for what is not such XML.

    Document types are refused, and with them all that XML entities can do.
    """
    objects: dict[str, str] = {}
    found: list[tuple[dict[str, str], list[str]]] = []
    stack: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        tag = tag.lower()
        if tag == "choices":
            found.append((attributes, []))
        elif tag == "choice" and "choices" in stack and stack[-1] != "choice":  # a nested one is not chosen by a word
            offered = attributes.get("alias") or attributes.get("value")
            if offered:
                found[-1][1].append(offered)
        elif attributes.get("value", "").startswith("$") and "name" in attributes:
            objects[attributes["name"]] = attributes["value"][1:]
        stack.append(tag)

    def refuse(*_: Any) -> None:
        raise DataError("the label config has a document type, which none needs")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda tag: stack.pop()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(label_config.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise DataError(f"the label config is not XML: {error}") from error
    return tuple(
        Choices(
            name=attributes["name"],
            to_name=attributes["toName"],
            field=objects[attributes["toName"]],
            offers=tuple(offers),
            is_multiple=attributes.get("choice") == "multiple",
        )
        for attributes, offers in found
        if "name" in attributes and attributes.get("toName") in objects
    )


def control_for(label_config: str, labels: Sequence[str]) -> Choices | None:
    """The `<Choices>` that offers most of these labels, the first of equals; None where none offers any."""
    best = max(choices_of(label_config), key=lambda one: len(set(one.offers) & set(labels)), default=None)
    return best if best and set(best.offers) & set(labels) else None


class Suggester:
    """The newest model of a project, kept in memory; a round that trains another one is noticed without a restart.

    Safe to call from any thread: one call predicts at a time, and a newer model takes over between two calls.
    `model_version` and `problem` never wait. Reads the database and never writes it.
    """

    def __init__(self, root: Path, log: Callable[[str], None] = lambda words: None) -> None:
        self.root = root
        self.model_version = ""  # and not None, for which Label Studio would refuse the annotator the task
        self.problem: str | None = None
        self._model: tuple[RoundRow, Path] | None = None
        self._refused: Path | None = None
        self._one_at_a_time = threading.Lock()
        self._log = log
        self._logged = ""

    def refresh(self) -> None:
        """Take the newest model, if it is another one. One that cannot be loaded leaves the older one at work."""
        with self._one_at_a_time, Project.opened(self.root) as project:
            self._take_newest(project)

    def suggest(self, tasks: Sequence[Any], label_config: str) -> list[list[dict[str, Any]]]:
        """For each task, in order, a prediction, {"result", "score", "model_version"}, or none.

        None for a task without a text, for one that is blind, and for all of them while there is no model or the label
        config offers none of its labels. An empty prediction would be stored, and the annotator's answer would look as
        if it had been prompted. It is no error either: Label Studio would pass that on to annotators, who can go on
        without us, and the log tells whoever can mend it. An answer that the config does not offer is left out and not
        replaced by the second best, which is wrong by the model's own word.
        Raises DataError for a label config that is not XML.
        """
        choices_of(label_config)  # a wrong one is refused also while there is no model
        with self._one_at_a_time, Project.opened(self.root) as project:
            self._take_newest(project)
            if self._model is None:
                return [[] for _ in tasks]
            row, model = self._model
            control = control_for(label_config, restore(row.config).task.names)
            if control is None:
                self._log_once("no suggestions: the project in Label Studio offers none of the model's labels")
                return [[] for _ in tasks]
            texts = _texts(tasks, control, project)
            said = dict(zip(texts, answers(project, texts.values(), row, model), strict=True))
            return [
                [{**prediction(said[place], control), "model_version": self.model_version}] if place in said else []
                for place in range(len(tasks))
            ]

    def _take_newest(self, project: Project) -> None:
        newest = project.store.newest_directory("train")
        if newest is None:
            self._model, self.model_version, self.problem = None, "", None
            return
        number, directory = newest[0], project.path(newest[1])
        if directory in (self._refused, self._model and self._model[1]):
            return
        row = project.store.round(number)
        try:
            list(answers(project, ["the first text loads it"], row, directory))
        except AlloopError as error:
            self._refused, self.problem = directory, error.message
            self._log_once(f"the model of round {number} cannot be used: {error.message}")
            return
        self._model, self.model_version = (row, directory), f"round-{number:04}"
        self._refused = self.problem = None
        self._log_once(f"suggestions come from round {number} now")

    def _log_once(self, words: str) -> None:
        """Not again what was said last: annotators would repeat it with every task they open."""
        if words != self._logged:
            self._logged = words
            self._log(words)


def prediction(answer: Answer, control: Choices) -> dict[str, Any]:
    """An answer as Label Studio reads it. The score is the probability of the likeliest label, offered or not."""
    chosen = sorted(answer.labels, key=answer.probabilities.__getitem__, reverse=True)
    chosen = [name for name in chosen if name in control.offers]
    if not control.is_multiple:
        chosen = chosen[:1]
    item = {
        "from_name": control.name,
        "to_name": control.to_name,
        "type": "choices",
        "value": {"choices": chosen},
    }
    return {"result": [item] if chosen else [], "score": max(answer.probabilities.values())}


def _texts(tasks: Sequence[Any], control: Choices, project: Project) -> dict[int, str]:
    """place -> text of the tasks that may be answered.

    A task without a key was never alloop's: it may. One with a key may if this project recorded it as not blind. The
    push of one that is not recorded was cut short, and one of another project is not ours to judge: both stay blind.
    """
    texts: dict[int, str] = {}
    keys: dict[int, Any] = {}
    for place, task in enumerate(tasks):
        data = task.get("data") if isinstance(task, Mapping) else None
        if not isinstance(data, Mapping):
            continue
        text = data.get(control.field)
        if isinstance(text, str) and text.strip():
            texts[place] = text
            if data.get(KEY) is not None:
                keys[place] = str(data[KEY])
    may_be_seen = project.store.open_to_suggestions([key for key in keys.values() if key.isascii()])
    return {place: text for place, text in texts.items() if place not in keys or keys[place] in may_be_seen}
