"""Annotators: the places where people (or a simulation) answer tasks. Each task is created at most once, ever."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from alloop.records import Annotation, Kind, Task
from alloop.registry import Registry


@dataclass(frozen=True)
class Desk:
    """What an annotator is told of the project whose tasks it gets.

    `project` is the uid that every task's key begins with, `name` is for people; `inbox` is the project's directory for
    files that people or annotators write; `label_names` are the labels in use, with their descriptions (empty where
    there is none); `metadata` names the columns shown beside a text; `separator` joins several labels in one cell;
    `model_version` says whose suggestions the tasks carry; `gold` answers with the known true labels of some texts, for
    simulation. `open_keys` are the tasks that were asked and not withdrawn; `standing` says which annotations of some
    tasks are known to stand: task key -> remote ids.
    """

    project: str
    inbox: Path
    kind: Kind
    label_names: Mapping[str, str]
    separator: str = "|"
    annotators_per_text: int = 1
    seed: int = 0
    gold: Callable[[Sequence[str]], Mapping[str, tuple[str, ...]]] | None = None
    name: str = ""
    metadata: Sequence[str] = ()
    model_version: str = ""
    open_keys: Callable[[], Collection[str]] = set
    standing: Callable[[Collection[str]], Mapping[str, Collection[str]]] = lambda keys: {}


@dataclass(frozen=True)
class Pulled:
    """Annotations in the order they were made, and the cursor that says how far was read.

    An annotation whose backend keeps no versions has `version` "": it counts as new when it differs from the last one
    of its `remote_id`.

    `instance` tells backends of one kind apart: a server that was set up anew counts its ids from 1 again. `gone` are
    keys of tasks that exist no more, whose answers stay. `ignored` counts answers to tasks that are not this project's.
    """

    annotations: Sequence[Annotation]
    upto: str = ""
    instance: str = ""
    gone: Collection[str] = ()
    ignored: int = 0


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


@dataclass(frozen=True)
class Tended:
    """Keys of tasks that exist no more, withdrawn now or gone already, and of those untouched ones that go on.

    What the newest model says of a `current` one is what annotators see from now on, unless it is blind.
    """

    gone: Collection[str] = ()
    current: Collection[str] = ()


@runtime_checkable
class Tends(Protocol):
    """An annotator whose open tasks can be looked after when a newer model is there."""

    stale: Literal["keep", "withdraw", "rescore"]

    def tend(self, waiting: Sequence[Task], desk: Desk) -> Tended:
        """Look after tasks of earlier rounds, given with the newest model's suggestions, before new ones are pushed.

        Safe to repeat.
        """
        ...


@dataclass(frozen=True)
class Finding:
    """What one look at a backend found. `ok` is None for a remark; `hint` can be typed, where something can be done."""

    name: str
    ok: bool | None
    message: str
    hint: str | None = None


@runtime_checkable
class Examines(Protocol):
    """An annotator that can say what is wrong with its backend."""

    def examine(self, desk: Desk) -> Iterable[Finding]:
        """Every look it can take, in the order in which trouble should be put right. Changes nothing.

        `desk.model_version` is that of the newest batch. Trouble is a finding; no finding holds a key or password.
        """
        ...


@runtime_checkable
class Forgets(Protocol):
    """An annotator that keeps texts where `alloop remove` has to reach them."""

    def forget(self, text_ids: Collection[str], desk: Desk, erase: bool) -> None:
        """Take back the tasks about these texts; answered ones too if they are to be erased. Safe to repeat."""
        ...


@runtime_checkable
class HasAddress(Protocol):
    """An annotator that people open in a browser."""

    def address(self, desk: Desk) -> str | None:
        """Where the project's tasks are, None before there are any. Asks nobody."""
        ...


annotators: Registry[Annotator] = Registry("annotators", "alloop.annotators")
