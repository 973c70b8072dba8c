"""A fit killed in the middle of its training leaves nothing: the round goes on to the same tables and weights."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_resume import copy_of, differences, snapshot

ROUNDS = 3
RUN = """
import os, signal, sys
from pathlib import Path

import torch

from alloop.project import Project
from alloop.rounds import run_round

root, rounds, deadly = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
step, taken = torch.optim.AdamW.step, 0

def one_more(self, *arguments, **options):
    global taken
    taken += 1
    if taken == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments, **options)

torch.optim.AdamW.step = one_more
project = Project.open(root)
while True:
    last = project.store.last_round()
    if (1 if last is None else last.number + bool(last.finished_at)) > rounds:
        break
    run_round(project)
print(taken)
"""


def run(root: Path, deadly: int = 0) -> subprocess.CompletedProcess[str]:
    """Finish the rounds; die at a step of training, counted over all of them from 1."""
    command = [sys.executable, "-c", RUN, str(root), str(ROUNDS), str(deadly)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora", "full", "setfit"])
def test_a_kill_in_the_middle_of_training_changes_nothing(name, family_bases, make_project):
    options = f'[options.{name}]\nbase = "{family_bases["bert"]}"\nsteps = 6\nepochs = 0.1\n'
    project = make_project("start", tuner=name, more=options)
    project.store.close()
    undisturbed, killed = copy_of(project.root, "undisturbed"), copy_of(project.root, "killed")
    whole = run(undisturbed)
    assert whole.returncode == 0, whole.stderr
    steps = int(whole.stdout)
    assert steps == 12, "in each of the two rounds that have labels"
    assert run(killed, deadly=9).returncode == -signal.SIGKILL, "in the second fit"
    after = run(killed)
    assert after.returncode == 0, after.stderr
    assert int(after.stdout) == 6, "the fit began again, and the one before it did not"
    assert differences(snapshot(killed), snapshot(undisturbed)) == []
