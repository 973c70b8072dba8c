"""The things handed from one module to the next: small, frozen, and free of behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["single", "multi"]
State = Literal["labelled", "skipped", "deleted"]
Purpose = Literal["pick", "random", "test", "relabel", "review", "repeat"]


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its id, which is a hash of its content."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """A text with the labels a model learns from; a variant carries its parent's.

    `labels` has exactly one member for a single-label task, any number for a multi-label one.
    """

    text: str
    labels: tuple[str, ...]
    is_variant: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """A question put to annotators: which labels does this text have?

    `key` never changes and travels with the task, so that asking twice can be noticed.
    `suggestion` is the model's answer with its probabilities, absent where the task is blind.
    """

    key: str
    text_id: str
    text: str
    purpose: Purpose
    round: int
    rank: int
    blind: bool
    metadata: Mapping[str, str] = field(default_factory=dict)
    suggestion: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """One answer, as it stood when it was read. An edit is a new version, never a change.

    Exactly one of `task_key` and `text_id` may be missing: answers to our tasks name the task.
    `labels` is empty for a skip, a deletion, or a multi-label text to which nothing applies.
    `seconds` is the annotator's time, where the backend knows it; `made_at` is ISO 8601 in UTC.
    """

    remote_id: str
    version: str
    task_key: str | None
    text_id: str | None
    annotator: str
    state: State
    labels: tuple[str, ...]
    seconds: float | None
    made_at: str
