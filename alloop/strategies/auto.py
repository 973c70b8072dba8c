"""The default: from covering the pool to the border between labels, as far as the labels so far carry."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from alloop.strategies import Picks, Pool
from alloop.strategies._evidence import Evidence, weigh
from alloop.strategies._geometry import representatives, unit_rows
from alloop.strategies._uncertainty import best
from alloop.strategies.herding import Herding
from alloop.strategies.margin import unsure

NO_JUDGE = 0.5  # of the texts that were not picked predicted wrongly


@dataclass(frozen=True)
class Auto:
    """One text from each cluster of those that the model probably gets wrong; at random where picking teaches nothing.

    Where a model gets a share of N texts wrong, as many texts with the smallest margin are where labels can help. They
    are clustered by k-means into a cluster for each pick, and the text nearest to each centre is picked: from much of
    the pool while labels are few, so that the picks cover it, and along the border between labels as the model gets
    better. The share is `harder` times the error of ridge regression on frozen embeddings, on the labelled texts
    without their own label: on those drawn at random where they are 100, else on all.

    While there are fewer than `cover` labelled texts for each label of the task, the picks cover the whole pool as
    `herding` does, which minds where labelled texts are: so few labels say little of where the model errs (Hacohen et
    al. 2022).

    Picks with labels that nobody can learn, of texts off the topic say, teach nothing: later labels do not lower the
    error on them. That is tested once there are `from_labels` labels for each label seen, on the picks since which the
    labels have doubled: where the squared error on them fell by less than `teaches` since they were asked about, by the
    one-sided 90 % bound of their mean, and a share of `lost` of them is still predicted wrongly, this batch is drawn at
    random. The next one is decided anew. Where the regression gets half of the other labelled texts wrong as well, it
    is no judge of that. A tuner without embeddings has neither: the smallest margins are picked.

    cover: tried on one set alone, the one with enough labels for it to matter. harder: labelled texts were mostly
    picked because they are hard, and ridge regression is weaker than most models: a half was best on each of five sets
    by the other four, of 1, 1/2 and 1/4. fewest: batches in the part that is clustered, at least; 10 was better than 3.
    With 1 there would be no choice left between near-duplicates. teaches: on four sets with labels enough to test it,
    started without labels, the bound stayed at 0.13 and more in 18 of 20 runs; on pools with 30 % of random labels it
    was between 0.02 and 0.23, and below 0.11 in half of the rounds: it notices some such pools and not others. lost:
    where fewer are wrong there is nothing to run from. from_labels: with fewer, picks of a label's first texts can
    teach little of the others of their kind.
    """

    cover: int = 3
    harder: float = 0.5
    fewest: int = 10
    teaches: float = 0.11
    lost: float = 0.25
    from_labels: int = 10

    needs: ClassVar[tuple[str, ...]] = ("probs",)
    uses: ClassVar[tuple[str, ...]] = ("embeddings", "labelled.embeddings", "labelled.frozen")

    def __post_init__(self) -> None:
        if self.fewest < 1 or self.harder <= 0:
            raise ValueError("fewest and harder must be above 0")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        doubt = unsure(pool)  # (N,)
        if pool.embeddings is None:
            return best(doubt, n, rng)
        size, why = len(pool), "nothing is known of the labels yet"
        if pool.labelled is not None and pool.labelled.frozen is not None and len(pool.labelled.ids):
            labels, of = pool.labelled.y.shape
            if labels < self.cover * of:
                note = (
                    f"to cover the pool: {labels:,} labelled texts are fewer than {self.cover} for each of {of} labels"
                )
                return replace(Herding()(pool, n, rng), note=note)
            found = weigh(pool.labelled, pool.kind)
            if self._teaches_nothing(found, pool.labelled.y):
                return Picks(rng.choice(len(pool), n, replace=False), np.zeros(n), self._loss(found), at_random=True)
            size = min(len(pool), max(round(self.harder * found.error * len(pool)), self.fewest * n))
            why = f"{found.error:.0%} of the labelled ones are predicted wrongly without their own label"
        rows = np.sort(best(doubt, size, rng).index)
        spread = representatives(unit_rows(pool, rows), n, rng)
        note = f"spread over the {size:,} of {len(pool):,} texts the model is least sure of: {why}"
        return Picks(rows[spread.index], spread.score, note)

    def _teaches_nothing(self, found: Evidence, y: np.ndarray) -> bool:
        if found.wrong is None or found.others_wrong is None or len(y) < self.from_labels * y.any(0).sum():
            return False
        return found.most < self.teaches and found.wrong >= self.lost and found.others_wrong < NO_JUDGE

    def _loss(self, found: Evidence) -> str:
        assert found.taught is not None
        slack = found.most - found.taught
        return (
            f"at random, as of {found.picks:,} picked texts {found.wrong:.0%} are predicted wrongly without their own"
            f" label, and the labels since they were picked lowered the error on them by {found.taught:.0%},"
            f" {found.most:.0%} at most; picking is worth it from {self.teaches:.0%} (with so many, less than"
            f" {self.teaches - slack:.0%} is noticed)"
        )


plugin = Auto
