"""Peak memory of training on a BERT of 110M parameters with random weights: tuners side by side, in one run.

    python tests/bench/memory.py [--tuners lora,full] [--steps 10]

Each tuner trains in a process of its own, on texts of 128 tokens in batches of 8. What is compared is the peak over
what the process held before the fit, with the base loaded: the base counts once for either. The weights are random, so
that nothing has to be downloaded; memory does not depend on them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LENGTH, TEXTS = 128, 64


def make_base(directory: Path) -> None:
    """BERT-base as its authors published it but for the words: 12 layers of 768, and 30,522 tokens."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    BertModel(BertConfig()).save_pretrained(directory)
    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{f"w{number}": number for number in range(2, 30_522)}}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(directory)


def measure(tuner: str, base: Path, steps: int) -> dict[str, Any]:
    """Fit, and say how much more memory than before it was held at once, in MB."""
    from alloop.records import Example
    from alloop.tuning import FitJob, tuners
    from alloop.tuning._bases import load_base

    train = [
        Example(" ".join(f"w{2 + (row * LENGTH + word) % 30_000}" for word in range(LENGTH)), (f"label{row % 4}",))
        for row in range(TEXTS)
    ]
    job = FitJob(train, "single", tuple(f"label{number}" for number in range(4)), 0)
    load_base(str(base))
    before = _held_mb()
    with tempfile.TemporaryDirectory() as out:
        measured = tuners.build(tuner, base=str(base), max_tokens=LENGTH, steps=steps, epochs=0.01).fit(job, Path(out))
        size = sum(path.stat().st_size for path in Path(out).rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "tuner": tuner,
        "before_mb": before,
        "peak_mb": peak,
        "trainable_parameters": measured["trainable_parameters"],
        "bytes": size,
    }


def _held_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tuners", default="lora,full")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--one", nargs=2, metavar=("TUNER", "BASE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one[0], Path(arguments.one[1]), arguments.steps)))
        return
    with tempfile.TemporaryDirectory() as directory:
        make_base(Path(directory))
        found = []
        for tuner in arguments.tuners.split(","):
            command = [sys.executable, __file__, "--steps", str(arguments.steps), "--one", tuner, directory]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    print("tuner      training takes   whole process   trained        model on disk")
    for one in found:
        print(
            f"{one['tuner']:10} {one['peak_mb'] - one['before_mb']:8,.0f} MB   {one['peak_mb']:10,.0f} MB   "
            f"{one['trainable_parameters']:13,.0f}   {one['bytes'] / 1e6:8.1f} MB"
        )
    first, last = found[0], found[-1]
    share = (first["peak_mb"] - first["before_mb"]) / (last["peak_mb"] - last["before_mb"])
    print(f"{first['tuner']} takes {share:.2f} of what {last['tuner']} takes to train, beyond the loaded base")


if __name__ == "__main__":
    main()
