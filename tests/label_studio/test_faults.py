"""Networks cut, servers ail, processes are killed: after the same command again nothing is lost and nothing doubled."""

import random
from collections.abc import Iterator, Sequence

import pytest

from alloop.annotators import label_studio
from alloop.annotators.label_studio import KEY
from alloop.errors import AlloopError
from alloop.intake import create
from tests.conftest import project_toml, sentences
from tests.label_studio.proxy import FAULTS, Proxy
from tests.label_studio.scene import ROUNDS, SETTINGS, Plan, Scene
from tests.label_studio.server import StudioServer
from tests.test_resume import Snapshot, differences

PLAYS = 8  # of the sample

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def quick(studio_server: StudioServer) -> Iterator[None]:
    """The key is set, and nobody waits long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY, studio_server.token)
        patch.setattr(label_studio, "SETTLES_S", (0.01, 0.05, 0.2))
        patch.setattr(label_studio, "READS_AGAIN_S", (0.01, 0.01))
        patch.setattr(label_studio, "WRITES_S", 0.0)
        yield


@pytest.fixture(scope="module")
def scene(studio_server: StudioServer, quick: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A project of 30 texts that reaches the server through a proxy."""
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
def undisturbed(scene: Scene) -> tuple[Snapshot, list[list[str]]]:
    """What the scene leaves when nothing happens, and the requests of each of its rounds."""
    expected, wrong = scene.play()
    assert (wrong, scene.said) == ([], [])
    return expected, list(scene.seen)


# one fault in each round of a play: the rounds before it are the dear part


def check(scene: Scene, undisturbed: tuple[Snapshot, list[list[str]]], faults: Sequence[tuple[int, str]]) -> list[str]:
    """Play with one fault in each round, given by request and kind; what was wrong afterwards."""
    expected, requests = undisturbed
    plans: list[Plan] = []
    where = []
    for number, ((at, kind), there) in enumerate(zip(faults, requests, strict=True), 1):
        plans.append({at: FAULTS[kind]} if at <= len(there) else {})
        where += [f"{kind} at request {at} of round {number}, {there[at - 1]}"] if at <= len(there) else []
    try:
        found, wrong = scene.play(plans)
        wrong += [f"{name} differs" for name in differences(found, expected)]
    except AlloopError as error:
        wrong = [f"it does not go on: {error}"]
    for error in scene.said:
        if not error.hint or "\n" in f"{error}{error.hint}" or "<" in str(error):
            wrong.append(f"it says {error}, {error.hint}")
    print(f"{len(where)} faults, {len(scene.said)} errors, {len(wrong)} wrong: {'; '.join(where)}")
    return [f"{one} ({'; '.join(where)})" for one in wrong]


def test_a_sample_of_faults_loses_and_doubles_nothing(
    scene: Scene, undisturbed: tuple[Snapshot, list[list[str]]]
) -> None:
    rng = random.Random(3)
    kinds = [kind for _ in range(3) for kind in rng.sample(list(FAULTS), len(FAULTS))]
    for _ in range(PLAYS):
        faults = [(rng.randint(1, len(requests)), kinds.pop()) for requests in undisturbed[1]]
        assert check(scene, undisturbed, faults) == []


@pytest.mark.every_fault
@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_at_every_request_loses_and_doubles_nothing(
    scene: Scene, undisturbed: tuple[Snapshot, list[list[str]]], kind: str
) -> None:
    wrong = []
    for at in range(1, max(map(len, undisturbed[1])) + 1):
        wrong += check(scene, undisturbed, [(at, kind)] * ROUNDS)
    assert wrong == []
