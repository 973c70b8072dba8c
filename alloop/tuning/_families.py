"""Where the parts of a layer are, by family of bases: what tuners other than plain LoRA have to find by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from alloop.errors import ModelError
from alloop.tuning._bases import Base


@dataclass(frozen=True)
class Family:
    """Names inside a network. `layers` is the list of its layers, from the first to the last; the others are relative
    to one of them.

    queries, keys, values: linear layers whose outputs these are; `fused` is the one that gives all three at once, where
    there is one instead.
    attention_out, feed_forward_out: the linear layers whose outputs are added to what a layer was given.
    """

    layers: str
    queries: str | None
    keys: str | None
    values: str | None
    attention_out: str
    feed_forward_out: str
    fused: str | None = None

    @property
    def attention(self) -> tuple[str, ...]:
        """The projections into queries, keys and values, fused or not."""
        return tuple(name for name in (self.queries, self.keys, self.values, self.fused) if name)


def _bert_like(attention: str, query: str, key: str, value: str, attention_out: str) -> Family:
    return Family(
        "encoder.layer",
        f"{attention}.{query}",
        f"{attention}.{key}",
        f"{attention}.{value}",
        attention_out,
        "output.dense",
    )


_BERT = _bert_like("attention.self", "query", "key", "value", "attention.output.dense")
_MPNET = _bert_like("attention.attn", "q", "k", "v", "attention.attn.o")
_DEBERTA = _bert_like("attention.self", "query_proj", "key_proj", "value_proj", "attention.output.dense")
_DISTILBERT = Family(
    "transformer.layer",
    "attention.q_lin",
    "attention.k_lin",
    "attention.v_lin",
    "attention.out_lin",
    "ffn.lin2",
)
_MODERNBERT = Family("layers", None, None, None, "attn.Wo", "mlp.Wo", "attn.Wqkv")
_GPT2 = Family("h", None, None, None, "attn.c_proj", "mlp.c_proj", "attn.c_attn")
_LLAMA = Family(
    "layers",
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.down_proj",
)

FAMILIES = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra"), _BERT),
    "mpnet": _MPNET,
    "deberta-v2": _DEBERTA,  # DeBERTa-v3 too
    "distilbert": _DISTILBERT,
    "modernbert": _MODERNBERT,
    "gpt2": _GPT2,
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"), _LLAMA),
}


def family_of(base: Base) -> Family:
    """Raises ModelError for a base of an unknown family, which `lora` and `features` can still use."""
    kind = base.network.config.model_type
    if kind not in FAMILIES:
        raise ModelError(
            f"the layers of the base {base.name!r} ({kind}) are not known; known are: {', '.join(sorted(FAMILIES))}",
            'set model.tuner = "lora" or "features", or choose another model.base',
        )
    return FAMILIES[kind]


def layers_of(base: Base) -> list[str]:
    """Full names of the layers, from the first to the last."""
    family = family_of(base)
    return [f"{family.layers}.{number}" for number in range(len(base.network.get_submodule(family.layers)))]


def unfreeze(network: Any, wanted: Iterator[str]) -> Any:
    """Require a gradient of the parameters of these names, and of nothing else; returns the network.

    They are in fp32: small updates would be lost in bfloat16. So are the norms they belong to, whose weights and
    biases have to be of one precision.
    """
    names = set(wanted)
    network.requires_grad_(False)
    for prefix, module in network.named_modules():
        own = dict(module.named_parameters(prefix, recurse=False))
        if names & own.keys():
            for name, parameter in own.items():
                if name in names or parameter.dim() == 1:
                    parameter.data = parameter.data.float()
                parameter.requires_grad_(name in names)
    return network


def is_transposed(module: Any) -> bool:
    """GPT-2's own kind of linear layer, Conv1D, keeps its weights as (in, out)."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)
