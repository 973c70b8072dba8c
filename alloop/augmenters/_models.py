"""Language models for augmenters that ask one: a directory or a Hub id, loaded once per process and never changed.

As with bases, code that came with a model is never run and neither are pickles (safetensors only). They compute in fp32
wherever they run: in bfloat16 machines would differ in the words they draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from alloop import pretrained
from alloop.errors import ModelError

Task = Literal["fill-mask", "translation"]
LONGEST = 512  # tokens that are read of a text, whatever positions a model has


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A network in evaluation mode on the best device, its tokenizer, and how many tokens it reads."""

    name: str
    network: Any
    tokenizer: Any
    device: Any
    max_tokens: int


def load(task: Task, name: str) -> LanguageModel:
    """The model of that name. Raises ModelError where it is missing, broken, or cannot do the task."""
    try:
        directory = pretrained.find(name)
    except ModelError as error:
        message = f"the model {name!r} is neither a directory nor to be had from the Hub"
        raise ModelError(message, "check the spelling and the network, or give a directory") from error
    weights = sorted(directory.glob("*.safetensors"))
    if not weights:
        found = f"{directory} has no *.safetensors" if directory.is_dir() else "the directory does not exist"
        raise ModelError(f"the model {name!r} cannot be loaded: {found}", _what_to_give(directory))
    stamp = tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in weights)
    return _load(task, name, directory, stamp)


@lru_cache(maxsize=3)  # two for a translation there and back, one to fill gaps
def _load(task: Task, name: str, directory: Path, stamp: tuple[tuple[str, int, int], ...]) -> LanguageModel:
    """`stamp` makes a changed file another model."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer

    auto = AutoModelForMaskedLM if task == "fill-mask" else AutoModelForSeq2SeqLM
    try:
        with pretrained.quiet(), torch.random.fork_rng(devices=[]):  # missing layers are drawn, and refused below
            network, report = auto.from_pretrained(
                directory, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    except ImportError as error:  # Marian's tokenizers want sentencepiece
        raise _broken(name, str(error), "pip install sentencepiece sacremoses") from error
    except Exception as error:  # the libraries' own errors have no common ancestor below it
        raise _broken(name, str(error)) from error
    if report["missing_keys"] or report["mismatched_keys"]:
        inner = f"{network.base_model_prefix}."
        lacking = sorted(report["missing_keys"])
        if task == "fill-mask" and all(not key.startswith(inner) for key in lacking):
            raise ModelError(
                f"the model {name!r} cannot fill a gap: it was published without the head that says words",
                'choose one published as a masked language model, such as "distilbert-base-uncased"',
            )
        raise _broken(name, f"the weights lack some of its parts, such as {lacking[:1]}")
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise _broken(name, "it has no tokenizer")
    if task == "fill-mask" and (tokenizer.mask_token_id is None or not tokenizer.is_fast):
        raise _broken(name, f"its tokenizer has {'no mask token' if tokenizer.is_fast else 'no tokenizer.json'}")
    tokenizer.truncation_side = "right"
    device = pretrained.best_device()
    limits = [LONGEST, tokenizer.model_max_length, *_positions(network)]
    return LanguageModel(name, network.to(device).eval().requires_grad_(False), tokenizer, device, int(min(limits)))


def clean(text: str) -> str:
    """As long as before, without half characters, which tokenizers refuse."""
    return text.encode("utf-8", "replace").decode()


def _positions(network: Any) -> Sequence[int]:
    """What the table of positions allows; RoBERTa leaves its first ones unused."""
    said = getattr(network.config, "max_position_embeddings", None)
    if not said:
        return []
    tables = [module for name, module in network.named_modules() if name.endswith("position_embeddings")]
    unused = [table.padding_idx + 1 for table in tables if getattr(table, "padding_idx", None) is not None]
    return [said - sum(unused)]


def _what_to_give(directory: Path) -> str:
    if any(directory.glob("*.bin")):
        return (
            "its weights are a pickle, which can run code and is not loaded: "
            f"convert it once with transformers, from_pretrained({str(directory)!r}).save_pretrained(DIR), and name DIR"
        )
    return "give a directory with config.json, tokenizer and model.safetensors, or a Hub id"


def _broken(name: str, why: str, hint: str = "download it again, or choose another model") -> ModelError:
    first = next((line.strip()[:300] for line in why.splitlines() if line.strip()), "no reason given")
    return ModelError(f"the model {name!r} cannot be loaded: {first}", hint)
