"""The pages about plug-ins and augmentation say what the program has: each tuner, each augmenter, each key."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from alloop.augmenters import augmenters
from alloop.config import Augment
from alloop.steps.filters import REASONS
from alloop.tuning import tuners
from alloop.tuning._finetuning import FineTuner

DOCS = Path(__file__).parents[1] / "docs"
SHARED = {field.name for field in fields(FineTuner)}
SCREEN = 60  # lines


@pytest.mark.parametrize("name", tuners.names())
def test_each_tuner_has_a_page_of_a_screen_that_names_its_options_and_its_figures(name: str) -> None:
    page = (DOCS / "tuners" / f"{name}.md").read_text(encoding="utf-8")
    assert len(page.splitlines()) <= SCREEN
    own = {option for option in tuners.options(name) if option not in SHARED or name == "features"}
    unsaid = {option for option in own if f"`{option}`" not in page}
    assert not unsaid
    for part in ("When to take it", "Options", "Source", "Measured", f'tuner = "{name}"'):
        assert part in page
    assert f"| [`{name}`]({name}.md) | 0." in page, "its row of the table"


@pytest.mark.parametrize("name", tuners.names())
def test_defaults_on_a_page_are_those_of_the_program(name: str) -> None:
    page = (DOCS / "tuners" / f"{name}.md").read_text(encoding="utf-8")
    options = tuners.options(name)
    for option, said in re.findall(r"`(\w+)` \(([^;,)]+)", page):
        assert option in options, option
        default = options[option]
        known = {str(default), str(default).lower(), f"{default:,}" if isinstance(default, int) else ""}
        known |= {f'"{default}"', f"{default:g}" if isinstance(default, float) else ""}
        if isinstance(default, float):
            assert float(said) == default, option
        else:
            assert said in known, option


def test_the_page_of_all_tuners_names_the_options_they_share_and_every_tuner() -> None:
    page = (DOCS / "tuners.md").read_text(encoding="utf-8")
    assert not {option for option in SHARED - {"base", "max_tokens"} if f"`{option}`" not in page}
    assert not {name for name in tuners.names() if f"tuners/{name}.md" not in page}


def test_the_page_about_augmentation_names_every_key_and_every_reason() -> None:
    page = (DOCS / "augmentation.md").read_text(encoding="utf-8")
    assert not {key for key in Augment.model_fields if f"| `{key}` |" not in page}
    assert not {reason for reason, why in REASONS.items() if f"| {reason} | {why} |" not in page}


def test_every_augmenter_has_a_row_that_says_when_it_hurts() -> None:
    page = (DOCS / "augmenters.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| .+ \| .+ \| .+ \|$", page.split("## How fast")[0], re.MULTILINE)
    assert sorted(rows) == augmenters.names()
