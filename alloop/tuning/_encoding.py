"""From tokens to vectors, as fast as the processor allows: batches of one length, bfloat16 where it is in hardware."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from alloop.pretrained import best_device
from alloop.progress import progress
from alloop.tuning._bases import Base, Pooling

Tokens = Sequence[Sequence[int]]  # token ids of each text
Tokenize = Callable[[Sequence[str]], Tokens]
Precision = Literal["auto", "fp32", "bf16"]
PRECISION: ContextVar[Precision] = ContextVar("PRECISION", default="auto")

TEXTS_AT_ONCE = 50_000
TOKENS_A_BATCH = 2000  # enough to keep the matrix products busy, little enough to stay near the caches


def embed_texts(base: Base, network: Any, texts: Sequence[str], tokenize: Tokenize) -> np.ndarray:
    """Vectors (N, D) float32 of length 1. Tokens are held for TEXTS_AT_ONCE texts only: a million's fill a gigabyte."""
    out = np.empty((len(texts), base.width), np.float32)
    with progress("reading texts", len(texts)) as advance:
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            some = slice(start, start + TEXTS_AT_ONCE)
            out[some] = embed(base, network, tokenize(texts[some]), advance)
    return out


def embed(base: Base, network: Any, tokens: Tokens, advance: Callable[[int], None] = lambda n: None) -> np.ndarray:
    """Pooled vectors (N, D) float32, of length 1, of tokenized texts, by `network`: the base's own or a tuned copy.

    Batches hold texts of exactly one length, hence no padding and no mask; only lengths that few texts have are padded
    together. The batches depend on which texts there are, not on their order, and so does every last bit.
    """
    import torch

    device = next(network.parameters()).device
    out = np.empty((len(tokens), base.width), np.float32)
    order = sorted(range(len(tokens)), key=lambda row: (len(tokens[row]), tokens[row]))
    with torch.inference_mode():
        for rows in batches_of_one_length([len(tokens[row]) for row in order]):
            batch = [order[row] for row in rows]
            ids, lengths, mask = pad_batch([tokens[row] for row in batch], base.pad, device)
            hidden = network(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, L, D)
            out[batch] = pool(hidden, lengths, base.pooling).cpu().numpy()
            advance(len(batch))
    return out


def copy_for_speed(network: Any) -> Any:
    """A copy in the fastest precision of the best device; it stays on the processor.

    In bfloat16 on a processor plain attention beats torch's fused one: scoring gets from 0.55 to 0.64 of the
    matrix-product limit, and training saves a third, the fused one's backward pass. In fp32 it is the other way round.
    """
    import torch

    if getattr(network, "is_loaded_in_4bit", False):
        return network  # made for its device and precision, and for whoever asks
    device = best_device()
    network = deepcopy(network)
    if uses_bfloat16(device):
        network = network.to(torch.bfloat16)
        if device.type == "cpu":
            network.set_attn_implementation("eager")
    return network


def for_scoring(network: Any) -> Any:
    """A copy in evaluation mode on the best device, in its fastest precision."""
    return copy_for_speed(network).to(best_device()).eval().requires_grad_(False)


@lru_cache(maxsize=1)
def frozen(base: Base) -> Any:
    """The base's network, untuned, ready for scoring."""
    return for_scoring(base.network)


def pool(hidden: Any, lengths: Any, pooling: Pooling) -> Any:
    """Vectors (B, D) of length 1 in fp32, from hidden (B, L, D) padded on the right after `lengths` (B,) tokens."""
    import torch

    if pooling == "cls":
        vectors = hidden[:, 0].float()
    elif pooling == "last":
        vectors = hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1].float()
    else:
        keep = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]  # (B, L)
        vectors = (hidden * keep[..., None]).sum(1, dtype=torch.float32)  # the mean, but for its length
    return torch.nn.functional.normalize(vectors, dim=1)


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Inside, `copy_for_speed` and training use this precision, whatever the device is fastest in."""
    before = PRECISION.set(precision)
    try:
        yield
    finally:
        PRECISION.reset(before)


def uses_bfloat16(device: Any) -> bool:
    """Whether to compute in bfloat16: as `computing_in` says, else where it is in hardware."""
    wanted = PRECISION.get()
    return has_fast_bfloat16(device) if wanted == "auto" else wanted == "bf16"


def has_fast_bfloat16(device: Any) -> bool:
    """Whether bfloat16 is computed in hardware. Emulation is slower than fp32."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, bool] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # torch before 2.9 does not say: fp32
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def batches_of_one_length(lengths: Sequence[int]) -> Iterator[range]:
    """Ranges over sorted lengths: one length each where enough texts have it, else the least padding."""
    start, n = 0, len(lengths)
    while start < n:
        full = min(n, start + max(1, TOKENS_A_BATCH // lengths[start]))
        same = start + 1
        while same < full and lengths[same] == lengths[start]:
            same += 1
        end = same
        if same - start < (full - start) / 4:
            while (
                end < n
                and lengths[end] * (end + 1 - start) <= TOKENS_A_BATCH
                and lengths[end] <= 1.25 * lengths[start] + 1
            ):
                end += 1
        yield range(start, end)
        start = end


def pad_batch(tokens: Tokens, pad: int, device: Any) -> tuple[Any, Any, Any]:
    """ids (B, L), lengths (B,), and mask (B, L) of ones and zeros, None where nothing had to be padded."""
    import torch

    lengths = torch.tensor([len(ids) for ids in tokens])
    longest = int(lengths.max())
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in tokens])
    mask = None if bool((lengths == longest).all()) else (torch.arange(longest) < lengths[:, None]).long()
    return ids.to(device), lengths.to(device), None if mask is None else mask.to(device)
