"""Annotators: the places where people (or a simulation) answer tasks. Each task is created at most once, ever."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from alloop.records import Annotation, Kind, Task
from alloop.registry import Registry


@dataclass(frozen=True)
class Desk:
    """What an annotator is told of the project whose tasks it gets.

    `inbox` is the project's directory for files that people or annotators write; `label_names` are the labels in use,
    with their descriptions (empty where there is none); `separator` joins several labels in one cell;
    `gold` answers with the known true labels of some texts, for simulation.
    """

    project: str
    inbox: Path
    kind: Kind
    label_names: Mapping[str, str]
    separator: str = "|"
    annotators_per_text: int = 1
    seed: int = 0
    gold: Callable[[Sequence[str]], Mapping[str, tuple[str, ...]]] | None = None


@dataclass(frozen=True)
class Pulled:
    """Annotations in the order they were made, and the cursor that says how far was read.

    An annotation whose backend keeps no versions has `version` "": it counts as new when it differs from the last one
    of its `remote_id`.
    """

    annotations: Sequence[Annotation]
    upto: str = ""


class Annotator(Protocol):
    """A backend of tasks and answers."""

    def push(self, tasks: Sequence[Task], desk: Desk) -> dict[str, str]:
        """Create the tasks that do not exist yet; task key -> remote id for all of them. Safe to repeat."""
        ...

    def pull(self, since: str, desk: Desk) -> Pulled:
        """What was answered after the cursor `since` ("" = from the start). Repeating it loses and doubles nothing.

        Raises DataError, naming file, row and value, for an answer that cannot be understood.
        """
        ...


annotators: Registry[Annotator] = Registry("annotators", "alloop.annotators")
