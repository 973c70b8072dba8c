"""Folds of a fit's examples, for what has to be judged on labels that a model has not learnt from."""

from collections.abc import Sequence

import numpy as np

from alloop.records import Example


def split(examples: Sequence[Example], folds: int, seed: int) -> np.ndarray:
    """The fold (N,) of each example: as many of each answer in each, and equal texts in one."""
    answers = {example.text: example.labels for example in examples}
    texts = list(answers)
    drawn = [texts[row] for row in np.random.default_rng(seed).permutation(len(texts))]
    drawn.sort(key=answers.__getitem__)  # stable: at random within an answer
    fold = {text: position % folds for position, text in enumerate(drawn)}
    return np.array([fold[example.text] for example in examples])
