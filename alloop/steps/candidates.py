"""Which texts of a large pool are scored: at most `round.candidates`, half of them where the next batch may well be.

The other half, or all where nothing is known yet, is a uniform sample of the rest: every text can be reached in every
round, and what no round has seen comes into view. Texts drawn at random to measure by are drawn from the whole pool.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path

import numpy as np

from alloop.files import fingerprint, is_whole, publish
from alloop.project import tuner_spec
from alloop.seeds import rng_for
from alloop.steps.context import Context, read_ids, write_ids
from alloop.strategies import Pool
from alloop.strategies._geometry import unit_rows
from alloop.strategies.margin import unsure
from alloop.work import load_predictions

ANCHORS = 1_000  # labelled texts, at most, whose neighbours are looked for
PART = 10_000  # texts whose embeddings are in one file


def candidates(context: Context, selectable: Sequence[str], by: str = "random") -> list[str]:
    """At most `round.candidates` of the selectable texts, in id order."""
    most = context.config.round.candidates
    if len(selectable) <= most:
        return list(selectable)
    rng = rng_for(context.round.seed, context.round.number, "candidates")
    if by == "uncertain":
        chosen = _recently_uncertain(context, selectable, most // 2)
    elif by == "neighbours":
        chosen = _neighbours(context, selectable, most // 2, rng)
    else:
        chosen = np.zeros(0, np.int64)
    rest = np.setdiff1d(np.arange(len(selectable)), chosen)
    drawn = rng.choice(len(rest), most - len(chosen), replace=False)
    return [selectable[row] for row in sorted([*chosen.tolist(), *rest[drawn].tolist()])]


def _recently_uncertain(context: Context, selectable: Sequence[str], most: int) -> np.ndarray:
    """The rows of texts of which a model was unsure when it last scored them, the most unsure ones.

    After unlabelled pool subsampling (UPS: Tsvigun et al. 2022): doubt changes slowly, so a text that was certain need
    not be scored again at once. Known is what the predictions say that `run.keep` keeps: a text that was not among the
    candidates for so many rounds has to be drawn again.
    """
    doubt: dict[str, float] = {}
    for directory in sorted(context.project.root.glob("rounds/*/score-*")):
        if int(directory.parent.name) < context.round.number and is_whole(directory):
            said = load_predictions(directory)
            draws = said.samples if said.samples is not None else said.members
            probs = draws.mean(0) if said.probs is None and draws is not None else said.probs
            if probs is not None:
                ids = read_ids(directory)
                pool = Pool(ids, ids, context.config.task.kind, probs=probs)
                doubt |= dict(zip(ids, unsure(pool).tolist(), strict=True))
    known = np.array([row for row, one in enumerate(selectable) if one in doubt], np.int64)
    order = np.argsort([-doubt[selectable[row]] for row in known], kind="stable")
    return known[order[:most]]


def _neighbours(context: Context, selectable: Sequence[str], most: int, rng: np.random.Generator) -> np.ndarray:
    """The rows of texts nearest to labelled ones, at most so many.

    As in SEALS (Coleman et al. 2022), with anchors of each label in equal numbers (AnchorAL: Lesci & Vlachos 2024), so
    that a rare label has as many neighbours as a frequent one. Nearest by the embeddings of the bare base: those of a
    trained model would be new in every round, and predicting them for the whole pool is what is to be saved.
    """
    anchors = _anchors(context, min(ANCHORS, most), rng)
    if not anchors:
        return np.zeros(0, np.int64)
    pool = _embedded(context)
    x = np.concatenate([unit_rows(part.part(np.flatnonzero(np.isin(part.ids, anchors)))) for part in pool])  # (A, D)
    row_of = {one: row for row, one in enumerate(selectable)}
    k = most // len(x)
    best: np.ndarray = np.full((len(x), 1), -np.inf, np.float32)  # (A, K) the highest cosines so far, and of which rows
    found: np.ndarray = np.full((len(x), 1), -1, np.int64)
    for part in pool:
        is_here = np.flatnonzero([one in row_of for one in part.ids])
        if len(is_here):
            here = np.array([row_of[part.ids[row]] for row in is_here])
            cosine = np.append(best, x @ unit_rows(part, is_here).T, axis=1)  # (A, K + B)
            rows = np.append(found, np.broadcast_to(here, (len(x), len(here))), axis=1)
            nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
            best, found = np.take_along_axis(cosine, nearest, 1), np.take_along_axis(rows, nearest, 1)
    return np.asarray(np.unique(found[found >= 0]))


def _anchors(context: Context, most: int, rng: np.random.Generator) -> list[str]:
    """Labelled texts, at most so many, of each label as many as of any other where it has them."""
    of_label: dict[str, list[str]] = {name: [] for name in context.config.task.names}
    for one in context.project.store.resolved(context.round.number, "pool"):
        for label in one.labels:
            of_label[label].append(one.text_id)
    shuffled = [[ids[row] for row in rng.permutation(len(ids))] for ids in of_label.values()]
    in_turn = [one for turn in zip_longest(*shuffled) for one in turn if one is not None]
    return list(dict.fromkeys(in_turn))[:most]


def _embedded(context: Context) -> list[Pool]:
    """All texts of the pool with embeddings of the bare base, in parts that stay in the project's `cache`.

    They do not change while the tuner's options are the same: each text is read once in a project's life, and what was
    read before a kill is not read again.
    """
    root = context.project.root / "cache" / "embeddings" / fingerprint(asdict(tuner_spec(context.config)))
    whole = [directory for directory in sorted(root.glob("[!.]*")) if is_whole(directory)]
    known = {one for directory in whole for one in read_ids(directory)}
    missing = [one for one in context.project.store.pool_ids() if one not in known]
    for start in range(0, len(missing), PART):
        ids = missing[start : start + PART]

        def fill(out: Path, ids: list[str] = ids) -> None:
            context.predict(None, [text.text for text in context.project.store.texts(ids)], ("embeddings",), out)
            write_ids(out, ids)

        whole.append(publish(root / fingerprint(ids), fill))
    pools = []
    for directory in sorted(whole):  # also those that were made just now: a resumed round picks the same
        ids = read_ids(directory)
        pools.append(Pool(ids, ids, embeddings=load_predictions(directory).embeddings))
    return pools
