import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from alloop import registry
from alloop.errors import ConfigError
from alloop.project import Project
from alloop.registry import Registry
from alloop.strategies.random import Random
from tests.conftest import project_toml, sentences

ROOT = Path(__file__).parent.parent
BUILTIN = ["entropy", "kmeans", "least-confidence", "margin", "random"]


def strategies() -> Registry:
    return Registry("strategies", "alloop.strategies")


def install(monkeypatch, *entries):
    """As if packages with these (name, value) entry points were installed."""
    found = [EntryPoint(name, value, "alloop.strategies") for name, value in entries]
    monkeypatch.setattr(registry, "entry_points", lambda group: [e for e in found if e.group == group])


def test_every_file_without_an_underscore_is_a_name():
    assert [name for name in strategies().names() if name in BUILTIN] == BUILTIN
    assert not any(name.startswith(("_", "-")) for name in strategies().names())


def test_names_load_no_plug_in():
    code = """
import sys
from alloop.strategies import strategies
strategies.names()
print([m for m in sys.modules if m.startswith("alloop.strategies.")])
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"


def test_an_unknown_name_lists_what_exists_and_the_nearest():
    with pytest.raises(ConfigError, match=r"no strategy named 'margn'.*least-confidence") as caught:
        strategies().get("margn")
    assert caught.value.hint == "did you mean 'margin'?"


def test_a_name_near_to_nothing_gets_the_command_that_lists_them():
    with pytest.raises(ConfigError) as caught:
        strategies().get("zzz")
    assert caught.value.hint == "see them with: alloop plugins strategies"


def test_a_wrong_option_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="tuner 'tfidf' has no option 'strenght'") as caught:
        Registry("tuners", "alloop.tuning").build("tfidf", strenght=1.0)
    assert caught.value.hint == "did you mean 'strength'?"


def test_an_option_of_a_strategy_without_any_is_refused():
    with pytest.raises(ConfigError, match="it has: none"):
        strategies().build("random", seed=1)


def test_a_value_of_the_wrong_type_is_named_with_the_right_one():
    with pytest.raises(ConfigError, match="strength = '10' is not a number"):
        Registry("tuners", "alloop.tuning").build("tfidf", strength="10")


def test_a_whole_number_is_a_number_and_true_is_not():
    tuners = Registry("tuners", "alloop.tuning")
    assert tuners.build("tfidf", strength=3).strength == 3.0
    with pytest.raises(ConfigError, match="strength = True is not a number"):
        tuners.build("tfidf", strength=True)


def test_a_value_out_of_range_is_a_config_error_that_names_the_plug_in():
    with pytest.raises(ConfigError, match="tuner 'tfidf': strength"):
        Registry("tuners", "alloop.tuning").build("tfidf", strength=-1.0)


def test_a_third_party_strategy_is_found_by_its_entry_point(monkeypatch):
    install(monkeypatch, ("mine", "alloop.strategies.random:Random"))
    assert "mine" in strategies().names()
    assert strategies().build("mine") == Random()


def test_an_entry_point_is_not_loaded_before_it_is_asked_for(monkeypatch):
    install(monkeypatch, ("broken", "no_such_package:Strategy"))
    assert "broken" in strategies().names()
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        strategies().get("broken")


def test_a_name_that_a_built_in_has_is_an_error_naming_both(monkeypatch):
    install(monkeypatch, ("margin", "theirs.margin:Margin"))
    with pytest.raises(ConfigError, match=r"'margin': alloop\.strategies\.margin and theirs\.margin:Margin"):
        strategies().names()


def test_a_name_that_two_packages_have_is_an_error_naming_both(monkeypatch):
    install(monkeypatch, ("mine", "one:Strategy"), ("mine", "other:Strategy"))
    with pytest.raises(ConfigError, match="'mine': one:Strategy and other:Strategy"):
        strategies().names()


# ---- a package of one's own, installed where Python looks for packages -----------------------------------------------

Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def installed(tmp_path: Path) -> Callable[[str], Python]:
    """Install a package whose strategy is that of CONTRIBUTING.md, under a name; gives a Python that has it.

    What pip leaves of a package: the module, and beside it the metadata with its entry points.
    """
    site = tmp_path / "site"

    def install_as(name: str) -> Python:
        example = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
        assert example is not None
        info = site / "our_strategies-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "our_strategies.py").write_text(example[1], encoding="utf-8")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-strategies\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[alloop.strategies]\n{name} = our_strategies:LongestFirst\n")
        return python

    def python(code: str, *words: object) -> subprocess.CompletedProcess[str]:
        path = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
        command = [sys.executable, "-c", code, *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, env=path, cwd=tmp_path)

    return install_as


ALLOOP = "from alloop.cli import main; main()"


@pytest.mark.slow
def test_the_strategy_of_a_package_of_ones_own_keeps_the_contract_and_is_listed(installed):
    python = installed("longest-first")
    check = "from alloop.checks import check_strategy; from our_strategies import LongestFirst; "
    checked = python(check + "check_strategy(LongestFirst())")
    assert checked.returncode == 0, checked.stderr
    listed = python(ALLOOP, "plugins", "strategies", "--json")
    assert json.loads(listed.stdout)["strategies"]["longest-first"]["summary"] == "The longest texts first."


@pytest.mark.slow
def test_the_strategy_of_a_package_of_ones_own_picks_in_whole_rounds(installed, write_csv, tmp_path):
    python = installed("longest-first")
    config = tmp_path / "config.toml"
    config.write_text(project_toml(strategy="longest-first", cold_start="longest-first"))
    pool = write_csv("pool.csv", ["text", "label"], sentences())
    for words in (["init", "p", "--from", config, "--data", pool], ["run", "p", "--rounds", "2"]):
        ran = python(ALLOOP, *words)
        assert ran.returncode == 0, ran.stderr
    store = Project.open(tmp_path / "p").store
    for number in (1, 2):
        scores = [pick.score for pick in store.picks(number) if pick.strategy == "longest-first"]
        assert len(scores) >= 7
        assert scores == sorted(scores, reverse=True)
    longest = max(len(text) for text, _ in sentences())
    assert max(pick.score for pick in store.picks(1) if pick.strategy == "longest-first") == longest


@pytest.mark.slow
def test_a_package_with_the_name_of_a_built_in_is_an_error_that_says_which_two(installed):
    ran = installed("margin")(ALLOOP, "plugins")
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        "error: two strategies are named 'margin': alloop.strategies.margin and our_strategies:LongestFirst",
        "hint: uninstall one of the two packages",
    ]
