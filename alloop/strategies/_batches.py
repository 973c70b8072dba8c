"""How a batch is made from a strategy: its best or drawn by its scores, even over the labels, without near-duplicates.

All three go with any strategy, as they only ask it for picks, of the pool or of a part: a strategy may be asked for any
number of picks of any pool. `round.batch_mode`, `round.balance` and `round.near_duplicates` turn them on.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from alloop.config import BatchMode, Round
from alloop.errors import ConfigError
from alloop.similar import Seen
from alloop.strategies import Picks, Pool, Strategy
from alloop.strategies._uncertainty import checked_probs

TIMES = (1, 4, 16)  # as many picks as wanted are asked for, until enough are unlike each other

Ask = Callable[[Pool, int], Picks]


def make_batch(
    strategy: Strategy,
    pool: Pool,
    n: int,
    rng: np.random.Generator,
    *,
    mode: BatchMode = "top",
    beta: float = 1.0,
    balance: bool = False,
    unlike: Sequence[str] | None = None,
) -> Picks:
    """n texts of the pool, in the order in which to ask about them, each with the strategy's own score.

    With `unlike`, none is nearly equal to another or to one of these texts, as long as the strategy finds others among
    its best; the rest of the batch is filled as if near-duplicates were welcome. Picks that the strategy says it drew
    at random stay as they are, or the model could not be judged by them any more; with `balance` they are drawn within
    each label, and it cannot.
    """

    def ask(part: Pool, k: int) -> Picks:
        return _drawn(strategy, part, k, rng, mode, beta)

    seen = None if unlike is None else Seen(unlike)
    picks = _balanced(ask, pool, n, seen, rng) if balance else _unlike_each_other(ask, pool, n, seen)
    if balance and len(picks.index) < n:  # the texts of some label are all like others
        picks = _filled(picks, lambda part, k: _unlike_each_other(ask, part, k, seen), pool, n)
    return _filled(picks, ask, pool, n) if len(picks.index) < n else picks


def needs_of_batch(needs: tuple[str, ...], settings: Round) -> tuple[str, ...]:
    """What a strategy reads, and what making a batch with it reads once there is a model."""
    return needs if "probs" in needs or not settings.balance else (*needs, "probs")


def refuse_batch(name: str, strategy: Strategy, settings: Round) -> None:
    """Raise ConfigError where batches cannot be made of the strategy's picks as the config says."""
    if settings.batch_mode != "top" and not getattr(strategy, "scores_each", False):
        raise ConfigError(
            f"round.batch_mode = {settings.batch_mode!r} draws by the score of each text, "
            f"and {name!r} picks a batch as a whole",
            'set round.batch_mode = "top", or round.strategy = "margin"',
        )
    if settings.balance and name == "random":
        raise ConfigError(
            "round.balance = true evens out the labels, and 'random' is for batches that are like the pool",
            'set round.balance = false, or round.strategy = "margin"',
        )
    needs = needs_of_batch(strategy.needs, settings)
    if settings.candidates_by == "uncertain" and needs and not {"probs", "samples", "members"} & set(needs):
        raise ConfigError(
            f'round.candidates_by = "uncertain" goes by what models said of the texts, and {name!r} does not ask them',
            'set round.candidates_by = "neighbours", or round.strategy = "margin"',
        )


def _drawn(strategy: Strategy, pool: Pool, n: int, rng: np.random.Generator, mode: BatchMode, beta: float) -> Picks:
    """n texts, drawn one after another without putting back; "top" is the strategy as it is.

    Of many texts with nearly the same score not only the likest are picked: nearly free, and level with strategies made
    for batches (Kirsch et al. 2023, "Stochastic Batch Acquisition"). A text's chance is proportional to score ** beta
    if "power" (a score of 0 is drawn last), to exp(beta * score) if "softmax", to rank ** -beta if "soft-rank". beta =
    0 draws uniformly, a large one comes near the top.
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


def _filled(picks: Picks, ask: Ask, pool: Pool, n: int) -> Picks:
    """The picks, and after them what is asked for of the rest of the pool to make them n."""
    rest = np.setdiff1d(np.arange(len(pool)), picks.index)
    more = ask(pool.part(rest), n - len(picks.index))
    return replace(picks, index=np.append(picks.index, rest[more.index]), score=np.append(picks.score, more.score))


def _balanced(ask: Ask, pool: Pool, n: int, seen: Seen | None, rng: np.random.Generator) -> Picks:
    """As many picks of each label as make the labels even: always one of the label with the fewest labels and picks.

    A text's label is the likeliest by the model, also where it may have several: a rare label is seldom likelier than
    not, and would get no picks. The strategy picks within each label's texts, as small-text's ClassBalancer has it
    (Schröder et al. 2023), instead of having many picks of which some are chosen: among the best three batches of a
    strategy there may be none of a rare label, and a batch that was spread over the pool is no longer when thinned out.
    The labels take turns, so that half a batch answered is even too.
    """
    label = checked_probs(pool).argmax(1)  # (N,)
    turns = _turns(_labels_so_far(pool), label, n, rng)  # (n,)
    found: dict[int, Any] = {}
    note = ""  # what is said of a part of the pool would mislead
    for one in dict.fromkeys(turns):
        rows = np.flatnonzero(label == one)
        picks = _unlike_each_other(ask, pool.part(rows), turns.count(one), seen)
        found[one] = zip(rows[picks.index], picks.score, strict=True)
        if picks.at_random:
            note = picks.note
    in_turn = [pick for one in turns if (pick := next(found[one], None)) is not None]
    return Picks(np.array([row for row, _ in in_turn], np.int64), np.array([score for _, score in in_turn]), note)


def _labels_so_far(pool: Pool) -> np.ndarray:
    """How many labelled texts have each label, (C,)."""
    if pool.labelled is None or pool.probs is None:
        return np.zeros(0 if pool.probs is None else pool.probs.shape[1])
    return np.asarray(pool.labelled.y.sum(0), np.float64)


def _turns(have: np.ndarray, label: np.ndarray, n: int, rng: np.random.Generator) -> list[int]:
    """The label (n,) that each pick is of, where they have so many already. Of equally rare ones any may be first."""
    left = np.bincount(label, minlength=len(have))  # (C,)
    have = have + rng.random(len(have)) / 2
    turns = []
    for _ in range(n):
        one = int(np.where(left > 0, have, np.inf).argmin())
        turns.append(one)
        have[one] += 1
        left[one] -= 1
    return turns


def _unlike_each_other(ask: Ask, pool: Pool, n: int, seen: Seen | None) -> Picks:
    """The strategy's n picks, where one is like a text seen before its next instead; maybe fewer.

    It is asked again, for four and for sixteen times as many, only where some are: a batch without near-duplicates is
    the strategy's own.
    """
    if seen is None:
        return ask(pool, n)
    kept: dict[int, float] = {}
    looked_at: set[int] = set()
    note = ""
    for times in TIMES:
        wanted = min(times * n, len(pool))
        if len(kept) < n and wanted > len(looked_at):
            picks = ask(pool, wanted)
            if picks.at_random and times == 1:
                return picks
            note = note or picks.note
            fresh = [(int(row), float(score)) for row, score in zip(picks.index, picks.score, strict=True)]
            fresh = [(row, score) for row, score in fresh if row not in looked_at]
            is_kept = seen.add([pool.texts[row] for row, _ in fresh], n - len(kept))
            kept |= dict(pick for pick, keep in zip(fresh, is_kept, strict=True) if keep)
            looked_at |= {row for row, _ in fresh}
    return Picks(np.array([*kept], np.int64), np.array([*kept.values()], np.float64), note)
