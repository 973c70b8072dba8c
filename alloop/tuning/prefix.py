"""Prefix tuning: learnt keys and values, to which every token of a text attends in every layer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from alloop.errors import ModelError
from alloop.tuning import Choice, Range, Search
from alloop.tuning._families import family_of, layers_of, unfreeze
from alloop.tuning._finetuning import FineTuner
from alloop.tuning._prompting import random_words

if TYPE_CHECKING:
    from alloop.tuning._bases import Base

ATTENTION = "alloop-prefix"  # the name of `_attend` among transformers' ways to compute attention


@dataclass(frozen=True)
class Prefix(FineTuner):
    """Prefix tuning (Li & Liang 2021, arXiv:2101.00190): as "prompt", but in every layer and without positions.

    More weights than a prompt of the same length, and fewer computations: nothing asks what its tokens make of each
    other. The keys and values start as those of words, as its authors recommend with few examples. They are learnt as
    they are, without a network behind them, whose use depends on the task (Liu et al. 2022, arXiv:2110.07602). Not for
    MPNet and DeBERTa, which compute attention in their own way.

    length: keys and values in a layer. base: "minilm", a directory, or a Hub id. max_tokens: where longer texts are
    cut. learning_rate: the peak, of the prefix, which wants a high one; head_learning_rate: of the linear layer on top.
    """

    length: int = 16
    learning_rate: float = 1e-2

    name: ClassVar[str] = "prefix"
    search: ClassVar[Search] = {
        "learning_rate": Range(1e-3, 1e-1, log=True),
        ("steps", "epochs"): Choice(((60, 1.5), (120, 3.0), (240, 6.0))),
        "length": Choice((4, 8, 16, 32), reshapes=True),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 1:
            raise ValueError("length must be above 0")

    def adapt(self, base: "Base") -> Any:
        """A copy of the base's network with prefixes (2, H, P, D / H), in fp32 and alone in requiring a gradient.

        Not peft's, which hands them over as a cache of earlier tokens: DistilBERT and ModernBERT take none, and BERT
        then counts positions from behind them. The function that computes attention is the same for all families.
        """
        import torch
        from transformers import AttentionInterface

        from alloop.tuning._encoding import copy_for_speed

        AttentionInterface.register(ATTENTION, _attend)
        family, network = family_of(base), copy_for_speed(base.network)
        inside = (family.fused or family.values or "").rpartition(".")[0]
        for layer in layers_of(base):
            _give_prefix(network.get_submodule(f"{layer}.{inside}"), network.config, base)
        with torch.no_grad():
            network(input_ids=random_words(base, self.length)[None], attention_mask=None)
        return unfreeze(network, (name for name, _ in network.named_parameters() if name.endswith(".prefix")))

    def _shape(self) -> dict[str, Any]:
        return {"length": self.length}


plugin = Prefix


def _give_prefix(attention: Any, plain: Any, base: "Base") -> None:
    """Make an attention layer use `_attend`. It gets a configuration of its own: the network's, `plain`, still decides
    how masks are made and how attention is computed once the prefix is there, see copy_for_speed.
    """
    from copy import copy

    if _eager(attention) is None:
        raise ModelError(
            f"the base {base.name!r} ({plain.model_type}) computes attention in its own way, without room for a prefix",
            'set model.tuner = "prompt" or "lora"',
        )
    attention.plain, attention.config, attention.prefix = plain, copy(plain), None
    attention.config._attn_implementation = ATTENTION


def _attend(
    attention: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
) -> tuple[Any, Any | None]:
    """Attention to the prefix too. Keys and values of the first text, (1, H, P, D / H), become the prefix.

    query (B, H, L, D / H); key and value may have fewer heads; the mask is None, or (B or 1, 1 or H, L, L).
    """
    import torch
    from transformers import AttentionInterface

    plain = AttentionInterface().get_interface(attention.plain._attn_implementation, _eager(attention))
    if attention.prefix is None:
        attention.prefix = torch.nn.Parameter(torch.stack([key[0], value[0]]).float())
        return plain(attention, query, key, value, attention_mask, **options)  # type: ignore[no-any-return]
    one_way = options.get("is_causal")
    one_way = attention.is_causal if one_way is None else one_way
    if attention_mask is None and one_way:  # what torch's fused attention would add itself, were there no prefix
        length = query.shape[2]
        attention_mask = torch.ones(1, 1, length, length, dtype=torch.bool, device=query.device).tril()
    keys, values = (
        torch.cat([before.to(own.dtype).expand(own.shape[0], -1, -1, -1), own], 2)  # (B, H, P + L, D / H)
        for before, own in zip(attention.prefix, (key, value), strict=True)
    )
    if attention_mask is not None:
        seen = True if attention_mask.dtype == torch.bool else 0.0
        attention_mask = torch.nn.functional.pad(attention_mask, (attention.prefix.shape[2], 0), value=seen)
    return plain(attention, query, keys, values, attention_mask, **options)  # type: ignore[no-any-return]


def _eager(attention: Any) -> Any | None:
    """How the family computes attention unless told otherwise; None where nobody else may."""
    import sys

    return getattr(sys.modules[type(attention).__module__], "eager_attention_forward", None)
