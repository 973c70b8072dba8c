"""Ten rounds with four people: does everything they do arrive once, and does anybody ever wait for a batch?

Four annotators work through the API of a real Label Studio, an answer every 2 to 5 s, some skipped, some edited, two
answers to each text, while `alloop run --watch` runs. Takes about 15 minutes. The server is that of `.studio`, which
`make test` installs; the texts are those of projects/support-desk.
"""

import argparse
import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import loops

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from alloop.intake import create  # noqa: E402
from alloop.project import Project  # noqa: E402
from alloop.rounds import run_round  # noqa: E402
from tests.label_studio.crew import Crew, differences  # noqa: E402
from tests.label_studio.people import Person  # noqa: E402
from tests.label_studio.server import StudioServer  # noqa: E402

CONFIG = """\
[task]
labels = {labels}
[data]
text = "text"
[model]
tuner = "features"
[round]
batch = {batch}
low_water = {low_water}
[annotate]
with = "label-studio"
url = "{url}"
annotators_per_text = 2
"""


def main() -> None:
    arguments = parsed()
    with tempfile.TemporaryDirectory() as work:
        server = StudioServer(Path(work) / "studio")
        try:
            measure(server, Path(work), arguments)
        finally:
            server.stop()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds with a trained model")
    parser.add_argument("--batch", type=int, default=30)
    parser.add_argument("--low-water", type=int, default=20)
    parser.add_argument(
        "--pause", type=float, nargs=2, default=(2.0, 5.0), help="seconds for an answer, least and most"
    )
    parser.add_argument("--out", type=Path, help="append the figures to this file of JSON lines")
    return parser.parse_args()


def measure(server: StudioServer, work: Path, arguments: argparse.Namespace) -> None:
    os.environ["LABEL_STUDIO_API_KEY"] = server.token
    truth = dict(loops.read_rows(ROOT / "projects" / "support-desk" / "data" / "pool.csv"))
    labels = sorted(set(truth.values()))
    project = project_of(work, list(truth), labels, server, arguments)
    run_round(project)
    number = int(project.annotator(project.config).address(project.desk(project.config)).split("/")[-2])  # type: ignore[attr-defined]
    people = [Person(server.url, server.add_user(f"crew{n}").token, number) for n in range(4)]
    command = [sys.executable, "-c", "from alloop.cli import main; main()", "run", str(project.root), "--watch"]
    started = time.monotonic()
    watch = subprocess.Popen([*command, "--every", "1"], stderr=subprocess.PIPE, text=True)
    with Crew(people, labels, truth.__getitem__, arguments.pause) as crew:
        while finished(project) <= arguments.rounds and not crew.trouble and watch.poll() is None:
            time.sleep(0.5)
        took = time.monotonic() - started
    watch.send_signal(signal.SIGTERM)
    words = watch.communicate(timeout=120)[1]
    run_round(project, go_on=True, push=False)
    there: list[dict[str, Any]] = [
        dict(one) for task in Person(server.url, server.token, number).tasks() for one in task.annotations
    ]
    with sqlite3.connect(project.root / "alloop.db") as connection:
        here = connection.execute(
            "SELECT remote_id, state, labels FROM annotations WHERE seq IN"
            " (SELECT max(seq) FROM annotations GROUP BY backend, remote_id)"
        ).fetchall()
    wrong = differences(there, here)
    rows = [
        ["rounds that trained", f"{finished(project) - 2}", f"{arguments.rounds}"],
        ["answers, of them skipped, edited later", f"{crew.answered}, {crew.skipped}, {crew.edited}", "-"],
        ["annotations there, here", f"{len(there)}, {len(here)}", "equal"],
        ["of them different", f"{len(wrong)}", "0"],
        ["times somebody found the queue empty", f"{len(crew.waits)}", "0"],
        ["seconds", f"{took:.0f}", "-"],
    ]
    print(loops.table(["what", "measured", "target"], rows))
    figures = {"answered": crew.answered, "different": len(wrong), "waits": len(crew.waits), "seconds": round(took)}
    loops.append(arguments.out, figures)
    if wrong or crew.trouble or watch.returncode != 143:
        print(*wrong[:5], *crew.trouble[:1], words[-2000:], sep="\n")
        sys.exit(1)


def project_of(
    work: Path, texts: list[str], labels: list[str], server: StudioServer, arguments: argparse.Namespace
) -> Project:
    with open(work / "texts.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    config = work / "crew.toml"
    config.write_text(
        CONFIG.format(labels=json.dumps(labels), batch=arguments.batch, low_water=arguments.low_water, url=server.url)
    )
    return create(work / "crew", source=config, data=[str(work / "texts.csv")])[0]


def finished(project: Project) -> int:
    """How many rounds are over, the first one without a model included."""
    return sum(row.finished_at is not None for row in project.store.rounds())


if __name__ == "__main__":
    main()
