import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from alloop.sharing import cores, shared


def square(number: int) -> int:
    return number * number


def by_both(own: int, marker: Path, number: int) -> tuple[int, int]:
    """This process waits until a helper has begun."""
    if os.getpid() == own:
        for _ in range(6000):
            if number < 16 or marker.exists():
                break
            time.sleep(0.01)
    else:
        marker.touch()
    return number, os.getpid()


def dies_elsewhere(own: int, marker: Path, number: int) -> int:
    if by_both(own, marker, number)[1] != own:
        os._exit(1)
    return number


def fails_at_90(own: int, marker: Path, number: int) -> int:
    by_both(own, marker, number)
    if number == 90:
        raise ValueError("90")
    return number


def test_results_come_in_order_and_each_item_advances():
    done: list[int] = []
    assert shared(square, range(100), done.append) == [number * number for number in range(100)]
    assert sum(done) == 100
    assert shared(square, [], done.append) == []


def test_little_work_calls_nobody(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    assert len(shared(square, range(1000), lambda n: None, processes=4)) == 1000
    assert len(shared(square, range(1000), lambda n: None, processes=1, pays_from_s=0)) == 1000


def test_work_that_cannot_be_copied_is_done_here(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    lock = threading.Lock()
    assert shared(lambda number: (number, lock.locked()), range(50), lambda n: None, processes=2, pays_from_s=0)


def test_a_machine_without_room_for_helpers_does_it_alone(monkeypatch):
    def refused(*_, **__):
        raise BlockingIOError("no room")

    monkeypatch.setattr(subprocess, "Popen", refused)
    assert len(shared(square, range(100), lambda n: None, processes=4, pays_from_s=0)) == 100


@pytest.mark.slow
def test_others_help_and_the_results_are_the_same(tmp_path):
    done: list[int] = []
    work = partial(by_both, os.getpid(), tmp_path / "marker")
    found = shared(work, range(200), done.append, processes=2, pays_from_s=0)
    assert [number for number, _ in found] == list(range(200))
    assert len({process for _, process in found}) == 2
    assert sum(done) == 200


@pytest.mark.slow
def test_a_helper_that_dies_gives_its_piece_back(tmp_path):
    done: list[int] = []
    work = partial(dies_elsewhere, os.getpid(), tmp_path / "marker")
    assert shared(work, range(200), done.append, processes=2, pays_from_s=0) == list(range(200))
    assert sum(done) == 200


@pytest.mark.slow
def test_an_error_is_met_here_whoever_met_it_first(tmp_path):
    work = partial(fails_at_90, os.getpid(), tmp_path / "marker")
    with pytest.raises(ValueError, match="90"):
        shared(work, range(200), lambda n: None, processes=2, pays_from_s=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_helper_is_left_behind(kind, tmp_path):
    script = tmp_path / "script.py"  # without `if __name__ == "__main__"`, as scripts of users are
    script.write_text(f"""
import os, signal, sys, time
from functools import partial
from pathlib import Path
from alloop.sharing import shared
from tests.test_sharing import noted
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have had it ignored
signal.signal(signal.SIGTERM, lambda *about: sys.exit(143))
shared(partial(noted, os.getpid(), Path({str(tmp_path)!r})), range(10**6), lambda n: None, processes=2, pays_from_s=0)
""")
    root = Path(__file__).parent.parent
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, script], env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.PIPE
    ) as ran:
        try:
            helper = waited_for(lambda: next((int(one.suffix[1:]) for one in tmp_path.glob("helper.*")), None))
            ran.send_signal(kind)
            ran.wait(60)
        finally:
            ran.kill()
    waited_for(lambda: not is_at_work(helper) or None)


def is_at_work(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"  # nobody has asked how it ended


def noted(own: int, directory: Path, number: int) -> int:
    if os.getpid() != own:
        (directory / f"helper.{os.getpid()}").touch()
    time.sleep(0.01)
    return number


def waited_for(ask):
    """What `ask` says once it is not None."""
    for _ in range(6000):
        if (said := ask()) is not None:
            return said
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def test_there_is_a_core():
    assert cores() >= 1
