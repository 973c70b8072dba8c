"""alloop: from a pile of unlabelled text to a classifier people can trust, in the fewest labels.

The same as the command line, from Python:

    import alloop

    project, intake = alloop.create(Path("tickets"), data=["tickets.csv"], labels=["bug", "question", "praise"])
    project = alloop.open_project(Path("tickets"))
    outcome = alloop.run_round(project)                    # raises alloop.WaitingError while labels are missing
    for answer in alloop.predict(project, ["it crashes"]):
        print(answer.labels, answer.probabilities)
    alloop.report(project)["points"]                       # the label-efficiency curve
    alloop.load("tickets").predict_proba(["it crashes"])   # the newest model, as scikit-learn's classifiers are
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alloop.classifier import TextClassifier, load
    from alloop.errors import AlloopError, WaitingError
    from alloop.intake import add, create
    from alloop.predicting import predict
    from alloop.project import Project, open_project
    from alloop.reports import report, status
    from alloop.rounds import run_round

# How long an OpenMP thread spins before it sleeps. GNU's default of 300,000 makes a fit ten times slower as soon as
# anything else runs on the machine; sleeping at once makes it half as slow again on an idle one. Read when the library
# is loaded, so it has to stand here, before torch.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

_HOMES = {
    "AlloopError": "errors",
    "Project": "project",
    "TextClassifier": "classifier",
    "WaitingError": "errors",
    "add": "intake",
    "create": "intake",
    "load": "classifier",
    "open_project": "project",
    "predict": "predicting",
    "report": "reports",
    "run_round": "rounds",
    "status": "reports",
}

__all__ = [
    "AlloopError",
    "Project",
    "TextClassifier",
    "WaitingError",
    "add",
    "create",
    "load",
    "open_project",
    "predict",
    "report",
    "run_round",
    "status",
]


def __getattr__(name: str) -> Any:
    """Names load when first used, so that `alloop --help` stays instant."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"alloop.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'alloop' has no attribute {name!r}")
