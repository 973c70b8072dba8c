"""Vectors of texts that were read before, in a directory: runs on the same texts share them, memory-mapped.

`vectors.npy` (N, D) float32 and `vectors.json`, which says of what base, how long, and of which texts, by their hashes.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Known:
    """The vectors of a directory. `rows` finds a text's by its hash."""

    base: str
    max_tokens: int
    rows: Mapping[str, int]
    vectors: np.ndarray


def write_vectors(directory: Path, base: str, max_tokens: int, texts: Sequence[str], vectors: np.ndarray) -> None:
    np.save(directory / "vectors.npy", vectors)
    about = {"base": base, "max_tokens": max_tokens, "texts": [key_of(text) for text in texts]}
    (directory / "vectors.json").write_text(json.dumps(about))


def look_up(
    directory: Path, base: str, max_tokens: int, texts: Sequence[str], read: Callable[[Sequence[str]], np.ndarray]
) -> np.ndarray:
    """Vectors (N, D) of texts; those that the directory does not have, of this base and length, are `read`."""
    known = _load(directory)
    if known is None or (known.base, known.max_tokens) != (base, max_tokens):
        return read(texts)
    rows = np.array([known.rows.get(key_of(text), -1) for text in texts], np.int64)  # (N,)
    found = np.asarray(known.vectors[rows])  # of a missing text, the last one's, for a moment
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        found[missing] = read([texts[row] for row in missing])
    return found


@lru_cache(maxsize=1)
def _load(directory: Path) -> Known | None:
    try:
        about = json.loads((directory / "vectors.json").read_text())
        vectors = np.load(directory / "vectors.npy", mmap_mode="r")
    except FileNotFoundError:
        return None
    return Known(about["base"], about["max_tokens"], {key: row for row, key in enumerate(about["texts"])}, vectors)


def key_of(text: str) -> str:
    """What a text's vector is found by."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
