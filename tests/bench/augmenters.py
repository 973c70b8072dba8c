"""Children a minute of every augmenter that changes words or letters, by one process.

    python tests/bench/augmenters.py [--data FILE.csv.gz] [--seconds 10]

Each goes through the texts again and again for so many seconds, as a round asks it: one text and one child at a time,
each with a seed of its own.
Without --data the texts are made up; with it, they are the column `text` of a file. `synonyms` and `antonyms` need
nltk's data, and say so without it.
"""

import argparse
import csv
import gzip
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from alloop.augmenters import Augmenter, Prepares, Surroundings, augmenters
from alloop.errors import AlloopError
from alloop.steps.augment import _made

NAMES = ["antonyms", "delete-words", "keyboard", "ocr", "random-chars", "spelling", "split-words", "swap-words"]
NAMES += ["synonyms", "tfidf-words"]
MOST_TEXTS = 2000  # of a file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", nargs="*", default=NAMES)
    options = parser.parse_args()
    texts = made_up() if options.data is None else read(options.data)
    words = sum(len(text.split()) for text in texts) / len(texts)
    print(f"{len(texts)} texts of {words:.1f} words on average\n")
    print("| augmenter | children a minute | texts that have a child |")
    print("|---|---:|---:|")
    for name in options.only:
        try:
            augmenter = ready(name, texts)
        except AlloopError as error:
            print(f"| `{name}` | {error.message} | |", flush=True)
            continue
        share, children = timed(augmenter, name, texts, options.seconds)
        print(f"| `{name}` | {children * 60:,.0f} | {share:.0%} |", flush=True)


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


def timed(augmenter: Augmenter, name: str, texts: Sequence[str], seconds: float) -> tuple[float, float]:
    """The share of texts that have a child, and children a second."""
    asked = children = 0
    start = time.perf_counter()
    while time.perf_counter() < start + seconds:
        children += len(_made(augmenter, name, 0, (str(asked), texts[asked % len(texts)], 1)))
        asked += 1
    return children / asked, children / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
