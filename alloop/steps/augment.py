"""Augment: variants of labelled texts that have none yet."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alloop.augmenters import Prepares, Spends, Surroundings
from alloop.config import Config
from alloop.ingest import text_id as id_of
from alloop.progress import progress
from alloop.seeds import seed_for
from alloop.steps.context import Context
from alloop.steps.pull import seen_labels
from alloop.store import Resolved, Variant

MOST_VARIANTS = 10  # of one text by one augmenter, however rare its label


def do(context: Context) -> list[Variant]:
    resolved = context.project.store.resolved(context.round.number, "pool")
    if len(seen_labels(resolved)) < 2:
        return []
    found = []
    for name in context.config.augment.use:
        found += _variants_by(name, context, resolved)
    known = context.project.store.known_ids([row[0] for row in found])
    return [(*row[:6], "equal to a known text" if row[0] in known else None) for row in found]


def _variants_by(name: str, context: Context, resolved: Sequence[Resolved]) -> list[Variant]:
    """The variants that are still missing. The k-th variant of a text depends on nothing but the text, k and the seed.

    A text that yields fewer than asked for is asked again in later rounds, with the same answer.
    """
    options = context.config.options_of(name)
    augmenter = context.project.augmenter(context.config, name)
    if isinstance(augmenter, Prepares):
        augmenter = augmenter.prepared(_surroundings(name, context, resolved))
    stored = json.dumps(options, sort_keys=True)
    have = context.project.store.variant_counts(name, stored)
    wanted = variants_wanted(context.config, resolved)
    missing = [one for one in resolved if have.get(one.text_id, 0) < wanted[one.text_id]]
    rows: list[Variant] = []
    with progress(f"augment: {name}", len(missing)) as advance:
        for text in context.project.store.texts([one.text_id for one in missing]):
            variants: dict[str, tuple[str, int]] = {}
            for k in range(wanted[text.id]):
                seed = seed_for(context.round.seed, k, f"augment:{name}:{text.id}")
                for variant in augmenter([text.text], 1, np.random.default_rng(seed))[0]:
                    variants.setdefault(id_of(variant), (variant, seed))
            rows += [(one, text.id, variant, name, stored, seed, None) for one, (variant, seed) in variants.items()]
            advance(1)
    return rows


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


def variants_wanted(config: Config, resolved: Sequence[Resolved]) -> dict[str, int]:
    """How many variants each text gets; with `augment.balance`, more where its rarest label is rare."""
    counts = Counter(label for one in resolved for label in one.labels)
    most = max(counts.values(), default=1)
    wanted = {}
    for one in resolved:
        rarest = min((counts[label] for label in one.labels), default=most)
        factor = most / rarest if config.augment.balance else 1
        wanted[one.text_id] = min(MOST_VARIANTS, round(config.augment.per_text * factor))
    return wanted


def save(context: Context, rows: list[Variant]) -> dict[str, Any]:
    context.project.store.add_variants(context.round.number, rows)
    return {"variants": len(rows), "rejected": sum(row[6] is not None for row in rows), **_spent(context)}
