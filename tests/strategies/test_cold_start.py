"""What may pick before there is a model: said of the config, before any work."""

from pathlib import Path

import pytest

from alloop import registry
from alloop.config import load
from alloop.errors import ConfigError
from alloop.project import check_plugins
from alloop.registry import Registry
from alloop.rounds import run_round
from tests.conftest import project_toml


def refused(config: Path, **settings: object) -> ConfigError:
    config.write_text(project_toml(**settings))  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        check_plugins(load(config), config)
    return caught.value


def named(hint: str | None) -> list[str]:
    return str(hint).removeprefix("set round.cold_start to one that can: ").split(", ")


def test_a_cold_start_that_needs_a_model_is_refused_by_its_line_with_all_that_need_none(tmp_path):
    error = refused(tmp_path / "alloop.toml", cold_start="margin")
    assert (
        "alloop.toml, line 10: round.cold_start: 'margin' cannot pick before there is a model: it needs probs"
        in str(error.message)
    )
    assert {"random", "kmeans", "coreset", "typiclust", "probcover", "herding"} <= set(named(error.hint))
    assert not {"margin", "badge", "bald", "committee", "cvirs"} & set(named(error.hint))


def test_what_the_hint_names_is_accepted(tmp_path):
    config = tmp_path / "alloop.toml"
    for name in named(refused(config, cold_start="margin").hint):
        config.write_text(project_toml(cold_start=name))
        check_plugins(load(config), config)


def test_an_option_can_make_a_strategy_need_a_model(tmp_path):
    more = '[options.herding]\nweight = "uncertainty"\n'
    error = refused(tmp_path / "alloop.toml", cold_start="herding", more=more)
    assert "options.herding: 'herding' cannot pick before there is a model: it needs probs" in error.message
    assert "herding" not in named(error.hint)


def test_a_tuner_without_what_it_needs_is_not_blamed_for_it(tmp_path):
    error = refused(tmp_path / "alloop.toml", cold_start="bald")
    assert "it needs samples" in error.message
    assert "tuner" not in str(error.hint)


def test_a_broken_plug_in_of_another_package_is_not_named_and_hides_no_other(tmp_path, monkeypatch):
    broken = registry.EntryPoint("broken", "no_such_package:Strategy", "alloop.strategies")
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken] if group == broken.group else [])
    with_broken = Registry("strategies", "alloop.strategies")
    assert "broken" in with_broken.names()
    monkeypatch.setattr("alloop.strategies.strategies", with_broken)
    names = named(refused(tmp_path / "alloop.toml", cold_start="margin").hint)
    assert "broken" not in names
    assert "typiclust" in names


def test_a_round_that_was_begun_with_one_is_refused_too(make_project, monkeypatch):
    here = make_project()
    path = here.root / "alloop.toml"
    path.write_text(path.read_text().replace('cold_start = "kmeans"', 'cold_start = "margin"'))
    monkeypatch.setattr("alloop.rounds.check_plugins", lambda config, path: None)
    with pytest.raises(ConfigError, match="'margin' cannot pick before there is a model"):
        run_round(here)
    assert not here.store.picks(1)
