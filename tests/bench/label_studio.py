"""How fast tasks go to a real Label Studio and answers come back, against the server's bare endpoints in the same run.

Starts a server of its own from `.studio`, which `make test` installs. Writes nothing but its own table.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import httpx  # noqa: E402
import loops  # noqa: E402

from alloop.annotators import Desk  # noqa: E402
from alloop.annotators.label_studio import LabelStudio  # noqa: E402
from alloop.records import Task  # noqa: E402
from tests.label_studio.server import StudioServer  # noqa: E402

LABELS = {"delivery": "", "returns": "", "billing": "", "fault": ""}


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
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--out", type=Path, help="append the figures to this file of JSON lines")
    return parser.parse_args()


def measure(server: StudioServer, work: Path, arguments: argparse.Namespace) -> None:
    import os

    n = arguments.tasks
    os.environ["LABEL_STUDIO_API_KEY"] = server.token
    bare = httpx.Client(base_url=server.url, headers={"Authorization": f"Token {server.token}"}, timeout=300)
    annotator = LabelStudio(url=server.url)
    tasks = list(made(n))

    desk = desk_in(work / "pushed")
    annotator.push([], desk)  # makes the project, which is not what is measured
    pushed = seconds(lambda: annotator.push(tasks, desk))
    other = bare.post("/api/projects", json={"title": "bare", "label_config": config_of(bare, desk)}).json()["id"]
    payload = [bare_task(task) for task in tasks]
    imported = seconds(lambda: post_all(bare, other, payload))

    answered = [
        {**one, "annotations": [{"result": one["predictions"][0]["result"], "lead_time": 3.0}]} for one in payload
    ]
    desk2 = desk_in(work / "pulled")
    annotator.push([], desk2)
    project = json.loads((desk2.inbox / "label-studio.json").read_text())["id"]
    post_all(bare, project, answered)
    listed = seconds(lambda: list_all(bare, project))
    before = peak_mb()
    found: list[Any] = []
    pulled = seconds(lambda: found.append(annotator.pull("", desk2)))
    grown = peak_mb() - before
    assert len(found[0].annotations) == n, len(found[0].annotations)
    cursor = json.loads(found[0].upto)
    later = datetime.fromisoformat(cursor["at"]) + timedelta(seconds=61)  # as if the last change were a minute old
    quiet = json.dumps(cursor | {"at": later.strftime("%Y-%m-%dT%H:%M:%S.%fZ")})
    asked = [seconds(lambda: annotator.pull(quiet, desk2)) for _ in range(5)]
    rows = [
        ["tasks pushed with predictions, a second", f"{n / pushed:,.0f}", ">= 800"],
        ["the bare import of the same tasks", f"{n / imported:,.0f}", "-"],
        ["ours / bare", f"{imported / pushed:.2f}", "-"],
        ["annotations pulled, a second", f"{n / pulled:,.0f}", "the listing's"],
        ["the bare listing of the same tasks, in full", f"{n / listed:,.0f}", "-"],
        ["ours / bare", f"{listed / pulled:.2f}", "about 1 or more"],
        ["memory that the pull added, MB", f"{grown:.0f}", "flat"],
        ["a pull where nothing has changed, s, slowest of 5", f"{max(asked):.2f}", "< 0.5"],
    ]
    print(loops.table(["what", "measured", "target"], rows))
    figures = {"tasks": n, "push_s": pushed, "bare_import_s": imported, "pull_s": pulled, "bare_list_s": listed}
    loops.append(arguments.out, figures)


def desk_in(root: Path) -> Desk:
    return Desk(root.name, root / "inbox", "single", LABELS, name=root.name, model_version="round-0001")


def made(n: int) -> Iterator[Task]:
    """Tasks with texts of some length and a suggestion each."""
    for number in range(n):
        text = f"message {number}: " + "the parcel has not come and nobody answers the telephone. " * 3
        said = {"delivery": 0.7, "returns": 0.2, "billing": 0.06, "fault": 0.04}
        yield Task(f"pushed:t1-{number:06}:1", f"t1-{number:06}", text, "pick", 1, number, False, suggestion=said)


def bare_task(task: Task) -> dict[str, Any]:
    key = task.key.replace("pushed:", "pulled:")
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["delivery"]}}]
    return {
        "data": {"text": task.text, "alloop_key": key, "alloop_batch": "pulled:1"},
        "predictions": [{"model_version": "round-0001", "score": 0.7, "result": result}],
    }


def config_of(bare: httpx.Client, desk: Desk) -> str:
    project = json.loads((desk.inbox / "label-studio.json").read_text())["id"]
    return str(bare.get(f"/api/projects/{project}").json()["label_config"])


def post_all(bare: httpx.Client, project: int, payload: list[dict[str, Any]]) -> None:
    for start in range(0, len(payload), 500):
        bare.post(f"/api/projects/{project}/import", json=payload[start : start + 500]).raise_for_status()


def list_all(bare: httpx.Client, project: int) -> None:
    page, seen, total = 1, 0, 1
    while seen < total:
        said = bare.get(
            "/api/tasks", params={"project": project, "page": page, "page_size": 500, "fields": "all"}
        ).json()
        seen, total, page = seen + len(said["tasks"]), said["total"], page + 1


def seconds(do: Any) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
