"""Tests of alloop.steps.candidates: which texts of a large pool are scored."""

from collections.abc import Callable

import numpy as np
import pytest

from alloop.errors import ConfigError
from alloop.intake import add
from alloop.project import Project
from alloop.rounds import run_round
from alloop.steps.context import read_ids
from alloop.work import load_predictions

pytestmark = pytest.mark.slow
MakeProject = Callable[..., Project]


def scored(project: Project, number: int) -> list[str]:
    (directory,) = project.root.glob(f"rounds/{number:04}/score-*")
    return read_ids(directory)


def selectable_then(project: Project, number: int) -> list[str]:
    """What could be picked in a round."""
    asked = {pick.text_id for n in range(1, number) for pick in project.store.picks(n)}
    return [one for one in project.store.pool_ids() if one not in asked]


def embedded(project: Project) -> dict[str, np.ndarray]:
    parts = sorted(project.root.glob("cache/embeddings/*/*"))
    return {one: x for part in parts for one, x in zip(read_ids(part), load_predictions(part).embeddings, strict=True)}


def test_half_of_the_candidates_are_those_a_model_was_last_unsure_of(make_project: MakeProject) -> None:
    project = make_project(rules='candidates = 20\ncandidates_by = "uncertain"')
    for _ in range(3):
        run_round(project)
    assert [len(scored(project, n)) for n in (1, 2, 3)] == [20, 20, 20]
    (before,) = project.root.glob("rounds/0002/score-*")
    p = np.sort(load_predictions(before).probs, axis=1)
    margin = dict(zip(read_ids(before), p[:, -1] - p[:, -2], strict=True))
    left = sorted((one for one in margin if one in selectable_then(project, 3)), key=lambda one: margin[one])
    assert set(left[:10]) <= set(scored(project, 3))
    assert set(scored(project, 3)) - set(margin)  # some that no model had seen


def test_half_of_the_candidates_are_neighbours_of_labelled_texts_of_every_label(make_project: MakeProject) -> None:
    project = make_project(rules='candidates = 32\ncandidates_by = "neighbours"')
    run_round(project)
    assert not (project.root / "cache" / "embeddings").exists()  # nothing has a neighbour yet
    run_round(project)
    x, ids = embedded(project), selectable_then(project, 2)
    asked = [one.text_id for one in project.store.resolved(2, "pool")]
    nearest = {one: sorted(ids, key=lambda other: -float(x[one] @ x[other]))[0] for one in asked}
    tied = {
        one: {other for other in ids if x[one] @ x[other] > x[one] @ x[best] - 1e-5} for one, best in nearest.items()
    }
    assert len(asked) == 8
    assert all(others & set(scored(project, 2)) for others in tied.values())
    assert len(scored(project, 2)) == 32


def test_each_text_is_embedded_once_and_new_texts_as_they_come(
    make_project: MakeProject, write_csv: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alloop.steps.candidates.PART", 50)
    project = make_project(rules='candidates = 20\ncandidates_by = "neighbours"')
    run_round(project)
    run_round(project)
    first = {part: part.stat().st_mtime_ns for part in project.root.glob("cache/embeddings/*/*/embeddings.npy")}
    assert len(first) == 2
    add(project, write_csv("more.csv", ["text", "label"], [["a fox sleeps here", "animal"]]))
    run_round(project)
    after = {part: part.stat().st_mtime_ns for part in project.root.glob("cache/embeddings/*/*/embeddings.npy")}
    assert first.items() < after.items()
    assert len(embedded(project)) == 73


@pytest.mark.parametrize("by", ["random", "uncertain", "neighbours"])
def test_texts_drawn_at_random_keep_the_probability_of_the_whole_pool(make_project: MakeProject, by: str) -> None:
    project = make_project(batch=10, rules=f'candidates = 12\ncandidates_by = "{by}"')
    for _ in range(3):
        run_round(project)
    drawn = [pick.probability for n in (2, 3) for pick in project.store.picks(n) if pick.probability is not None]
    assert drawn == [1 / 62, 1 / 52]
    assert [len(project.store.picks(n)) for n in (1, 2, 3)] == [10, 10, 10]


def test_random_picks_from_the_whole_pool_alike(make_project: MakeProject) -> None:
    project = make_project(strategy="random", rules='candidates = 12\ncandidates_by = "uncertain"')
    run_round(project)
    run_round(project)
    assert not list(project.root.glob("rounds/0002/score-*"))
    assert {pick.probability for pick in project.store.picks(2)} == {1 / 64, 7 / 63}


def test_a_strategy_that_asks_no_model_cannot_have_the_recently_uncertain(make_project: MakeProject) -> None:
    with pytest.raises(ConfigError, match="'kmeans' does not ask them") as caught:
        make_project(strategy="kmeans", rules='candidates_by = "uncertain"')
    assert caught.value.hint == 'set round.candidates_by = "neighbours", or round.strategy = "margin"'
    make_project("balanced", strategy="kmeans", rules='candidates_by = "uncertain"\nbalance = true')
