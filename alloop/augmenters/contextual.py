"""A masked language model says which words could stand there.

Without nlpaug, whose ContextualWordEmbsAug this is after: its reader of models calls a method that transformers 5 no
longer has, it loads pickles, knows a model by the last part of its path, and decodes the whole text, which loses
capitals, signs and spaces. Here the model only sees the text, and what it says is put between what was there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import ClassVar, Literal

import numpy as np

from alloop.augmenters import _models, _nlpaug
from alloop.augmenters._models import LanguageModel

ATTEMPTS_EACH = 4  # how often each wanted variant is tried


@dataclass(frozen=True)
class Contextual:
    """Puts other words, or further ones, where a masked language model thinks they fit (Kobayashi 2018).

    All gaps are made at once, and each is filled by a word drawn from the likeliest (arXiv:1805.06201). The model
    knows the language, not your labels: what it finds fitting may say the opposite ("good" for "bad"). For languages
    written with spaces. Links, numbers and placeholders stay, and so does what is beyond the model's reach.

    base: a directory or a Hub id of a model published with its masked-language-model head, such as
    "distilbert-base-uncased"; "minilm" has none. action: "substitute" or "insert". share: how many of the words are
    replaced, or get a new one behind them, between 0 and 1; at least one. top_k: how many of the likeliest words are
    drawn from. temperature: above 1 draws unlikely words more often, below 1 less.
    """

    base: str = ""
    action: Literal["substitute", "insert"] = "substitute"
    share: float = 0.15
    top_k: int = 20
    temperature: float = 1.0

    one_process: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.base in ("", "minilm"):
            said = "base is missing" if not self.base else 'base = "minilm" was published without its words'
            raise ValueError(f'{said}; name a masked language model, such as base = "distilbert-base-uncased"')
        if self.action not in ("substitute", "insert"):
            raise ValueError(f'action = {self.action!r} is neither "substitute" nor "insert"')
        if not 0 < self.share <= 1:
            raise ValueError(f"share = {self.share} must be above 0 and at most 1")
        if self.top_k < 1 or not self.temperature > 0:
            raise ValueError("top_k and temperature must be above 0")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        seeds = rng.integers(2**32, size=len(texts))
        if not len(texts):
            return []
        model = _models.load("fill-mask", self.base)
        return [self._variants_of(text, n, int(seed), model) for text, seed in zip(texts, seeds, strict=True)]

    def _variants_of(self, text: str, n: int, seed: int, model: LanguageModel) -> list[str]:
        rng = np.random.default_rng(seed)
        words = list(islice(_nlpaug._places(text), _nlpaug.WORDS_LOOKED_AT))
        found = {text.strip(): None}  # a dict keeps the order
        ids, places = self._read(text, words, model) if words else ([], [])
        for _ in range(ATTEMPTS_EACH * n if places else 0):
            if len(found) > n:
                break
            found.setdefault(self._changed(text, ids, places, model, rng).strip())
        return list(found)[1:]

    def _read(
        self, text: str, words: Sequence[tuple[int, int]], model: LanguageModel
    ) -> tuple[list[int], list[tuple[int, int, int, int]]]:
        """Token ids of the text as far as there is room, and of each word that they hold: start, end, its tokens."""
        room = int((model.max_tokens - 1) / (1 + self.share)) if self.action == "insert" else model.max_tokens
        read = _models.clean(text[: words[-1][1] + 1][: 32 * room])
        encoded = model.tokenizer(read, truncation=True, max_length=room, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        places: list[tuple[int, int, int, int]] = []
        token = 0
        for start, end in words:
            while token < len(ids) and offsets[token][1] <= start:
                token += 1
            first = token
            while token < len(ids) and offsets[token][0] < end and offsets[token][0] < offsets[token][1]:
                token += 1
            if token > first and offsets[token - 1][1] >= end:
                places.append((start, end, first, token))
        return ids, places

    def _changed(
        self,
        text: str,
        ids: Sequence[int],
        places: Sequence[tuple[int, int, int, int]],
        model: LanguageModel,
        rng: np.random.Generator,
    ) -> str:
        """The text with as many words as the share says replaced, or followed by another."""
        count = max(1, round(self.share * len(places)))
        chosen = [places[at] for at in sorted(rng.choice(len(places), count, replace=False).tolist())]
        masked: list[int] = []
        gaps, done = [], 0
        for _, _, first, last in chosen:
            masked += ids[done : first if self.action == "substitute" else last]
            gaps.append(len(masked))
            masked.append(model.tokenizer.mask_token_id)
            done = last
        said = self._fill([*masked, *ids[done:]], gaps, [text[place[0] : place[1]] for place in chosen], model, rng)
        made, done = "", 0
        for (start, end, _, _), word in zip(chosen, said, strict=True):
            if self.action == "insert":
                made += text[done:end] + (f" {word}" if word else "")
            else:
                made += text[done:start] + (_in_the_case_of(text[start:end], word) or text[start:end])
            done = end
        return made + text[done:]

    def _fill(
        self,
        ids: Sequence[int],
        gaps: Sequence[int],
        others: Sequence[str],
        model: LanguageModel,
        rng: np.random.Generator,
    ) -> list[str]:
        """A word for each gap, never the one beside it in `others`; "" where the model knows no other."""
        import torch

        known, words = _vocabulary(model)
        with torch.inference_mode():  # one text at a time: padding would move the last bits, and with them some words
            logits = model.network(input_ids=torch.tensor([ids], device=model.device)).logits[0, list(gaps)]
        said = []
        for scores, other in zip(logits[:, known].double().cpu().numpy(), others, strict=True):
            best = np.argsort(-scores, kind="stable")[: self.top_k + 2]
            best = np.array([one for one in best if words[one].casefold() != other.casefold()][: self.top_k], np.int64)
            if not len(best) or not np.isfinite(scores[best]).all():
                said.append("")
                continue
            likely = np.exp((scores[best] - scores[best[0]]) / self.temperature)
            said.append(words[rng.choice(best, p=likely / likely.sum())])
        return said


plugin = Contextual


def _in_the_case_of(word: str, new: str) -> str:
    if word.isupper() and len(word) > 1:
        return new.upper()
    return new[:1].upper() + new[1:] if word[:1].isupper() else new


@lru_cache(maxsize=1)
def _vocabulary(model: LanguageModel) -> tuple[list[int], list[str]]:
    """The tokens that are a word, not a part of one nor a sign, and those words."""
    tokenizer, special = model.tokenizer, set(model.tokenizer.all_special_ids)
    rows = model.network.get_input_embeddings().num_embeddings
    ids = [one for one in range(min(len(tokenizer), rows)) if one not in special]
    pieces = tokenizer.convert_ids_to_tokens(ids)
    starts = next((mark for mark in "Ġ▁" if any(piece.startswith(mark) for piece in pieces)), "")
    known, words = [], []
    for one, piece in zip(ids, pieces, strict=True):
        word = tokenizer.convert_tokens_to_string([piece]).strip() if piece.startswith(starts) else ""
        if word and next(_nlpaug._places(word), None) == (0, len(word)):
            known.append(one)
            words.append(word)
    return known, words
