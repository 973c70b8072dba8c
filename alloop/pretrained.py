"""Pretrained models: where their files are, and on what they run. Nothing is loaded here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alloop.errors import ModelError


def find(name: str) -> Path:
    """The directory of that name, or that of the Hub's files. It need not exist."""
    path = Path(name).expanduser()
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        return path
    return download(name)


def download(name: str) -> Path:
    """The Hub's files, or those of an earlier download. Only called for a name that the user has set."""
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.txt", "*.model", "*.spm", "*.safetensors"]
    try:
        with quiet():
            return Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=["onnx/*", "openvino/*"]))
    except Exception as error:  # no network, no such repository, no permission: the Hub has a dozen kinds
        hint = 'check the spelling and the network, or give a directory; base = "minilm" needs no network'
        raise ModelError(f"the base {name!r} is neither a directory nor to be had from the Hub", hint) from error


def best_device() -> Any:
    """The first CUDA device, else the processor."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no advice from transformers and huggingface_hub; as before afterwards."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from transformers.utils import logging

    verbosity, bars, hub_bars = (
        logging.get_verbosity(),
        logging.is_progress_bar_enabled(),
        not are_progress_bars_disabled(),
    )
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()
