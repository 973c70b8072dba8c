import numpy as np
import pytest

from alloop.errors import ModelError
from alloop.rounds import run_round
from alloop.strategies import Labelled, Picks, Pool, strategies


def pick(probs, x, seen_probs, seen_x, n, kind="single", **options) -> Picks:
    ids, known = [f"t1-{row}" for row in range(len(probs))], [f"t1-l{row}" for row in range(len(seen_x))]
    labelled = Labelled(known, np.ones((len(known), 2)), np.asarray(seen_x, np.float32), np.asarray(seen_probs))
    pool = Pool(ids, ids, kind, probs=np.asarray(probs), embeddings=np.asarray(x, np.float32), labelled=labelled)
    return strategies.build("cal", **options)(pool, n, np.random.default_rng(0))


def by_text(picks: Picks) -> np.ndarray:
    return picks.score[np.argsort(picks.index)]


def test_a_text_that_is_predicted_unlike_its_neighbour_is_picked():
    seen = [[0.9, 0.1], [0.1, 0.9]], [[1, 0], [0, 1]]
    picks = pick([[0.9, 0.1], [0.2, 0.8]], [[1, 0.1], [1, 0.1]], *seen, 2, neighbours=1)
    assert picks.index.tolist() == [1, 0]
    assert picks.score == pytest.approx([0.9 * np.log(0.9 / 0.2) + 0.1 * np.log(0.1 / 0.8), 0], abs=1e-9)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_the_scores_are_those_of_the_paper(kind):
    from scipy.stats import entropy

    rng = np.random.default_rng(0)
    probs, said = rng.dirichlet([1, 1, 1], 20), rng.dirichlet([1, 1, 1], 15)
    x, seen = rng.normal(size=(20, 4)), rng.normal(size=(15, 4))
    expected = []
    for row in range(20):
        cosine = seen @ x[row] / np.linalg.norm(seen, axis=1)
        near = np.argsort(-cosine)[:5]
        if kind == "single":
            expected.append(np.mean([entropy(said[one], probs[row]) for one in near]))
        else:
            pairs = [(said[one, c], probs[row, c]) for one in near for c in range(3)]
            expected.append(np.mean([entropy([q, 1 - q], [p, 1 - p]) for q, p in pairs]))
    assert by_text(pick(probs, x, said, seen, 20, kind, neighbours=5)) == pytest.approx(expected, rel=1e-4)


def test_a_pool_in_parts_gives_what_it_gives_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    given = rng.dirichlet([1, 1], 40), rng.normal(size=(40, 3)), rng.dirichlet([1, 1], 9), rng.normal(size=(9, 3))
    whole = pick(*given, 40)
    monkeypatch.setattr("alloop.strategies._geometry.CELLS", 100)
    assert pick(*given, 40).index.tolist() == whole.index.tolist()


def test_a_probability_of_none_is_no_infinite_divergence():
    assert np.isfinite(pick([[1.0, 0.0]], [[1, 0]], [[0.0, 1.0]], [[1, 0]], 1).score).all()


def test_without_predictions_of_labelled_texts_it_is_refused():
    pool = Pool(["t1-a"], ["a"], probs=np.full((1, 2), 0.5), embeddings=np.ones((1, 2)))
    with pytest.raises(ModelError, match="labelled texts"):
        strategies.build("cal")(pool, 1, np.random.default_rng(0))


@pytest.mark.slow
def test_a_round_compares_the_pool_with_what_is_labelled(make_project):
    project = make_project(strategy="cal")
    run_round(project)
    run_round(project)
    picked = [pick for pick in project.store.picks(2) if pick.strategy == "cal"]
    assert len(picked) >= 7
    assert picked[0].score > 0
