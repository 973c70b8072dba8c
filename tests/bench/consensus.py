"""Rules of consensus on votes whose truth is known, beside the libraries they come from; agreement beside nltk's.

    python tests/bench/consensus.py votes  --data DATA --out R     # votes of a crowd: snow_rte
    python tests/bench/consensus.py drawn  --data DATA --out R     # votes of simulated annotators: trec
    python tests/bench/consensus.py ties   --data DATA --out R     # whether to train on tied texts: trec
    python tests/bench/consensus.py equal  --data DATA --out R     # largest differences from the libraries
    python tests/bench/consensus.py show   --out R                 # writes tests/bench/consensus.md

Each result is one JSON line; what is there already is not run again. Votes are drawn at random from those of a text.
`crowdlab` hears the stand-in of a project, out of fold: frozen vectors of MiniLM and a linear model, which learns from
what the majority makes of the same votes. Intervals are of the texts: 1,000 times as many texts are drawn with
replacement, with all draws of votes of a text together. In `drawn` and `ties` eight annotators err in 10 to 35 % of
their answers, each wrong label as likely as any other.
"""

import argparse
import csv
import gzip
import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from alloop import config as configs
from alloop.agreement import agreement, aliases
from alloop.consensus import consensus_rules
from alloop.steps import stand_in
from alloop.tuning import tuners

RULES = ("majority", "dawid-skene", "crowdlab", "one-coin")
FOLDS = 5
RESAMPLES = 1_000
ERRORS = np.linspace(0.10, 0.35, 8)  # of the simulated annotators

Votes = dict[str, list[tuple[str, tuple[str, ...]]]]


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@lru_cache(maxsize=1)
def config(names: tuple[str, ...]) -> configs.Config:
    return configs.parse(f"[task]\nlabels = {json.dumps(names)}")


@lru_cache(maxsize=4)
def vectors(texts: tuple[str, ...]) -> np.ndarray:
    found = tuners.build("features").predict(None, list(texts), ("embeddings",), 0).embeddings
    assert found is not None
    return np.asarray(found)


def out_of_fold(names: tuple[str, ...], votes: Votes, x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """What the stand-in says of each text, the rows of x in the order of the ids."""
    ids = sorted(votes)
    labels = consensus_rules.build("majority")(votes, "single", names)
    y = np.array([[float(name in labels[one][0]) for name in names] for one in ids], np.float32)
    return dict(zip(ids, stand_in.out_of_fold(config(names), x, y, FOLDS, seed), strict=True))


def judged(names: tuple[str, ...], votes: Votes, gold: Mapping[str, str], x: np.ndarray, seed: int) -> dict[str, Any]:
    """By rule, and by the model alone: which texts are right, and how sure it was of them, in the order of the ids."""
    ids = sorted(votes)
    probs = out_of_fold(names, votes, x, seed)
    found = {}
    for rule in RULES:
        decided = consensus_rules.build(rule)(votes, "single", names, probs)
        found[rule] = {
            "right": [int(decided[one][0] == (gold[one],)) for one in ids],
            "sure": [round(decided[one][1], 4) for one in ids],
        }
    said = np.array([probs[one] for one in ids])
    right = [int(names[at] == gold[one]) for at, one in zip(said.argmax(1), ids, strict=True)]
    found["the model alone"] = {"right": right, "sure": [round(float(p), 4) for p in said.max(1)]}
    tied = sum(len({answer for _, answer in said}) > 1 and is_even(said) for said in votes.values())
    return {"ids": ids, "rules": found, "tied": tied}


def is_even(said: Sequence[tuple[str, tuple[str, ...]]]) -> bool:
    answers = [answer for _, answer in said]
    counts = sorted((answers.count(one) for one in set(answers)), reverse=True)
    return len(counts) > 1 and counts[0] == counts[1]


def snow(data: Path) -> tuple[Votes, dict[str, str], dict[str, str]]:
    votes: Votes = {}
    for row in rows_of(data / "snow_rte" / "votes.csv.gz"):
        votes.setdefault(row["item_id"], []).append((row["annotator"], (row["label"],)))
    items = rows_of(data / "snow_rte" / "items.csv.gz")
    return votes, {row["item_id"]: row["gold"] for row in items}, {row["item_id"]: row["text"] for row in items}


def run_votes(data: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    every, gold, text = snow(data)
    names = tuple(sorted(set(gold.values())))
    ids = sorted(every)
    x = vectors(tuple(text[one] for one in ids))
    grid = [(800, 10, 0)] + [(800, n, seed) for seed in range(5) for n in (1, 2, 3, 5)]
    grid += [(texts, n, seed) for seed in range(10) for texts in (25, 100) for n in (2, 3, 5, 10)]
    for texts, n, seed in grid:
        key = {"part": "votes", "texts": texts, "votes": n, "seed": seed}

        def run(texts: int = texts, n: int = n, seed: int = seed) -> dict[str, Any]:
            rng = np.random.default_rng(seed)
            rows = np.sort(rng.choice(len(ids), texts, replace=False))
            votes = {}
            for row in rows:
                said = every[ids[row]]
                votes[ids[row]] = [said[at] for at in sorted(rng.choice(len(said), n, replace=False))]
            return judged(names, votes, gold, x[rows], seed)

        yield key, run


def trec(data: Path) -> tuple[tuple[str, ...], list[dict[str, str]], np.ndarray, list[dict[str, str]], np.ndarray]:
    rows = rows_of(data / "trec" / "train.csv.gz")
    rows = [rows[at] for at in np.random.default_rng(0).permutation(len(rows))[:2000]]
    test = rows_of(data / "trec" / "test.csv.gz")
    names = tuple(sorted({row["label"] for row in rows}))
    x = vectors(tuple(row["text"] for row in rows + test))
    return names, rows, x[: len(rows)], test, x[len(rows) :]


def drawn_votes(
    names: tuple[str, ...], rows: Sequence[Mapping[str, str]], n: int, rng: np.random.Generator
) -> tuple[Votes, dict[str, str]]:
    votes, gold = {}, {}
    for at, row in enumerate(rows):
        one = f"{at:05}"
        gold[one] = row["label"]
        others = [name for name in names if name != row["label"]]
        said = []
        for who in rng.choice(len(ERRORS), n, replace=False):
            wrong = rng.random() < ERRORS[who]
            said.append((f"a{who}", (others[rng.integers(len(others))] if wrong else row["label"],)))
        votes[one] = said
    return votes, gold


def run_drawn(data: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    names, rows, x, _, _ = trec(data)
    for texts, n, seed in ((t, n, s) for s in range(5) for t in (25, 100, 300, 1000) for n in (2, 3, 5)):
        key = {"part": "drawn", "texts": texts, "votes": n, "seed": seed}

        def run(texts: int = texts, n: int = n, seed: int = seed) -> dict[str, Any]:
            rng = np.random.default_rng(seed)
            picked = rng.choice(len(rows), texts, replace=False)
            votes, gold = drawn_votes(names, [rows[at] for at in picked], n, rng)
            return judged(names, votes, gold, x[picked], seed)

        yield key, run


def run_ties(data: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    names, rows, x, test, x_test = trec(data)
    truth = np.array([names.index(row["label"]) for row in test])
    grid = [("majority", t, n, s) for s in range(20) for t in (100, 300, 1000) for n in (2, 4)]
    grid += [(rule, t, 2, s) for s in range(5) for rule in ("dawid-skene", "crowdlab") for t in (100, 300, 1000)]
    for rule, texts, n, seed in grid:
        key = {"part": "ties", "texts": texts, "votes": n, "seed": seed}
        if rule != "majority":
            key["rule"] = rule

        def run(rule: str = rule, texts: int = texts, n: int = n, seed: int = seed) -> dict[str, Any]:
            rng = np.random.default_rng(seed)
            picked = rng.choice(len(rows), texts, replace=False)
            votes, gold = drawn_votes(names, [rows[at] for at in picked], n, rng)
            probs = out_of_fold(names, votes, x[picked], seed)
            labels = consensus_rules.build(rule)(votes, "single", names, probs)
            y = np.array([[float(name in labels[one][0]) for name in names] for one in sorted(votes)], np.float32)
            tied = np.array([is_even(votes[one]) for one in sorted(votes)])
            right = np.array([labels[one][0] == (gold[one],) for one in sorted(votes)])
            found: dict[str, Any] = {"tied": float(tied.mean()), "tied_right": float(right[tied].mean())}
            for name, keep in (("with", np.ones(len(y), bool)), ("without", ~tied)):
                model = stand_in.fitted(config(names), x[picked][keep], y[keep])
                logits = stand_in.linear_logits(x_test, model)
                found[name] = float((logits.argmax(1) == truth).mean())
            return found

        yield key, run


def run_equal(data: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    yield {"part": "equal", "what": "snow_rte"}, lambda: equal_snow(data)
    for name in ("convabuse", "snow_rte"):
        yield {"part": "equal", "what": f"agreement on {name}"}, lambda name=name: equal_agreement(data, name)


def equal_snow(data: Path) -> dict[str, Any]:
    """The rules on all votes of snow_rte, and what the libraries say when asked directly."""
    import pandas as pd
    from cleanlab.multiannotator import get_label_quality_multiannotator
    from crowdkit.aggregation import DawidSkene

    votes, gold, text = snow(data)
    names = tuple(sorted(set(gold.values())))
    ids = sorted(votes)
    probs = out_of_fold(names, votes, vectors(tuple(text[one] for one in ids)), 0)
    rows = [(one, who, label) for one, said in votes.items() for who, (label,) in said]
    table = pd.DataFrame(rows, columns=["task", "worker", "label"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = DawidSkene(n_iter=100).fit_predict_proba(table).reindex(index=ids, columns=list(names)).to_numpy()
    ours = consensus_rules.build("dawid-skene")(votes, "single", names)
    found: dict[str, Any] = {
        "dawid-skene": {
            "labels": sum(ours[one][0][0] != names[at] for one, at in zip(ids, theirs.argmax(1), strict=True)),
            "confidence": float(max(abs(ours[one][1] - p) for one, p in zip(ids, theirs.max(1), strict=True))),
            "texts": len(ids),
        }
    }
    wide = table.assign(label=table["label"].map(names.index)).pivot(index="task", columns="worker", values="label")
    asked = get_label_quality_multiannotator(wide, np.stack([probs[one] for one in wide.index]), verbose=False)
    quality = asked["label_quality"]
    ours = consensus_rules.build("crowdlab")(votes, "single", names, probs)
    sure = quality["consensus_quality_score"]
    found["crowdlab"] = {
        "labels": sum(names.index(ours[one][0][0]) != quality["consensus_label"][one] for one in wide.index),
        "confidence": float(max(abs(ours[one][1] - sure[one]) for one in wide.index)),
        "texts": len(ids),
    }
    return found


def equal_agreement(data: Path, name: str) -> dict[str, Any]:
    """Alpha and the kappa of every pair, as `alloop report` has them and as nltk has them."""
    from itertools import combinations

    from nltk.metrics.agreement import AnnotationTask

    votes: Votes = {}
    for row in rows_of(data / name / "votes.csv.gz"):
        votes.setdefault(row["item_id"], []).append((row["annotator"], (row["label"],)))
    labels = tuple(sorted({label for said in votes.values() for _, (label,) in said}))
    called = aliases([who for said in votes.values() for who, _ in said])
    start = time.monotonic()
    found = agreement(votes, "single", labels, called)
    seconds = time.monotonic() - start
    triples = [(called[who], one, label) for one, said in votes.items() if len(said) > 1 for who, (label,) in said]
    alpha = AnnotationTask(triples).alpha()
    of: dict[str, dict[str, str]] = {}
    for who, one, label in triples:
        of.setdefault(who, {})[one] = label
    kappas = {tuple(pair["annotators"]): pair["kappa"] for pair in found["pairs"]}
    apart = []
    for pair in combinations(called.values(), 2):
        if pair in kappas and kappas[pair] is not None:
            both = sorted(of[pair[0]].keys() & of[pair[1]].keys())
            task = AnnotationTask([(who, one, of[who][one]) for who in pair for one in both])
            apart.append(abs(task.kappa_pairwise(*pair) - kappas[pair]))
    return {
        "texts": found["texts"],
        "annotators": len(called),
        "alpha": found["alpha"]["value"],
        "low": found["alpha"]["low"],
        "high": found["alpha"]["high"],
        "alpha_apart": abs(alpha - found["alpha"]["value"]),
        "pairs": len(apart),
        "kappa_apart": max(apart),
        "kappas": sorted(kappa for kappa in kappas.values() if kappa is not None),
        "agrees": sorted(one["agrees"]["value"] for one in found["annotators"] if one["agrees"]),
        "seconds": round(seconds, 1),
    }


PARTS = {"votes": run_votes, "drawn": run_drawn, "ties": run_ties, "equal": run_equal}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "show"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.part == "show":
        show(arguments.out)
        return
    known = {json.dumps(row["key"], sort_keys=True) for row in read(arguments.out)}
    for key, run in PARTS[arguments.part](arguments.data):
        if json.dumps(key, sort_keys=True) not in known:
            start = time.monotonic()
            line = {"key": key, "found": run()}
            with open(arguments.out, "a", encoding="utf-8") as file:
                file.write(json.dumps(line, default=float) + "\n")
            print(key, f"{time.monotonic() - start:.1f} s", flush=True)


def read(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []


def interval(right: Mapping[str, Sequence[float]], other: Mapping[str, Sequence[float]] | None = None) -> str:
    """Accuracy in % over texts of which each has one value a draw, or its difference from another rule's; 95 %."""
    ids = sorted(right)
    total = np.array([sum(right[one]) - (sum(other[one]) if other else 0) for one in ids], float)
    n = np.array([len(right[one]) for one in ids], float)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(ids), size=(RESAMPLES, len(ids)))
    values = 100 * total[drawn].sum(1) / n[drawn].sum(1)
    low, high = np.quantile(values, [0.025, 0.975])
    value = 100 * total.sum() / n.sum()
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})" if other else f"{value:.1f} ({low:.1f}–{high:.1f})"


def rule_table(rows: Sequence[Mapping[str, Any]], texts: int, numbers: Sequence[int]) -> list[str]:
    """A line for each number of votes: accuracy of each rule, and how it differs from the majority's."""
    lines = [
        f"| votes | draws | tied | majority | {' | − majority | '.join(RULES[1:])} | − majority | the model alone |",
        f"|{' --- |' * (2 * len(RULES) + 3)}",
    ]
    for n in numbers:
        found = [one["found"] for one in rows if (one["key"]["texts"], one["key"]["votes"]) == (texts, n)]
        if not found:
            continue
        right: dict[str, dict[str, list[float]]] = {}
        for draw, one in enumerate(found):
            for rule, said in one["rules"].items():
                for text, is_right in zip(one["ids"], said["right"], strict=True):
                    # texts of `drawn` are others in every draw
                    key = text if rows[0]["key"]["part"] == "votes" else f"{draw} {text}"
                    right.setdefault(rule, {}).setdefault(key, []).append(is_right)
        sure = {rule: np.mean([np.mean(one["rules"][rule]["sure"]) for one in found]) for rule in right}
        cells = [f"{n}", f"{len(found)}", f"{100 * np.mean([one['tied'] / texts for one in found]):.0f} %"]
        for rule in RULES:
            cells.append(f"{interval(right[rule])}, says {100 * sure[rule]:.0f}")
            if rule != "majority":
                cells.append(interval(right[rule], right["majority"]))
        cells.append(interval(right["the model alone"]))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def show(out: Path) -> None:
    """Write what was measured as a page."""
    rows = read(out)
    of = {part: [row for row in rows if row["key"]["part"] == part] for part in PARTS}
    equal = {row["key"]["what"]: row["found"] for row in of["equal"]}
    draws = {(row["key"]["texts"], row["key"]["votes"]) for row in of["votes"]}
    lines = [
        "# Consensus and agreement, measured",
        "",
        "By `tests/bench/consensus.py`, whose first lines say what each part is and how it is run. Accuracies are in "
        "%, with 95 % intervals over texts; *says* is the mean confidence, which should be the accuracy.",
        "",
        "## Equal to the libraries",
        "",
        "| what | texts | labels that differ | largest difference of a confidence |",
        "| --- | --- | --- | --- |",
    ]
    for rule, library in (("dawid-skene", "crowd-kit"), ("crowdlab", "cleanlab")):
        one = equal["snow_rte"][rule]
        lines.append(
            f"| `{rule}` beside {library}, snow_rte, 10 votes a text | {one['texts']} | {one['labels']:.0f} "
            f"| {one['confidence']:.0e} |"
        )
    lines += [
        "",
        "| set | texts | annotators | alpha | from nltk's | pairs | largest difference of a kappa from nltk's | kappas "
        "| agree with the others |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in ("convabuse", "snow_rte"):
        one = equal[f"agreement on {name}"]
        spread = [f"{min(values):.2f} to {max(values):.2f}" for values in (one["kappas"], one["agrees"])]
        alpha = f"{one['alpha']:.3f} ({one['low']:.3f}–{one['high']:.3f}) | {one['alpha_apart']:.0e}"
        kappa = f"{one['pairs']} | {one['kappa_apart']:.0e}"
        lines.append(f"| {name} | {one['texts']:,} | {one['annotators']} | {alpha} | {kappa} | {' | '.join(spread)} |")
    lines += [
        "",
        "## A crowd: snow_rte",
        "",
        "Textual entailment, two labels, 164 annotators. The model is of no help.",
    ]
    for texts in sorted({texts for texts, _ in draws}, reverse=True):
        lines += ["", f"{texts} texts:", "", *rule_table(of["votes"], texts, (1, 2, 3, 5, 10))]
    lines += [
        "",
        "## Simulated annotators: trec",
        "",
        "Six labels, eight annotators who err in 10 to 35 % of their answers. The model is of help.",
    ]
    for texts in sorted({row["key"]["texts"] for row in of["drawn"]}, reverse=True):
        lines += ["", f"{texts} texts:", "", *rule_table(of["drawn"], texts, (2, 3, 5))]
    lines += ["", "## Tied texts: to train on them or not", "", *tie_table(of["ties"])]
    page = Path(__file__).with_suffix(".md")
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {page}")


def tie_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "The same simulated annotators; `features` trained on the labels that the rule makes, accuracy on the 500 test "
        "texts of trec in %. The interval is of the seeds.",
        "",
        "| rule | texts | votes a text | seeds | tied | of these right | trained on all | without tied | difference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    groups: dict[tuple[int, int, int], list[Mapping[str, float]]] = {}
    for row in rows:
        key = row["key"]
        group = (RULES.index(key.get("rule", "majority")), key["texts"], key["votes"])
        groups.setdefault(group, []).append(row["found"])
    for (rule, texts, n), found in sorted(groups.items()):
        apart = [100 * (one["without"] - one["with"]) for one in found]
        half = 1.96 * np.std(apart, ddof=1) / np.sqrt(len(apart))
        means = {name: 100 * np.mean([one[name] for one in found]) for name in found[0]}
        lines.append(
            f"| `{RULES[rule]}` | {texts} | {n} | {len(found)} | {means['tied']:.0f} % | {means['tied_right']:.0f} % "
            f"| {means['with']:.1f} | {means['without']:.1f} | {np.mean(apart):+.1f} ± {half:.1f} |"
        )
    return lines


if __name__ == "__main__":
    main()
