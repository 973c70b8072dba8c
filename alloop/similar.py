"""Which texts are nearly equal: by the shingles that they share, runs of five characters whatever case and spaces.

Two are alike by their resemblance (Broder 1997), from 0.8 on as in Lee et al. 2022. Not by embeddings: a model that
learns to tell labels makes all texts of a label alike, and often none are at hand. The same two texts are alike with
any tuner and strategy, and a person can see that they are.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from alloop.progress import progress

ALIKE = 0.8  # of the shingles of two texts are shared: near-duplicates from here on
SHINGLE = 5  # characters
LONGEST = 10_000  # characters of a text that are compared
CELLS = 10_000_000  # of a table of what texts share, at a time
COMMON = 1_000  # texts that have a shingle: nobody is compared for the sake of one that more have


class Seen:
    """Texts that others are compared with."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._shingles = shingled(texts)

    def add(self, texts: Sequence[str], most: int) -> list[bool]:
        """Which of these are like none of the texts seen, nor like one before them: `most` of them, seen from now."""
        from scipy.sparse import vstack

        if not texts:
            return []
        fresh = shingled(texts)
        is_new = nearest(fresh, self._shingles)[0] < ALIKE
        kept: list[int] = []
        for row in np.flatnonzero(is_new):
            if len(kept) < most and nearest(fresh[row], fresh[kept])[0][0] < ALIKE:
                kept.append(int(row))
        self._shingles = vstack([self._shingles, fresh[kept]], format="csr")
        return [row in kept for row in range(len(texts))]


def shingled(texts: Sequence[str]) -> Any:
    """(N, 2^20) sparse: one where a text has a shingle, by its hash."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        analyzer=_shingles, binary=True, norm=None, alternate_sign=False, n_features=2**20, dtype=np.float32
    )
    return vectorizer.transform([*texts, ""])[:-1]  # of no texts at all it makes nothing


def _shingles(text: str) -> list[str]:
    plain = " ".join(text[:LONGEST].casefold().split())
    return [plain[at : at + SHINGLE] for at in range(max(1, len(plain) - SHINGLE + 1))]


def nearest(some: Any, others: Any, but: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Of each of some shingled texts (N, F): its resemblance (N,) to the likest of others (M, F), and that one's row.

    A resemblance is between 0 and 1; without others it is 0 and the row -1. `but` (N,) has the row of others that each
    is not compared with, -1 for none.
    """
    most, row = np.zeros(some.shape[0], np.float32), np.full(some.shape[0], -1, np.int64)
    if not others.shape[0]:
        return most, row
    size = np.asarray(others.sum(1)).ravel()  # (M,)
    for start in range(0, some.shape[0], step := max(1, CELLS // others.shape[0])):
        part = slice(start, min(start + step, some.shape[0]))
        shared = (some[part] @ others.T).toarray()  # (B, M)
        resemblance = shared / (np.asarray(some[part].sum(1)) + size - shared)
        if but is not None:
            rows = np.flatnonzero(but[part] >= 0)
            resemblance[rows, but[part][rows]] = 0
        row[part] = resemblance.argmax(1)
        most[part] = resemblance[np.arange(len(resemblance)), row[part]]
    return most, row


def alike(some: Any, others: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All near-duplicates among shingled texts (N, F) and others (M, F): rows of each, and how alike they are.

    A pair has to share one of the rarest shingles of both, or it could not share enough (prefix filtering, Chaudhuri et
    al. 2006): few pairs are looked at. Texts made of nothing but shingles that more than COMMON texts have, as from a
    form, are not compared.
    """
    from scipy.sparse import csr_matrix

    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = [(np.zeros(0, int), np.zeros(0, int), np.zeros(0))]
    size, size_others = np.diff(some.indptr), np.diff(others.indptr)
    if not len(size) or not len(size_others):
        return found[0]
    count = np.maximum(*(np.bincount(part.indices, minlength=some.shape[1]) for part in (some, others)))
    rare, rare_others = _rarest(some, count), _rarest(others, count).T.tocsr()
    work = np.asarray(rare @ np.diff(rare_others.indptr)).ravel().cumsum()  # pairs, at most
    with progress("comparing texts", len(size)) as advance:
        for start, stop in _parts(work, CELLS // 5):
            pairs = csr_matrix(rare[start:stop] @ rare_others).tocoo()
            row, column = pairs.row + start, pairs.col
            shorter, longer = (pick(size[row], size_others[column]) for pick in (np.minimum, np.maximum))
            row, column = row[shorter >= ALIKE * longer], column[shorter >= ALIKE * longer]
            for at in range(0, len(row), step := CELLS // 100):
                one, other = row[at : at + step], column[at : at + step]
                shared = np.asarray(some[one].multiply(others[other]).sum(1)).ravel()
                resemblance = shared / (size[one] + size_others[other] - shared)
                is_alike = resemblance >= ALIKE
                found.append((one[is_alike], other[is_alike], resemblance[is_alike]))
            advance(stop - start)
    one, other, resemblance = (np.concatenate(part) for part in zip(*found, strict=True))
    return one, other, resemblance


def _rarest(texts: Any, count: np.ndarray) -> Any:
    """Each text's rarest shingles (N, F): so many that a text alike shares one; none that more than COMMON have."""
    from scipy.sparse import csr_matrix

    size = np.diff(texts.indptr)
    row = np.repeat(np.arange(len(size)), size)
    order = np.lexsort((texts.indices, count[texts.indices], row))
    place = np.arange(len(row)) - np.repeat(texts.indptr[:-1], size)  # of each among its text's, the rarest first
    columns = texts.indices[order]
    is_kept = (place <= size[row] - np.ceil(ALIKE * size[row] - 1e-9)) & (count[columns] <= COMMON)
    ones = np.ones(int(is_kept.sum()), np.float32)
    return csr_matrix((ones, (row[is_kept], columns[is_kept])), shape=texts.shape)


def _parts(work: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Consecutive rows whose work together is at most so much, or a single one; `work` is summed up."""
    start = 0
    while start < len(work):
        before = work[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(work, before + most, side="right")))
        yield start, stop
        start = stop
