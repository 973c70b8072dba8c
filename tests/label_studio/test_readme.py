"""What README says of Label Studio works when it is typed. The server is the tests' own, so nothing is installed."""

import re
from pathlib import Path

import pytest

from alloop.annotators.label_studio import KEY
from alloop.project import Project
from tests.label_studio.people import Person
from tests.label_studio.server import StudioServer
from tests.label_studio.test_annotator import remembered
from tests.test_readme import TICKETS, block, shell

pytestmark = pytest.mark.slow


def test_two_commands_lead_to_the_first_label_and_two_more_to_the_curve(
    studio_server: StudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(KEY, raising=False)
    monkeypatch.setenv("ALLOOP_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "studio").symlink_to(studio_server.root)
    truth = {text.replace(", ", " "): label for text, label in TICKETS}
    Path("my.csv").write_text("text\n" + "".join(f"{text}\n" for text in truth))

    up, init = commands("<!-- a test runs these commands against a real Label Studio -->")
    assert f"runs at {studio_server.url}\nlog in as " in shell(up)
    said = shell(init)
    project = Project.open(Path("my-project"))
    number = remembered(project)["id"]
    assert f"answer the tasks at {studio_server.url}/projects/{number}/data/?labeling=1, then: alloop round" in said
    someone = Person(studio_server.url, studio_server.token, number)
    for task in someone.tasks():
        someone.answer(int(task.id), [truth[task.data["text"]]])
    config = Path("my-project/alloop.toml")
    config.write_text(config.read_text().replace('"lora"', '"tfidf"'))  # so that the test takes seconds

    again, report = commands("(docs/label-studio.png)")
    assert "Trained on 25 labels." in shell(again)
    assert re.search(r"\b25\b", shell(report))
    assert len(someone.tasks()) == 50


def commands(after: str) -> list[str]:
    return [line.split("  #")[0].strip() for line in block(after, "sh").splitlines()]
