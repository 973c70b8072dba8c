import math

import numpy as np
import pytest

from alloop.errors import ConfigError, ModelError
from alloop.strategies import Labelled, Picks, Pool, strategies


def pick(probs, y, n, kind="multi") -> Picks:
    ids, known = [f"t1-{row}" for row in range(len(probs))], [f"t1-l{row}" for row in range(len(y))]
    labelled = Labelled(known, np.asarray(y, np.float32).reshape(len(y), len(probs[0])))
    pool = Pool(ids, ids, kind, probs=np.asarray(probs), labelled=labelled)
    return strategies.build("cvirs")(pool, n, np.random.default_rng(0))


def entropy(*counts: float) -> float:
    return -sum(k / sum(counts) * math.log2(k / sum(counts)) for k in counts if k)


def by_hand(probs, y) -> list[float]:
    """The paper's two formulas, text by text, with its a, b, c, d."""
    texts, labels = probs.shape
    found = []
    for row in range(texts):
        ranks = [
            sum(abs(2 * probs[i, c] - 1) <= abs(2 * probs[row, c] - 1) for i in range(texts)) for c in range(labels)
        ]
        s = sum(texts - rank for rank in ranks) / (labels * (texts - 1))
        said, v = probs[row] > 0.5, 0.0
        for has in y > 0:
            a, b, c, d = sum(said & has), sum(~said & has), sum(said & ~has), sum(~said & ~has)
            joint = entropy(b + c, a + d)
            joint += (b + c) / labels * (entropy(b, c) if b + c else 0)
            joint += (a + d) / labels * (entropy(a, d) if a + d else 0)
            apart = entropy(a + c, b + d) + entropy(a + b, c + d)
            v += 1 if b + c == labels else (2 * joint - apart) / joint if joint else 0
        found.append(s * v / len(y))
    return found


def test_the_scores_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    probs, y = rng.random((15, 4)), rng.integers(0, 2, (8, 4))
    picks = pick(probs, y, 15)
    assert picks.score[np.argsort(picks.index)] == pytest.approx(by_hand(probs, y), abs=1e-9)


def test_of_equally_strange_texts_the_most_doubtful_is_picked():
    assert pick([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2]], [[0, 1]], 3).index.tolist() == [1, 2, 0]


def test_of_equally_doubtful_texts_the_strangest_is_picked():
    assert pick([[0.9, 0.1, 0.9], [0.9, 0.9, 0.1], [0.1, 0.9, 0.1]], [[0, 1, 0]], 1).index.tolist() == [0]


def test_a_pool_in_parts_gives_what_it_gives_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    probs, y = rng.random((40, 3)), rng.integers(0, 2, (8, 3))
    whole = pick(probs, y, 40)
    monkeypatch.setattr("alloop.strategies._geometry.CELLS", 100)
    assert pick(probs, y, 40).score == pytest.approx(whole.score)


def test_a_task_of_one_label_per_text_and_a_pool_without_labels_are_refused():
    with pytest.raises(ConfigError, match="several labels per text"):
        pick([[0.5, 0.5]], [[1, 0]], 1, "single")
    with pytest.raises(ModelError, match="labelled texts"):
        pick([[0.5, 0.5]], [], 1)
