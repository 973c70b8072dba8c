"""Which texts get variants, and how many of each.

Not those that measure: test texts are no labels, and the random share of every batch (the audit) is scored by models
that have seen neither the text nor what was made of it. Where the strategy itself draws at random, its picks are the
labels to learn from, and nothing tells the share among them.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import ceil

from alloop.config import Config
from alloop.ingest import text_id as id_of
from alloop.steps.context import Context
from alloop.store import Resolved, Variant


def parents(context: Context, resolved: Sequence[Resolved]) -> list[Resolved]:
    """The labelled texts that variants are made of."""
    audit = context.project.store.audit_ids(context.round.number)
    return [one for one in resolved if one.text_id not in audit]


def variants_wanted(config: Config, parents: Sequence[Resolved], augmenters: int = 1) -> dict[str, int]:
    """How many variants each text gets of each of so many augmenters: `augment.per_text`, unless a policy wants fewer.

    With `augment.curriculum` labels get there gradually. With `augment.balance`, only texts of labels that are rarer
    than the most frequent one get any, together no more than what their rarest label lacks.
    """
    settings = config.augment
    most = settings.per_text
    if len(parents) < settings.curriculum:
        most = ceil(most * len(parents) / settings.curriculum)
    if not settings.balance:
        return {one.text_id: most for one in parents}
    count = Counter(label for one in parents for label in one.labels)
    groups: dict[str, list[str]] = defaultdict(list)  # a text of several labels counts for its rarest
    for one in parents:
        if one.labels:
            groups[min(one.labels, key=lambda label: (count[label], label))].append(one.text_id)
    wanted = {one.text_id: 0 for one in parents}
    for label, ids in groups.items():
        lacks = ceil((max(count.values()) - count[label]) / augmenters)
        for place, text_id in enumerate(ids):  # ids are hashes, so that the first of them are no special ones
            wanted[text_id] = min(most, lacks // len(ids) + (place < lacks % len(ids)))
    return wanted


def learnable(
    context: Context, name: str, resolved: Sequence[Resolved], new: Sequence[Variant] = (), augmenters: int = 1
) -> dict[str, list[str]]:
    """parent id -> the variants by an augmenter that may be learnt from, as many as are wanted of each text.

    `new` are variants that are not stored yet. `augmenters` is how many make variants to learn from.
    """
    of = parents(context, resolved)
    outdated = written_for_others(context, name, of)
    made = context.project.store.variants(context.round.number, name, options_key(context.config, name))
    if outdated:
        made.update({one: [text for text in made[one] if (one, id_of(text)) not in outdated] for one, _ in outdated})
    for row in new:
        if row[3] == name and row[6] is None:
            made[row[1]].append(row[2])
    wanted = variants_wanted(context.config, of, augmenters)
    return {one.text_id: made[one.text_id][: wanted[one.text_id]] for one in of if one.text_id in made}


def written_for_others(context: Context, name: str, resolved: Sequence[Resolved]) -> set[tuple[str, str]]:
    """(parent id, id) of variants that an augmenter wrote for other labels than their parents have by now."""
    if not getattr(context.project.augmenter(context.config, name), "reads_labels", False):
        return set()
    rename, today = context.config.task.rename, {one.text_id: set(one.labels) for one in resolved}
    then = context.project.store.variant_labels(name, options_key(context.config, name))
    return {
        (parent, one)
        for (parent, one), labels in then.items()
        if parent in today and {rename.get(label, label) for label in labels} != today[parent]
    }


def options_key(config: Config, name: str) -> str:
    """How an augmenter's options stand in the database."""
    return json.dumps(config.options_of(name), sort_keys=True)
