"""A family of plug-ins by name. Nothing is imported until a plug-in is asked for.

A built-in plug-in `least-confidence` is the one frozen dataclass that `least_confidence.py` exports as `plugin`;
its fields are its options and its docstring is its help. Third parties add names through the entry-point group
`alloop.<family>`, whose value is such a class. A plug-in may raise ImportError for a missing extra only when used.
"""

import dataclasses
import importlib
import pkgutil
import types
import typing
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from alloop.errors import ConfigError, did_you_mean

P = TypeVar("P")


class Registry(Generic[P]):
    """The plug-ins of one family: `strategies`, `tuners`, `augmenters`, `annotators`, `executors`, …"""

    def __init__(self, family: str, package: str) -> None:
        self.family = family
        self.package = package

    @property
    def one(self) -> str:
        """What a member is called in messages."""
        return {"strategies": "strategy", "stopping": "stopping rule"}.get(self.family, self.family.removesuffix("s"))

    def names(self) -> list[str]:
        """Every name that `get` knows, sorted."""
        return sorted([*self._builtin, *self._third_party])

    def get(self, name: str) -> type[P]:
        """The plug-in's class. Raises ConfigError, with the nearest name, for one that does not exist."""
        if name in self._builtin:
            return importlib.import_module(self._builtin[name]).plugin  # type: ignore[no-any-return]
        if name in self._third_party:
            return self._third_party[name].load()  # type: ignore[no-any-return]
        near = did_you_mean(name, self.names())
        raise ConfigError(
            f"there is no {self.one} named {name!r}; there are: {', '.join(self.names())}",
            f"did you mean {near!r}?" if near else f"see them with: alloop plugins {self.family}",
        )

    def options(self, name: str) -> dict[str, Any]:
        """The options of a plug-in with their defaults."""
        fields = dataclasses.fields(self.get(name))  # type: ignore[arg-type]
        return {
            f.name: f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default for f in fields
        }

    def build(self, name: str, **options: Any) -> P:
        """The plug-in with these options. Raises ConfigError for an option it lacks or a value of the wrong type."""
        cls = self.get(name)
        hints = typing.get_type_hints(cls)
        known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for option, value in options.items():
            if option not in known:
                near = did_you_mean(option, known)
                raise ConfigError(
                    f"{self.one} {name!r} has no option {option!r}; it has: {', '.join(sorted(known)) or 'none'}",
                    f"did you mean {near!r}?" if near else f"see: alloop plugins {self.family} {name}",
                )
            if not _fits(value, hints[option]):
                raise ConfigError(
                    f"{self.one} {name!r}: {option} = {value!r} is not {_readable(hints[option])}",
                    f"see: alloop plugins {self.family} {name}",
                )
        try:
            return cls(**{option: _as(value, hints[option]) for option, value in options.items()})
        except ValueError as error:  # what a plug-in's __post_init__ says of a value out of range
            raise ConfigError(f"{self.one} {name!r}: {error}", f"see: alloop plugins {self.family} {name}") from error

    @cached_property
    def _builtin(self) -> dict[str, str]:
        """Name to module, for every file of the package that holds a plug-in: all but those starting with `_`."""
        path = importlib.import_module(self.package).__path__
        return {
            found.name.replace("_", "-"): f"{self.package}.{found.name}"
            for found in pkgutil.iter_modules(path)
            if not found.name.startswith("_")
        }

    @cached_property
    def _third_party(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=f"alloop.{self.family}"):
            other = self._builtin.get(entry.name) or (found[entry.name].value if entry.name in found else None)
            if other:
                raise ConfigError(
                    f"two {self.family} are named {entry.name!r}: {other} and {entry.value}",
                    "uninstall one of the two packages",
                )
            found[entry.name] = entry
        return found


def _fits(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return any(_fits(value, one) for one in typing.get_args(hint))
    if typing.get_origin(hint) in (tuple, list):
        inner = typing.get_args(hint)[0]
        return isinstance(value, tuple | list) and all(_fits(one, inner) for one in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _as(value: Any, hint: Any) -> Any:
    """TOML has lists where a frozen dataclass has tuples, and whole numbers where it has floats."""
    if isinstance(value, list):
        return tuple(value)
    return float(value) if hint is float else value


def _readable(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(hint, f"of the type {getattr(hint, '__name__', hint)}")
