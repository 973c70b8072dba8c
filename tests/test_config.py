"""A config is checked when it is read, and every mistake is named with its line, key and value."""

import json
from pathlib import Path

import pytest

from alloop.config import load, parse, place_of, restore
from alloop.errors import ConfigError
from alloop.project import check_plugins

LABELS = '[task]\nlabels = ["a", "b"]\n'
BOTH = "there is both a test file and a holdout; leave one of them out"
ROOT = Path(__file__).parents[1]


def refused(content: str) -> tuple[str, str | None]:
    with pytest.raises(ConfigError) as caught:
        parse(content)
    return caught.value.message.removeprefix("alloop.toml"), caught.value.hint


def test_two_labels_are_a_config_and_everything_else_has_a_default() -> None:
    config = parse(LABELS)
    assert config.task.names == ("a", "b")
    assert (config.model.tuner, config.round.strategy, config.round.batch) == ("lora", "auto", 25)


def test_labels_may_be_tables_with_descriptions() -> None:
    config = parse('[[task.labels]]\nname = "a"\ndescription = "first"\n[[task.labels]]\nname = "b"\n')
    assert [(label.name, label.description) for label in config.task.labels] == [("a", "first"), ("b", "")]


def test_a_snapshot_restores_an_equal_config() -> None:
    config = parse(
        LABELS + '[data]\ntext = "t"\n[run]\nkeep = "all"\n[annotate]\nsuggest = 0.5\n[options.lora]\nrank = 4\n'
    )
    assert restore(config.snapshot()) == config
    assert json.loads(config.snapshot())["config_version"] == 1


def test_a_snapshot_of_a_newer_alloop_is_refused() -> None:
    newer = {**json.loads(parse(LABELS).snapshot()), "config_version": 99}
    with pytest.raises(ConfigError, match="version 99, this alloop knows 1"):
        restore(json.dumps(newer))


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("", ": [task] is missing", 'it could be: [task] labels = ["bug", "praise"]'),
        ("[task]\n", ", line 1: task.labels is missing", 'it could be: labels = ["bug", "praise"]'),
        ('[task]\nlabels = "a"', ', line 2: task.labels: "a" is not a list', 'in brackets: labels = ["a"]'),
        ("[task]\nlabels = [1, 2]", ', line 2: task.labels: label 1 is not a text; put it in quotes: "1"', None),
        ("[task]\nlabels = [true]", ', line 2: task.labels: label true is not a text; put it in quotes: "true"', None),
        ("[task]\nlabels = []", ", line 2: task.labels: two labels are needed at least, here are none", None),
        ('[task]\nlabels = ["a", "a"]', ", line 2: task.labels: label 'a' is listed twice", None),
        ('[task]\nlabels = ["a", " b"]', ", line 2: task.labels: label ' b' is empty or has spaces around it", None),
        (LABELS + 'kind = "all"', ', line 3: task.kind: "all" is not one of: single, multi', None),
        ('[task]\nkind = "Multi"', ', line 2: task.kind: "Multi" is not one of: single, multi', 'did you mean "multi"?'),  # noqa: E501
        (LABELS + "[rounds]", ", line 3: there is no key 'rounds'", "did you mean 'round'?"),
        (LABELS + "[run]\nsize = 1", ", line 4: there is no key 'run.size'", "known here: executor, keep, stop"),
        (LABELS + "round.btch = 1", ", line 3: there is no key 'task.round'", "known here: kind, labels, rename"),
        (LABELS + '[round]\nseed = "9"', ', line 4: round.seed: "9" is not a whole number', "without quotes: seed = 9"),
        (LABELS + "[round]\nbatch = 2.5", ", line 4: round.batch: 2.5 is not a whole number", None),
        (LABELS + '[round]\nnear_duplicates = "skp"', ', line 4: round.near_duplicates: "skp" is not one of: skip, pick', 'did you mean "skip"?'),  # noqa: E501
        (LABELS + '[round]\ncandidates_by = "doubt"', ', line 4: round.candidates_by: "doubt" is not one of: random, uncertain, neighbours', None),  # noqa: E501
        (LABELS + "[round]\nbalance = 1", ", line 4: round.balance: 1 is neither true nor false", None),
        (LABELS + "[round]\nbatch = 0", ", line 4: round.batch: 0 is less than 1", None),
        (LABELS + "[round]\nwait_for = 2", ", line 4: round.wait_for: 2 is more than 1.0", None),
        (LABELS + "[round]\nwait_for = nan", ", line 4: round.wait_for: nan is not a finite number", None),
        (LABELS + "[round]\nstrategy = 1", ", line 4: round.strategy: 1 is not a text", 'in quotes: strategy = "1"'),
        (LABELS + '[model]\nwarm_start = "yes"', ', line 4: model.warm_start: "yes" is neither true nor false', None),
        (LABELS + '[augment]\nuse = "x"', ', line 4: augment.use: "x" is not a list', 'in brackets: use = ["x"]'),
        (LABELS + '[data]\nseparator = ""', ", line 4: data.separator: it is empty", None),
        (LABELS + '[evaluate]\ntest = "t"\nholdout = 9', f", line 3: evaluate: {BOTH}", None),
        (LABELS + "[options]\nlora = 3", ", line 4: options.lora: 3 is not a table", None),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_what_to_write_instead(
    content: str, message: str, hint: str | None
) -> None:
    assert refused(content) == (message, hint)


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "true", '"al"', '["all"]'])
def test_keep_says_in_one_sentence_what_it_can_be(value: str) -> None:
    words = f'run.keep: {value} is neither "all" nor "metrics" nor a number of rounds, 1 or more'
    assert refused(f"{LABELS}[run]\nkeep = {value}") == (f", line 4: {words}", None)


@pytest.mark.parametrize("value", ["2", "-0.5", "true", '"some"', "nan"])
def test_suggest_says_in_one_sentence_what_it_can_be(value: str) -> None:
    words = f'annotate.suggest: {value} is neither "none" nor "all" nor a share between 0 and 1'
    assert refused(f"{LABELS}[annotate]\nsuggest = {value}") == (f", line 4: {words}", None)


@pytest.mark.parametrize("value", ["[a, b]", '["a" "b"]', "no"])
def test_what_is_no_toml_is_shown_with_its_line(value: str) -> None:
    message, hint = refused(f"[task]\nlabels = {value}\n")
    assert message.startswith(", line 2 is not TOML: ")
    assert message.endswith(f"labels = {value}")
    assert hint == 'texts stand in quotes, a list in brackets: labels = ["bug", "praise"]'


def test_a_label_with_the_separator_in_it_is_refused_where_labels_are_joined() -> None:
    message, _ = refused('[task]\nkind = "multi"\nlabels = ["a|b", "c"]')
    assert message == ": label 'a|b' contains '|', which separates labels; set another data.separator"
    assert parse('[task]\nlabels = ["a|b", "c"]').task.names == ("a|b", "c")


def test_words_that_other_formats_take_for_values_are_labels() -> None:
    names = ["no", "null", "1e5", "NA", "nan", "true"]
    assert parse(f"[task]\nlabels = {json.dumps(names)}").task.names == tuple(names)


def test_the_line_of_a_key_is_found_below_its_table() -> None:
    content = 'a.b = 1\n\n[x]\nb = 2\n\n[ x . "y" ]\nb = 3\n[[z]]\nb = 4\n'
    found = [place_of(content, "f", key) for key in ("a.b", "x.b", "x.y.b", "z.b", "x.y", "q.b")]
    assert found == ["f, line 1", "f, line 4", "f, line 7", "f, line 9", "f, line 6", "f"]


def test_a_config_that_is_missing_or_not_utf8_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"alloop\.toml does not exist"):
        load(tmp_path / "alloop.toml")
    (tmp_path / "alloop.toml").write_bytes(b'[task]\nlabels = ["caf\xe9", "b"]')
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(tmp_path / "alloop.toml")


@pytest.mark.parametrize("path", sorted([*ROOT.glob("configs/*.toml"), *ROOT.glob("projects/*/alloop.toml")]), ids=str)
def test_a_shipped_config_names_plugins_and_options_that_exist(path: Path) -> None:
    check_plugins(load(path), path)
