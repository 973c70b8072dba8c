"""Networks cut, servers ail, processes are killed: after the same command again nothing is lost and nothing doubled."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from alloop.annotators import label_studio
from alloop.annotators.label_studio import KEY
from alloop.errors import AlloopError
from alloop.intake import create
from tests.conftest import project_toml, sentences
from tests.label_studio.proxy import FAULTS, Fault, Proxy, at_first
from tests.label_studio.scene import ROUNDS, SETTINGS, InAChild, Plan, Scene, kill_after, kill_before
from tests.label_studio.server import StudioServer
from tests.test_resume import Snapshot, differences

PLAYS = 4  # of the sample
KILLS: dict[str, Fault] = {"killed before it was sent on": kill_before, "killed after it was carried out": kill_after}
STEPS = ["pull", "augment", "train", "evaluate", "score", "select", "push", "record"]

WAITS = {name: getattr(label_studio, name) for name in ("SETTLES_S", "READS_AGAIN_S", "WRITES_S")}
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the proxy's threads stay behind

Undisturbed = tuple[Snapshot, list[list[str]]]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def quick(studio_server: StudioServer) -> Iterator[None]:
    """The server runs, the key is set, and nobody waits long."""
    studio_server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY, studio_server.token)
        patch.setattr(label_studio, "SETTLES_S", (0.01, 0.05, 0.2))
        patch.setattr(label_studio, "READS_AGAIN_S", (0.01, 0.01))
        patch.setattr(label_studio, "WRITES_S", 0.0)
        yield


@pytest.fixture(scope="module")
def scene(studio_server: StudioServer, quick: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A project of 32 texts that reaches the server through a proxy."""
    proxy = Proxy(studio_server.url)
    root = tmp_path_factory.mktemp("scene")
    (root / "alloop.toml").write_text(
        project_toml(
            batch="4\nwait_for = 0.5",
            annotate=f'label-studio"\nurl = "{proxy.url}"\nsuggest = "all"\n#',
            more=SETTINGS,
        )
    )
    rows = sentences()
    (root / "pool.csv").write_text("text\n" + "\n".join(text for text, _ in rows[::3]))
    (root / "test.csv").write_text("text,label\n" + "\n".join(",".join(row) for row in rows[1::6]))
    project, _ = create(
        root / "start", source=root / "alloop.toml", data=[str(root / "pool.csv")], test=str(root / "test.csv")
    )
    uid = project.store.uid
    project.store.close()
    yield Scene(root / "start", uid, studio_server, proxy)
    proxy.stop()


@pytest.fixture(scope="module")
def undisturbed(scene: Scene) -> Undisturbed:
    """What the scene leaves when nothing happens, and the requests of each of its rounds."""
    expected, wrong = scene.play()
    assert (wrong, scene.said) == ([], [])
    return expected, list(scene.seen)


# faults in every round of a play: the rounds before it are the dear part


LATE = "carries it out late"


def without_shown(found: Snapshot) -> Snapshot:
    """Without what annotators see beside a task: a suggestion that arrives after the round has looked is not noted."""
    tasks = [{name: value for name, value in row.items() if name != "predicted"} for row in found["tasks"]]
    return {**found, "tasks": tasks}


def check(
    scene: Scene, undisturbed: Undisturbed, faults: Sequence[Mapping[int, str]], kinds: Mapping[str, Fault] = FAULTS
) -> list[str]:
    """Play with the faults of each round, given by request and kind; what was wrong afterwards."""
    expected, requests = undisturbed
    plans: list[Plan] = []
    where = []
    for number, (planned, there) in enumerate(zip(faults, requests, strict=True), 1):
        plans.append({at: kinds[kind] for at, kind in planned.items() if at <= len(there)})
        where += [f"{planned[at]} at request {at} of round {number}, {there[at - 1]}" for at in sorted(plans[-1])]
    child = InAChild() if kinds is KILLS else None
    try:
        found, wrong = scene.play(plans, child)
        if any(LATE in planned.values() for planned in faults):
            found, expected = without_shown(found), without_shown(expected)
        wrong += [f"{name} differs" for name in differences(found, expected)]
    except AlloopError as error:
        wrong = [f"it does not go on: {error}"]
    wrong += [
        f"request {at} of round {number} was never made"
        for number, (plan, seen) in enumerate(zip(plans, scene.seen, strict=False), 1)
        for at in plan
        if at > len(seen) and at == min(plan)  # a second one may fall away: the first has made the round shorter
    ]
    if child is not None and child.deaths != len(where):
        wrong.append(f"{child.deaths} were killed")
    for error in scene.said:
        if not error.hint or "\n" in f"{error}{error.hint}" or "<" in str(error):
            wrong.append(f"it says {error}, {error.hint}")
    print(f"{len(where)} faults, {len(scene.said)} errors, {len(wrong)} wrong: {'; '.join(where)}")
    return [f"{one} ({'; '.join(where)})" for one in wrong]


def test_a_sample_of_faults_loses_and_doubles_nothing(scene: Scene, undisturbed: Undisturbed) -> None:
    """Two in each round: the second often meets what goes on after the first."""
    rng = random.Random(3)
    kinds = [kind for _ in range(3) for kind in rng.sample(list(FAULTS), len(FAULTS))]
    for _ in range(PLAYS):
        at = [rng.sample(range(1, len(requests) + 1), 2) for requests in undisturbed[1]]
        assert check(scene, undisturbed, [{one: kinds.pop() for one in two} for two in at]) == []


@pytest.mark.every_fault
@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_at_every_request_loses_and_doubles_nothing(scene: Scene, undisturbed: Undisturbed, kind: str) -> None:
    wrong = []
    for at in range(1, max(map(len, undisturbed[1])) + 1):
        wrong += check(scene, undisturbed, [{at: kind}] * ROUNDS)
    assert wrong == []


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits as people have them."""
    for name, value in WAITS.items():
        monkeypatch.setattr(label_studio, name, value)


@pytest.mark.parametrize("kind", ["cut after it was carried out", "500, but carries it out"])
def test_a_write_that_was_carried_out_is_found_soon(scene: Scene, waits: None, kind: str) -> None:
    _, wrong = scene.play([at_first("/import", FAULTS[kind])])
    assert (wrong, scene.said) == ([], [])
    assert len([line for line in scene.seen[0] if line.endswith("/import")]) == 1


@pytest.mark.every_fault
def test_a_fault_at_every_request_with_the_real_waits(scene: Scene, undisturbed: Undisturbed, waits: None) -> None:
    wrong = []
    for at in range(1, max(map(len, undisturbed[1])) + 1):
        wrong += check(scene, undisturbed, [{at: "cut before it was sent on"}] * ROUNDS)
    assert wrong == []


# kills: while a request is under way, and at lines of every step


@pytest.fixture(scope="module")
def points(scene: Scene, undisturbed: Undisturbed) -> list[list[str]]:
    """The kill points of each round; a round in another process leaves the same."""
    child = InAChild([0] * ROUNDS)
    found, wrong = scene.play(way=child)
    assert (wrong, differences(found, undisturbed[0])) == ([], [])
    return child.points


def kill(scene: Scene, undisturbed: Undisturbed, points: list[list[str]], kill_at: Sequence[int]) -> list[str]:
    """Play with one kill in each round, at these points; what was wrong afterwards."""
    child = InAChild(kill_at)
    found, wrong = scene.play(way=child)
    wrong += [f"{name} differs" for name in differences(found, undisturbed[0])]
    wrong += [] if child.deaths == len(kill_at) else [f"{child.deaths} were killed"]
    where = [there[at - 1] for at, there in zip(kill_at, points, strict=True)]
    print(f"{child.deaths} kills, {len(wrong)} wrong: {'; '.join(where)}")
    return [f"{one} ({'; '.join(where)})" for one in wrong]


@forks
def test_a_sample_of_kills_between_request_and_answer_changes_nothing(scene: Scene, undisturbed: Undisturbed) -> None:
    killed = "killed after it was carried out"
    _, (first, second, third, _) = undisturbed
    renewed = [find(one, "/import/predictions") for one in (second, third)]
    for there in (
        [first.index("POST /api/projects/") + 1, *renewed, 1],
        [*(find(one, "/import") for one in (first, second, third)), 3],
    ):
        assert check(scene, undisturbed, [{at: killed} for at in there], KILLS) == []


def find(requests: Sequence[str], end: str) -> int:
    """The number of the first request that ends so."""
    return next(at for at, one in enumerate(requests, 1) if one.endswith(end))


@pytest.mark.every_fault
@pytest.mark.parametrize("kind", KILLS)
@forks
def test_a_kill_at_every_request_changes_nothing(scene: Scene, undisturbed: Undisturbed, kind: str) -> None:
    wrong = []
    for at in range(1, max(map(len, undisturbed[1])) + 1):
        wrong += check(scene, undisturbed, [{at: kind}] * ROUNDS, KILLS)
    assert wrong == []


def sampled(points: list[list[str]], plays: int) -> Iterator[list[int]]:
    """A point of each round for each play: lines of every step in turn, then of the annotator."""
    rng = random.Random(5)
    modules = [*(f"/{step}.py:" for step in STEPS), *["/label_studio.py:"] * plays * ROUNDS]
    for _ in range(plays):
        wanted = [modules.pop(0) for _ in points]
        yield [
            rng.choice([at for at, point in enumerate(there, 1) if module in point])
            for module, there in zip(wanted, points, strict=True)
        ]


@forks
def test_a_sample_of_kills_in_every_step_changes_nothing(
    scene: Scene, undisturbed: Undisturbed, points: list[list[str]]
) -> None:
    for kill_at in sampled(points, plays=3):
        assert kill(scene, undisturbed, points, kill_at) == []


@pytest.mark.every_fault
@forks
def test_many_kills_in_every_step_change_nothing(
    scene: Scene, undisturbed: Undisturbed, points: list[list[str]]
) -> None:
    rng = random.Random(7)
    wrong = []
    for _ in range(20):
        wrong += kill(scene, undisturbed, points, [rng.randint(1, len(there)) for there in points])
    assert wrong == []


# The tests must be able to fail: ways to get it wrong, each caught.


def look_at_nothing(patch: pytest.MonkeyPatch) -> None:
    """A push that does not ask which keys exist, and keeps copies."""
    patch.setattr(label_studio, "_missing", lambda tasks, there: list(tasks))
    keep_copies(patch)


def keep_copies(patch: pytest.MonkeyPatch) -> None:
    """A push that asks which keys exist, and takes no notice of late commits."""
    patch.setattr(label_studio, "_drop_copies", lambda server, project, keys: 0)


def nothing(patch: pytest.MonkeyPatch) -> None:
    """As it is."""


@pytest.mark.parametrize(
    ("breaking", "kind", "is_caught"),
    [
        (look_at_nothing, "cut after it was carried out", True),
        (look_at_nothing, "500, but carries it out", True),
        (keep_copies, "cut after it was carried out", False),
        (keep_copies, "carries it out late", True),
        (nothing, "cut after it was carried out", False),
        (nothing, "carries it out late", False),
    ],
)
def test_a_broken_push_is_caught(
    scene: Scene,
    breaking: Callable[[pytest.MonkeyPatch], None],
    kind: str,
    is_caught: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    breaking(monkeypatch)
    _, wrong = scene.play([at_first("/import", FAULTS[kind])])
    assert any("is there 2 times" in one for one in wrong) == bool(wrong) == is_caught


def test_a_broken_pull_is_caught(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = label_studio._changed
    monkeypatch.setattr(label_studio, "_changed", lambda *asked: (changed(*asked)[0][1:], changed(*asked)[1]))
    _, wrong = scene.play([{}, {}])
    assert any("is lost" in one for one in wrong)
