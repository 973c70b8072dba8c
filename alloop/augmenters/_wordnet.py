"""What synonyms and antonyms share: WordNet and a tagger of parts of speech, both from nltk's data.

nlpaug downloads what it misses without asking, the tagger by a name that nltk has given up; here both are looked for
first, and what is missing is said. nlpaug also takes "I" for iodine, "in" for indium and "card" for a synonym of
"cards", and draws words that have none; here it draws nouns, verbs, adjectives and adverbs that have one.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any
from zipfile import BadZipFile

from alloop.augmenters import _nlpaug
from alloop.errors import ConfigError

# What nltk's downloader calls it -> the files that are read. For English omw-1.4 is not.
_ENDINGS = ("adj", "adv", "noun", "verb")
_WORDNET = ["lexnames", "index.sense", *(f"{kind}.{one}" for kind in ("index", "data") for one in _ENDINGS)]
_WORDNET += [f"{one}.exc" for one in _ENDINGS]
_TAGGER = "averaged_perceptron_tagger_eng"
_DATA = {
    "wordnet": [f"corpora/wordnet/{name}" for name in _WORDNET],
    _TAGGER: [f"taggers/{_TAGGER}/{_TAGGER}.{name}.json" for name in ("weights", "tagdict", "classes")],
}

_PARTS = {"N": "n", "V": "v", "J": "a", "R": "r"}  # the first letter of a tag -> what WordNet calls that part of speech
# forms of be, do and have, negations; and what a tagger may take for helium, the United States, tins or a month
_KEPT = set("am are be been being did do does doing done had has have having is was were".split())
_KEPT |= set("can't cannot don't never no none nor not nothing won't".split())
_KEPT |= set("can could may might must shall should will would".split())
_KEPT |= set("a an as at he her him i in it me or she so them they us we who you".split())


def need_data(plugin: str) -> None:
    """Raises ConfigError where nltk's data lacks something: what, and how to get it."""
    from nltk import data

    missing = [name for name, files in _DATA.items() if not all(map(_is_there, files))]
    if missing:
        raise ConfigError(
            f"{plugin} needs {' and '.join(missing)} of nltk's data, whole, in one of: {', '.join(data.path)}",
            f"python -m nltk.downloader {' '.join(missing)} (without a network: copy the directory nltk_data from a "
            "machine that has it, and set NLTK_DATA to its path)",
        )


def replacing(
    augmenter: str, related: Callable[[Any], Iterable[Any]], *, parts: str, share: float, senses: int
) -> _nlpaug.Change:
    """Words -> as many, some of them replaced by an augmenter of nlpaug.

    related: lemmas that a lemma of WordNet leads to. parts: the parts of speech that are replaced, of "nvar".
    senses: how many senses of a word are looked at, the commonest first; 0 = all.
    """
    from nltk.corpus import wordnet

    @lru_cache(50_000)
    def predict(word: str, pos: str) -> list[str]:
        if pos not in parts or word.lower() in _KEPT:
            return []
        small = word.lower()
        own = {small, wordnet.morphy(small, pos)}
        lemmas = [lemma for synset in wordnet.synsets(word, pos=pos)[: senses or None] for lemma in synset.lemmas()]
        names = [found.name() for lemma in lemmas for found in related(lemma)]
        # "cards" is in WordNet too, and so is its own base form
        return [name for name in names if name.lower() not in own and not small.startswith(name.lower())]

    def with_some(indices: Sequence[int], tagged: Sequence[tuple[str, str]]) -> list[int]:
        tags = [(index, *tagged[index]) for index in indices]
        return [index for index, word, tag in tags if tag[:1] in _PARTS and predict(word, pos=_PARTS[tag[:1]])]

    built = _nlpaug.build("word", augmenter, aug_p=share, aug_max=None)
    built.model = _Model(predict)
    built.skip_aug = with_some
    replace = _nlpaug.through(built)

    def change(words: list[str]) -> list[str]:
        answers = zip(words, replace(words), strict=True)
        return [word if new == word else _nlpaug.in_the_case_of(word, new) for word, new in answers]

    return change


class _Model:
    """What nlpaug asks: the tags of words, and what may stand for a word."""

    def __init__(self, predict: Callable[..., list[str]]) -> None:
        self.predict = predict

    def pos_tag(self, words: list[str]) -> list[tuple[str, str]]:
        return _tagged(tuple(words))


@lru_cache(1)  # each attempt at a variant asks about the same words
def _tagged(words: tuple[str, ...]) -> list[tuple[str, str]]:
    from nltk import pos_tag

    return pos_tag(words)  # type: ignore[no-any-return]


def _is_there(file: str) -> bool:
    from nltk.data import find

    try:
        find(file)
    except (LookupError, OSError, BadZipFile):
        return False
    return True
