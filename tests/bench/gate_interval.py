"""Which interval of a cross-validated gain is honest: planted gains and losses, whose truth a test file knows.

    python tests/bench/gate_interval.py run  --data ../shared/data --out /tmp/interval.jsonl
    python tests/bench/gate_interval.py show --out /tmp/interval.jsonl

On sets that gate.py does not use. Labels are drawn at random, and variants are made of vectors: noise around
the parent's, the parent's mixed with that of a strange text of its label (`twin`: that text alone, the best there could
be), or with a share of texts of other labels (`broken`). The truth is what they do to the accuracy on 2,000 test texts.
An honest 80 % interval has its lower bound above the truth one time in ten; of honest ones the narrowest notices most.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gate import MAX_TOKENS, read_lines, rows_of, table
from scipy.stats import t

from alloop.records import Example
from alloop.steps.gate import COVERED, FOLDS, gain, repeats
from alloop.tuning import tuners
from alloop.tuning._folds import split
from alloop.tuning._linear import fit_linear, linear_logits

SETS, LABELS, DRAWS = ("dbpedia14", "noisy_agnews"), (32, 100), 16
TRAIN, TEST = 4_000, 2_000


def vectors_of(data: Path, name: str, file: str, most: int) -> tuple[np.ndarray, list[str]]:
    rows = rows_of(data, name, file, most)
    features = tuners.build("features", max_tokens=MAX_TOKENS)
    found = features.predict(None, [text for text, _ in rows], ("embeddings",), 0).embeddings
    assert found is not None
    return np.asarray(found), [labels[0] for _, labels in rows]


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def variants(x: np.ndarray, y: np.ndarray, drawn: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A variant of each drawn text by each planted augmenter."""
    rest = np.setdiff1d(np.arange(len(x)), drawn)
    noise = rng.normal(size=(len(drawn), x.shape[1])) / np.sqrt(x.shape[1])
    twin = x[[rng.choice(rest[y[rest] == y[row]]) for row in drawn]]
    other = x[[rng.choice(rest[y[rest] != y[row]]) for row in drawn]]
    found = {"noise 0.3": unit(x[drawn] + 0.3 * noise), "noise 0.8": unit(x[drawn] + 0.8 * noise), "twin": twin}
    found |= {f"twin {share}": unit((1 - share) * x[drawn] + share * twin) for share in (0.1, 0.3)}
    for share in (0.15, 0.4):
        found[f"broken {share}"] = np.where(rng.random((len(drawn), 1)) < share, other, found["noise 0.3"])
    return found


def corrected(right: np.ndarray, before: np.ndarray, fold: np.ndarray) -> float:
    """The lower bound by the corrected resampled t-test, from (R, N) of right ones (Nadeau & Bengio 2003)."""
    each = [(a - b)[f == k].mean() for a, b, f in zip(right, before, fold, strict=True) for k in range(FOLDS)]
    spread = np.sqrt((1 / len(each) + 1 / (FOLDS - 1)) * np.var(each, ddof=1))
    return float(np.mean(each) - t.ppf((1 + COVERED) / 2, len(each) - 1) * spread)


def a_draw(sets: Any, labels: int, seed: int) -> list[dict[str, Any]]:
    """The lower bounds and the truth of every planted augmenter."""
    (x, named), (x_test, named_test) = sets
    names = sorted(set(named))
    y, y_test = (np.array([names.index(name) for name in some]) for some in (named, named_test))
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(x))[:labels]
    one_hot = np.eye(len(names), dtype=np.float32)
    truth, own = one_hot[y[drawn]], x[drawn]
    examples = [Example(str(row), (names[y[row]],)) for row in drawn]
    fold = np.stack([split(examples, FOLDS, 1_000 * repeat + seed) for repeat in range(repeats(labels))])

    def learn(more: np.ndarray | None, rows: np.ndarray) -> Any:
        parts = (
            (own[rows], truth[rows])
            if more is None
            else (
                np.concatenate([own[rows], more[rows]]),
                np.concatenate([truth[rows], truth[rows]]),
            )
        )
        return fit_linear(*parts, "single", 30.0, "sqrt")

    def decided(more: np.ndarray | None) -> np.ndarray:
        said = np.zeros((len(fold), *truth.shape))
        for repeat, folds in enumerate(fold):
            for number in range(FOLDS):
                logits = linear_logits(own[folds == number], learn(more, folds != number))
                said[repeat, folds == number] = one_hot[logits.argmax(1)]
        return said

    def tested(more: np.ndarray | None) -> float:
        linear = learn(more, np.ones(labels, bool))
        return float((linear_logits(x_test, linear).argmax(1) == y_test).mean())

    before, base = decided(None), tested(None)
    found = []
    for name, more in variants(x, y, drawn, rng).items():
        having = decided(more)
        right, wrong = ((one * truth).sum(2) for one in (having, before))
        measured = gain(truth, before, having, "single")
        bounds = {"value": measured.value, "student": measured.low, "corrected": corrected(right, wrong, fold)}
        found.append({"labels": labels, "seed": seed, "planted": name, "truth": tested(more) - base, **bounds})
    return found


def show(lines: Sequence[dict[str, Any]]) -> str:
    groups: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for one in lines:
        groups[one["labels"], "all"].append(one)
        groups[one["labels"], one["planted"]].append(one)
    rows = []
    for (labels, name), some in sorted(groups.items()):
        cells = [str(labels), name, str(len(some)), f"{100 * np.mean([one['truth'] for one in some]):+.1f}"]
        for bound in ("student", "corrected"):
            on = [one[bound] > 0 for one in some]
            cells += [f"{np.mean(on):.0%}", f"{np.mean([one['truth'] < one[bound] - 1e-9 for one in some]):.0%}"]
        rows.append(cells)
    header = ("labels", "planted", "n", "mean truth", "Student: on", "truth below", "corrected: on", "truth below")
    return table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["run", "show"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.what == "show":
        print(show(read_lines(arguments.out)))
        return
    there = {(one["set"], one["labels"], one["seed"]) for one in read_lines(arguments.out)}
    for name in SETS:
        sets = vectors_of(arguments.data, name, "train", TRAIN), vectors_of(arguments.data, name, "test", TEST)
        for labels in LABELS:
            for seed in range(DRAWS):
                if (name, labels, seed) not in there:
                    found = a_draw(sets, labels, seed)
                    with open(arguments.out, "a", encoding="utf-8") as file:
                        file.writelines(json.dumps({"set": name, **one}) + "\n" for one in found)


if __name__ == "__main__":
    main()
