"""A model on disk: `model.json`, which says what it is, beside `weights.safetensors` and nothing that runs code.

`model.json` is written last and holds a checksum of every other file, so that a directory is either whole or refused.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alloop.errors import ConfigError, ModelError
from alloop.tuning import Tuner, tuners

FORMAT = 1  # raised when a directory written today could not be read by yesterday's code
TRAIN_AGAIN = "train it again: delete the directory and run: alloop round"


def write_model(out: Path, tuner: str, about: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """Put a model into the existing directory `out`.

    `about` is what says how to use it: labels, kind, options. In `files`, `<name>.safetensors` holds arrays by name
    and `<name>.json` whatever JSON can hold.
    """
    from safetensors.numpy import save

    checksums = {}
    for name, content in files.items():
        if name.endswith(".safetensors"):
            data = save({key: np.ascontiguousarray(array) for key, array in content.items()})
        else:
            data = json.dumps(content).encode()
        (out / name).write_bytes(data)
        checksums[name] = _checksum(data)
    model = {"format": FORMAT, "tuner": tuner, **about, "files": checksums}
    (out / "model.json").write_text(json.dumps(model, indent=1, sort_keys=True), encoding="utf-8")


def read_model(path: Path, tuner: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """`about` and `files` as `write_model` was given them. Raises ModelError for any other directory."""
    from safetensors.numpy import load

    about = read_about(path)
    if about["tuner"] != tuner:
        hint = f'set in alloop.toml: tuner = "{about["tuner"]}"'
        raise ModelError(f"{path} was trained by {about['tuner']!r}, not by {tuner!r}", hint)
    try:
        contents = {name: (path / name).read_bytes() for name in about["files"]}
    except FileNotFoundError as error:
        raise ModelError(f"{path} is not a whole model: {Path(error.filename).name} is missing", TRAIN_AGAIN) from error
    except OSError as error:
        raise ModelError(f"{path} is damaged: {error}", TRAIN_AGAIN) from error
    for name, content in contents.items():
        if _checksum(content) != about["files"][name]:
            raise ModelError(f"{path} is damaged: {name} is not the file that was written", TRAIN_AGAIN)
    files = {n: load(content) if n.endswith(".safetensors") else json.loads(content) for n, content in contents.items()}
    return about, files


def read_about(path: Path) -> dict[str, Any]:
    """What a model says of itself: tuner, labels, kind, files, and what the tuner added."""
    try:
        about = json.loads((path / "model.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is not a whole model: model.json is missing", TRAIN_AGAIN) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged: model.json: {error}", TRAIN_AGAIN) from error
    if not isinstance(about, dict) or not {"format", "tuner", "labels", "kind", "files"} <= about.keys():
        raise ModelError(f"{path} is not a model: model.json is something else", TRAIN_AGAIN)
    if about["format"] != FORMAT:
        message = f"{path} has the model format {about['format']}, this alloop reads {FORMAT}"
        raise ModelError(message, "use the version of alloop that trained it, or train it again")
    return about


def tuner_of(model: Path, base: str | None = None) -> Tuner:
    """The tuner that predicts with a model directory; `base` is where its base is now, if not where it was."""
    about = read_about(model)
    came_along = model / str(about.get("base"))  # in an export
    base = base or (str(came_along) if came_along.is_dir() else about.get("base"))
    said = {"base": base, "max_tokens": about.get("max_tokens"), **about.get("options", {})}
    try:
        known = tuners.options(about["tuner"])
        return tuners.build(about["tuner"], **{key: value for key, value in said.items() if key in known})
    except ConfigError as error:
        raise ModelError(f"{model} cannot be used: {error.message}", error.hint) from error


def refuse_needs(tuner: str, needs: Collection[str], known: Collection[str]) -> None:
    """Raise ConfigError where a strategy needs what the tuner does not have."""
    missing = sorted(set(needs) - set(known))
    if missing:
        hint = "choose another round.strategy, or another model.tuner"
        if missing == ["samples"]:
            hint = 'set model.tuner = "features", or "lora" and under [options.lora] dropout = 0.1'
            hint += ', or round.strategy = "committee"'
        raise ConfigError(f"the tuner {tuner!r} cannot give {', '.join(missing)}", hint)


def _checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
