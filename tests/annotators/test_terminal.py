import dataclasses
import io
import json
import os
import pty
import select
import subprocess
import sys
import time

import pytest
from rich.console import Console

from alloop.annotators import Desk
from alloop.annotators._answers import record
from alloop.annotators._session import STEERING, harmless, hotkeys
from alloop.annotators.terminal import Terminal, session
from alloop.errors import DataError

MANY = [f"topic {number:02d}" for number in range(40)]


@pytest.fixture
def lines(desk, monkeypatch):
    """Run a session on lines instead of keys; returns its summary and what was shown."""

    def run(*typed, at=desk, annotator="me", **more):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in typed)))
        shown = io.StringIO()
        return session(at, annotator, Console(file=shown, width=80), **more), shown.getvalue()

    return run


def said(desk):
    """Task number, state and labels of each answer ever given."""
    found = Terminal().pull("", desk).annotations
    return [(one.task_key.split("-")[1][0], one.state, one.labels) for one in found]


@pytest.fixture
def pushed(desk, make_task):
    assert Terminal().push([make_task(n) for n in range(3)], desk)["p1:t1-0:1"] == "p1:t1-0:1"
    return desk


# Lines


def test_keys_and_names_are_answers_and_a_space_skips(pushed, lines):
    summary, _ = lines("1", "deliv", " ")
    assert said(pushed) == [("0", "labelled", ("billing",)), ("1", "labelled", ("delivery",)), ("2", "skipped", ())]
    assert (summary.answered, summary.skipped, summary.left) == (2, 1, 0)
    (one, *_) = Terminal().pull("", pushed).annotations
    assert (one.remote_id, one.version, one.annotator) == ("p1:t1-0:1#me", "1", "me")
    assert one.seconds >= 0


def test_a_mistyped_label_is_asked_again_with_the_nearest(pushed, lines):
    _, shown = lines("biling", "", "q")
    assert "there is no label 'biling'; did you mean 'billing'?" in shown
    assert said(pushed) == []


def test_undo_takes_the_last_answer_back_also_in_a_later_session(pushed, lines):
    lines("1", "2", "q")
    summary, shown = lines("u", "3", "q")
    assert "took back: delivery" in shown
    assert said(pushed)[2:] == [("1", "deleted", ()), ("1", "labelled", ("account",))]
    assert summary.left == 1
    lines("u", "u", "u", "u", "q")
    assert [state for _, state, _ in said(pushed)].count("deleted") == 3


def test_the_very_last_answer_can_be_taken_back(pushed, lines):
    lines("1", "1", "1", "u", "2")
    assert said(pushed)[-2:] == [("2", "deleted", ()), ("2", "labelled", ("delivery",))]


def test_each_annotator_is_asked_until_enough_have_answered(pushed, lines):
    two = dataclasses.replace(pushed, annotators_per_text=2)
    lines("1", "1", "1", at=two, annotator="anna")
    assert lines("2", "q", at=two, annotator="bob")[0].left == 2
    assert lines(at=pushed, annotator="cleo")[0].left == 0
    assert lines(at=two, annotator="cleo", withdrawn=["p1:t1-1:1"])[0].left == 1


def test_several_labels_or_none_of_them(desk, make_task, lines):
    multi = dataclasses.replace(desk, kind="multi")
    Terminal().push([make_task(n) for n in range(3)], multi)
    lines("account | 1", "", "s", at=multi)
    assert [labels for _, _, labels in said(multi)] == [("billing", "account"), (), ()]
    assert [state for _, state, _ in said(multi)] == ["labelled", "labelled", "skipped"]


def test_pushing_again_after_a_kill_queues_each_task_once(desk, make_task, lines):
    tasks = [make_task(n) for n in range(3)]
    Terminal().push(tasks, desk)
    path = desk.inbox / "tasks.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    Terminal().push(tasks, desk)
    assert lines("q")[0].left == 3


def test_an_answer_torn_by_a_power_cut_is_asked_again(pushed, lines):
    lines("1", "1", "q")
    path = pushed.inbox / "answers.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert lines("3", "q")[0].left == 1
    assert [labels for _, _, labels in said(pushed)] == [("billing",), ("account",)]


def test_a_damaged_line_is_an_error_that_names_the_file(pushed):
    (pushed.inbox / "answers.jsonl").write_text("{oh\n")
    with pytest.raises(DataError, match=r"answers\.jsonl"):
        Terminal().pull("", pushed)


def test_answers_of_two_people_at_once_keep_their_numbers_apart(pushed):
    code = (
        "import sys; from pathlib import Path; from alloop.annotators._answers import record\n"
        "for n in range(40): record(Path(sys.argv[1]), f'k{n}', sys.argv[2], 'labelled', ('billing',))"
    )
    people = [subprocess.Popen([sys.executable, "-c", code, pushed.inbox, who]) for who in ("anna", "bob")]
    assert [one.wait() for one in people] == [0, 0]
    assert [one.version for one in Terminal().pull("", pushed).annotations] == [str(n) for n in range(1, 81)]


def test_the_suggestion_is_marked_and_a_blind_task_shows_none(desk, make_task, lines):
    guess = {"billing": 0.7, "delivery": 0.3}
    Terminal().push([make_task(1, suggestion=guess), make_task(2, suggestion=guess, blind=False)], desk)
    _, shown = lines("1", "1")
    assert shown.count("the model suggests: billing 70%, delivery 30%") == 1


def test_texts_can_neither_steer_the_terminal_nor_use_markup(desk, make_task, lines):
    Terminal().push([make_task(1, "\x1b]0;owned\x07[bold]x[/] \u202eabc\x9b2J", metadata={"from": "\x1b[2J"})], desk)
    _, shown = lines("q")
    assert "␛]0;owned␇[bold]x[/] �abc�2J" in shown
    assert "\x1b" not in shown
    assert harmless("a\r\nb\tمرحبا 👩‍👩‍👧") == "a\nb\tمرحبا 👩‍👩‍👧"


def test_labels_never_get_a_key_that_steers():
    names = [f"label {number}" for number in range(32)]
    keys = hotkeys(names)
    assert list(keys.values()) == names
    assert not set(keys) & set(STEERING)
    assert hotkeys([*names, "one more"]) == {}
    assert hotkeys(["0", "1", "q", "B"]) == {"0": "0", "1": "1", "2": "q", "b": "B"}


# Keys, on a real pseudo-terminal

SESSION = """
import json, sys
from pathlib import Path
from rich.console import Console
from alloop.annotators import Desk
from alloop.annotators.terminal import session
about = json.loads(sys.argv[1])
desk = Desk("p1", Path(about["inbox"]), about["kind"], about["label_names"])
summary = session(desk, "me", Console(stderr=True, highlight=False, width=80, height=24))
print("ENDED", summary.answered, summary.skipped, summary.left)
"""


class Typist:
    """Somebody at a terminal: presses keys once something is on the screen."""

    def __init__(self, desk: Desk) -> None:
        about = {"inbox": str(desk.inbox), "kind": desk.kind, "label_names": dict(desk.label_names)}
        self.end, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm"}
        command = [sys.executable, "-c", SESSION, json.dumps(about)]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)

    def waits_for(self, words: str) -> str:
        screen, until = "", time.monotonic() + 20
        while words not in screen:
            assert time.monotonic() < until, screen
            if select.select([self.end], [], [], 0.1)[0]:
                screen += os.read(self.end, 65536).decode(errors="replace")
        return screen

    def press(self, keys: str | bytes) -> None:
        os.write(self.end, keys if isinstance(keys, bytes) else keys.encode())


@pytest.fixture
def sit_down():
    people = []

    def start(desk):
        people.append(Typist(desk))
        return people[-1]

    yield start
    for one in people:
        one.process.kill()
        one.process.wait()
        os.close(one.end)


def test_single_keys_answer_undo_skip_and_quit(pushed, sit_down):
    one = sit_down(pushed)
    assert "1  billing" in one.waits_for("? = help")
    for keys, then in [("1", "text 2/3"), ("\x1b[C2", "text 3/3"), ("u", "took back: delivery"), (" ", "text 3/3")]:
        one.press(keys)
        one.waits_for(then)
    one.press("q")
    one.waits_for("ENDED 1 1 1")
    assert [labels for _, _, labels in said(pushed)] == [("billing",), ("delivery",), (), ()]


@pytest.mark.parametrize("key", ["\x03", "\x04", "q"])
def test_every_way_out_leaves_the_answers_and_the_terminal_in_order(pushed, sit_down, key):
    one = sit_down(pushed)
    one.waits_for("? = help")
    one.press("x1")
    one.waits_for("text 2/3")
    one.press(key)
    one.waits_for("ENDED 1 0 2")
    assert said(pushed) == [("0", "labelled", ("billing",))]


def test_keys_toggle_several_labels_and_enter_confirms(desk, make_task, sit_down):
    multi = dataclasses.replace(desk, kind="multi")
    Terminal().push([make_task(n) for n in range(3)], multi)
    one = sit_down(multi)
    one.waits_for("Enter = none of them applies")
    one.press("213")
    one.waits_for("Enter = billing, delivery, account")
    one.press("2\r")
    one.waits_for("text 2/3")
    one.press("\r")
    one.waits_for("text 3/3")
    one.press("q")
    one.waits_for("ENDED 2 0 1")
    assert [labels for _, _, labels in said(multi)] == [("billing", "account"), ()]


def test_with_many_labels_one_types_the_start_of_a_name(desk, make_task, sit_down):
    many = dataclasses.replace(desk, label_names=dict.fromkeys([*MANY, "squash", "später"], ""))
    Terminal().push([make_task(n) for n in range(4)], many)
    one = sit_down(many)
    one.waits_for("type the start")
    for keys, then in [("squ\r", "text 2/4"), ("spä\r", "text 3/4"), ("topic 3", "> topic 30")]:
        one.press(keys)
        one.waits_for(then)
    one.press("\x7f17\r")
    one.waits_for("text 4/4")
    one.press("\x7f")
    one.waits_for("took back")
    one.press("\x04")
    one.waits_for("ENDED 2 0 2")
    assert [labels for _, _, labels in said(many)][:3] == [("squash",), ("später",), ("topic 17",)]


def test_a_long_text_is_shown_page_by_page(desk, make_task, sit_down):
    Terminal().push([make_task(1, "\n".join(f"line {n}." for n in range(100)))], desk)
    one = sit_down(desk)
    first = one.waits_for("? = help")
    assert "line 0." in first
    assert "line 50." not in first
    one.press("\x1b[6~" * 20)
    one.waits_for("line 99.")
    one.press("q")
    one.waits_for("ENDED")


def test_an_undo_is_pulled_as_a_newer_version_of_the_same_answer(pushed):
    record(pushed.inbox, "p1:t1-0:1", "me", "labelled", ("billing",), 3.0)
    record(pushed.inbox, "p1:t1-0:1", "me", "deleted")
    first, second = Terminal().pull("", pushed).annotations
    assert first.remote_id == second.remote_id
    assert [first.version, second.version] == ["1", "2"]
