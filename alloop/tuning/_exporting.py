"""A trained model in the forms that others load: a directory for transformers, and ONNX.

No `…ForSequenceClassification` of transformers can say what our models say: between the pooled vector and the linear
layer the vector is brought to length 1, which none of them does. (BERT's has a dense layer and tanh there, those of
decoders nothing, ModernBERT's a LayerNorm, which takes the mean away too.) So the directory comes with the class that
does, in `modeling_alloop.py`, and a `model_type` of its own: under the base's, transformers would load a head of random
numbers where `trust_remote_code` is left out.
"""

import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alloop.errors import ConfigError, ModelError
from alloop.pretrained import best_device, quiet
from alloop.records import Kind
from alloop.tuning import Tuner
from alloop.tuning._bases import Base, load_base
from alloop.tuning._directory import TRAIN_AGAIN, read_about, read_model
from alloop.tuning._encoding import uses_bfloat16
from alloop.tuning._finetuning import FineTuner, _put
from alloop.tuning._linear import probabilities

HEAD, ADAPTER = "head.safetensors", "adapter.safetensors"
CLOSE = 1e-3  # probabilities of two ways to compute the same in fp32
CLOSE_TO_HALF = 0.15  # where alloop predicts in bfloat16; 0.038 was the most of 1,000 texts (tests/bench/exported.py)


@dataclass(frozen=True, eq=False)
class Whole:
    """A network with what was learnt in it, in fp32, and the linear layer, a calibration temperature included.

    `is_native`: the network is of the base's own architecture.
    """

    base: Base
    network: Any
    weight: np.ndarray
    bias: np.ndarray
    labels: tuple[str, ...]
    kind: Kind
    max_tokens: int
    is_native: bool


def whole(tuner: Tuner, model: Path) -> Whole | None:
    """What a model directory computes; None where there is no network in it, or its texts are not read as they are.

    `tuner` is the one that predicts with the model.
    """
    base_name = getattr(tuner, "base", None)
    if isinstance(tuner, FineTuner):
        if type(tuner).tokenize is not FineTuner.tokenize:
            return None
        about, files = read_model(model, tuner.name)
        if about["options"].get("four_bit"):
            return None
        base, learnt, trained = load_base(tuner.base), files[ADAPTER], tuner.as_trained(about)
        own = dict(base.network.named_parameters())
        if (
            tuner.mergeable and learnt.keys() <= own.keys()
        ):  # here and not by `apply`, which rounds what was not learnt to bfloat16
            network = deepcopy(base.network)
            _put(network, learnt)
        else:
            network = trained.apply(base, learnt)
        is_native, longest = tuner.mergeable, trained.longest(base)
    elif base_name is not None:
        about, files = read_model(model, read_about(model)["tuner"])
        if HEAD not in files or ADAPTER in files:
            return None
        base = load_base(base_name)
        network, is_native = deepcopy(base.network), True
        longest = min(about["max_tokens"], base.max_tokens or about["max_tokens"])
    else:
        return None
    temperature = np.float32(about.get("temperature", 1.0))
    return Whole(
        base=base,
        network=network.float().cpu().eval().requires_grad_(False),
        weight=files[HEAD]["weight"] / temperature,
        bias=files[HEAD]["bias"] / temperature,
        labels=tuple(about["labels"]),
        kind=about["kind"],
        max_tokens=longest,
        is_native=is_native,
    )


def write_transformers(whole: Whole, out: Path) -> None:
    """Weights and code for `pipeline("text-classification", model=out, trust_remote_code=True)` into the directory."""
    import torch

    from alloop import modeling_alloop
    from alloop.modeling_alloop import AlloopConfig, AlloopForSequenceClassification

    config = AlloopConfig(
        base=_described(whole.base),
        pooling=whole.base.pooling,
        empty=whole.base.pad,
        id2label=dict(enumerate(whole.labels)),
        label2id={label: number for number, label in enumerate(whole.labels)},
        problem_type=f"{whole.kind}_label_classification",
    )
    config.auto_map = {
        "AutoConfig": "modeling_alloop.AlloopConfig",
        "AutoModelForSequenceClassification": "modeling_alloop.AlloopForSequenceClassification",
    }
    config.custom_pipelines = {
        "text-classification": {
            "impl": "modeling_alloop.AlloopPipeline",
            "pt": ["AutoModelForSequenceClassification"],
            "type": "text",
        }
    }
    with torch.device("meta"):
        model = AlloopForSequenceClassification(config)
    model.base, model.head = whole.network, _linear(whole)
    with quiet():
        model.save_pretrained(out)
    source = modeling_alloop.__file__
    shutil.copyfile(source, out / Path(source).name)


def write_tokenizer(whole: Whole, out: Path) -> None:
    """The tokenizer, which knows where texts are cut. In `tokenizer.json` it cuts and pads without being told to."""
    from tokenizers import Tokenizer

    tokenizer = deepcopy(whole.base.tokenizer)
    tokenizer.model_max_length = whole.max_tokens
    tokenizer.padding_side = "right"
    pad = tokenizer.convert_ids_to_tokens(whole.base.pad)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = pad
    tokenizer.save_pretrained(out)
    file = out / "tokenizer.json"
    if file.exists():
        fast = Tokenizer.from_file(str(file))
        fast.enable_truncation(whole.max_tokens)
        fast.enable_padding(pad_id=whole.base.pad, pad_token=pad)
        fast.save(str(file))


def write_onnx(whole: Whole, file: Path, texts: Sequence[str]) -> None:
    """input_ids and attention_mask (batch, tokens) -> logits and probabilities (batch, labels); tried on some texts.

    Raises ConfigError where the libraries are missing, ModelError where the network cannot be written.
    """
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"ONNX needs the package {error.name}", 'pip install "alloop[onnx]"') from error
    import torch

    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    try:
        with quiet(), _without_advice():
            program = torch.onnx.export(
                _with_probabilities(whole),
                _padded(whole, texts[:2]),
                input_names=["input_ids", "attention_mask"],
                output_names=["logits", "probabilities"],
                dynamic_shapes=(axes, axes),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        why = str(error).strip().splitlines()[0][:300]
        raise ModelError(f"the network cannot be written as ONNX: {why}", "leave out --onnx") from error
    assert program is not None
    program.save(file)
    _check_onnx(whole, file, texts)


def _check_onnx(whole: Whole, file: Path, texts: Sequence[str]) -> None:
    """Raises ModelError where ONNX Runtime says something else than the network, of one text or of several."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for some in (texts, texts[:1], texts[-1:]):
        ids, mask = _padded(whole, some)
        _, said = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        _refuse_difference("the ONNX file", said, expected(whole, some), CLOSE)


def expected(whole: Whole, texts: Sequence[str]) -> np.ndarray:
    """Probabilities (N, C) by the whole network."""
    import torch

    with torch.inference_mode():
        logits, _ = _with_probabilities(whole)(*_padded(whole, texts))
    return probabilities(logits.numpy(), whole.kind)


def check_whole(whole: Whole, tuner: Tuner, model: Path, texts: Sequence[str]) -> None:
    """Raises ModelError where the tuner itself predicts something else: what leaves has to be what was measured."""
    said = tuner.predict(model, texts, ("probs",), 0).probs
    assert said is not None
    close = CLOSE_TO_HALF if uses_bfloat16(best_device()) else CLOSE
    _refuse_difference("the merged model", expected(whole, texts), said, close)


def _refuse_difference(what: str, said: np.ndarray, expected: np.ndarray, close: float) -> None:
    difference = float(np.abs(said - expected).max())
    if not difference <= close:
        raise ModelError(f"{what} would differ from the model by {difference:.3f} in its probabilities", TRAIN_AGAIN)


def _with_probabilities(whole: Whole) -> Any:
    import torch

    from alloop.modeling_alloop import vectors

    class WithProbabilities(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.head = whole.network, _linear(whole)

        def forward(self, input_ids: Any, attention_mask: Any) -> tuple[Any, Any]:
            logits = self.head(vectors(self.network, input_ids, attention_mask, whole.base.pooling))
            return logits, logits.sigmoid() if whole.kind == "multi" else logits.softmax(1)

    return WithProbabilities().eval()


@contextmanager
def _without_advice() -> Iterator[None]:
    """The exporter warns of what it does by itself, and logs which packages of others it does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _linear(whole: Whole) -> Any:
    import torch

    labels, width = whole.weight.shape
    head = torch.nn.Linear(width, labels, device="meta").to_empty(device="cpu")
    _put(head, {"weight": whole.weight, "bias": whole.bias})
    return head


def _padded(whole: Whole, texts: Sequence[str]) -> tuple[Any, Any]:
    """input_ids and attention_mask (N, L)."""
    import torch

    from alloop.tuning._encoding import pad_batch

    ids, lengths, _ = pad_batch(whole.base.tokenize(texts, whole.max_tokens), whole.base.pad, torch.device("cpu"))
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


def _described(base: Base) -> dict[str, Any]:
    """The configuration of the network, without what says where it came from."""
    said: dict[str, Any] = base.network.config.to_dict()
    gone = ("_name_or_path", "architectures", "transformers_version", "dtype", "torch_dtype", "id2label", "label2id")
    return {key: value for key, value in said.items() if key not in gone}
