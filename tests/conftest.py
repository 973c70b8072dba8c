"""What all tests share: small projects of real parts, and the rule that CI skips nothing."""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from alloop.intake import create
from alloop.project import Project
from tests.nltk_data import WORDNET, make_nltk_data

ANIMALS = ["cat", "dog", "horse", "cow", "sheep", "goat", "hen", "duck"]
VEHICLES = ["car", "bus", "train", "tram", "lorry", "plane", "ship", "bike"]
PLACES = ["here", "there", "at home", "in town", "far away", "next door"]


def sentences() -> list[tuple[str, str]]:
    """96 texts a person would tell apart at once: (text, "animal" or "vehicle")."""
    rows = []
    for place in PLACES:
        rows += [(f"the {animal} sleeps {place}", "animal") for animal in ANIMALS]
        rows += [(f"the {vehicle} stops {place}", "vehicle") for vehicle in VEHICLES]
    return rows


@pytest.fixture(autouse=True)
def _no_studio_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Label Studio that the developer has running is not used by projects of tests."""
    monkeypatch.setenv("ALLOOP_HOME", str(tmp_path / "home"))


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., str]:
    """Write rows to a CSV file in the test's directory; returns its path."""

    def write(name: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
        path = tmp_path / name
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return str(path)

    return write


@pytest.fixture
def make_project(tmp_path: Path, write_csv: Callable[..., str]) -> Callable[..., Project]:
    """A project of 72 pool texts and 24 test texts, with tf-idf and the simulated annotator.

    With another annotator the pool has no labels."""

    def make(name: str = "project", **settings: object) -> Project:
        rows = sentences()
        pool = [row for i, row in enumerate(rows) if i % 4]
        known = settings.get("annotate", "simulated") == "simulated"
        config = tmp_path / f"{name}.toml"
        config.write_text(project_toml(**settings))
        project, _ = create(
            tmp_path / name,
            source=config,
            data=[
                write_csv(
                    "pool.csv", ["text", "label"] if known else ["text"], pool if known else [row[:1] for row in pool]
                )
            ],
            test=write_csv("test.csv", ["text", "label"], rows[::4]),
        )
        return project

    return make


@pytest.fixture(scope="session")
def nltk_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `synonyms` and `antonyms` need of nltk's data: the real WordNet, and a tagger of a dozen sentences."""
    if not WORDNET.joinpath("data.noun").exists():
        pytest.skip("no WordNet: .ci/run installs it, or apt install wordnet-base")
    directory = tmp_path_factory.mktemp("nltk_data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NLTK_DATA", str(directory))
        make_nltk_data(directory)
        yield directory


def project_toml(
    *,
    tuner: str = "tfidf",
    strategy: str = "margin",
    cold_start: str = "kmeans",
    batch: int = 8,
    batch_mode: str = "top",
    rules: str = "",
    labels: str = 'labels = ["animal", "vehicle"]',
    annotate: str = "simulated",
    more: str = "",
) -> str:
    """A config for the sentences above."""
    return f"""
[task]
{labels}
[data]
text = "text"
[model]
tuner = "{tuner}"
[round]
strategy = "{strategy}"
cold_start = "{cold_start}"
batch = {batch}
batch_mode = "{batch_mode}"
{rules}
[annotate]
with = "{annotate}"
{more}
"""


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Under ALLOOP_NO_SKIPS a test that skips fails the run: CI has everything the tests need."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("ALLOOP_NO_SKIPS") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
