"""Single keys from a terminal, or lines from anything else."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

END = "end"  # Ctrl-C, Ctrl-D, or nothing more to read
NAMED = {
    b"\r": "enter",
    b"\n": "enter",
    b"\x7f": "backspace",
    b"\x08": "backspace",
    b"\x03": END,
    b"\x04": END,
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b": "escape",
}
_REST_OF_A_KEY_S = 0.05  # an arrow key sends several bytes at once, the Escape key only one


@contextmanager
def single_keys() -> Iterator[None]:
    """The terminal gives keys at once, shows none of them, and is set back afterwards."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        mode = termios.tcgetattr(sys.stdin)
        mode[0] &= ~termios.IXON  # else Ctrl-S freezes the screen
        mode[3] &= ~termios.ISIG  # Ctrl-C is a key like the others: it ends the session in order
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, mode)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def read_key() -> str:
    """The next key: a character, a name from NAMED, or "" for a key that means nothing here."""
    try:
        key = _byte()
        if key == b"\x1b":
            key += _rest_of_escape()
        elif key >= b"\xc2":
            key += b"".join(_byte() for _ in range(1 + (key >= b"\xe0") + (key >= b"\xf0")))
    except (OSError, EOFError):  # the window was closed
        return END
    if key in NAMED:
        return NAMED[key]
    character = key.decode(errors="ignore")
    return character if character.isprintable() and len(character) == 1 else ""


def read_line() -> str:
    """The next line without its end, or END."""
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        return END
    return line.rstrip("\r\n") if line else END


def _byte() -> bytes:
    byte = os.read(sys.stdin.fileno(), 1)
    if not byte:
        raise EOFError
    return byte


def _rest_of_escape() -> bytes:
    """ESC [ … letter or ~, or ESC and one more: whole, so that the letter is not taken for a label's key."""
    rest = b""
    while select.select([sys.stdin], [], [], _REST_OF_A_KEY_S)[0]:
        rest += _byte()
        if rest[:1] == b"[":
            if len(rest) > 1 and 0x40 <= rest[-1] <= 0x7E:
                break
        elif rest != b"O":
            break
    return rest
