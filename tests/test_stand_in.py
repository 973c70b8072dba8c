import numpy as np
import pytest

from alloop.files import is_whole
from alloop.steps.stand_in import out_of_fold, vectors


@pytest.mark.slow
def test_vectors_are_read_once_and_stay_in_the_project(make_project, monkeypatch):
    project = make_project()
    first = vectors(project, project.config, ["the cat sleeps", "a bus stops", "the cat sleeps"])
    assert first.shape == (3, 384)
    assert np.array_equal(first[0], first[2])
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-3)
    monkeypatch.setattr("alloop.steps.stand_in._read", lambda *_: pytest.fail("they were read again"))
    again = vectors(project, project.config, ["a bus stops", "the cat sleeps"])
    assert np.array_equal(again, first[[1, 0]])
    assert all(is_whole(part) for root in (project.root / "cache" / "vectors").iterdir() for part in root.iterdir())
    assert vectors(project, project.config, []).shape[0] == 0


def test_vectors_are_read_again_when_the_directory_of_the_base_holds_another(make_project, monkeypatch):
    project = make_project()
    model = project.config.model.model_copy(update={"base": "bases/own"})
    config = project.config.model_copy(update={"model": model})
    base = project.root / "bases" / "own"
    base.mkdir(parents=True)
    (base / "model.safetensors").write_bytes(b"first")
    said = {"first": 1.0, "then": 2.0}
    monkeypatch.setattr(
        "alloop.steps.stand_in._read",
        lambda *given: np.full((len(given[-1]), 2), said[(base / "model.safetensors").read_text()], np.float32),
    )
    assert vectors(project, config, ["a bus"]).tolist() == [[1, 1]]
    (base / "model.safetensors").write_bytes(b"then")
    assert vectors(project, config, ["a bus"]).tolist() == [[2, 2]]


def test_a_text_is_judged_by_a_model_that_has_not_seen_its_label(make_project):
    config = make_project().config
    x = np.repeat(np.eye(2, dtype=np.float32), 10, axis=0)
    y = np.repeat(np.eye(2, dtype=np.float32), 10, axis=0)
    y[0] = [0, 1]  # a wrong label
    probs = out_of_fold(config, x, y, folds=5, seed=1)
    assert probs.shape == (20, 2)
    assert np.allclose(probs.sum(1), 1, atol=1e-5)
    assert probs[0, 0] > 0.5 > probs[0, 1]
    assert np.array_equal(probs, out_of_fold(config, x, y, folds=5, seed=1))


def test_where_nothing_can_be_learnt_every_label_is_as_likely_as_its_share(make_project):
    config = make_project().config
    x, y = np.ones((6, 3), np.float32), np.tile(np.array([1, 0], np.float32), (6, 1))
    assert out_of_fold(config, x, y, folds=5, seed=1).tolist() == y.tolist()
    assert out_of_fold(config, x[:0], y[:0], folds=5, seed=1).shape == (0, 2)
