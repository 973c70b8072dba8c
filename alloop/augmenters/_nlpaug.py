"""The one file that knows nlpaug. It chooses and changes words; everything between the words stays as it was.

nlpaug cuts at every sign and joins with spaces ("don ' t", "https: / a /. b"), so it never sees the text: it gets the
plain words, and what it gives back is put in the gaps they came from. Links, addresses, numbers and placeholders such
as {{name}} are gaps. It draws from the global generators of `random` and numpy, and returns its input where it finds
nothing to do: both generators are seeded for each text and restored, and echoes are dropped. An augmenter of nlpaug
reads its files when it is made, so each plug-in makes one per process, in a function that remembers it.
"""

import random
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

WORDS_LOOKED_AT = 1000  # the rest of a text stays as it is: nlpaug's work grows with the square, models read no further
LONGEST_WORD = 40
ATTEMPTS_EACH = 4  # how often each wanted variant is tried, for texts that have few

Change = Callable[[list[str]], list[str]]  # words -> words: as many, or fewer where some were deleted

# A word has no spaces and, but for apostrophes and hyphens, no signs; signs of ordinary prose may stand around it. It
# has no control characters, no changes of direction and no halves of characters, which would lose their partners.
_AROUND = r"\"'“”„‘’«»‹›¿¡(\[.,:;!?…)\]。，、！？：；—–-"
_INSIDE = r"[^\s\x00-&(-,./:-@\[-`{-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"  # no ASCII sign but ' and -
_WORD = re.compile(rf"(?<!\S)[{_AROUND}]*((?:(?![{_AROUND}]){_INSIDE})(?:{_INSIDE}*(?![{_AROUND}]){_INSIDE})?)")
_AFTER = re.compile(rf"[{_AROUND}]*(?!\S)")
_EMPTY = ("()", "[]", '""', "''", "“”", "„“", "‘’", "«»", "‹›")


def variants(texts: Sequence[str], n: int, rng: np.random.Generator, change: Change) -> list[list[str]]:
    """At most n different variants of each text, which depend on it and on its place in `rng` only."""
    seeds = rng.integers(2**32, size=len(texts))
    return [_variants_of(text, n, int(seed), change) for text, seed in zip(texts, seeds, strict=True)]


def build(family: str, name: str, **options: Any) -> Any:
    """An augmenter of nlpaug ("word" or "char"). The first one takes seconds to import."""
    with _quietly():
        import nlpaug.augmenter.char
        import nlpaug.augmenter.word

    module = nlpaug.augmenter.word if family == "word" else nlpaug.augmenter.char
    return getattr(module, name)(tokenizer=_split, reverse_tokenizer="\n".join, **options)


def through(augmenter: Any) -> Change:
    """What an augmenter of nlpaug makes of words."""
    # lines, for it may put two words in the place of one
    return lambda words: _split("".join(augmenter.augment("\n".join(words), n=1)))


def words_of(text: str) -> list[str]:
    """The words that may be changed."""
    return [text[start:end] for start, end in islice(_places(text), WORDS_LOOKED_AT)]


def word_statistics(texts: Sequence[Sequence[str]]) -> Any:
    """nlpaug's TF-IDF of the words of texts, each text's words without repetition."""
    with _quietly():
        from nlpaug.model.word_stats import TfIdf

    model = TfIdf(normalize=False)  # its own fails where all scores are equal, and where there are none
    model.train(texts)
    scores = np.array(model.tfidf_scores)
    weights = scores.max(initial=0) - scores  # (words,): frequent and telling ones are put in least (Xie et al. 2020)
    model.tfidf_scores = np.cumsum(weights if weights.any() else np.ones_like(weights))
    return model


def by_statistics(model: Any, share: float) -> Any:
    """nlpaug's augmenter of `word_statistics`."""
    with _quietly():
        from nlpaug.augmenter.word import tfidf

    # It reads files into this variable unless something is there. One word drawn is as good as one of several.
    tfidf.TFIDF_MODEL = model
    augmenter = build("word", "TfIdfAug", aug_p=share, aug_max=None, top_k=1)
    tfidf.TFIDF_MODEL = {}

    def draw(word: str, top_k: int) -> list[str]:
        """As nlpaug's, which adds all weights up for each word."""
        where = np.random.random() * model.tfidf_scores[-1]  # noqa: NPY002
        return [model.tokens[np.searchsorted(model.tfidf_scores, where, side="right")]]

    def places(words: list[str]) -> list[int] | None:
        """Those that say little first. nlpaug takes one word's probability for another's from the first draw on."""
        known = [place for place, word in enumerate(words) if word in model.w2idf]
        says = np.array([model.w2idf[words[place]] for place in known])
        with np.errstate(divide="ignore"):  # drawn without replacement: those of weight 0 come last, in any order
            wait = np.random.exponential(size=len(known)) / (says.max(initial=0) - says)  # noqa: NPY002
        order = np.lexsort((np.random.random(len(known)), wait))  # noqa: NPY002
        return [known[one] for one in order[: augmenter.generate_aug_cnt(len(words))]] or None

    augmenter.model = copy(model)
    augmenter.model.predict = draw
    augmenter._get_aug_idxes = places
    return augmenter


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


def in_small_letters(change: Change) -> Change:
    """A change that knows small letters only, for words in any case: as many words come back, in the case they had."""

    def changed(words: list[str]) -> list[str]:
        small = [word.lower() for word in words]
        found: list[str] = []
        for word, old, new in zip(words, small, change(small), strict=True):
            in_its_case = new if word == "I" and found else in_the_case_of(word, new)
            found.append(word if new == old else in_its_case)
        return found

    return changed


def in_the_case_of(word: str, new: str) -> str:
    """A new word in capitals, or with one in front, where the word it stands for was."""
    if word.isupper() and len(word) > 1:
        return new.upper()
    return new[:1].upper() + new[1:] if word[:1].isupper() else new


def refuse_shares(plugin: Any, *names: str) -> None:
    """Raise ValueError where one of these options is no share."""
    for name in names:
        if not 0 < getattr(plugin, name) <= 1:
            raise ValueError(f"{name} = {getattr(plugin, name)} must be above 0 and at most 1")


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*invalid escape sequence")
        yield


def _split(words: str) -> list[str]:
    return [word for word in words.split("\n") if word]


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
        if match[1].isupper() and text[start - 1 : start] == "[" and text[end : end + 1] == "]":
            continue  # [NAME], as anonymous texts have it
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
