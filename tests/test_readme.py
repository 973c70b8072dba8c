"""What README says works when it is typed; what the changelog says is what the package is."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from alloop.ingest import Row, inspect, read
from tests.command import done

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SAYS = {"bug": "it crashes when I", "question": "how do I", "praise": "I love how I can"}
DOES = "open the settings, close the window, print a page, share a file, undo a change, find a word, turn it off".split(
    ", "
)
WHERE = ["at home", "on the train", "with my phone", "on Mondays", "since the update", "every time"]
TICKETS = [(f"{said} {did} {where}", label) for where in WHERE for did in DOES for label, said in SAYS.items()]


def block(after: str, language: str) -> str:
    """The first code block below these words."""
    found = re.search(rf"```{language}\n(.*?)```", README.split(after, 1)[1], re.DOTALL)
    assert found is not None
    return found[1]


def shell(command: str, stdin: str = "") -> str:
    """Type a command; returns what it says."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", command], input=stdin, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert ran.returncode == 0, f"{command}: {ran.stderr}"
    return ran.stdout + ran.stderr


def answers() -> str:
    """The right key for each waiting task, in the order in which they are asked."""
    truth = dict(TICKETS)
    tasks = [json.loads(line) for line in Path("tickets/inbox/tasks.jsonl").read_text().splitlines()]
    answered = Path("tickets/inbox/answers.jsonl")
    keys = {json.loads(line)["key"] for line in answered.read_text().splitlines()} if answered.exists() else set()
    return "".join(f"{truth[task['text']]}\n" for task in tasks if task["key"] not in keys)


@pytest.mark.slow
def test_the_commands_of_the_readme_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tickets.csv").write_text("text\n" + "".join(f"{text}\n" for text, _ in TICKETS).replace(", ", " "))
    said: dict[str, list[str]] = {}
    for line in block("<!-- a test runs these commands -->", "sh").splitlines():
        command = line.split("  #")[0].strip()
        name = command.split()[1]
        said.setdefault(name, []).append(shell(command, answers() if name == "label" else ""))
        if name == "init":  # so that the test takes seconds
            config = Path("tickets/alloop.toml")
            config.write_text(config.read_text().replace('"lora"', '"tfidf"'))
    assert list(said) == ["init", "round", "label", "report"]
    assert "Pushed 45 texts to: terminal." in said["round"][0]
    assert "45 labelled, 0 left." in said["label"][0]
    assert "Trained on 25 labels. Accuracy" in said["round"][1]
    assert "accuracy by labels paid for" in said["report"][0]

    Path("new.csv").write_text("text\nit crashes on Sundays\nI love how I can sing\n")
    for line in block("When you are content with the curve:", "sh").splitlines():
        shell(line.split("  #")[0])
    assert [row.labels for row in rows("labelled.csv")] == [("bug",), ("praise",)]
    assert {row.text: row.labels[0] for row in rows("labels.csv") if row.labels}.items() <= dict(TICKETS).items()
    assert len(rows("labels.csv")) == 45

    done("label", "tickets", stdin=answers())
    exec(block("## From Python", "python"), {})
    assert "Trained on 50 labels." in done("round", "tickets", "--no-push", "--now").err


def rows(file: str) -> list[Row]:
    return list(read(file, inspect(file, text=["text"], label="label")))


def test_every_command_is_in_the_readme() -> None:
    commands = re.findall(r"^  ([a-z]+)  ", done("--help").out.split("Commands:")[1], re.MULTILINE)
    assert [name for name in commands if f"`alloop {name}" not in README] == []


def test_every_option_in_the_readme_exists() -> None:
    helps = {name: done(name, "--help").out for name in re.findall(r"^  ([a-z]+)  ", done("--help").out, re.MULTILINE)}
    for line in [*block("<!-- a test runs", "sh").splitlines(), *re.findall(r"`alloop ([a-z]+ [^`]*)`", README)]:
        name, *words = line.split("#")[0].removeprefix("alloop ").split()
        for word in words:
            if word.startswith("--") and name in helps:
                assert word in helps[name], line


def test_every_strategy_and_stopping_rule_is_in_the_readme() -> None:
    from alloop.stopping import stopping
    from alloop.strategies import strategies

    assert [name for name in [*strategies.names(), *stopping.names()] if f"`{name}`" not in README] == []


def test_the_changelog_starts_with_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    first = re.search(r"^## \[?v?([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == version
