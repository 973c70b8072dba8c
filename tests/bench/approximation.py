"""What a strategy reaches of its own objective where it approximates for size: ours by the exact one, 1 is as good.

    python tests/bench/approximation.py [--size 20000] [--only herding kmeans]

The exact one is the same strategy with its limits lifted, by the same random numbers; typiclust's 500 clusters stay:
they are its authors'. The pool is made up: 384 dimensions and 77 clusters of unlike sizes and widths, 500 labelled
texts, a batch of 50; 1,000 for cluster-margin, which approximates above 500 picks only. For an objective that is to be
small, k-means, it is the exact one by ours.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np

from alloop.strategies import Labelled, Pool, discriminative, herding, probcover, strategies
from alloop.strategies._geometry import clusters, labelled_unit_rows, squared_distances, unit_rows
from alloop.strategies.density import Density
from alloop.strategies.margin import unsure

PACKAGE = "alloop.strategies."
LIMITS = "_geometry.FULL herding.ROOM probcover.ROOM typiclust.MEASURED density.MOST".split()
LIMITS += "cluster_margin.MERGED discriminative.OF_EACH".split()
TARGET = 0.95


def made_up(size: int, width: int = 384, groups: int = 77, labelled: int = 500) -> Pool:
    """Clusters in a space of fewer dimensions than the embeddings have, as those of texts are, and noise in all."""
    rng = np.random.default_rng(0)
    group = rng.choice(groups, size + labelled, p=rng.dirichlet(np.full(groups, 2.0)))
    centres, spread = rng.normal(size=(groups, 24)), rng.uniform(0.3, 0.8, groups)
    inner = centres[group] + rng.normal(size=(len(group), 24)) * spread[group, None]
    x = inner @ rng.normal(size=(24, width)) + rng.normal(size=(len(group), width))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    logits = inner[:size] @ centres.T / 4
    probs = np.exp(logits - logits.max(1, keepdims=True))
    known = Labelled([f"t1-l{row}" for row in range(labelled)], np.eye(groups)[group[size:]], embeddings=x[size:])
    ids = [f"t1-{row:06}" for row in range(size)]
    return Pool(ids, ids, probs=probs / probs.sum(1, keepdims=True), embeddings=x[:size], labelled=known)


@contextmanager
def exact() -> Iterator[None]:
    with ExitStack() as stack:
        for limit in LIMITS:
            stack.enter_context(mock.patch(PACKAGE + limit, 1 << 40))
        yield


def kmeans(pool: Pool, n: int) -> float:
    """The sum of squared distances to the centres of n clusters, by which kmeans, dropquery and typiclust begin."""
    x = unit_rows(pool)

    def inertia() -> float:
        cluster, _ = clusters(x, n, 0)
        return sum(float(((x[cluster == one] - x[cluster == one].mean(0)) ** 2).sum()) for one in np.unique(cluster))

    ours = inertia()
    with exact():
        return inertia() / ours


def of_picks(
    name: str, pool: Pool, n: int, worth: Callable[[np.ndarray], float], seeds: int = 1, **options: object
) -> float:
    """`worth` of our picks by that of the exact ones, both as a mean over `seeds`."""

    def mean() -> float:
        strategy = strategies.build(name, **options)
        return float(np.mean([worth(strategy(pool, n, np.random.default_rng(seed)).index) for seed in range(seeds)]))

    ours = mean()
    with exact():
        return ours / mean()


def max_herding(pool: Pool, n: int) -> float:
    """What the picks add to the mean, over the whole pool, of the kernel with the nearest labelled or picked text."""
    x = unit_rows(pool)
    before = herding._kernel(x, labelled_unit_rows(pool), 1.0).max(1)
    return of_picks(
        "herding",
        pool,
        n,
        lambda rows: float(np.maximum(herding._kernel(x, x[rows], 1.0).max(1) - before, 0).mean()),
    )


def prob_cover(pool: Pool, n: int) -> float:
    """The texts that the picks' balls hold and no labelled text's, at the radius that the whole pool gives."""
    x = unit_rows(pool)
    delta = probcover._purest(x, probcover._labels(pool, n), 0)
    held = squared_distances(x, labelled_unit_rows(pool)).min(1) < delta**2

    def covered(rows: np.ndarray) -> float:
        return float(((squared_distances(x, x[rows]).min(1) < delta**2) & ~held).mean())

    return of_picks("probcover", pool, n, covered, delta=delta)


def typi_clust(pool: Pool, n: int) -> float:
    """The mean typicality of the picks, one over the mean distance to the 20 nearest texts of the pool."""
    x = unit_rows(pool)

    def typicality(rows: np.ndarray) -> float:
        nearest = np.sqrt(np.sort(squared_distances(x[rows], x), axis=1)[:, 1:21])
        return float((1 / nearest.mean(1)).mean())

    # a few, as which clusters k-means finds changes it by a tenth for small batches, whether it is exact or not
    return of_picks("typiclust", pool, n, typicality, seeds=4)


def density(pool: Pool, n: int) -> float:
    """The mean over the picks of entropy times density over the whole pool."""
    with exact():
        picks = Density()(pool, len(pool), np.random.default_rng(0))
    score = picks.score[np.argsort(picks.index)]
    return of_picks("density", pool, n, lambda rows: float(score[rows].mean()))


def cluster_margin(pool: Pool, n: int) -> float:
    """The mean over the picks of one less the margin, times how well they cover the texts with small margins."""
    n *= 20
    x, score = unit_rows(pool), unsure(pool)
    candidates = np.argsort(-score)[: 10 * n]

    def worth(rows: np.ndarray) -> float:
        near = herding._kernel(x[candidates], x[rows], 1.0).max(1)
        return float(score[rows].mean() * near.mean())

    return of_picks("cluster-margin", pool, n, worth)


def discriminative_al(pool: Pool, n: int) -> float:
    """The mean chance that a pick is a text without a label, by a classifier that saw all of those."""
    x = unit_rows(pool)
    with exact():
        chance = discriminative._chance_of_no_label(x, labelled_unit_rows(pool), np.random.default_rng(0))
    return of_picks("discriminative", pool, n, lambda rows: float(chance[rows].mean()))


SHARES = {
    "kmeans": kmeans,
    "kmeans, 500 clusters": lambda pool, n: kmeans(pool, 10 * n),
    "herding": max_herding,
    "probcover": prob_cover,
    "typiclust": typi_clust,
    "density": density,
    "cluster-margin": cluster_margin,
    "discriminative": discriminative_al,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--only", nargs="*", default=list(SHARES))
    args = parser.parse_args()
    pool = made_up(args.size)
    for name in args.only:
        share = SHARES[name](pool, 50)
        print(f"{name:24} {share:.3f} {'ok' if share >= TARGET else 'below the target'}", flush=True)


if __name__ == "__main__":
    main()
