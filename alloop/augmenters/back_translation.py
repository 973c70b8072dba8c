"""Into another language and back, by two local models.

Without nlpaug, whose BackTranslationAug has one translation of a text, always the same, reads the whole text as if it
were one sentence, and loads pickles.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from alloop.augmenters import _models, _nlpaug
from alloop.augmenters._models import LanguageModel

ATTEMPTS_EACH = 3  # how often each wanted variant is tried: most take several sentences there and back
SENTENCES = 20  # of a text are translated; the rest stays as it is
LONGEST_SENTENCE = 1_000  # characters
DRAWN_FROM = 50  # of the likeliest tokens, at each place

# A sentence ends with its signs, or with its line. Of a long row of signs only the last ones are tried together: all of
# them would be tried again from each.
_SENTENCE = re.compile(r"\S[^\n\r]*?(?:[.!?…。！？]{1,9}[\"'”’»)\]]*(?=\s)|(?=[\n\r])|$)")
_KEPT = re.compile(r"://|www\.|\S@\S|\$\{|%[(sd]|\[[A-Z]+\]|\w_|_\w|[{}<>\\|\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class BackTranslation:
    """Translates each sentence into another language, in one of many ways, and back (Sennrich et al. 2016).

    The way there is drawn (Edunov et al. 2018, arXiv:1808.09381), so that a text has many variants; the way back is the
    likeliest. Slow: seconds a text on a processor. Sentences with links, addresses, placeholders or markup stay, and
    so does one whose numbers do not come back, or that has no end; of a long text the first twenty are translated.

    forth: a directory or a Hub id of a model that translates from the language of the texts, such as
    "Helsinki-NLP/opus-mt-en-de". back: one that translates from there to it, such as "Helsinki-NLP/opus-mt-de-en".
    Models of two languages, which need not be told which. temperature: above 1 draws unlikelier translations; 0 takes
    the likeliest, and a text then has one variant at most. beams: how many translations are followed up at once where
    nothing is drawn.
    """

    forth: str = ""
    back: str = ""
    temperature: float = 0.8
    beams: int = 4

    one_process: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, example in (("forth", "Helsinki-NLP/opus-mt-en-de"), ("back", "Helsinki-NLP/opus-mt-de-en")):
            if not getattr(self, name):
                raise ValueError(f'{name} is missing; name a model that translates, such as {name} = "{example}"')
        if not self.temperature >= 0 or self.beams < 1:
            raise ValueError("temperature must not be below 0, and beams be at least 1")

    def __call__(self, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[list[str]]:
        seeds = rng.integers(2**32, size=len(texts))
        if not len(texts):
            return []
        models = _models.load("translation", self.forth), _models.load("translation", self.back)
        return [self._variants_of(text, n, int(seed), *models) for text, seed in zip(texts, seeds, strict=True)]

    def _variants_of(self, text: str, n: int, seed: int, forth: LanguageModel, back: LanguageModel) -> list[str]:
        rng = np.random.default_rng(seed)
        places = sentences(text)
        found = {text.strip(): None}  # a dict keeps the order
        attempts = ATTEMPTS_EACH * n if self.temperature else min(n, 1)
        for _ in range(attempts if places else 0):
            if len(found) > n:
                break
            made, done = "", 0
            for start, end in places:
                made += text[done:start] + self._there_and_back(text[start:end], forth, back, rng)
                done = end
            found.setdefault((made + text[done:]).strip())
        return list(found)[1:]

    def _there_and_back(
        self, sentence: str, forth: LanguageModel, back: LanguageModel, rng: np.random.Generator
    ) -> str:
        """What comes back of a sentence; the sentence where nothing usable does."""
        there = _translated(sentence, forth, self.beams, self.temperature, rng)
        again = there and _translated(there, back, self.beams, 0.0, rng)
        if not again or _KEPT.search(again) or not any(_nlpaug._places(again)):
            return sentence
        return again if sorted(_NUMBER.findall(again)) == sorted(_NUMBER.findall(sentence)) else sentence


plugin = BackTranslation


def sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences are that may be translated."""
    looked_at = text[: SENTENCES * LONGEST_SENTENCE]
    found = list(islice((match.span() for match in _SENTENCE.finditer(looked_at)), SENTENCES))
    if found and found[-1][1] == len(looked_at) < len(text):
        del found[-1]  # who knows where it ends
    return [(start, end) for start, end in found if _may_change(looked_at[start:end])]


def _may_change(sentence: str) -> bool:
    return len(sentence) <= LONGEST_SENTENCE and not _KEPT.search(sentence) and any(_nlpaug._places(sentence))


def _translated(text: str, model: LanguageModel, beams: int, temperature: float, rng: np.random.Generator) -> str:
    """A translation, drawn if the temperature is above 0; "" where the text is too long or its translation has no end.

    One text at a time: padding would move the last bits, and with them some words.
    """
    import torch

    from alloop.pretrained import quiet

    ids = model.tokenizer(text, return_tensors="pt", truncation=True, max_length=model.max_tokens)["input_ids"]
    length = ids.shape[1]
    if length >= model.max_tokens:
        return ""
    drawn = {"logits_processor": [_draw(temperature, rng)]} if temperature else {}
    with quiet(), torch.inference_mode():
        made = model.network.generate(
            ids.to(model.device),
            attention_mask=torch.ones_like(ids).to(model.device),
            do_sample=False,
            num_beams=1 if temperature else beams,
            max_new_tokens=min(2 * length + 10, model.max_tokens - 1),
            **drawn,
        )[0].tolist()
    ends = model.network.generation_config.eos_token_id
    if not set(ends if isinstance(ends, list) else [ends]) & set(made[1:]):
        return ""
    return " ".join(str(model.tokenizer.decode(made, skip_special_tokens=True)).split())


def _draw(temperature: float, rng: np.random.Generator) -> Any:
    """Makes the likeliest token one drawn by its probability: the best after noise is added (Gumbel's trick).

    transformers itself draws from torch's global generator.
    """
    import torch

    def noisy(input_ids: Any, scores: Any) -> Any:
        best = scores.topk(min(DRAWN_FROM, scores.shape[1]))  # (B, k)
        noise = torch.from_numpy(rng.gumbel(size=tuple(best.values.shape))).to(scores)
        return torch.full_like(scores, -torch.inf).scatter(1, best.indices, best.values / temperature + noise)

    return noisy
