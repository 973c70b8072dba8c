"""Augment: variants of labelled texts that have none yet, those of them to learn from, and whether to."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alloop.augmenters import Augmenter, Prepares, Spends, Surroundings
from alloop.ingest import text_id as id_of
from alloop.progress import progress
from alloop.seeds import seed_for
from alloop.steps.context import Context
from alloop.steps.filters import Around, rejections
from alloop.steps.gate import Verdict, needs_variants, record, verdicts
from alloop.steps.policies import learnable, options_key, parents, variants_wanted, written_for_others
from alloop.steps.pull import learnt_from, seen_labels
from alloop.steps.stand_in import vectors
from alloop.store import Resolved, Variant


@dataclass(frozen=True)
class Done:
    """New variants, rejected ones included, and what the gate says of every augmenter."""

    rows: Sequence[Variant] = ()
    verdicts: Sequence[Verdict] = ()


def do(context: Context) -> Done:
    store, use = context.project.store, context.config.augment.use
    resolved = learnt_from(context)
    if not use or len(seen_labels(resolved)) < 2:
        return Done()
    made: list[Variant] = []
    for name in use:
        if not needs_variants(context, name, resolved):
            continue
        of = parents(context, resolved)
        known = store.variant_keys(name, options_key(context.config, name))
        made += [row for row in _variants_by(name, context, of) if (row[1], row[0]) not in known]
    read = _reader(context)
    whys = rejections(Around(context, resolved, read), made)
    rows = [(*row[:6], why) for row, why in zip(made, whys, strict=True)]
    to_learn = {name: learnable(context, name, resolved, rows) for name in use}
    return Done(rows, verdicts(context, resolved, to_learn, read))


def _reader(context: Context) -> Callable[[Sequence[str]], np.ndarray]:
    """Vectors (N, D) of texts, each of which is read once in a round."""
    known: dict[str, np.ndarray] = {}

    def read(texts: Sequence[str]) -> np.ndarray:
        missing = list(dict.fromkeys(text for text in texts if text not in known))
        if missing:
            known.update(zip(missing, vectors(context.project, context.config, missing), strict=True))
        return np.stack([known[text] for text in texts]) if texts else np.zeros((0, 0), np.float32)

    return read


def _variants_by(name: str, context: Context, resolved: Sequence[Resolved]) -> list[Variant]:
    """The variants that are still missing. The k-th variant of a text depends on nothing but the text, k and the seed.

    A text that yields fewer than asked for is asked again in later rounds, with the same answer.
    """
    options = context.config.options_of(name)
    augmenter = context.project.augmenter(context.config, name)
    stored = json.dumps(options, sort_keys=True)
    outdated = Counter(parent for parent, _ in written_for_others(context, name, resolved))
    have = Counter(context.project.store.variant_counts(name, stored)) - outdated
    wanted = variants_wanted(context.config, resolved)
    missing = [one for one in resolved if have[one.text_id] < wanted[one.text_id]]
    if missing and isinstance(augmenter, Prepares):
        augmenter = augmenter.prepared(_surroundings(name, context, resolved))
    texts = context.project.store.texts([one.text_id for one in missing])
    asked = [(text.id, text.text, wanted[text.id]) for text in texts]
    make = partial(_made, augmenter, name, context.round.seed)
    with progress(f"augment: {name}", len(asked)) as advance:
        made = []
        for one in asked:
            made.append(make(one))
            advance(1)
    return [
        (one, text_id, variant, name, stored, seed, None)
        for (text_id, _, _), variants in zip(asked, made, strict=True)
        for one, (variant, seed) in variants.items()
    ]


def _made(augmenter: Augmenter, name: str, seed: int, asked: tuple[str, str, int]) -> dict[str, tuple[str, int]]:
    """What an augmenter makes of (the id of a text, the text, how many): id -> variant and seed."""
    text_id, text, n = asked
    variants: dict[str, tuple[str, int]] = {}
    for k in range(n):
        own = seed_for(seed, k, f"augment:{name}:{text_id}")
        for variant in augmenter([text], 1, np.random.default_rng(own))[0]:
            variants.setdefault(id_of(variant), (variant, own))
    return variants


def _surroundings(name: str, context: Context, resolved: Sequence[Resolved]) -> Surroundings:
    store, task = context.project.store, context.config.task
    texts = store.texts([one.text_id for one in resolved])

    def pool() -> list[str]:
        labelled = {one.text_id for one in resolved}
        return [text.text for text in store.texts([one for one in store.pool_ids() if one not in labelled])]

    return Surroundings(
        kind=task.kind,
        labels={text.text: one.labels for text, one in zip(texts, resolved, strict=True)},
        pool=pool,
        directory=_kept_in(context, name),
        descriptions={label.name: label.description for label in task.labels if label.description},
    )


def _kept_in(context: Context, name: str) -> Path:
    return context.project.root / "cache" / name


def _spent(context: Context) -> dict[str, Any]:
    """What each augmenter that spends has spent in the project's life; nothing where none does."""
    built = {name: context.project.augmenter(context.config, name) for name in context.config.augment.use}
    spent = {name: one.spent(_kept_in(context, name)) for name, one in built.items() if isinstance(one, Spends)}
    return {"spent": spent} if spent else {}


def save(context: Context, done: Done) -> dict[str, Any]:
    context.project.store.add_variants(context.round.number, done.rows)
    record(context, done.verdicts)
    return {
        "variants": len(done.rows),
        "rejected": sum(row[6] is not None for row in done.rows),
        "gate": [one.as_json for one in done.verdicts],
        "on": [one.augmenter for one in done.verdicts if one.is_on],
        **_spent(context),
    }
