"""Does a model that has left say what it said before? transformers and ONNX Runtime beside alloop (issue 5, point 3).

    python tests/bench/exported.py --data ../shared/data --work /tmp/exported --out /tmp/exported.jsonl

A round of the shipped LoRA on so many labels, exported with --onnx; then 1,000 texts, those of the test file first,
are predicted by alloop, in fp32 and as it is on this machine, by a transformers pipeline in a process that has no
alloop, and by ONNX Runtime from the exported files. Prints, against alloop in fp32, the largest difference of a
probability and the share of texts that get the same label, and texts a second. Needs the extra `onnx`.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import loops
import numpy as np

BATCH = 32  # texts at once, in the order given, of the two that leave this to the user
PIPELINE = """
import json, sys, time
sys.modules["alloop"] = None  # importing it fails
from transformers import pipeline
directory, batch = sys.argv[1], int(sys.argv[2])
texts = json.load(sys.stdin)
classify = pipeline("text-classification", model=directory, trust_remote_code=True, device="cpu")
classify(texts[:batch], top_k=None, batch_size=batch)
started = time.perf_counter()
said = classify(texts, top_k=None, batch_size=batch)
seconds = time.perf_counter() - started
json.dump({"seconds": seconds, "said": [{one["label"]: one["score"] for one in row} for row in said]}, sys.stdout)
"""


def by_alloop(directory: Path, texts: list[str]) -> tuple[np.ndarray, float]:
    import alloop

    classifier = alloop.load(directory)
    classifier.predict_proba(texts[:BATCH])
    started = time.perf_counter()
    return classifier.predict_proba(texts), time.perf_counter() - started


def by_alloop_in_fp32(directory: Path, texts: list[str]) -> tuple[np.ndarray, float]:
    from unittest import mock

    from alloop.tuning import _encoding, _finetuning

    with mock.patch.object(_encoding, "has_fast_bfloat16", return_value=False):
        _finetuning._network.cache_clear()
        said = by_alloop(directory, texts)
    _finetuning._network.cache_clear()
    return said


def by_pipeline(directory: Path, texts: list[str], labels: list[str]) -> tuple[np.ndarray, float]:
    ran = subprocess.run(
        [sys.executable, "-c", PIPELINE, str(directory.absolute()), str(BATCH)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        cwd=directory.parent,
        check=False,
    )
    if ran.returncode:
        sys.exit(ran.stderr)
    found = json.loads(ran.stdout)
    return np.array([[row[label] for label in labels] for row in found["said"]]), found["seconds"]


def by_onnx(directory: Path, texts: list[str], labels: list[str]) -> tuple[np.ndarray, float]:
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    session = onnxruntime.InferenceSession(str(directory / "model.onnx"), providers=["CPUExecutionProvider"])
    names = list(json.loads((directory / "config.json").read_text())["id2label"].values())
    columns = [names.index(label) for label in labels]
    rows: list[Any] = []
    started = time.perf_counter()
    for start in range(0, len(texts), BATCH):
        read = tokenizer.encode_batch(texts[start : start + BATCH])
        ids, mask = (np.array([getattr(one, name) for one in read]) for name in ("ids", "attention_mask"))
        rows.append(session.run(["probabilities"], {"input_ids": ids, "attention_mask": mask})[0][:, columns])
    return np.concatenate(rows), time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the directory of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="where the project and the export go")
    parser.add_argument("--out", type=Path, help="JSON lines, one a run")
    parser.add_argument("--set", default="trec")
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--pool", type=int, default=1_000, help="texts to pick from")
    parser.add_argument("--texts", type=int, default=1_000)
    arguments = parser.parse_args()

    import alloop
    from alloop.leaving import export_model
    from alloop.rounds import run_round

    pool, test = loops.pool_and_test(arguments.data, arguments.set, arguments.pool)
    root, exported = arguments.work / f"{arguments.set}-{arguments.labels}", arguments.work / "exported"
    project = loops.make_project(root, pool, test)
    if not project.store.rounds():
        config = root / "alloop.toml"
        config.write_text(config.read_text().replace("[round]\n", f"[round]\nbatch = {arguments.labels}\n"))
        run_round(project)
    if not alloop.report(project)["points"]:
        run_round(project, push=False)
    if not exported.exists():
        export_model(project, exported, onnx=True)

    texts = [text for text, _ in [*test, *pool]][: arguments.texts]
    labels = alloop.load(exported).classes_.tolist()
    expected, seconds = by_alloop_in_fp32(exported, texts)
    others = {
        "alloop as it is here": by_alloop(exported, texts),
        "transformers": by_pipeline(exported, texts, labels),
        "ONNX Runtime": by_onnx(exported, texts, labels),
    }
    rows = [["alloop in fp32", "", "", f"{len(texts) / seconds:,.0f}"]]
    for name, (probs, taken) in others.items():
        difference, same = float(np.abs(probs - expected).max()), float((probs.argmax(1) == expected.argmax(1)).mean())
        rows.append([name, f"{difference:.1e}", f"{same:.4f}", f"{len(texts) / taken:,.0f}"])
        about = {"set": arguments.set, "labels": arguments.labels, "texts": len(texts), "by": name}
        loops.append(arguments.out, {**about, "difference": difference, "same": same, "texts_s": len(texts) / taken})
    print(loops.table(["", "largest difference", "same label", "texts/s"], rows))


if __name__ == "__main__":
    main()
