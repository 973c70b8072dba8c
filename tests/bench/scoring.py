"""How fast LoRA trains and scores, and how near scoring comes to what the processor can do.

    python tests/bench/scoring.py ../shared/data/trec/train.csv.gz        # any CSV with the columns text and label

The limit is the time of nothing but the base's matrix products, on as many tokens as the texts have (no padding), in
the same precision, measured in the same run on the same threads. Wants an idle machine; takes a minute.
"""

import argparse
import csv
import gzip
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from alloop.records import Example
from alloop.tuning import FitJob, tuners

LABELS = 100
ROWS = 2000  # of a matrix product: about a scoring batch's tokens
TIMES = 7


def fastest(run: Callable[[], Any], times: int) -> float:
    """Seconds of the fastest of several runs."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def limit_s(network: Any, tokens: int) -> float:
    """Seconds that the network's linear layers alone need for so many tokens: each shape once, times its number.

    The weights and inputs of a shape are those of as many layers as there are, so that they do not stay in the cache.
    """
    import torch

    layers = [m for name, m in network.named_modules() if isinstance(m, torch.nn.Linear) and "pooler" not in name]
    inputs = {m.in_features: torch.randn(ROWS, m.in_features, dtype=m.weight.dtype) for m in layers}

    def products() -> None:
        for layer in layers:
            layer(inputs[layer.in_features])

    with torch.inference_mode():
        return fastest(products, 20) * tokens / ROWS


def main(path: Path) -> None:
    import torch

    from alloop.tuning._bases import load_base
    from alloop.tuning._finetuning import _network

    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    labels = tuple(sorted({label for _, label in rows}))
    order = np.random.default_rng(0).permutation(len(rows))
    texts = [text for text, _ in rows]
    train = [Example(rows[i][0], (rows[i][1],)) for i in order[:LABELS]]
    tuner: Any = tuners.build("lora")
    base = load_base("minilm")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        tuner.fit(FitJob(train[:20], "single", labels, 0), out)  # so that libraries are loaded
        fit_s = fastest(lambda: tuner.fit(FitJob(train, "single", labels, 0), out), 3)
        tuner.predict(out, texts[:500], ("probs",), 0)
        checksum = json.loads((out / "model.json").read_text())["files"]["adapter.safetensors"]
        network = _network(tuner, out.resolve(), checksum)
        tokens = sum(map(len, base.tokenize(texts, tuner.max_tokens)))
        score_s = least_s = tokenize_s = float("inf")
        for _ in range(TIMES):  # in turn, so that a busy moment does not hit one of them alone
            score_s = min(score_s, fastest(lambda: tuner.predict(out, texts, ("probs",), 0), 1))
            least_s = min(least_s, limit_s(network, tokens))
            tokenize_s = min(tokenize_s, fastest(lambda: base.tokenize(texts, tuner.max_tokens), 1))
    print(f"{torch.get_num_threads()} threads, {next(network.parameters()).dtype}")
    print(f"fit: {fit_s:.2f} s for {LABELS} labels")
    print(f"predict: {score_s:.2f} s, {len(texts) / score_s:.0f} texts/s, of {tokens / len(texts):.1f} tokens each")
    print(f"of which tokenizing: {tokenize_s:.2f} s")
    print(f"matrix products alone: {least_s:.2f} s, {len(texts) / least_s:.0f} texts/s")
    print(f"share of the limit: {least_s / score_s:.0%}, without tokenizing {least_s / (score_s - tokenize_s):.0%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--fp32", action="store_true", help="as on a processor without bfloat16")
    arguments = parser.parse_args()
    if arguments.fp32:
        from alloop.tuning import _encoding, _training

        _encoding.has_fast_bfloat16 = _training.has_fast_bfloat16 = lambda device: False
    main(arguments.csv)
