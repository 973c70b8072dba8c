"""Choose how LoRA trains: a grid of fits on other sets than the benchmark's, one JSON line each, and a table of means.

    python tests/bench/recipe.py --data ../shared/data --out /tmp/recipe.jsonl --part 0/2     # resumes where it stopped
    python tests/bench/recipe.py --out /tmp/recipe.jsonl --table tests/bench/recipe.md

Run one process per core with OMP_NUM_THREADS=1: faster in total than one process with all of them. Only training files
are read. Every cell sees the same labels for the same (set, labels, seed), so cells are compared pair by pair.
"""

import argparse
import csv
import gzip
import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

EVALUATED = 1000
BANKING = ("card_arrival card_delivery_estimate card_not_working card_swallowed declined_card_payment "
           "declined_cash_withdrawal pending_card_payment pending_cash_withdrawal pending_top_up top_up_failed "
           "top_up_reverted transfer_timing").split()
EMOTIONS = "admiration annoyance curiosity gratitude love sadness optimism surprise".split()

CENTRE = {"rank": 16, "alpha": 32.0, "learning_rate": 1e-3, "steps": 120, "batch": 8, "average_from": 0.67}
CELLS: dict[str, dict[str, Any]] = {
    "centre": {},
    "head from LR": {"head": "linear"},
    "contrast 0.5": {"contrast": 0.5},
    "batch 16, 75 steps": {"batch": 16, "steps": 75},
    "batch 16, 75 steps, contrast 0.5": {"batch": 16, "steps": 75, "contrast": 0.5},
    "lr 2e-3": {"learning_rate": 2e-3},
    "lr 5e-4": {"learning_rate": 5e-4},
    "attention only": {"targets": "attention"},
    "LoRA+ 4, lr 5e-4": {"learning_rate": 5e-4, "lora_plus": 4.0},
    "head rate 10": {"head_rate": 10.0},
    "cosine head": {"head": "cosine"},
    "cosine, lr 2e-3": {"head": "cosine", "learning_rate": 2e-3},
    "cosine, lr 3e-3": {"head": "cosine", "learning_rate": 3e-3},
    "cosine from LR, lr 2e-3": {"head": "cosine-linear", "learning_rate": 2e-3},
    "cosine, lr 2e-3, rank 32": {"head": "cosine", "learning_rate": 2e-3, "rank": 32, "alpha": 64.0},
    "cosine, lr 2e-3, 80 steps": {"head": "cosine", "learning_rate": 2e-3, "steps": 80},
    "plain: linear head, lr 1e-3, batch 16, 15 epochs, dropout 0.1": {"batch": 16, "steps": 1, "epochs": 15.0, "dropout": 0.1},
    "ours, 100 steps": {"head": "cosine-linear", "learning_rate": 2e-3, "rank": 32, "alpha": 64.0, "steps": 100},
    "ours, 200 steps": {"head": "cosine-linear", "learning_rate": 2e-3, "rank": 32, "alpha": 64.0, "steps": 200},
    "ours, rank 64": {"head": "cosine-linear", "learning_rate": 2e-3, "rank": 64, "alpha": 128.0, "steps": 100},
    "ours, no class weights": {"head": "cosine-linear", "learning_rate": 2e-3, "rank": 32, "alpha": 64.0, "steps": 100, "class_weights": "none"},
    "cosine x20, lr 2e-3": {"head": "cosine", "learning_rate": 2e-3, "scale": 20.0},
}
STAGES = {
    "a": (list(CELLS)[:11], ["banking12", "emotions8", "agnews"], [100], [0]),
    "c": ([c for c in CELLS if c[:4] in ("plai", "ours") and c[-7:] not in ("weights", "0 steps")] + ["ours, 100 steps"], ["banking12", "emotions8"], [100], [2]),
    "d": ([c for c in CELLS if c[:4] in ("plai", "ours") and c[-7:] not in ("weights", "rank 64")], ["banking12", "emotions8"], [200], [2]),
    "e": (["ours, 100 steps", "ours, no class weights"], ["sms_spam"], [100], [2]),
    "b": ([*list(CELLS)[11:16], "cosine x20, lr 2e-3"], ["banking12", "emotions8"], [100], [1]),
}


def load(data: Path, name: str) -> list[tuple[str, str]]:
    """(text, label) rows of a training file, cut down to a single-label task."""
    folder = {"banking12": "banking77", "emotions8": "goemotions"}.get(name, name)
    with gzip.open(data / folder / "train.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    keep = {"banking12": BANKING, "emotions8": EMOTIONS}.get(name)
    return [row for row in rows if not keep or row[1] in keep]


def run(data: Path, cell: str, name: str, labels: int, seed: int) -> dict[str, Any]:
    """One fit, and the accuracy of several ways to read it out."""
    import torch

    from alloop.records import Example
    from alloop.tuning import FitJob, tuners
    from alloop.tuning._bases import load_base
    from alloop.tuning._encoding import embed, for_scoring, frozen
    from alloop.tuning._linear import fit_linear, linear_logits, probabilities
    from alloop.tuning._training import Recipe, train
    from copy import deepcopy

    rows = load(data, name)
    order = np.random.default_rng(seed).permutation(len(rows))
    train_rows = [rows[i] for i in order[:labels]]
    test_rows = [rows[i] for i in order[-EVALUATED:]]
    names = tuple(sorted({label for _, label in rows}))
    options = {**CENTRE, **CELLS[cell]}
    own = {key: options.pop(key) for key in ("rank", "alpha", "targets", "head", "scale", "dropout") if key in options}
    recipe = Recipe(**options)
    tuner = tuners.build("lora", **own)
    base = load_base("minilm")
    job = FitJob([Example(t, (l,)) for t, l in train_rows], "single", names, seed)
    y, truth = job.targets(job.train), np.array([names.index(l) for _, l in test_rows])
    tokens, test_tokens = (base.tokenize([t for t, _ in r], 128) for r in (train_rows, test_rows))

    plain = embed(base, frozen(base), tokens), embed(base, frozen(base), test_tokens)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    frozen_lr = fit_linear(unit(plain[0]), y, "single", 30.0, "sqrt")
    frozen_probs = probabilities(linear_logits(unit(plain[1]), frozen_lr), "single")

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = tuner.adapt(base)
        head = tuner._head(base, job, tokens, y)
        started = time.perf_counter()
        last = {}
        def at_end():
            last.update(network=deepcopy(network), head=deepcopy(head))
        measured = train(base, network, head, tokens, y, "single", recipe, np.random.default_rng(seed), at_end=at_end)
        seconds = time.perf_counter() - started
    accuracies = {"frozen LR": frozen_probs}
    for which, (net, h) in {"last": (last["network"], last["head"]), "averaged": (network, head)}.items():
        net = for_scoring(net)
        x, x_test = embed(base, net, tokens), embed(base, net, test_tokens)
        with torch.no_grad():
            probs = probabilities(h(torch.from_numpy(x_test)).numpy(), "single")
        accuracies[which] = probs
        for strength in (1.0, 30.0):
            refit = fit_linear(unit(x), y, "single", strength, "sqrt")
            refit_probs = probabilities(linear_logits(unit(x_test), refit), "single")
            accuracies[f"{which}, refit {strength:g}"] = refit_probs
        accuracies[f"{which} + refit 30"] = probs + refit_probs
        accuracies[f"{which} + frozen LR"] = probs + frozen_probs
        accuracies[f"{which} + frozen LR x0.5"] = probs + 0.5 * frozen_probs
    result = {k: round(float((p.argmax(1) == truth).mean()), 4) for k, p in accuracies.items()}
    return {"cell": cell, "set": name, "labels": labels, "seed": seed, "seconds": round(seconds, 2), "measured": measured, "accuracy": result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--stage", default="a")
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    cells, sets, labels, seeds = STAGES[arguments.stage]
    jobs = [(c, s, n, k) for k in seeds for n in labels for c in cells for s in sets]
    for index, (cell, name, count, seed) in enumerate(jobs):
        done = {tuple(json.loads(line)[k] for k in ("cell", "set", "labels", "seed")) for line in arguments.out.open()} if arguments.out.exists() else set()
        if index % parts == part and (cell, name, count, seed) not in done:
            line = json.dumps(run(arguments.data, cell, name, count, seed))
            with arguments.out.open("a") as file:
                file.write(line + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
