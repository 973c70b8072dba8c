"""How far annotators agree with each other: Krippendorff's alpha, Cohen's kappa of pairs, and each with the others.

Only independent answers are compared. Who saw a model's suggestion may have followed it, and two who followed the same
one agree for no merit of theirs: answers to tasks that showed one are left out, and counted. So is what was asked again
because a label was in doubt: people agree less there than elsewhere. Annotators are called a1,
a2, … in the order of their first answer: a report is shown around, and a name is nobody's business there.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from alloop.anchoring import wilson
from alloop.consensus import Votes
from alloop.records import Kind
from alloop.seeds import rng_for

MOST_PAIRS = 100  # that are listed, those with the most texts in common first
RESAMPLES = 1_000

Said = Sequence[tuple[str, tuple[str, ...]]]  # of one text: annotator, labels


def aliases(names: Sequence[str]) -> dict[str, str]:
    """annotator -> a1, a2, … in the order in which they come."""
    return {name: f"a{number}" for number, name in enumerate(dict.fromkeys(names), 1)}


def agreement(votes: Votes, kind: Kind, labels: Sequence[str], called: Mapping[str, str]) -> dict[str, Any]:
    """The figures of these votes, as JSON can hold them; `called` says what each annotator is called, in their order.

    "texts" have two answers or more. "alpha" is 1 for perfect agreement and 0 for that of chance, with a 95 % interval
    over texts, and that of each of the "labels" against all others; for several labels per text it is that of all yes
    and no. "pairs" are Cohen's kappas on the "n" texts that two have in common. Of "annotators", "agrees" is how often
    they say what most of the others do, with its Wilson interval. What is None has nothing to tell apart.

    Several rows of a file that label one text count for alpha; as nobody knows whose they are, for nothing else.
    """
    several = {one: said for one, said in votes.items() if len(said) > 1}
    named = {one: _named(said) for one, said in votes.items()}
    pairs = _pairs(named, list(called))
    return {
        "texts": len(several),
        "answers": sum(map(len, votes.values())),
        "alpha": _alpha(several, kind, labels),
        "pairs": [
            {"annotators": [called[one], called[other]], **_compared(said)}
            for (one, other), said in sorted(pairs.items(), key=lambda pair: -len(pair[1]))[:MOST_PAIRS]
        ],
        "pairs_left_out": max(0, len(pairs) - MOST_PAIRS),
        "annotators": _annotators(named, kind, called),
    }


def _named(said: Said) -> dict[str, tuple[str, ...]]:
    """annotator -> labels, without those who said several things of the text: rows of a file."""
    times = Counter(who for who, _ in said)
    return {who: labels for who, labels in said if times[who] == 1}


def _alpha(several: Votes, kind: Kind, labels: Sequence[str]) -> dict[str, Any]:
    counts = _counts(several, kind, labels)  # (N, C): how often each label was given to a text
    votes = np.array([len(said) for said in several.values()])  # (N,)
    yes_no = np.stack([counts, votes[:, None] - counts], axis=2) if len(counts) else np.zeros((0, len(labels), 2))
    each = {label: krippendorff_alpha(yes_no[:, at]) for at, label in enumerate(labels)}
    if kind == "single":
        return {"value": krippendorff_alpha(counts), **_interval(counts[:, None]), "labels": each}
    value = krippendorff_alpha(yes_no.reshape(-1, 2))
    return {"value": value, **_interval(yes_no), "labels": each}


def _counts(several: Votes, kind: Kind, labels: Sequence[str]) -> np.ndarray:
    column = {label: at for at, label in enumerate(labels)}
    counts = np.zeros((len(several), len(labels)))
    for row, said in enumerate(several.values()):
        for _, given in said:
            for label in given:
                counts[row, column[label]] += 1
    return counts


def krippendorff_alpha(counts: np.ndarray) -> float | None:
    """Alpha of nominal answers (Krippendorff 2011), counts (N, C) saying how often each was given to a text.

    None where the answers are all the same: there is nothing to agree on.
    """
    import krippendorff

    used = counts[counts.sum(1) > 1]
    if (used.sum(0) > 0).sum() < 2:
        return None
    return float(krippendorff.alpha(value_counts=used, level_of_measurement="nominal"))


def _interval(counts: np.ndarray) -> dict[str, float | None]:
    """The 95 % interval of alpha over texts drawn with replacement; counts (N, Q, C) of Q questions about each text."""
    n = counts.sum(2, keepdims=True)  # (N, Q, 1)
    apart = ((n**2 - (counts**2).sum(2, keepdims=True)) / np.maximum(n - 1, 1)).sum((1, 2))  # (N,) pairs that disagree
    given = counts.sum(1)  # (N, C)
    rng = rng_for(0, 0, "agreement")
    found = []
    for _ in range(RESAMPLES if len(counts) > 1 else 0):
        times = np.bincount(rng.integers(len(counts), size=len(counts)), minlength=len(counts))
        totals = times @ given  # (C,)
        by_chance = (totals.sum() ** 2 - (totals**2).sum()) / (totals.sum() - 1)
        if by_chance > 0:
            found.append(1 - times @ apart / by_chance)
    if not found:
        return {"low": None, "high": None}
    low, high = np.quantile(found, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}


def _pairs(
    named: Mapping[str, Mapping[str, tuple[str, ...]]], order: Sequence[str]
) -> dict[tuple[str, str], list[tuple[Any, Any]]]:
    place = {who: at for at, who in enumerate(order)}
    found: dict[tuple[str, str], list[tuple[Any, Any]]] = defaultdict(list)
    for said in named.values():
        for one, other in combinations(sorted(said, key=place.__getitem__), 2):
            found[one, other].append((said[one], said[other]))
    return found


def _compared(said: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    return {"kappa": cohen_kappa(said), "agree": sum(a == b for a, b in said) / len(said), "n": len(said)}


def cohen_kappa(said: Sequence[tuple[Any, Any]]) -> float | None:
    """Cohen's kappa of two annotators' answers to the same texts; sets of labels agree where they are equal.

    None where both gave one and the same answer throughout. By hand, as there may be thousands of pairs.
    """
    n = len(said)
    first, second = Counter(one for one, _ in said), Counter(other for _, other in said)
    by_chance = sum(first[answer] * second[answer] for answer in first)  # times n²
    if by_chance == n * n:
        return None
    agree = sum(bool(one == other) for one, other in said)
    return (agree * n - by_chance) / (n * n - by_chance)


def _annotators(
    named: Mapping[str, Mapping[str, tuple[str, ...]]], kind: Kind, called: Mapping[str, str]
) -> list[dict[str, Any]]:
    """In the order of what they are called."""
    answers: Counter[str] = Counter(who for said in named.values() for who in said)
    judged: dict[str, list[bool]] = defaultdict(list)
    for said in named.values():
        for who, is_same in _beside_the_others(said, kind):
            judged[who].append(is_same)
    return [
        {"annotator": alias, "answers": answers[who], "agrees": _share(judged[who])}
        for who, alias in called.items()
        if answers[who]
    ]


def _beside_the_others(said: Mapping[str, tuple[str, ...]], kind: Kind) -> Iterator[tuple[str, bool]]:
    """Who says what most of the others say; nothing where the others are tied, or there are none."""
    n = len(said) - 1
    given = Counter(answer for labels in said.values() for answer in ([labels] if kind == "single" else labels))
    for who, labels in said.items() if n else ():
        others = given - Counter([labels] if kind == "single" else labels)  # type: ignore[list-item]
        if kind == "single":
            (most, count), *rest = others.most_common(2)
            if not rest or rest[0][1] < count:
                yield who, labels == most
        elif all(2 * count != n for count in others.values()):
            yield who, set(labels) == {label for label, count in others.items() if 2 * count > n}


def _share(same: Sequence[bool]) -> dict[str, Any] | None:
    if not same:
        return None
    value = sum(same) / len(same)
    low, high = wilson(value, len(same))
    return {"value": value, "low": low, "high": high, "n": len(same)}


def agreement_words(found: Mapping[str, Any]) -> list[str]:
    """In sentences: how far they agree, what that leaves open, and by which rule votes become labels."""
    words = []
    if found["texts"]:
        alpha, texts = found["alpha"], f"{found['texts']:,} text{'s' if found['texts'] != 1 else ''}"
        if alpha["value"] is None:
            words.append(f"Krippendorff's alpha is not known: all answers to {texts} are the same.")
        else:
            interval = "" if alpha["low"] is None else f" ({alpha['low']:.2f} to {alpha['high']:.2f})"
            words.append(
                f"Annotators agree with a Krippendorff's alpha of {alpha['value']:.2f}{interval} on {texts} of several "
                "answers."
            )
    else:
        words.append("No text has independent answers of two annotators.")
    if found["left_out"]:
        count = f"{found['left_out']:,} answer{'s' if found['left_out'] != 1 else ''}"
        words.append(f"Not compared: {count} given beside a model's suggestion, which people may have followed.")
    if found["tied"]:
        is_one = found["tied"] == 1
        words.append(f"The votes on {found['tied']:,} text{' are' if is_one else 's are'} evenly split.")
    words.append(f"Labels are made of votes by {found['rule']}.")
    return words
