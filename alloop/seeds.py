"""Where every random number comes from: a seed that depends only on the project's seed, the round and the purpose."""

import hashlib

import numpy as np


def seed_for(project_seed: int, round_number: int, purpose: str) -> int:
    """The same 32-bit seed for the same three values, on every machine and Python."""
    key = f"{project_seed}:{round_number}:{purpose}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big")


def rng_for(project_seed: int, round_number: int, purpose: str) -> np.random.Generator:
    """A generator seeded by `seed_for`."""
    return np.random.default_rng(seed_for(project_seed, round_number, purpose))
