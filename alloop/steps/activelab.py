"""ActiveLab (Goh & Mueller 2023, arXiv:2301.11856), by cleanlab: what another answer about a labelled text is worth.

It weighs the annotators and a model that has not learnt from the text's label, each by how often it agrees with the
others on the texts that have several votes.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from alloop.records import Kind

Said = Sequence[tuple[str, tuple[str, ...]]]  # of one text: annotator, labels


def activelab(votes: Sequence[Said], probs: np.ndarray, kind: Kind, names: Sequence[str]) -> np.ndarray:
    """How much is to be gained from another answer about each text (N,), 0 to 1; probs (N, C) are the model's.

    Of several labels per text each is a question by itself, one against the rest, and a text counts with the mean over
    labels: whoever answers, answers all of them.
    """
    given = [[(who, [names.index(label) for label in labels]) for who, labels in said] for said in votes]
    if kind == "single":
        return _gains([[(who, labels[0]) for who, labels in said] for said in given], probs)
    each = [
        _gains(
            [[(who, int(label in labels)) for who, labels in said] for said in given],
            np.stack([1 - probs[:, label], probs[:, label]], axis=1),
        )
        for label in range(len(names))
    ]
    return np.asarray(np.mean(each, axis=0))


def _gains(votes: Sequence[Sequence[tuple[str, int]]], probs: np.ndarray) -> np.ndarray:
    """For votes for one of C classes each; cleanlab's scores are lower where an answer is worth more."""
    import io
    import warnings
    from contextlib import redirect_stdout

    from cleanlab.multiannotator import get_active_learning_scores

    # it warns and prints that few annotators have answered the same texts, which is why one asks
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        scores, _ = get_active_learning_scores(_table(votes), _inside(probs))
    return np.asarray(1 - scores)


def _table(votes: Sequence[Sequence[tuple[str, int]]]) -> np.ndarray:
    """(N, A), a column for each annotator, NaN where they said nothing; a file's second row of a text is one more."""
    columns: dict[tuple[str, int], int] = {}
    cells: list[tuple[int, int, int]] = []
    for row, said in enumerate(votes):
        seen: Counter[str] = Counter()
        for who, label in said:
            cells.append((row, columns.setdefault((who, seen[who]), len(columns)), label))
            seen[who] += 1
    table = np.full((len(votes), len(columns)), np.nan)
    for row, column, label in cells:
        table[row, column] = label
    return table


def _inside(probs: np.ndarray) -> np.ndarray:
    """Rows that sum to 1 in double precision, no class impossible."""
    clipped = np.clip(np.asarray(probs, np.float64), 1e-9, 1)
    return np.asarray(clipped / clipped.sum(1, keepdims=True))
