"""Folds of a fit's examples, for what has to be judged on labels that a model has not learnt from."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from alloop.records import Example
from alloop.tuning import OtherTask


def split(examples: Sequence[Example], folds: int, seed: int) -> np.ndarray:
    """The fold (N,) of each example: as many of each answer in each, and equal texts in one."""
    answers = {example.text: example.labels for example in examples}
    texts = list(answers)
    drawn = [texts[row] for row in np.random.default_rng(seed).permutation(len(texts))]
    drawn.sort(key=answers.__getitem__)  # stable: at random within an answer
    fold = {text: position % folds for position, text in enumerate(drawn)}
    return np.array([fold[example.text] for example in examples])


def without(others: Sequence[OtherTask], texts: Collection[str]) -> list[OtherTask]:
    """Other tasks without the texts that judge a fold: their labels there may be the same."""
    judged = set(texts)
    return [replace(task, train=[one for one in task.train if one.text not in judged]) for task in others]
