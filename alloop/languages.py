"""Which texts are in another language than the rest: only those of which there is hardly a doubt.

Languages are guessed by py3langid (naive Bayes on sequences of bytes, without a network). Short texts, names, slang and
numbers are guessed wrongly often, so that a text counts as foreign only where it has enough letters, one other language
is all but certain, and the languages of the rest are all but ruled out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

SURE = 0.9  # how likely another language has to be
RULED_OUT = 0.01  # how likely those of the rest may be then, all together
LETTERS = 40  # bytes of letters: 40 in Latin script, 20 in Cyrillic, 14 in Chinese
READ = 2_000  # characters of a text
SAMPLE = 2_000  # texts that say which languages are at home
AT_HOME = 0.05  # of the texts of which one can be sure


@dataclass(frozen=True)
class Languages:
    """The languages that some texts are in, as ISO 639 codes, the most frequent first; none where nobody can tell."""

    at_home: tuple[str, ...]

    def foreign(self, text: str) -> tuple[str, float] | None:
        """The language of a text that is in none of these, and how likely it is; None for all other texts."""
        if not self.at_home or not _has_letters(text):
            return None
        best, likely = _identifier().classify(text[:READ])
        if best in self.at_home or best == "zxx" or likely < SURE:
            return None
        all_of_them = dict(_identifier().rank(text[:READ]))
        is_ruled_out = sum(all_of_them.get(one, 0.0) for one in self.at_home) < RULED_OUT
        return (best, float(likely)) if is_ruled_out else None


def languages(texts: Sequence[str]) -> Languages:
    """The languages of texts, by the first SAMPLE of them: give them in an order that says nothing, such as by id."""
    count: Counter[str] = Counter()
    for text in texts[:SAMPLE]:
        if _has_letters(text):
            best, likely = _identifier().classify(text[:READ])
            if likely >= SURE:
                count[best] += 1
    total = sum(count.values())
    return Languages(tuple(name for name, n in count.most_common() if n >= AT_HOME * total))


def _has_letters(text: str) -> bool:
    return sum(len(one.encode("utf-8", "replace")) for one in text[:READ] if one.isalpha()) >= LETTERS


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
