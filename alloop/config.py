"""`alloop.toml`: checked when read, snapshotted as JSON into every round. Each field below is a key of the file.

A key that does not exist is an error, so that a misspelt one is never silently ignored.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from alloop.errors import ConfigError, did_you_mean
from alloop.records import Kind

CONFIG_VERSION = 1


class Section(BaseModel):
    """A table of the file. Values are taken as they are: "1" is not a number and 1 is not a text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Label(Section):
    name: str
    description: str = ""


class Task(Section):
    kind: Kind = "single"
    labels: list[Label]
    rename: dict[str, str] = {}

    @field_validator("labels", mode="before")
    @classmethod
    def _names_or_tables(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [{"name": one} if isinstance(one, str) else one for one in value]
        return value

    @model_validator(mode="after")
    def _labels_make_sense(self) -> "Task":
        names = self.names
        if len(names) < 2:
            raise ValueError(f"labels has {len(names)} of the two labels that it needs at least")
        for name in names:
            if not name.strip() or name != name.strip():
                raise ValueError(f"label {name!r} is empty or has spaces around it")
            if names.count(name) > 1:
                raise ValueError(f"label {name!r} is listed twice")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)


class Data(Section):
    files: list[str] = []
    text: list[str] = []
    label: str | None = None
    metadata: list[str] = []
    id: str | None = None
    separator: str = Field("|", min_length=1)
    empty_is_none: bool = False

    @field_validator("text", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class Model(Section):
    base: str = "minilm"
    tuner: str = "lora"
    warm_start: bool = False
    max_tokens: int = Field(128, ge=4)


class Round(Section):
    strategy: str = "margin"
    cold_start: str = "kmeans"
    batch: int = Field(25, ge=1)
    random_share: float = Field(0.1, ge=0, le=1)
    wait_for: float = Field(1.0, ge=0, le=1)
    low_water: int = Field(0, ge=0)
    candidates: int = Field(50_000, ge=1)
    seed: int = Field(0, ge=0)


class Augment(Section):
    use: list[str] = []
    per_text: int = Field(1, ge=1, le=20)
    balance: bool = False


class Evaluate(Section):
    test: str | None = None
    holdout: int = Field(0, ge=0)


class Annotate(Section):
    backend: str = Field("terminal", alias="with")
    suggest: Literal["none", "all"] | float = "none"
    annotators_per_text: int = Field(1, ge=1)

    @field_validator("suggest")
    @classmethod
    def _a_share(cls, value: Any) -> Any:
        if isinstance(value, float) and not 0 <= value <= 1:
            raise ValueError("suggest is 'none', 'all', or the share of tasks that show the model's answer")
        return value


class Run(Section):
    executor: str = "inline"
    keep: Literal["all", "metrics"] | int = 3

    @field_validator("keep")
    @classmethod
    def _at_least_one(cls, value: Any) -> Any:
        if isinstance(value, int) and value < 1:
            raise ValueError("keep is a number of rounds, at least 1, or 'all' or 'metrics'")
        return value


class Config(Section):
    """Everything that a round may depend on, besides what is in the database."""

    task: Task
    data: Data = Data()
    model: Model = Model()
    round: Round = Round()
    augment: Augment = Augment()
    evaluate: Evaluate = Evaluate()
    annotate: Annotate = Annotate()
    run: Run = Run()
    options: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _separator_splits(self) -> "Config":
        if self.task.kind == "multi":
            for name in self.task.names:
                if self.data.separator in name:
                    raise ValueError(
                        f"label {name!r} contains {self.data.separator!r}, which separates labels; "
                        "set another data.separator"
                    )
        return self

    def options_of(self, plugin: str) -> dict[str, Any]:
        """The table `[options.<plugin>]`, empty where there is none."""
        return dict(self.options.get(plugin, {}))

    def snapshot(self) -> str:
        """JSON that `restore` turns into an equal config."""
        return json.dumps({"config_version": CONFIG_VERSION, **self.model_dump(by_alias=True)}, ensure_ascii=False)


def restore(snapshot: str) -> Config:
    """The config of an earlier round. Raises ConfigError for one of a newer alloop."""
    values = json.loads(snapshot)
    version = values.pop("config_version")
    if version > CONFIG_VERSION:
        raise ConfigError(
            f"the config of this round has version {version}, this alloop knows {CONFIG_VERSION}",
            "upgrade with: pip install --upgrade alloop",
        )
    return Config.model_validate(values)


def load(path: Path) -> Config:
    """Read `alloop.toml`. Raises ConfigError naming file, line, key and value."""
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist", "make a project with: alloop init DIR --data FILE") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error
    return parse(content, str(path))


def parse(content: str, source: str = "alloop.toml") -> Config:
    """The checked config of a TOML text; `source` is how messages call it."""
    try:
        values = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: {error}", "see the commented examples in configs/") from error
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise _explained(error, content, source) from None


def _explained(error: ValidationError, content: str, source: str) -> ConfigError:
    first = error.errors()[0]
    path = tuple(part for part in first["loc"] if isinstance(part, str) and part != "int")
    key = ".".join(path)
    line = _line_of(content, path)
    place = f"{source}, line {line}" if line else source
    if first["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        near = did_you_mean(path[-1], known)
        return ConfigError(
            f"{place}: there is no key {key!r}",
            f"did you mean {near!r}?" if near else f"known here: {', '.join(known)}",
        )
    if first["type"] == "missing":
        return ConfigError(f"{source}: {key} is missing", 'it could be: [task] labels = ["yes", "no"]')
    message = first["msg"].removeprefix("Value error, ")
    value = first.get("input")
    shown = "" if first["type"] == "value_error" else f" (it is {value!r})"
    return ConfigError(f"{place}: {key + ': ' if key else ''}{message[0].lower() + message[1:]}{shown}")


def _known_keys(path: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Config
    for name in path:
        annotation = model.model_fields[name].annotation
        if annotation == list[Label]:
            annotation = Label
        model = cast(type[BaseModel], annotation)
    return [field.alias or name for name, field in model.model_fields.items()]


def _line_of(content: str, path: tuple[str, ...]) -> int | None:
    """The line where a key stands, found by its name below its table's heading."""
    table: tuple[str, ...] = ()
    fallback = None
    for number, line in enumerate(content.splitlines(), 1):
        if heading := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            table = tuple(part.strip(" \"'") for part in heading[1].split("."))
            if table == path:
                return number
            if table == path[: len(table)]:
                fallback = number
        elif key := re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line):
            here = (*table, *key[1].split("."))
            if here == path:
                return number
            if here == path[: len(here)]:
                fallback = number
    return fallback
