"""Batches drawn instead of taken from the top: of many texts with nearly the same score not only the likest are picked.

Kirsch et al. 2023, "Stochastic Batch Acquisition": nearly free, and level with strategies made for batches.
"""

import numpy as np

from alloop.config import BatchMode
from alloop.errors import ConfigError
from alloop.strategies import Picks, Pool, Strategy


def draw_batch(strategy: Strategy, pool: Pool, n: int, rng: np.random.Generator, mode: BatchMode, beta: float) -> Picks:
    """n texts, drawn one after another without putting back, each with its own score; "top" is the strategy as it is.

    A text's chance is proportional to score ** beta if "power" (a score of 0 is drawn last), to exp(beta * score) if
    "softmax", to rank ** -beta if "soft-rank". beta = 0 draws uniformly, a large one comes near the top.
    """
    if mode == "top":
        return strategy(pool, n, rng)
    every = strategy(pool, len(pool), rng)
    if mode == "power":
        chance: np.ndarray = np.full(len(pool), -np.inf)  # its logarithm, but for a constant
        chance[every.score > 0] = beta * np.log(every.score[every.score > 0])
    elif mode == "softmax":
        chance = beta * every.score
    else:
        chance = -beta * np.log(np.arange(1, len(pool) + 1))
    noise = rng.gumbel(size=len(pool))
    # the n largest of logarithm + Gumbel noise are n draws without putting back (Gumbel-top-k, Kool et al. 2019)
    rows = np.lexsort((-noise, -(chance + noise)))[:n]
    return Picks(every.index[rows], every.score[rows])


def refuse_mode(name: str, strategy: Strategy, mode: BatchMode) -> None:
    """Raise ConfigError where a batch is to be drawn by scores that the strategy gives to whole batches only."""
    if mode != "top" and not getattr(strategy, "scores_each", False):
        raise ConfigError(
            f"round.batch_mode = {mode!r} draws by the score of each text, and {name!r} picks a batch as a whole",
            'set round.batch_mode = "top", or round.strategy = "margin"',
        )
