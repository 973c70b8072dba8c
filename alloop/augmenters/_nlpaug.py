"""The one file that knows nlpaug. It chooses and changes words; everything between the words stays as it was.

nlpaug cuts at every sign and joins with spaces ("don ' t", "https: / a /. b"), so it never sees the text: it gets the
plain words, and what it gives back is put in the gaps they came from. Links, addresses, numbers and placeholders such
as {{name}} are gaps. It draws from the global generators of `random` and numpy, and returns its input where it finds
nothing to do: both generators are seeded for each text and restored, and echoes are dropped.
"""

import random
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

WORDS_LOOKED_AT = 1000  # the rest of a text stays as it is: nlpaug's work grows with the square, models read no further
LONGEST_WORD = 40
ATTEMPTS_EACH = 4  # how often each wanted variant is tried, for texts that have few

Change = Callable[[list[str]], list[str]]  # words -> words: as many, or fewer where some were deleted

# A word has no spaces and, but for apostrophes and hyphens, no signs; signs of ordinary prose may stand around it.
_AROUND = r"\"'“”„‘’«»‹›¿¡(\[.,:;!?…)\]。，、！？：；—–-"
_INSIDE = r"[^\s!-&(-,./:-@\[-`{-~]"  # no ASCII sign but ' and -
_WORD = re.compile(rf"(?<!\S)[{_AROUND}]*((?:(?![{_AROUND}]){_INSIDE})(?:{_INSIDE}*(?![{_AROUND}]){_INSIDE})?)")
_AFTER = re.compile(rf"[{_AROUND}]*(?!\S)")
_EMPTY = ("()", "[]", '""', "''", "“”", "„“", "‘’", "«»", "‹›")


def variants(texts: Sequence[str], n: int, rng: np.random.Generator, change: Change) -> list[list[str]]:
    """At most n different variants of each text, which depend on it and on its place in `rng` only."""
    seeds = rng.integers(2**32, size=len(texts))
    return [_variants_of(text, n, int(seed), change) for text, seed in zip(texts, seeds, strict=True)]


def build(family: str, name: str, **options: Any) -> Any:
    """An augmenter of nlpaug ("word" or "char") for words joined by spaces. The first one takes seconds to import."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*invalid escape sequence")
        import nlpaug.augmenter.char
        import nlpaug.augmenter.word

    module = nlpaug.augmenter.word if family == "word" else nlpaug.augmenter.char
    return getattr(module, name)(tokenizer=_split, reverse_tokenizer=" ".join, **options)


def through(augmenter: Any) -> Change:
    """What an augmenter of nlpaug makes of words."""
    return lambda words: _split("".join(augmenter.augment(" ".join(words), n=1)))


@lru_cache(1)
def misspellings() -> Any:
    """nlpaug's model of English words and their misspellings seen in the wild, cleaned and in a fixed order.

    Its own order changes with every process (it goes through a set). Misspellings that are words themselves are left
    out, since they change what a text says ("don't" -> "do"), and so are scraps of wiki markup ("[[english").
    """
    from nlpaug.model.word_dict import Spelling
    from nlpaug.util import LibraryUtil

    model = Spelling(f"{LibraryUtil.get_res_dir()}/word/spelling/spelling_en.txt", include_reverse=False)
    known = {word.lower() for word in model.dict}
    model.dict = {
        word: sorted(wrong for wrong in wrongs if wrong.lower() not in known and _LETTERS.fullmatch(wrong))
        for word, wrongs in model.dict.items()
    }
    return model


_LETTERS = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def _split(words: str) -> list[str]:
    return [word for word in words.split(" ") if word]


def _variants_of(text: str, n: int, seed: int, change: Change) -> list[str]:
    places = list(islice(_places(text), WORDS_LOOKED_AT))
    words = [text[start:end] for start, end in places]
    edges = [0, *(edge for place in places for edge in place), len(text)]
    gaps = [text[end:start] for end, start in zip(edges[::2], edges[1::2], strict=True)]
    found = {text.strip(): None}  # a dict keeps the order
    with _seeded(seed):
        for _ in range(ATTEMPTS_EACH * n if words else 0):
            if len(found) > n:
                break
            changed = change(words)
            if changed:  # a text without words is no variant, whatever signs are left
                found.setdefault(_put_back(gaps, words, changed).strip())
    return list(found)[1:]


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Where the words are."""
    for match in _WORD.finditer(text):
        start, end = match.span(1)
        if end - start <= LONGEST_WORD and _AFTER.match(text, end) and any(map(str.isalpha, match[1])):
            yield start, end


def _put_back(gaps: Sequence[str], words: Sequence[str], changed: Sequence[str]) -> str:
    """The text with other words, with neither doubled spaces nor empty brackets where one was deleted."""
    left = iter(changed)
    following = next(left, None)
    text = gaps[0]
    for word, gap in zip(words, gaps[1:], strict=True):
        # nlpaug capitalises the word that comes to stand first, hence casefold
        if len(changed) == len(words) or (following is not None and following.casefold() == word.casefold()):
            text += f"{following}{gap}"
            following = next(left, None)
        elif text[-1:] + gap[:1] in _EMPTY:
            text = text[:-1].rstrip() + gap[1:]
        else:
            kept = text.rstrip()
            text = text + gap.lstrip() if "\n" in text[len(kept) :] and gap[:1].isspace() else kept + gap
    return text


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds the generators of the whole process, and gives them their own states back."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
