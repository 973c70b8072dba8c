"""Texts that are like no others: far from their nearest neighbours, or in another language than the rest."""

from itertools import islice
from typing import Any

import numpy as np

from alloop.auditing.material import MOST_READ, Material, Section, beginnings, missing, section
from alloop.languages import languages
from alloop.progress import progress
from alloop.steps import stand_in

NEIGHBOURS = 10
FEWEST = 50  # texts; among fewer, everybody is far from most
COMPARED = 20_000  # texts at most, the labelled ones first
FAR_OUT = 1.5  # times the distance between the quartiles, above the upper one (Tukey 1977)
FARTHEST = 20  # texts that are listed in any case
ROWS = 1_000


def outliers(material: Material) -> Section:
    """Texts much farther from their nearest neighbours than others are from theirs, the farthest first.

    Labelled texts, and of the others as many as make COMPARED. The distance is one minus the cosine of frozen vectors,
    its mean over NEIGHBOURS; far is what lies outside Tukey's fence, and the FARTHEST are listed even if none does.
    """
    store, known = material.project.store, set(material.ids)
    room = max(0, COMPARED - len(known))
    unlabelled = list(islice((one for one in store.pool_ids() if one not in known), room))
    ids = [*material.ids[:COMPARED], *unlabelled]
    if len(ids) < FEWEST:
        return missing(f"that takes {FEWEST} texts, there are {len(ids)}")
    texts = [text for _, text in beginnings(material.project, unlabelled)]
    read = [material.vectors[:COMPARED], stand_in.vectors(material.project, material.config, texts)]
    vectors = np.concatenate([part for part in read if len(part)])
    distance = neighbour_distance(vectors)
    low, high = np.quantile(distance, [0.25, 0.75])
    limit = high + FAR_OUT * (high - low)
    n = int((distance > limit).sum())
    rows = np.argsort(-distance, kind="stable")[: max(n, FARTHEST)].tolist()
    items = [
        {**about, "distance": round(float(distance[row]), 4), "is_far": bool(distance[row] > limit)}
        for row, about in zip(rows, material.about([ids[row] for row in rows]), strict=True)
    ]
    pool = store.counts()["pool"]
    sample = f"{len(ids):,} of {pool:,} texts, all labelled ones" if len(ids) < pool else None
    about_all = {"limit": round(float(limit), 4), "usual": round(float(np.median(distance)), 4), "sample": sample}
    return section(items, len(ids), **about_all) | {"n": n}


def neighbour_distance(vectors: np.ndarray) -> np.ndarray:
    """(N,) the mean distance of each vector (N, D) of length 1 to its nearest others."""
    n, k = len(vectors), min(NEIGHBOURS, len(vectors) - 1)
    found = np.zeros(n, np.float32)
    with progress("comparing texts", n) as advance:
        for start in range(0, n, ROWS):
            likeness = vectors[start : start + ROWS] @ vectors.T  # (B, N)
            likeness[np.arange(len(likeness)), np.arange(start, start + len(likeness))] = -np.inf
            nearest = np.partition(likeness, n - k, axis=1)[:, n - k :]  # (B, k)
            found[start : start + ROWS] = 1 - nearest.mean(1)
            advance(len(likeness))
    return found


def off_language(material: Material) -> Section:
    """Texts in another language than the pool's, the surest first. Only those of which there is hardly a doubt."""
    known, items = None, list[tuple[str, str, float]]()
    looked_at = 0
    counts = material.project.store.counts()
    with progress("guessing languages", min(MOST_READ, counts["pool"]) + counts["test"]) as advance:
        for some in material.pool():
            known = known or languages([text for _, text in some])
            looked_at += len(some)
            for text_id, text in some:
                if found := known.foreign(text):
                    items.append((text_id, *found))
            advance(len(some))
        if known is None:
            return missing("the pool is empty")
        test = material.project.store.test_ids()
        for text_id, text in beginnings(material.project, test):
            if found := known.foreign(text):
                items.append((text_id, *found))
        advance(len(test))
    if not known.at_home:
        return missing("the pool's texts are too short to tell their language")
    items.sort(key=lambda one: (one[0] not in material.labels, -one[2], one))
    is_test = set(test)
    listed: list[dict[str, Any]] = [
        {**about, "language": code, "probability": round(p, 4), "is_test": text_id in is_test}
        for about, (text_id, code, p) in zip(material.about([one[0] for one in items]), items, strict=True)
    ]
    sample = f"the first {looked_at:,} pool texts" if looked_at == MOST_READ else None
    return section(listed, looked_at + len(test), at_home=list(known.at_home), sample=sample)
