"""Which labels are taken for each other, by people and by the model: where instructions could be sharper."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from alloop import metrics
from alloop.anchoring import anchoring
from alloop.auditing.material import Material, Section, missing, section
from alloop.auditing.suspects import Judged

EXAMPLES = 3  # texts of each pair
MOST_PAIRS = 100
SURE = 0.5  # p from which a suggestion says something

Pair = tuple[str, str | None]  # None: the label was given or not, and no other in its place


def by_people(material: Material) -> Section:
    """Pairs of labels that different answers gave to one text, the most frequent first, with the texts.

    "n" of a pair counts texts; "of" the texts with several answers of which one names either label.
    """
    several = {one: said for one, said in material.votes.items() if len(said) > 1}
    if not several:
        return missing("no text has several answers: set annotate.annotators_per_text to 2")
    pairs: dict[Pair, list[str]] = defaultdict(list)
    named: dict[str, set[str]] = defaultdict(set)
    for text_id, said in sorted(several.items()):
        for label in {label for _, labels in said for label in labels}:
            named[label].add(text_id)
        for pair in sorted({p for (_, a), (_, b) in combinations(said, 2) for p in differences(a, b)}, key=str):
            pairs[pair].append(text_id)
    found = [
        {"labels": list(pair), "n": len(ids), "of": len(named[pair[0]] | named[pair[1] or pair[0]]), "ids": ids}
        for pair, ids in pairs.items()
    ]
    return _listed(material, found, len(several), split=len({one for ids in pairs.values() for one in ids}))


def by_model(material: Material, judged: Judged) -> Section:
    """Pairs of labels of which one was given and the other said by a model that had not seen the text.

    The most frequent first; "n" of a pair counts texts, whichever of the two was given, "of" those that have either.
    """
    if judged.missing:
        return missing(judged.missing)
    names, kind = material.config.task.names, material.config.task.kind
    decided = metrics.decide(judged.probs, kind)
    given = [[names[c] for c in np.flatnonzero(row)] for row in material.y]
    said = [[names[c] for c in np.flatnonzero(row)] for row in decided]
    surest = np.argsort(-np.abs(material.y - judged.probs).max(1), kind="stable")
    says = dict(zip(material.ids, said, strict=True))
    pairs: dict[Pair, list[str]] = defaultdict(list)
    for row in surest:
        for pair in differences(given[row], said[row]):
            pairs[pair].append(material.ids[row])
    has = {name: set(np.flatnonzero(material.y[:, c])) for c, name in enumerate(names)}
    found = [
        {"labels": list(pair), "n": len(ids), "of": len(has[pair[0]] | has[pair[1] or pair[0]]), "ids": ids}
        for pair, ids in pairs.items()
    ]
    listed = _listed(material, found, len(given), split=int((decided != material.y).any(1).sum()))
    for item in listed["items"]:
        for example in item["examples"]:
            example["says"] = says[example["id"]]
    return listed


def differences(one: Sequence[str], other: Sequence[str]) -> set[Pair]:
    """Which label stands against which: each only here with each only there, or with none where there is none."""
    here, there = set(one) - set(other), set(other) - set(one)
    if not here or not there:
        return {(label, None) for label in here | there}
    return {(min(a, b), max(a, b)) for a in here for b in there}


def _listed(material: Material, found: Iterable[dict[str, Any]], of: int, split: int) -> Section:
    listed = sorted(found, key=lambda one: (-one["n"], -one["n"] / max(1, one["of"]), str(one["labels"])))
    items = []
    for one in listed[:MOST_PAIRS]:
        ids = one.pop("ids")[:EXAMPLES]
        examples = material.about(ids)
        for example in examples:
            answers = material.votes[example["id"]]
            example["answers"] = [{"annotator": who, "labels": list(said)} for who, said in answers]
        items.append({**one, "examples": examples})
    return section(items, of, texts=split) | {"n": len(listed)}


def suggestions(material: Material) -> Section:
    """Answers that differ from what the model said when it picked the text, the surest it was first.

    "shown" says how often annotators agree with a suggestion they see or do not see, as in `alloop report`.
    """
    task, store = material.config.task, material.project.store
    judged = store.judged_picks()
    if not judged:
        return missing("no pick has both an answer and what the model said of it")
    items = []
    for one in judged:
        p = {task.rename.get(name, name): chance for name, chance in one.predicted.items()}
        given = tuple(task.rename.get(label, label) for label in one.labels)
        says = [max(p, key=p.__getitem__)] if task.kind == "single" else [name for name in p if p[name] >= SURE]
        if set(says) != set(given):
            against = [p[name] for name in says if name not in given] + [1 - p.get(name, 0.0) for name in given]
            sure = p[says[0]] if task.kind == "single" else max(against, default=0.0)
            items.append((sure, one, says, given))
    items.sort(key=lambda item: (-item[0], item[1].text_id))
    listed = [
        {**about, "given": list(given), "says": says, "probability": round(sure, 4), "is_shown": one.is_shown}
        | {"round": one.round}
        for about, (sure, one, says, given) in zip(
            material.about([one.text_id for _, one, _, _ in items]), items, strict=True
        )
    ]
    return section(listed, len(judged), shown=anchoring(store, task.kind, task.rename))
