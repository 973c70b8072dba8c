"""An audit: what is wrong with a project's labels and texts, the worst first, without changing anything.

Each module below finds one kind of trouble in the `material` and returns a section that JSON can hold; `words` and
`page` show them. `review` sends suspicious labels back to annotators, and says what came of it.
"""

from collections.abc import Callable
from typing import Any

from alloop.auditing.balance import balance
from alloop.auditing.confusions import by_model, by_people, suggestions
from alloop.auditing.copies import conflicts, leakage
from alloop.auditing.material import material
from alloop.auditing.review import state
from alloop.auditing.slices import slices
from alloop.auditing.strays import off_language, outliers
from alloop.auditing.suspects import judge, suspicious
from alloop.project import Project


def audit(
    project: Project, tuner: str | None = None, on_part: Callable[[str], None] = lambda words: None
) -> dict[str, Any]:
    """The JSON of `alloop audit`. Reads the database only; vectors of texts and a tuner's folds stay in the `cache`.

    Every section has "n" (how much was found), "of" (how much was looked at), "items" (the most important first) and
    "missing" (None, or why nothing can be said). Labels are judged by the stand-in, or by the tuner named.
    """
    on_part("reading labels")
    found = material(project)
    on_part("judging labels")
    judged = judge(found, tuner, on_part)
    document: dict[str, Any] = {
        "project": project.name,
        "kind": found.config.task.kind,
        "label_names": list(found.config.task.names),
        "labels": len(found.resolved),
        "texts": project.store.counts(),
        "judged_by": {"tuner": judged.tuner, "folds": judged.folds},
        "suspicious": suspicious(found, judged),
    }
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "conflicts": lambda: conflicts(found),
        "leakage": lambda: leakage(found),
        "confused_by_people": lambda: by_people(found),
        "confused_by_model": lambda: by_model(found, judged),
        "slices": lambda: slices(found, judged),
        "suggestions": lambda: suggestions(found),
        "outliers": lambda: outliers(found),
        "languages": lambda: off_language(found),
        "balance": lambda: balance(found),
    }
    for name, find in parts.items():
        on_part(name.replace("_", " "))
        document[name] = find()
    return {**document, "review": state(project)}
