"""Filters: which variants are not learnt from, each with its reason and the number that decided, in words.

A variant may be as near to its parent as it likes; it may not be near any other text. Whatever is in the pool may be
drawn at random tomorrow to judge the model, and a test text judges it today: of neither may it have learnt a twin.
A label counts as kept unless a model that has not seen the parent, or the vectors of texts, speak clearly against it:
what a model is unsure of is what it can learn from.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from alloop.config import Config
from alloop.languages import languages
from alloop.progress import progress
from alloop.project import tuner_spec
from alloop.records import Example, Kind
from alloop.similar import ALIKE, LONGEST, nearest, shingled
from alloop.steps.context import Context
from alloop.steps.stand_in import fitted
from alloop.store import Resolved, Variant
from alloop.tuning._calibration import fit_temperature
from alloop.tuning._folds import split
from alloop.tuning._linear import linear_logits, probabilities

FOLDS = 5
LEAST = 20  # labels below which nobody can say what a label looks like
CONFIDENT = 0.9  # from here on another label counts as said
FARTHER = 0.9  # of the texts are nearer to a text of another label than such a variant is to its parent
ENOUGH = 2_000  # labelled texts to say what labels look like, besides the parents: a sample, as ids are hashes
KNOWN = 20_000  # texts compared at a time
SAMPLE = 2_000  # texts that say which languages are at home

# What a reason begins with, up to its colon, which the number follows.
REASONS = {
    "empty": "nothing is left of the text",
    "too long": "it has more than 10,000 characters, or the model would cut its end off and reads its parent whole",
    "equal to a test text": "the model would know the answer",
    "equal to another text": "that text has its own label, or may be drawn to judge the model",
    "nearly equal to a test text": "they share so many of their runs of five characters",
    "nearly equal to another text": "likewise, of the pool; its own parent does not count",
    "a copy of another variant": "the same augmenter has made it of another text",
    "another language": "it is all but certainly in a language that hardly a text of the pool is in",
    "another label": "a model that has not seen its parent is sure of another label, and was right about the parent",
    "far from its parent": "farther than nine texts in ten are from the nearest text of another label",
}


@dataclass(frozen=True)
class Around:
    """What variants are judged by: the labelled texts, and a reader of vectors (N, D) of length 1."""

    context: Context
    resolved: Sequence[Resolved]
    read: Callable[[Sequence[str]], np.ndarray]


def rejections(around: Around, rows: Sequence[Variant]) -> list[str | None]:
    """Why each of some new variants is rejected; None for those that may be learnt from."""
    found: list[str | None] = [None] * len(rows)
    for check in (_length, _equal, _copies, _near, _language, _tokens, _label):  # the dear ones see what is left
        left = [place for place, why in enumerate(found) if why is None]
        if not left:
            break
        for place, why in zip(left, check(around, [rows[place] for place in left]), strict=True):
            found[place] = why
    return found


def _length(around: Around, rows: Sequence[Variant]) -> list[str | None]:
    """Beyond LONGEST nobody could say what it is near to."""
    return [
        "empty"
        if not row[2].strip()
        else _too_long(len(row[2]), LONGEST, "characters")
        if len(row[2]) > LONGEST
        else None
        for row in rows
    ]


def _too_long(n: int, most: int, unit: str) -> str:
    return f"too long: {n:,} {unit}, the most is {most:,}"


def _equal(around: Around, rows: Sequence[Variant]) -> list[str | None]:
    store = around.context.project.store
    known, test = store.known_ids([row[0] for row in rows]), set(store.test_ids())
    return [
        None if row[0] not in known else "equal to a test text" if row[0] in test else "equal to another text"
        for row in rows
    ]


def _copies(around: Around, rows: Sequence[Variant]) -> list[str | None]:
    """Of each augmenter by itself: one that is refused must not have taken away another's variants."""
    seen: dict[tuple[str, str], set[str]] = {}
    found: list[str | None] = []
    for row in rows:
        maker = (row[3], row[4])
        if maker not in seen:
            seen[maker] = around.context.project.store.accepted_variants(*maker)
        found.append("a copy of another variant" if row[0] in seen[maker] else None)
        seen[maker].add(row[0])
    return found


def _near(around: Around, rows: Sequence[Variant]) -> list[str | None]:
    store = around.context.project.store
    variants = shingled([row[2] for row in rows])
    found: list[str | None] = [None] * len(rows)
    pool, test = list(store.pool_ids()), store.test_ids()
    with progress("augment: comparing variants with all texts", len(pool) + len(test)) as advance:
        for ids, whose in ((test, "a test text"), (pool, "another text")):
            most = np.zeros(len(rows), np.float32)
            for some in _parts(ids):
                place = {text_id: row for row, text_id in enumerate(some)}
                parents = np.array([place.get(row[1], -1) for row in rows], np.int64)
                others = shingled([text.text for text in store.texts(some)])
                most = np.maximum(most, nearest(variants, others, parents)[0])
                advance(len(some))
            for row in np.flatnonzero(most >= ALIKE):
                found[row] = found[row] or f"nearly equal to {whose}: {most[row]:.0%} alike, {ALIKE:.0%} is near"
    return found


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), KNOWN):
        yield ids[start : start + KNOWN]


def _language(around: Around, rows: Sequence[Variant]) -> list[str | None]:
    """Conservative, as guesses at short texts are wrong often, and not where the parent is such a text itself."""
    store = around.context.project.store
    home = languages([text.text for text in store.texts(list(store.pool_ids())[:SAMPLE])])
    foreign = [home.foreign(row[2]) for row in rows]
    suspects = sorted({row[1] for row, guess in zip(rows, foreign, strict=True) if guess})
    is_too = {text.id: home.foreign(text.text) is not None for text in store.texts(suspects)}
    return [
        f"another language: {guess[0]} ({guess[1]:.0%} sure)" if guess and not is_too[row[1]] else None
        for row, guess in zip(rows, foreign, strict=True)
    ]


def _tokens(around: Around, rows: Sequence[Variant]) -> list[str | None]:
    """A token is a byte at least, so that most texts need no tokenizer to be short enough."""
    project = around.context.project
    options = project.located(tuner_spec(around.context.config)).options
    most = int(options.get("max_tokens", 0))
    long = [row for row in rows if len(row[2].encode("utf-8", "replace")) > most - 2] if most else []  # 2 are special
    if "base" not in options or not long:
        return [None] * len(rows)
    from alloop.tuning._bases import load_base

    base = load_base(str(options["base"]))

    def counts(texts: Sequence[str]) -> list[int]:
        return [len(tokens) for tokens in base.tokenize(texts, most + 1)]

    ids = sorted({row[1] for row in long})
    of_parent = dict(zip(ids, counts([text.text for text in project.store.texts(ids)]), strict=True))
    tokens = dict(zip((row[2] for row in long), counts([row[2] for row in long]), strict=True))
    return [
        f"too long: more than the {most:,} tokens that the model reads; its parent has {of_parent[row[1]]:,}"
        if tokens.get(row[2], 0) > most >= of_parent.get(row[1], 0)
        else None
        for row in rows
    ]


def _label(around: Around, rows: Sequence[Variant]) -> list[str | None]:
    """What the stand-in says of the variant and of its parent, by the model of the fold without the parent."""
    config, of = around.context.config, {row[1] for row in rows}
    resolved = [one for place, one in enumerate(around.resolved) if place < ENOUGH or one.text_id in of]
    if len(resolved) < LEAST:
        return [None] * len(rows)
    names = config.task.names
    texts = around.context.project.store.texts([one.text_id for one in resolved])
    examples = [Example(text.text, one.labels) for text, one in zip(texts, resolved, strict=True)]
    y = np.array([[float(name in one.labels) for name in names] for one in resolved], np.float32)
    x, variants = around.read([one.text for one in examples]), around.read([row[2] for row in rows])
    place = {one.text_id: row for row, one in enumerate(resolved)}
    parent = np.array([place[row[1]] for row in rows], np.int64)
    said, of_parent = _said(config, split(examples, FOLDS, config.round.seed), x, y, variants, parent)
    near = np.einsum("nd,nd->n", variants, x[parent])
    bound = _nearest_of_another_label(x, y)
    found: list[str | None] = []
    for row in range(len(rows)):
        if label := _contradiction(said[row], of_parent[row], y[parent[row]], config.task.kind):
            column, sure = label
            found.append(f"another label: the model says {_what(names[column], y[parent[row], column])} ({sure:.0%})")
        elif near[row] < bound:
            found.append(f"far from its parent: similarity {near[row]:.2f}, texts of different labels have {bound:.2f}")
        else:
            found.append(None)
    return found


def _what(name: str, has: float) -> str:
    return f"not {name}" if has else name


def _said(
    config: Config, fold: np.ndarray, x: np.ndarray, y: np.ndarray, variants: np.ndarray, parent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (M, C) of variants and of their parents, each by a model that has not seen the parent."""
    kind = config.task.kind
    logits, of_variants = np.zeros(y.shape, np.float32), np.zeros((len(variants), y.shape[1]), np.float32)
    for number in range(FOLDS):
        linear = fitted(config, x[fold != number], y[fold != number])
        logits[fold == number] = linear_logits(x[fold == number], linear)
        theirs = fold[parent] == number
        of_variants[theirs] = linear_logits(variants[theirs], linear)
    temperature = fit_temperature(logits, y, kind)
    return probabilities(of_variants / temperature, kind), probabilities(logits / temperature, kind)[parent]


def _contradiction(said: np.ndarray, of_parent: np.ndarray, y: np.ndarray, kind: Kind) -> tuple[int, float] | None:
    """The label (its column) on which a sure model contradicts, one that was right about the parent, and how sure."""
    if kind == "single":
        against = np.where((y > 0) | (y[of_parent.argmax()] == 0), 0, said)
    else:
        was_right = (of_parent >= 0.5) == (y > 0)
        against = np.where(was_right, np.where(y > 0, 1 - said, said), 0)
    column = int(against.argmax())
    return (column, float(against[column])) if against[column] >= CONFIDENT else None


def _nearest_of_another_label(x: np.ndarray, y: np.ndarray) -> float:
    """The similarity to the nearest text that shares no label, which all but the FARTHER share of texts reach.

    Without two different labels there is no bound: -1.
    """
    x, y = x[:ENOUGH], y[:ENOUGH]
    nothing = y.sum(1) == 0
    is_other = (y @ y.T == 0) & ~np.outer(nothing, nothing)
    similarity = np.where(is_other, x @ x.T, -1)
    reached = similarity.max(1)[is_other.any(1)]
    return float(np.quantile(reached, 1 - FARTHER)) if len(reached) else -1.0
