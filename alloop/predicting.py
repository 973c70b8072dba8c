"""Use the result: labels with probabilities for any text, from the last round's model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alloop.config import Config, restore
from alloop.errors import ModelError
from alloop.project import Project
from alloop.reports import command
from alloop.steps.context import published
from alloop.store import RoundRow

CHUNK = 2_000


@dataclass(frozen=True)
class Answer:
    """What the model says of a text: the labels it gives, and the probability of every label."""

    text: str
    labels: tuple[str, ...]
    probabilities: dict[str, float]


def predict(project: Project, texts: Iterable[str]) -> Iterator[Answer]:
    """An answer for each text, in order; works through any number of texts in chunks.

    Raises ModelError, before the first text is asked for, where no round has trained a model yet.
    """
    row, model = last_model(project)
    return answers(project, texts, row, model)


def answers(project: Project, texts: Iterable[str], row: RoundRow, model: Path) -> Iterator[Answer]:
    """An answer for each text by the model that a round left in a directory."""
    config = restore(row.config)
    tuner = project.tuner(config).build()
    for chunk in _chunks(texts, CHUNK):
        probs = tuner.predict(model, chunk, ("probs",), row.seed).probs
        assert probs is not None
        for text, row_of_probs in zip(chunk, probs, strict=True):
            chances = {name: float(p) for name, p in zip(config.task.names, row_of_probs, strict=True)}
            yield Answer(text, _decided(chances, config), chances)


def last_model(project: Project) -> tuple[RoundRow, Path]:
    """The newest round that trained a model, and where that model is."""
    for row in reversed(project.store.rounds()):
        directory = published(project, row, "train")
        if directory is not None:
            return row, directory
    raise ModelError(
        f"{project.root} has no model yet; a model needs texts of two labels at least",
        command("round", project.root),
    )


def _decided(chances: dict[str, float], config: Config) -> tuple[str, ...]:
    if config.task.kind == "single":
        return (max(chances, key=chances.__getitem__),)
    return tuple(name for name, chance in chances.items() if chance >= 0.5)


def _chunks(texts: Iterable[str], size: int) -> Iterator[Sequence[str]]:
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
