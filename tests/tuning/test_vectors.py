import json

import numpy as np
import pytest

from alloop.tuning._vectors import look_up, write_vectors
from alloop.tuning.features import Features

TEXTS = ["the cat sleeps", "the bus stops", "the ship sails"]


def test_texts_that_are_there_are_not_read_again(tmp_path):
    write_vectors(tmp_path, "minilm", 128, TEXTS[:2], np.array([[1, 0], [0, 1]], np.float32))
    asked = []

    def read(texts):
        asked.append(list(texts))
        return np.full((len(texts), 2), 0.5, np.float32)

    assert look_up(tmp_path, "minilm", 128, TEXTS[1::-1], read).tolist() == [[0, 1], [1, 0]]
    assert asked == []
    assert look_up(tmp_path, "minilm", 128, TEXTS[::-1], read).tolist() == [[0.5, 0.5], [0, 1], [1, 0]]
    assert asked == [TEXTS[2:]]


@pytest.mark.parametrize(("base", "max_tokens"), [("other", 128), ("minilm", 64)])
def test_vectors_of_another_base_or_length_are_of_no_use(tmp_path, base, max_tokens):
    write_vectors(tmp_path, "minilm", 128, TEXTS, np.zeros((3, 2), np.float32))
    assert look_up(tmp_path, base, max_tokens, TEXTS[:1], lambda texts: np.ones((1, 2))).tolist() == [[1, 1]]
    assert look_up(tmp_path / "nowhere", "minilm", 128, TEXTS[:1], lambda texts: np.ones((1, 2))).tolist() == [[1, 1]]


@pytest.mark.slow
def test_features_takes_the_vectors_it_is_given(tmp_path):
    read = Features().predict(None, TEXTS, ("embeddings",), 0).embeddings
    assert read is not None
    write_vectors(tmp_path, "minilm", 128, TEXTS[:2], read[:2][::-1])
    given = Features(vectors=str(tmp_path)).predict(None, TEXTS, ("embeddings",), 0).embeddings
    assert given is not None
    assert given[:2].tolist() == read[:2][::-1].tolist()
    assert given[2] == pytest.approx(read[2], abs=0.01)
    assert json.loads((tmp_path / "vectors.json").read_text())["base"] == "minilm"
