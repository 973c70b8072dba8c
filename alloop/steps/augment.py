"""Augment: variants of labelled texts that have none yet, those of them to learn from, and whether to."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alloop.augmenters import Prepares, Surroundings, augmenters
from alloop.ingest import text_id as id_of
from alloop.progress import progress
from alloop.seeds import seed_for
from alloop.steps.context import Context
from alloop.steps.filters import Around, rejections
from alloop.steps.gate import Verdict, record, verdicts
from alloop.steps.policies import learnable, options_key, parents, variants_wanted
from alloop.steps.pull import seen_labels
from alloop.steps.stand_in import vectors
from alloop.store import Resolved, Variant


@dataclass(frozen=True)
class Done:
    """New variants, rejected ones included, and what the gate says of every augmenter."""

    rows: Sequence[Variant] = ()
    verdicts: Sequence[Verdict] = ()


def do(context: Context) -> Done:
    store, use = context.project.store, context.config.augment.use
    resolved = store.resolved(context.round.number, "pool")
    if not use or len(seen_labels(resolved)) < 2:
        return Done()
    made: list[Variant] = []
    for name in use:
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
    augmenter = augmenters.build(name, **options)
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
        directory=context.project.root / "cache" / name,
        descriptions={label.name: label.description for label in task.labels if label.description},
    )


def save(context: Context, done: Done) -> dict[str, Any]:
    context.project.store.add_variants(context.round.number, done.rows)
    record(context, done.verdicts)
    return {
        "variants": len(done.rows),
        "rejected": sum(row[6] is not None for row in done.rows),
        "gate": [one.as_json for one in done.verdicts],
        "on": [one.augmenter for one in done.verdicts if one.is_on],
    }
