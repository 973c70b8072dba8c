"""Wall seconds of `alloop --help`, the fastest of ten processes, and that it imports neither torch nor transformers.

python tests/bench/startup.py [--out /tmp/startup.jsonl]
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import loops

TARGET_S = 0.5
HEAVY = ("torch", "transformers", "peft", "sklearn", "datasets", "numpy", "pandas")
LIST_IMPORTS = """
import sys, contextlib, io
sys.argv = ["alloop", "--help"]
from alloop.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
print(" ".join(name for name in {heavy} if name in sys.modules))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--out", type=Path, help="JSON lines")
    arguments = parser.parse_args()
    alloop = str(Path(sys.executable).with_name("alloop"))
    seconds = []
    for _ in range(arguments.times):
        started = time.perf_counter()
        subprocess.run([alloop, "--help"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    listed = subprocess.run(
        [sys.executable, "-c", LIST_IMPORTS.format(heavy=HEAVY)], check=True, capture_output=True, text=True
    )
    imported = listed.stdout.split()
    rows = [
        ["alloop --help, fastest, s", f"{min(seconds):.3f}", f"< {TARGET_S}"],
        ["slowest, s", f"{max(seconds):.3f}", "-"],
        ["heavy imports", " ".join(imported) or "none", "no torch, no transformers"],
    ]
    print(loops.table(["what", "measured", "target"], rows))
    loops.append(arguments.out, {"seconds": [round(s, 4) for s in seconds], "imported": imported})
    sys.exit(min(seconds) > TARGET_S or bool({"torch", "transformers"} & set(imported)))


if __name__ == "__main__":
    main()
