"""The errors a user can meet. Every expected trouble is an AlloopError; anything else that surfaces is a bug.

AlloopError
├── UsageError      the command line was not understood (exit 2)
├── ConfigError     alloop.toml says something that cannot be done
├── DataError       a file of texts or labels is not what it should be
├── ModelError      a base or a model directory is missing, damaged or of the wrong kind
├── RemoteError     a server cannot be reached, or refuses what it is asked
├── LockedError     another process holds the project
└── WaitingError    nothing is wrong: annotators have not answered yet (exit 3)
"""

import difflib
from collections.abc import Iterable


class AlloopError(Exception):
    """What happened, with the actual names and values, and a hint that can be typed."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AlloopError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class ConfigError(AlloopError):
    """The config, or an option of a plug-in, is wrong."""


class DataError(AlloopError):
    """A file of texts, labels or answers cannot be used as it is."""


class ModelError(AlloopError):
    """A base model or a model directory cannot be loaded."""


class RemoteError(AlloopError):
    """A server cannot be reached or refuses what it is asked. Temporary where asking again later may help."""

    def __init__(self, message: str, hint: str | None = None, *, is_temporary: bool = False) -> None:
        super().__init__(message, hint)
        self.is_temporary = is_temporary


class LockedError(AlloopError):
    """Another process works on this project."""


class WaitingError(AlloopError):
    """The round waits for annotators; what they have answered so far is kept."""

    exit_code = 3


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The known name nearest to a misspelt one, or None where nothing is near."""
    candidates = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), candidates, n=1, cutoff=0.6)
    return candidates[near[0]] if near else None
