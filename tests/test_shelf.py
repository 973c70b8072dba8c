"""What `alloop plugins` shows."""

import json

import pytest

from alloop.errors import ConfigError, UsageError
from alloop.shelf import FAMILIES, as_text, contents


def test_every_plugin_has_a_summary_and_options_that_json_can_hold() -> None:
    found = contents()
    assert list(found) == list(FAMILIES)
    assert json.loads(json.dumps(found)).keys() == found.keys()
    assert all(about["summary"].endswith(".") for members in found.values() for about in members.values())


def test_one_family_or_one_plugin_can_be_asked_for() -> None:
    assert list(contents("tuners")) == ["tuners"]
    assert list(contents("tuners", "tfidf")["tuners"]) == ["tfidf"]
    assert "annotators:\n  file " in as_text(contents("annotators", "file"), details=True)


def test_help_explains_inherited_options_too() -> None:
    help_of_full = contents("tuners", "full")["tuners"]["full"]["help"]
    assert "accumulate: in how many parts" in help_of_full
    assert help_of_full.count("class_weights:") == 1


def test_an_unknown_family_or_plugin_gets_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        contents("tuner")
    assert caught.value.hint == "did you mean 'tuners'?"
    with pytest.raises(ConfigError) as wrong:
        contents("tuners", "tfdif")
    assert wrong.value.hint == "did you mean 'tfidf'?"
