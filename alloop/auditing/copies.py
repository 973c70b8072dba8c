"""Nearly equal texts that have different labels, and texts that are in the pool and among the test texts too."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from alloop.auditing.material import MOST_READ, Material, Section, beginnings, missing, section
from alloop.similar import alike, shingled

MOST_PAIRS = 1_000  # that are described; the number of all is said


def conflicts(material: Material) -> Section:
    """Pairs of nearly equal labelled texts with different labels, the likest first."""
    n = len(material.resolved)
    if n < 2:
        return missing(f"that takes two labelled texts, there {'is 1' if n else 'are none'}")
    shingles = shingled(material.texts)
    one, other, resemblance = alike(shingles, shingles)
    differ = (one < other) & (material.y[one] != material.y[other]).any(1)
    one, other, resemblance = one[differ], other[differ], resemblance[differ]
    order = np.argsort(-resemblance, kind="stable")[:MOST_PAIRS]
    pairs = [(material.ids[one[at]], material.ids[other[at]], float(resemblance[at])) for at in order]
    return section(list(_described(material, pairs)), n) | {"n": len(one)}


def leakage(material: Material) -> Section:
    """Pairs of a pool text and a test text that are nearly equal: those that models learn from first."""
    store = material.project.store
    test = beginnings(material.project, store.test_ids())
    if not test:
        return missing("there are no test texts")
    shingles = shingled([text for _, text in test])
    pairs: list[tuple[str, str, float]] = []
    looked_at = 0
    for some in material.pool():
        looked_at += len(some)
        one, other, resemblance = alike(shingled([text for _, text in some]), shingles)
        pairs += [
            (some[a][0], test[b][0], float(r))
            for a, b, r in zip(one.tolist(), other.tolist(), resemblance.tolist(), strict=True)
        ]
    pairs.sort(key=lambda pair: (pair[0] not in material.labels, -pair[2], pair))
    found = section(list(_described(material, pairs[:MOST_PAIRS])), looked_at)
    note = f"the first {looked_at:,} pool texts" if looked_at == MOST_READ else None
    return found | {
        "n": len(pairs),
        "test": len(test),
        "pool_texts": len({pair[0] for pair in pairs}),
        "labelled": len({pair[0] for pair in pairs if pair[0] in material.labels}),
        "sample": note,
    }


def _described(material: Material, pairs: Sequence[tuple[str, str, float]]) -> Iterator[dict[str, Any]]:
    firsts, seconds = material.about([one for one, _, _ in pairs]), material.about([other for _, other, _ in pairs])
    for first, second, (_, _, resemblance) in zip(firsts, seconds, pairs, strict=True):
        is_exact = _plain(first["text"]) == _plain(second["text"])
        yield {"texts": [first, second], "resemblance": round(resemblance, 3), "is_exact": is_exact}


def _plain(text: str) -> str:
    """Without what shingles do not see either."""
    return " ".join(text.casefold().split())
