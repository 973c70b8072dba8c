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
BatchMode = Literal["top", "power", "softmax", "soft-rank"]


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
        if not isinstance(value, list):
            return value
        for one in value:
            if not isinstance(one, str | dict | Label):
                raise ValueError(f'label {_as_toml(one)} is not a text; put it in quotes: "{_as_toml(one)}"')
        return [{"name": one} if isinstance(one, str) else one for one in value]

    @field_validator("labels")
    @classmethod
    def _labels_make_sense(cls, labels: list[Label]) -> list[Label]:
        names = [label.name for label in labels]
        if len(names) < 2:
            raise ValueError(f"two labels are needed at least, here {'is one' if names else 'are none'}")
        for name in names:
            if not name.strip() or name != name.strip():
                raise ValueError(f"label {name!r} is empty or has spaces around it")
            if names.count(name) > 1:
                raise ValueError(f"label {name!r} is listed twice")
        return labels

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
    strategy: str = "auto"
    cold_start: str = "kmeans"
    batch: int = Field(25, ge=1)
    batch_mode: BatchMode = "top"
    batch_beta: float = Field(1.0, ge=0, allow_inf_nan=False)
    balance: bool = False
    near_duplicates: Literal["skip", "pick"] = "skip"
    random_share: float = Field(0.1, ge=0, le=1, allow_inf_nan=False)
    relabel_share: float = Field(0.0, ge=0, le=1, allow_inf_nan=False)
    relabel_by: Literal["doubt", "activelab"] = "doubt"
    repeat_share: float = Field(0.0, ge=0, le=1, allow_inf_nan=False)
    wait_for: float = Field(1.0, ge=0, le=1, allow_inf_nan=False)
    low_water: int | None = Field(None, ge=0)
    candidates: int = Field(50_000, ge=1)
    candidates_by: Literal["random", "uncertain", "neighbours"] = "random"
    seed: int = Field(0, ge=0)

    @property
    def starts_below(self) -> int:
        """`run --watch` starts the next round when fewer tasks than this are open: half a batch unless set."""
        return self.batch // 2 if self.low_water is None else self.low_water


class Augment(Section):
    use: list[str] = []
    per_text: int = Field(1, ge=1, le=20)
    balance: bool = False
    curriculum: int = Field(0, ge=0)
    gate: Literal["features", "tuner", "off"] = "features"


class Evaluate(Section):
    test: str | None = None
    holdout: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _one_of_them(self) -> "Evaluate":
        if self.test and self.holdout:
            raise ValueError("there is both a test file and a holdout; leave one of them out")
        return self


class Annotate(Section):
    backend: str = Field("terminal", alias="with")
    url: str | None = None
    project: int | None = Field(None, ge=1)
    suggest: Literal["none", "all"] | float = "none"
    annotators_per_text: int = Field(1, ge=1)
    consensus: str = "majority"

    @field_validator("suggest", mode="before")
    @classmethod
    def _a_share(cls, value: Any) -> Any:
        is_share = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
        if value not in ("none", "all") and not is_share:
            raise ValueError(f'{_as_toml(value)} is neither "none" nor "all" nor a share between 0 and 1')
        return value


class Run(Section):
    executor: str = "inline"
    keep: Literal["all", "metrics"] | int = 3
    stop: str | None = None

    @field_validator("keep", mode="before")
    @classmethod
    def _at_least_one(cls, value: Any) -> Any:
        is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if value not in ("all", "metrics") and not is_number:
            raise ValueError(f'{_as_toml(value)} is neither "all" nor "metrics" nor a number of rounds, 1 or more')
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
        raise _not_toml(error, content, source) from error
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise _explained(error, content, source) from None


def place_of(content: str, source: str, key: str) -> str:
    """Where a key stands, for messages: "alloop.toml, line 9"."""
    line = _line_of(content, tuple(key.split(".")))
    return f"{source}, line {line}" if line else source


def _not_toml(error: tomllib.TOMLDecodeError, content: str, source: str) -> ConfigError:
    message = str(error)
    if not (place := re.search(r"(.*) \(at line (\d+), column \d+\)", message, re.DOTALL)):
        return ConfigError(f"{source} is not TOML: {message}", "is something not closed, or written twice?")
    line = content.splitlines()[int(place[2]) - 1].strip() if content else ""
    return ConfigError(
        f"{source}, line {place[2]} is not TOML: {place[1][0].lower() + place[1][1:]}: {line[:60]}",
        'texts stand in quotes, a list in brackets: labels = ["bug", "praise"]',
    )


def _explained(error: ValidationError, content: str, source: str) -> ConfigError:
    first = error.errors()[0]
    path = tuple(part for part in first["loc"] if isinstance(part, str))
    key = ".".join(path)
    place = place_of(content, source, key)
    if first["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        near = did_you_mean(path[-1], known)
        return ConfigError(
            f"{place}: there is no key {key!r}",
            f"did you mean {near!r}?" if near else f"known here: {', '.join(known)}",
        )
    if first["type"] == "missing":
        missing = "[task]" if key == "task" else key
        return ConfigError(f"{place if len(path) > 1 else source}: {missing} is missing", _EXAMPLE.get(key))
    words, hint = _in_plain_words(first["type"], first.get("input"), first.get("ctx", {}), path[-1] if path else "")
    return ConfigError(
        f"{place}: {key + ': ' if key else ''}{words or first['msg'].removeprefix('Value error, ')}", hint
    )


_EXAMPLE = {
    "task": 'it could be: [task] labels = ["bug", "praise"]',
    "task.labels": 'it could be: labels = ["bug", "praise"]',
    "task.labels.name": 'it could be: name = "bug"',
}


def _in_plain_words(trouble: str, value: Any, context: dict[str, Any], key: str) -> tuple[str, str | None]:
    """What pydantic found, and what to write instead; nothing for what our own validators say."""
    shown = _as_toml(value)
    number = value if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value) else None
    match trouble:
        case "int_type" | "float_type":
            hint = f"without quotes: {key} = {number}" if number else None
            return f"{shown} is not a {'whole ' if trouble == 'int_type' else ''}number", hint
        case "string_type":
            return f"{shown} is not a text", f'in quotes: {key} = "{shown}"' if not isinstance(
                value, list | dict
            ) else None
        case "bool_type":
            return f"{shown} is neither true nor false", None
        case "list_type":
            return f"{shown} is not a list", f"in brackets: {key} = [{shown}]"
        case "dict_type" | "model_type":
            return f"{shown} is not a table", None
        case "literal_error":
            words = re.findall(r"'([^']+)'", context["expected"])
            near = did_you_mean(str(value), words)
            return f"{shown} is not one of: {', '.join(words)}", f'did you mean "{near}"?' if near else None
        case "greater_than_equal":
            return f"{shown} is less than {context['ge']}", None
        case "less_than_equal":
            return f"{shown} is more than {context['le']}", None
        case "string_too_short":
            return "it is empty", None
        case "finite_number":
            return f"{shown} is not a finite number", None
    return "", None


def _as_toml(value: Any) -> str:
    """A value as it stands in the file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, str | list | dict) else str(value)


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
            if table[: len(path)] == path:
                return number
            if table == path[: len(table)]:
                fallback = number
        elif key := re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line):
            here = (*table, *key[1].split("."))
            if here[: len(path)] == path:
                return number
            if here == path[: len(here)]:
                fallback = number
    return fallback
