"""The interactive part of `alloop label`: show a text, hear what it is, write that down, show the next.

Each label has a key, unless there are more labels than keys: then one types the start of a name. Keys that steer are
never keys of labels. Where stdin is no terminal, each line is an answer. Texts are shown without trusting them: what
could steer the terminal, or turn the reading direction, is made visible instead.
"""

import re
import string
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rich.box import HORIZONTALS
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from alloop.annotators import Desk
from alloop.annotators._answers import open_tasks, record, standing_answers, whoami
from alloop.annotators._keys import END, read_key, read_line, single_keys
from alloop.errors import did_you_mean
from alloop.records import Task

STEERING = "suq?"
FREE_KEYS = "123456789" + "".join(letter for letter in string.ascii_lowercase if letter not in STEERING)
LONGEST_SHOWN = 20_000  # characters
LONGEST_PAUSE_S = 120.0  # a longer wait for a key counts as this: somebody went for coffee
MATCHES_SHOWN = 8

SKIP, UNDO, QUIT = "skip", "undo", "quit"
Verdict = str | tuple[str, ...]  # SKIP, UNDO, QUIT, or the labels


@dataclass(frozen=True, slots=True)
class Summary:
    """What a session came to; `left` is what this annotator can still be asked."""

    annotator: str
    answered: int
    skipped: int
    left: int


def session(
    desk: Desk, annotator: str | None = None, console: Console | None = None, withdrawn: Collection[str] = ()
) -> Summary:
    """Ask until nothing is left or the annotator quits. Each answer is on disk before the next text is shown.

    `withdrawn` are keys of tasks not to ask any more. The console defaults to stderr.
    """
    who, console = annotator or whoami(), console or Console(stderr=True, highlight=False)
    if not sys.stdin.isatty():
        return _ask_all(desk, who, _Lines(desk, console), withdrawn)
    with single_keys():
        return _ask_all(desk, who, _Keys(desk, console), withdrawn)


def hotkeys(names: Sequence[str]) -> dict[str, str]:
    """Key -> label: a label named like a key gets that one, the others 1-9, then a-z. None where keys run out."""
    if len(names) > len(FREE_KEYS):
        return {}
    own = {name.lower(): name for name in reversed(names) if name.lower() in {*FREE_KEYS, "0"}}
    rest = iter(key for key in FREE_KEYS if key not in own)
    keys = {name: key for key, name in own.items()}
    return {keys.get(name) or next(rest): name for name in names}


def harmless(text: str) -> str:
    """The text with everything visible that could steer a terminal or turn the reading direction."""
    return _UNSAFE.sub(_picture, text.replace("\r\n", "\n").replace("\r", "\n"))


@dataclass
class _Question:
    """A text being asked about, and what was done to it so far."""

    task: Task
    place: str
    note: str = ""
    chosen: set[str] = field(default_factory=set)
    typed: str = ""
    top: int = 0  # the first line shown of a long text
    seconds: float = 0.0


def _ask_all(desk: Desk, who: str, asker: "_Keys | _Lines", withdrawn: Collection[str]) -> Summary:
    counts = {"labelled": 0, "skipped": 0}
    note, again = "", ""
    while True:
        left = sorted(open_tasks(desk, who, withdrawn), key=lambda task: task.key != again)
        mine = [key for key, annotator in standing_answers(desk.inbox) if annotator == who and key not in withdrawn]
        done = sum(counts.values())
        if not left:
            verdict: Verdict = asker.finish(done) if mine else QUIT
        else:
            question = _Question(left[0], f"{done + 1}/{done + len(left)}", note)
            verdict = asker.ask(question)
        note = again = ""
        if verdict == UNDO and mine:
            again = mine[-1]
            taken_back = standing_answers(desk.inbox)[again, who]
            record(desk.inbox, again, who, "deleted")
            counts[taken_back.state] = max(0, counts[taken_back.state] - 1)  # it may be of an earlier session
            note = f"took back: {', '.join(taken_back.labels) or taken_back.state}"
        elif verdict == UNDO:
            note = "there is nothing to take back"
        elif verdict == QUIT:
            return Summary(who, counts["labelled"], counts["skipped"], len(left))
        elif isinstance(verdict, tuple):
            record(desk.inbox, question.task.key, who, "labelled", verdict, question.seconds)
            counts["labelled"] += 1
        else:
            record(desk.inbox, question.task.key, who, "skipped", seconds=question.seconds)
            counts["skipped"] += 1


class _Asker:
    """What both ways of asking share."""

    def __init__(self, desk: Desk, console: Console) -> None:
        self.desk, self.console = desk, console
        self.names = list(desk.label_names)
        self.keys = hotkeys(self.names)
        self.key_of = {name: key for key, name in self.keys.items()}
        self.is_multi = desk.kind == "multi"

    def header(self, question: _Question) -> Text:
        task = question.task
        facts = [f"text {question.place}", f"round {task.round}", *(f"{k}: {v}" for k, v in task.metadata.items())]
        return Text(harmless("  ·  ".join(facts)).replace("\n", " "), style="dim")

    def suggestion(self, task: Task) -> Mapping[str, float]:
        return {} if task.blind else task.suggestion or {}

    def suggested(self, task: Task) -> Text:
        """The model's best three, marked as the model's."""
        best = sorted(self.suggestion(task).items(), key=lambda one: -one[1])[:3]
        said = ", ".join(f"{harmless(name)} {probability:.0%}" for name, probability in best)
        return Text(f"the model suggests: {said}" if said else "", style="italic")

    def legend(self, described: bool = False, chosen: Collection[str] = ()) -> RenderableType:
        """The labels with their keys; with descriptions where asked for or where there is room."""
        described = described or len(self.names) <= len("123456789")
        rows = []
        for name in self.names:
            box = ("[x] " if name in chosen else "[ ] ") if self.is_multi else ""
            about = self.desk.label_names[name] if described else ""
            row = f"{box}{self.key_of.get(name, '')}  {name}{'  – ' + about if about else ''}"
            rows.append(Text(harmless(row).replace("\n", " "), style="bold" if name in chosen else ""))
        return Group(*rows) if described else Columns(rows, padding=(0, 3))

    def find(self, said: str) -> str | None:
        """The label meant by a key, a name, or the start of exactly one name."""
        if said in self.keys or said in self.names:
            return self.keys.get(said, said)
        near = self.matches(said)
        return near[0] if said and (len(near) == 1 or (near and near[0].lower() == said.lower())) else None

    def matches(self, typed: str) -> list[str]:
        """Labels whose names start with what was typed, the name itself first; else those that contain it."""
        small = typed.lower()
        found = [name for name in self.names if name.lower().startswith(small)]
        found = found or [name for name in self.names if small in name.lower()]
        return sorted(found, key=lambda name: (name != typed, name.lower() != small))


class _Lines(_Asker):
    """One line, one answer: for pipes, scripts and terminals that cannot do better."""

    HOW = "s or a space = skip, u = undo, q = quit, ? = help, =NAME = the label NAME whatever it is called"

    def ask(self, question: _Question) -> Verdict:
        if question.place.startswith("1/"):
            self._help()
        while True:
            if question.note:
                self.console.print(Text(harmless(question.note)))
            body = Panel(Text(_shown(question.task.text)), box=HORIZONTALS)
            self.console.print(Group(self.header(question), body, self.suggested(question.task)))
            started = time.monotonic()
            line = read_line()
            question.seconds += min(time.monotonic() - started, LONGEST_PAUSE_S)
            verdict = self._understand(line, question)
            if verdict is not None:
                return verdict

    def finish(self, done: int) -> Verdict:
        self.console.print(f"No text is left ({done} done). u = take back the last answer.")
        return UNDO if read_line() == "u" else QUIT

    def _understand(self, line: str, question: _Question) -> Verdict | None:
        words = {END: QUIT, "q": QUIT, "s": SKIP, "u": UNDO}
        if line in words or line == " ":
            return words.get(line, SKIP)
        if line == "?":
            self._help()
            return None
        if not line.strip() and not self.is_multi:
            question.note = "say which label, or s to skip"
            return None
        parts = [line] if line.startswith("=") or not self.is_multi else line.split(self.desk.separator)
        said = [part.strip() for part in parts if part.strip()]
        found = [self.find(part) if not part.startswith("=") else part[1:] for part in said]
        wrong = [part for part, name in zip(said, found, strict=True) if name not in self.desk.label_names]
        if wrong:
            near = did_you_mean(wrong[0], self.names)
            question.note = f"there is no label {wrong[0]!r}" + (f"; did you mean {near!r}?" if near else "; try ?")
            return None
        return tuple(name for name in self.names if name in found)

    def _help(self) -> None:
        many = f"; several labels joined by {self.desk.separator}; an empty line = none applies"
        how = f"A line is a label's key or name{many if self.is_multi else ''}. {self.HOW}"
        self.console.print(Group(self.legend(described=True), Text(how)))


class _Keys(_Asker):
    """One key, one answer; the screen is drawn anew after each key."""

    def ask(self, question: _Question) -> Verdict:
        body = list(Text(_shown(question.task.text)).wrap(self.console, max(20, self.console.width - 4)))
        while True:
            room = self._draw(question, body)
            started = time.monotonic()
            key = read_key()
            question.seconds += min(time.monotonic() - started, LONGEST_PAUSE_S)
            question.note = ""
            scroll = {"up": -1, "down": 1, "page up": 1 - room, "page down": room - 1}.get(key)
            if scroll is not None:
                question.top = max(0, min(question.top + scroll, len(body) - room))
                continue
            verdict = self._press(key, question)
            if verdict is not None:
                return verdict

    def finish(self, done: int) -> Verdict:
        self.console.print(f"No text is left ({done} done). u = take back the last answer, any other key = finish.")
        return UNDO if read_key() in ("u", "backspace") else QUIT

    def _press(self, key: str, question: _Question) -> Verdict | None:
        if key == END:
            return QUIT
        if not question.typed and key in (" ", "backspace", "?"):
            if key == "?":
                self._help()
            return {" ": SKIP, "backspace": UNDO}.get(key)
        if self.keys and key in ("s", "u", "q"):
            return {"s": SKIP, "u": UNDO, "q": QUIT}[key]
        if key == "escape":
            question.typed, question.chosen = "", set()
        elif key == "enter":
            return self._enter(question)
        elif key and not self.keys:
            question.typed = question.typed[:-1] if key == "backspace" else question.typed + key
        elif key.lower() in self.keys:
            return self._choose(self.keys[key.lower()], question)
        elif key:
            question.note = f"{key} is no label's key; ? = help"
        return None

    def _enter(self, question: _Question) -> Verdict | None:
        if question.typed:
            found = self.matches(question.typed)
            question.note = "" if found else f"no label has {question.typed!r} in its name"
            return self._choose(found[0], question) if found else None
        if self.is_multi:
            return tuple(name for name in self.names if name in question.chosen)
        question.note = "choose a label first" if self.keys else "type the start of a label first"
        return None

    def _choose(self, name: str, question: _Question) -> Verdict | None:
        question.typed = ""
        if not self.is_multi:
            return (name,)
        question.chosen ^= {name}
        return None

    def _draw(self, question: _Question, body: Sequence[Text]) -> int:
        """Returns how many lines of the text fit."""
        below: list[RenderableType] = [self.suggested(question.task)] if self.suggestion(question.task) else []
        below.append(self.legend(chosen=question.chosen) if self.keys else self._typing(question))
        if self.is_multi:
            chosen = ", ".join(name for name in self.names if name in question.chosen)
            below.append(Text(f"Enter = {harmless(chosen) or 'none of them applies'}", style="bold"))
        below.append(Text(self._controls(), style="dim"))
        if question.note:
            below.append(Text(harmless(question.note), style="bold"))
        header = self.header(question)
        taken = len(self.console.render_lines(Group(header, *below), pad=False)) + 3  # two rules and the cursor
        room = max(5, self.console.height - taken)
        lines = list(body[question.top : question.top + room])
        place = f"lines {question.top + 1}-{question.top + len(lines)} of {len(body)}: PgUp, PgDn"
        text = Panel(Text("\n").join(lines), box=HORIZONTALS, subtitle=place if len(body) > room else None)
        self.console.clear()
        self.console.print(Group(header, text, *below))
        return room

    def _typing(self, question: _Question) -> RenderableType:
        found = self.matches(question.typed) if question.typed else self.names
        first = [harmless(name) for name in found[:MATCHES_SHOWN]]
        rows = [f"{'>' if question.typed and not place else ' '} {name}" for place, name in enumerate(first)]
        more = [f"  … {len(found) - MATCHES_SHOWN} more"] if len(found) > MATCHES_SHOWN else []
        prompt = f"label: {question.typed}_   (type the start of its name, then Enter)"
        return Group(Text(prompt), *(Text(row) for row in (*rows, *more)))

    def _controls(self) -> str:
        if self.keys:
            return "s or Space = skip   u or Backspace = undo   q = quit   ? = help"
        return "Space = skip   Backspace = undo   Ctrl-D = quit   Esc = clear   ? = help"

    def _help(self) -> None:
        self.console.clear()
        self.console.print(Group(self.legend(described=True), Text(self._controls()), Text("any key = go on")))
        read_key()


# C0 and C1 controls but tab and newline, line and paragraph separators, marks that turn the direction, half characters
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else "\ufffd"


def _shown(text: str) -> str:
    rest = len(text) - LONGEST_SHOWN
    return harmless(text[:LONGEST_SHOWN]) + (f"\n[… {rest:,} more characters]" if rest > 0 else "")
