"""How a model leaves: as a directory for transformers and ONNX Runtime, without alloop, and for alloop, anywhere.

    README.md                                     the model card
    config.json model.safetensors tokenizer.json  for transformers, with modeling_alloop.py
    model.onnx                                    if asked for
    alloop/                                       what was learnt, small, as `alloop.load` reads it

It holds no text. A tuner whose network is not of the base's own architecture has no files for transformers, one without
a network only `alloop/`; the card says what there is and how to use it.
"""

import json
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from alloop import adapting, figures, modelcard
from alloop.config import restore
from alloop.errors import DataError, ModelError
from alloop.files import beside
from alloop.predicting import last_model
from alloop.project import Project, tuner_spec
from alloop.tuning import Tuner
from alloop.tuning._directory import read_about, tuner_of

SMALL, SPEC, BASE = "alloop", "alloop.json", "base"
ONNX = "model.onnx"
TRIED = 30  # texts of the pool on which what leaves is compared with the model itself
# What loading a base reads. Nothing else of its directory leaves, such as which texts it was adapted to.
OF_A_BASE = (
    *("config.json", "*.safetensors", "*.safetensors.index.json", "1_Pooling/config.json", "modules.json"),
    *("tokenizer*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json", "added_tokens.json"),
)
OF_TRAINING = ("teacher", "others", "vectors")  # options that are places of this machine, and of no use elsewhere


def export_model(project: Project, target: Path, *, onnx: bool = False) -> Path:
    """The last round's model, as a directory that appears whole or not at all.

    Raises ModelError where there is none, where ONNX cannot hold it, and where what would leave predicts something
    else than the model does.
    """
    row, model = last_model(project)
    if target.exists():
        raise DataError(f"{target} exists already", "name another directory")
    config = restore(row.config)
    spec = tuner_spec(config)
    located = project.located(spec)
    tuner = tuner_of(model, base=located.options.get("base"))
    about: dict[str, Any] = {
        "tuner": spec.name,
        "options": dict(spec.options),
        "labels": config.task.names,
        "kind": config.task.kind,
        "descriptions": {label.name: label.description for label in config.task.labels if label.description},
        "seed": row.seed,
    }
    own = project.own_base(str(spec.options.get("base", "")))
    adapted = adapting.read_about(own) if own is not None and (own / adapting.ABOUT).exists() else None
    texts = [one.text for one in project.store.texts(list(islice(project.store.pool_ids(), TRIED)))]
    with beside(target) as attempt:
        try:
            _copy_small(model, attempt / SMALL, about, located.options.get("base"))
        except (shutil.Error, OSError) as error:
            raise DataError(f"{target} could not be written: {error}", "name another place") from error
        forms = _write_forms(tuner, model, attempt, texts, onnx)
        found = modelcard.measured(project, row)
        if found["points"]:
            figures.curve_png([found], attempt / modelcard.CURVE)
        card = modelcard.card(project, row, read_about(model), found, replace(forms, adapted=adapted))
        (attempt / modelcard.CARD).write_text(card, encoding="utf-8")
        attempt.rename(target)
    return target


def _copy_small(model: Path, out: Path, about: dict[str, Any], base: str | None) -> None:
    """What was learnt, without a committee's other members; and the base, where it is a directory of this machine."""
    out.mkdir(parents=True)
    said = read_about(model)
    for name in said["files"]:
        shutil.copyfile(model / name, out / name)
    directory = None if base is None or base == "minilm" else Path(base).expanduser()
    if directory is not None and directory.is_dir():
        for pattern in OF_A_BASE:
            for file in directory.glob(pattern):
                copy = out / BASE / file.relative_to(directory)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
        about["options"]["base"] = said["base"] = BASE
    about["options"] = {
        key: value for key, value in about["options"].items() if key not in OF_TRAINING and not _is_a_place(value)
    }
    (out / "model.json").write_text(json.dumps(said, indent=1, sort_keys=True), encoding="utf-8")
    (out / SPEC).write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")


def _is_a_place(value: Any) -> bool:
    """Whether an option means nothing on another machine, such as the directory of vectors read before."""
    return isinstance(value, str) and Path(value).expanduser().is_absolute()


def _write_forms(tuner: Tuner, model: Path, out: Path, texts: list[str], onnx: bool) -> modelcard.Forms:
    is_native = getattr(tuner, "mergeable", True)
    if not (is_native or onnx):
        return modelcard.Forms()
    from alloop.tuning import _exporting as exporting

    whole = exporting.whole(tuner, model)
    if whole is None:
        if onnx:
            name = read_about(model)["tuner"]
            raise ModelError(f"a model of the tuner {name!r} cannot be written as ONNX", "leave out --onnx")
        return modelcard.Forms()
    texts = texts or list(whole.labels)
    texts = [*texts, " ".join(texts) * (1 + whole.max_tokens // len(texts))]
    exporting.check_whole(whole, tuner, model, texts)
    exporting.write_tokenizer(whole, out)
    if onnx:
        exporting.write_onnx(whole, out / ONNX, texts)
    if whole.is_native:
        exporting.write_transformers(whole, out)
    return modelcard.Forms(whole.is_native, onnx, whole.max_tokens)
