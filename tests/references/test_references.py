"""Our strategies answer what scikit-activeml and small-text answer; where they do not, what differs is written out."""

import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from alloop.strategies import Labelled, Picks, Pool, badge, probcover, strategies, typiclust

PYTHON = Path(__file__).parents[2] / ".references/bin/python"
SIZES = [300, 5_000]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="no reference libraries: make .references/.ready"),
]


@cache
def problem(size: int) -> dict[str, np.ndarray]:
    """Clustered embeddings x (N, D) of length one, and what models may have said of them. All that answers.py is given.

    n picks; seen (M, D), seen_probs (M, C), seen_y (M,) of labelled texts; h (N, D) embeddings of any length; members
    and samples (E, N, C); several (N, C) and seen_several (M, C) for a task of several labels; cluster (N + 2,) of the
    texts and two with a label, which are in two of them; all are of more than 40.
    """
    rng = np.random.default_rng(size)
    labelled, labels, width = size // 10 + 10, 4, 16 if size < 1000 else 64
    centre = rng.normal(size=(12, width))
    kind = rng.choice(12, size + labelled, p=np.arange(1, 13) / 78)
    h = (centre[kind] + rng.normal(size=(len(kind), width)) * 0.7).astype(np.float32)
    x = h / np.linalg.norm(h, axis=1, keepdims=True)
    logits = x @ rng.normal(size=(width, labels)) * 2 + rng.normal(size=(len(x), labels)) / 2
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    drawn = rng.dirichlet([0.7] * labels, (2, 6, size)) * 0.99 + 0.01 / labels  # none so near 0 that others' eps counts
    share = np.cumsum(np.linspace(1, 1.4, 6)) / 7.2  # of 6 clusters, each with another number of texts
    ordered = np.searchsorted(share, np.linspace(0, 0.9999, size + 2))
    given = {
        "n": 10,
        "seed": size,
        "x": x[:size],
        "h": h[:size],
        "probs": probs[:size],
        "seen": x[size:],
        "seen_probs": probs[size:],
        "seen_y": kind[size:] % labels,
        "members": drawn[0],
        "samples": drawn[1],
        "several": rng.random((size, 6)),
        "seen_several": rng.integers(0, 2, (labelled, 6)),
        "cluster": np.append(rng.permutation(ordered[1:-1]), ordered[[0, -1]]),
        "clusters": labels,
        "delta": float(np.quantile(np.linalg.norm(x[:200, None] - x[:200], axis=2), 0.1)),
    }
    return {name: np.asarray(array) for name, array in given.items()}


@cache
def reference(size: int) -> dict[str, np.ndarray]:
    """What the libraries answer: "function.name" of answers.py to an array."""
    with TemporaryDirectory() as directory:
        given, answers = Path(directory) / "given.npz", Path(directory) / "answers.npz"
        np.savez(given, **problem(size))
        script = Path(__file__).with_name("answers.py")
        subprocess.run([PYTHON, "-W", "ignore", script, given, answers], check=True, timeout=600)
        return dict(np.load(answers))


def ask(name: str, size: int, n: int | None = None, labelled: int | None = None, rng=None, **options) -> Picks:
    """Our picks of the problem; `labelled` where only so many of the labelled texts are to count."""
    p = problem(size)
    ids, seen = [f"t1-{row}" for row in range(size)], slice(labelled)
    several = name in ("cvirs", "label-cardinality")
    y = p["seen_several"] if several else np.eye(int(p["clusters"]))[p["seen_y"]]
    known = Labelled([f"t1-l{row}" for row in range(len(y[seen]))], y[seen], p["seen"][seen], p["seen_probs"][seen])
    pool = Pool(
        ids,
        ids,
        "multi" if several else "single",
        probs=p["several"] if several else p["probs"],
        samples=p["samples"],
        members=p["members"],
        embeddings=p["h"] if name == "badge" else p["x"],
        labelled=known,
    )
    rng = rng or np.random.default_rng(0)
    return strategies.build(name, **options)(pool, int(p["n"]) if n is None else n, rng)


def scores(name: str, size: int, **options) -> np.ndarray:
    """Our score (N,) of each text."""
    picks = ask(name, size, size, **options)
    return picks.score[np.argsort(picks.index)]


@pytest.fixture(params=SIZES)
def size(request) -> int:
    return request.param


@pytest.mark.parametrize(
    ("name", "method", "strategy"),
    [
        ("least-confidence", "least_confident", "LeastConfidence"),
        ("margin", "margin_sampling", "BreakingTies"),
        ("entropy", "entropy", "PredictionEntropy"),
    ],
)
def test_uncertainty_is_that_of_both(size, name, method, strategy):
    said = reference(size)
    assert scores(name, size) == pytest.approx(said[f"sk_uncertainty.{method}"], abs=1e-6)
    assert set(ask(name, size).index) == set(said[f"st_uncertainty.{strategy}"])


@pytest.mark.parametrize("measure", ["kl", "vote-entropy"])
def test_a_committee_disagrees_as_in_scikit_activeml(size, measure):
    assert scores("committee", size, measure=measure) == pytest.approx(
        reference(size)[f"sk_committee.{measure}"], abs=1e-6
    )


def test_bald_is_that_of_both(size):
    said, ours = reference(size), scores("bald", size)
    assert ours == pytest.approx(said["sk_bald.score"], abs=1e-6)
    assert ours == pytest.approx(said["st_bald.score"] * np.log(2), abs=1e-6)  # in bits
    assert set(ask("bald", size).index) == set(said["st_bald.picks"])


def test_badge_draws_as_scikit_activeml_but_for_its_centre_at_the_origin(size, monkeypatch):
    said, p, weights = reference(size), problem(size), []
    theirs, chance = said["sk_badge.picks"], said["sk_badge.chance"]

    def drawn(weight, picked, rng):
        weights.append(weight.copy())
        return int(theirs[len(picked)])

    monkeypatch.setattr(badge, "_drawn", drawn)
    assert ask("badge", size).index.tolist() == theirs.tolist()  # the first of them is ours
    error = p["probs"] - np.eye(p["probs"].shape[1])[p["probs"].argmax(1)]
    length = (error**2).sum(1) * (p["h"].astype(float) ** 2).sum(1)  # squared distance of the gradient to the origin
    assert chance[0] == pytest.approx(length / length.sum(), rel=1e-4)
    for weight, expected in zip(weights, chance[1:], strict=True):
        with_origin = np.minimum(weight, length)
        assert with_origin / with_origin.sum() == pytest.approx(expected, abs=1e-6)
    assert (weights[0] > length * 1.01).any()  # so it changes the draw


def test_badge_of_small_text_has_another_gradient(size):
    p, theirs = problem(size), reference(size)["st_badge.gradient"]
    said = p["probs"][:50]
    outer = lambda error: (error[:, :, None] * p["h"][:50, None]).reshape(50, -1)  # noqa: E731
    assert theirs == pytest.approx(outer(-said), abs=1e-5)  # -p h: a text the model is sure of has one of full length
    error = said - np.eye(said.shape[1])[said.argmax(1)]
    length = np.linalg.norm(outer(error), axis=1)
    assert length.argmax() != np.linalg.norm(theirs, axis=1).argmax()


def test_cal_is_that_of_both_when_small_text_looks_at_labelled_texts_only(size):
    said = reference(size)
    assert scores("cal", size) == pytest.approx(said["sk_cal.score"], abs=1e-5)
    assert set(ask("cal", size).index) == set(said["st_cal.of_labelled"])
    assert set(ask("cal", size).index) != set(said["st_cal.of_all"])


def test_coreset_picks_as_both(size):
    said, picks = reference(size), ask("coreset", size)
    assert picks.index.tolist() == said["sk_coreset.picks"].tolist() == said["st_coreset.picks"].tolist()
    assert picks.score == pytest.approx(said["sk_coreset.score"], abs=1e-5)


def test_typiclust_picks_as_scikit_activeml_from_the_same_clusters(size, monkeypatch):
    cluster = problem(size)["cluster"]
    assert np.bincount(cluster).min() > 2 * typiclust.NEIGHBOURS  # in smaller ones we look at half of the texts
    labelled_first = np.concatenate([cluster[size:], cluster[:size]])
    monkeypatch.setattr(typiclust, "clusters", lambda x, k, seed: (labelled_first, None))
    picks = ask("typiclust", size, 4, labelled=2)  # two of the six clusters have a label
    assert picks.index.tolist() == reference(size)["sk_typiclust.picks"].tolist()


def test_probcover_covers_as_scikit_activeml_does(size):
    said, p = reference(size), problem(size)
    picks = ask("probcover", size, delta=float(p["delta"]))
    assert picks.score * size == pytest.approx(said["sk_probcover.gain"], abs=1.01)  # a text on the rim of a ball
    grid, ours = float(said["sk_probcover.delta"]), probcover._purest(p["x"], int(p["clusters"]), int(p["seed"]))
    assert grid <= ours < grid + 0.05


def test_probcover_covers_more_than_small_texts():
    size = 300
    p = problem(size)
    picks = ask("probcover", size, labelled=0, delta=float(p["delta"]))

    def covered(rows) -> float:
        distance = np.linalg.norm(p["x"][:, None] - p["x"][None, rows], axis=2)
        return float((distance < p["delta"]).any(1).mean())

    theirs = reference(size)["st_probcover.picks"]
    assert picks.index[0] == theirs[0]
    assert covered(picks.index) == pytest.approx(picks.score.sum(), abs=1e-3)
    assert covered(theirs) < covered(picks.index)


def test_herding_picks_as_scikit_activeml(size):
    said, picks = reference(size), ask("herding", size)
    assert picks.index.tolist() == said["sk_herding.picks"].tolist()
    assert picks.score == pytest.approx(said["sk_herding.score"], abs=1e-5)


def falcun_chances(probs: np.ndarray, picks: np.ndarray, as_in_scikit_activeml: bool) -> np.ndarray:
    """(n, N) by hand, after the authors' code; scikit-activeml brings d to 0 to 1 for good, over picked texts too."""
    top = np.sort(probs, 1)
    u = 1 - (top[:, -1] - top[:, -2])
    d, found = u.copy(), []
    for turn in range(len(picks)):
        left = np.setdiff1d(np.arange(len(u)), picks[:turn])
        if turn:
            d = np.minimum(d, np.abs(probs - probs[picks[turn - 1]]).sum(1))
        over = d if as_in_scikit_activeml else d[left]
        scaled = d if as_in_scikit_activeml and not turn else (d - over.min()) / (over.max() - over.min())
        if as_in_scikit_activeml:
            d = scaled
        chance = np.zeros(len(u))
        chance[left] = (u + scaled)[left] ** 10
        found.append(chance / chance.sum())
    return np.array(found)


def test_falcun_draws_as_the_authors_code_and_scikit_activeml_but_for_how_it_scales(size):
    said, probs, chances = reference(size), problem(size)["probs"], []
    theirs = said["sk_falcun.picks"]

    class Told:
        def choice(self, rows, p):
            chances.append(np.zeros(size))
            chances[-1][rows] = p
            return theirs[len(chances) - 1]

    ask("falcun", size, rng=Told())
    assert np.array(chances) == pytest.approx(falcun_chances(probs, theirs, False), abs=1e-6)
    assert said["sk_falcun.chance"] == pytest.approx(falcun_chances(probs, theirs, True), abs=1e-6)


def test_dropquery_picks_as_scikit_activeml_where_it_scales_up_what_is_left(size):
    said, p = reference(size), problem(size)
    dropped = iter(said["sk_dropquery.dropped"])

    class Told:
        def random(self, shape, dtype):
            return 1.0 - next(dropped)

        def integers(self, most):
            return int(p["seed"])

    picks = ask("dropquery", size, rng=Told())
    assert len(said["sk_dropquery.candidates"]) > 2 * int(p["n"])
    assert set(picks.index) == set(said["sk_dropquery.picks"])


def test_discriminative_is_that_of_both(size):
    said, n = reference(size), int(problem(size)["n"])
    at_once, one_by_one = ask("discriminative", size, turns=1), ask("discriminative", size, turns=n)
    assert set(at_once.index) == set(said["sk_discriminative.at_once"])
    assert at_once.score[0] == pytest.approx(said["sk_discriminative.at_once_score"][0], abs=1e-3)
    assert one_by_one.index.tolist() == said["sk_discriminative.one_by_one"].tolist()
    in_two = ask("discriminative", size, turns=2).index
    theirs = said["st_discriminative.picks"]
    assert [set(in_two[:5]), set(in_two[5:])] == [set(theirs[:5]), set(theirs[5:])]


def test_kmeans_picks_as_small_text(size):
    class Told:
        def integers(self, most):
            return int(problem(size)["seed"])

    assert set(ask("kmeans", size, rng=Told()).index) == set(reference(size)["st_kmeans.picks"])


def test_label_cardinality_is_that_of_small_text(size):
    assert scores("label-cardinality", size) == pytest.approx(reference(size)["st_several_labels.label-cardinality"])


def test_cvirs_of_small_text_is_neither_ranks_nor_the_entropy_distance(size):
    """Written out: its Hamming distance in place of the entropy distance, and its row numbers in place of ranks."""
    p, theirs = problem(size), reference(size)["st_several_labels.cvirs"]
    several, seen = p["several"], p["seen_several"]
    apart = ((several[:, None] > 0.5) != seen[None].astype(bool)).mean(2)  # (N, M)
    others = several.sum(1, keepdims=True) - several  # it takes the margin to the sum of all labels
    row = np.argsort(others, 0).sum(1)
    s = (several.shape[1] * size - row) / (several.shape[1] * (size - 1))
    assert theirs == pytest.approx(apart.sum(1) / size * s, abs=1e-6)
    assert abs(np.corrcoef(theirs, scores("cvirs", size))[0, 1]) < 0.3
