"""Children a minute of every augmenter that changes words or letters, by one process and by two.

    python tests/bench/augmenters.py [--data FILE.csv.gz] [--seconds 10]

Each goes through the texts again and again for so many seconds, as a round asks it: one text and one child at a time,
each with a seed of its own. The two processes are this one and a helper (alloop/sharing.py), timed from when both work.
Without --data the texts are made up; with it, they are the column `text` of a file. `synonyms` and `antonyms` need
nltk's data, and say so without it.
"""

import argparse
import csv
import gzip
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from alloop.augmenters import Augmenter, Prepares, Surroundings, augmenters
from alloop.errors import AlloopError
from alloop.sharing import cores, shared
from alloop.steps.augment import _made

NAMES = ["antonyms", "delete-words", "keyboard", "ocr", "random-chars", "spelling", "split-words", "swap-words"]
NAMES += ["synonyms", "tfidf-words"]
MOST_TEXTS = 2000  # of a file
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", nargs="*", default=NAMES)
    options = parser.parse_args()
    texts = made_up() if options.data is None else read(options.data)
    words = sum(len(text.split()) for text in texts) / len(texts)
    print(f"{len(texts)} texts of {words:.1f} words on average; {cores()} cores\n")
    print("| augmenter | children a minute, one process | two processes | texts that have a child |")
    print("|---|---:|---:|---:|")
    for name in options.only:
        try:
            augmenter = ready(name, texts)
        except AlloopError as error:
            print(f"| `{name}` | {error.message} | | |", flush=True)
            continue
        share, alone = by_one(augmenter, name, texts, options.seconds)
        both = by_two(augmenter, name, texts, asked=int(2 * alone / share * options.seconds)) * share
        print(f"| `{name}` | {alone * 60:,.0f} | {both * 60:,.0f} | {share:.0%} |", flush=True)


def made_up() -> list[str]:
    """Sentences as people write to a bank, of 4 to 20 words."""
    starts = ("Please tell me why", "I don't understand why", "Can you explain to me, slowly, why", "Yesterday")
    things = ("my new card", "the big transfer to my sister in Spain", "this payment", "your quick and friendly app")
    events = ("was declined", "never arrived", "stopped working after the last update (version 3.2)", "costs so much")
    ends = ("?", " - I am really angry!", ". See https://bank.example/help?id=7 or write to {{name}}, thanks.")
    return [f"{start} {thing} {event}{end}" for start in starts for thing in things for event in events for end in ends]


def read(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [row["text"] for row in islice(csv.DictReader(file), MOST_TEXTS)]


def ready(name: str, texts: Sequence[str]) -> Augmenter:
    augmenter = augmenters.build(name)
    if isinstance(augmenter, Prepares):
        with tempfile.TemporaryDirectory() as directory:
            augmenter = augmenter.prepared(Surroundings("single", {}, lambda: texts, Path(directory)))
    augmenter(texts[:1], 1, np.random.default_rng(0))  # imports
    return augmenter


def by_one(augmenter: Augmenter, name: str, texts: Sequence[str], seconds: float) -> tuple[float, float]:
    """The share of texts that have a child, and children a second."""
    asked = children = 0
    start = time.perf_counter()
    while time.perf_counter() < start + seconds:
        children += len(_made(augmenter, name, 0, (str(asked), texts[asked % len(texts)], 1)))
        asked += 1
    return children / asked, children / (time.perf_counter() - start)


def by_two(augmenter: Augmenter, name: str, texts: Sequence[str], asked: int) -> float:
    """Texts a second, from when the helper has given its first piece."""
    items = [(str(number), texts[number % len(texts)], 1) for number in range(asked)]
    done: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as directory:
        work = partial(together, os.getpid(), Path(directory, "begun"), partial(_made, augmenter, name, 0))
        shared(work, items, lambda n: done.append((time.perf_counter(), n)), processes=2, pays_from_s=0)
    first = next(row for row, (_, n) in enumerate(done) if n > 1)  # a helper's come in pieces
    return sum(n for _, n in done[first + 1 :]) / (done[-1][0] - done[first][0])


def together(own: int, begun: Path, make: Callable[[tuple[str, str, int]], T], item: tuple[str, str, int]) -> T:
    """This process waits for the helper, who has to import first."""
    if os.getpid() == own:
        while int(item[0]) >= 100 and not begun.exists():
            time.sleep(0.01)
        return make(item)
    made = make(item)
    begun.touch()
    return made


if __name__ == "__main__":
    import augmenters as importable  # a helper cannot import what is in __main__

    importable.main()
