"""Compare tuners on the project's own labels: the same folds for each, so that their differences mean something."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from statistics import median
from typing import Any

from alloop.crossvalidation import Split, record, run_fold, spec_of, split, together
from alloop.figures import table
from alloop.files import fingerprint
from alloop.project import CONFIG, Project, check_plugins
from alloop.reports import metric_words, with_interval
from alloop.steps.besides import stamp
from alloop.work import TunerSpec

TUNERS = ("tfidf", "features", "lora")
WIDTH = 120
TIMED = 200  # texts that every model predicts, at least, where the pool has them: fewer would time the start alone


def compare(
    project: Project, names: Sequence[str] = TUNERS, folds: int = 5, on_fold: Callable[[str], None] = lambda words: None
) -> dict[str, Any]:
    """Each tuner's cross-validated headline metric and what it costs, the best first: the JSON of `alloop compare`.

    Every (tuner, fold) is recorded when it is finished, and not done again. Holds the project's lock while there is
    anything to do: training beside a round slows both many times over, and a result that cannot be saved because
    somebody else holds the lock would be lost.
    """
    check_plugins(project.config, project.root / CONFIG)
    parts = split(project, folds)
    specs = [spec_of(parts.config, name) for name in dict.fromkeys(names)]
    stamps = {spec.name: stamp(project, parts.config, spec) for spec in specs}
    jobs = [(spec, fold, _key(parts, spec, fold, stamps[spec.name])) for spec in specs for fold in range(folds)]
    if not {key for _, _, key in jobs} <= _finished(project).keys():
        with project.lock("alloop compare"):
            _run_missing(project, parts, jobs, on_fold)
    done = _finished(project)
    results = {spec.name: [done[key] for its, _, key in jobs if its is spec] for spec in specs}
    return _found(parts, specs, results)


def _key(parts: Split, spec: TunerSpec, fold: int, stamps: Sequence[str]) -> str:
    return fingerprint([parts.fingerprint, spec.name, dict(spec.options), fold, *stamps])


def _run_missing(
    project: Project, parts: Split, jobs: Sequence[tuple[TunerSpec, int, str]], on_fold: Callable[[str], None]
) -> None:
    also = _more_texts(project, parts)
    done = _finished(project)
    for spec, fold, key in jobs:
        if key not in done:
            on_fold(f"{spec.name}: fold {fold + 1} of {parts.folds}")
            about = {"tuner": spec.name, "options": dict(spec.options), "fold": fold, "folds": parts.folds}
            config = {"key": key, **about, "labels": len(parts.texts)}
            record(project, "compare", config, partial(run_fold, project, parts, spec, fold, also))


def _finished(project: Project) -> dict[str, Any]:
    return {job.config["key"]: job.result for job in project.store.jobs("compare") if job.result is not None}


def _more_texts(project: Project, parts: Split) -> list[str]:
    """Texts without a label, to fill up what is timed. Ids are hashes: the first of them are a random sample."""
    labelled = {one.text_id for one in parts.resolved}
    missing = max(0, TIMED - len(labelled) // parts.folds)
    ids = list(islice((one for one in project.store.pool_ids() if one not in labelled), missing))
    return [text.text for text in project.store.texts(ids)]


def _found(
    parts: Split, specs: Sequence[TunerSpec], results: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    decided = {name: together(parts, folds)[0] for name, folds in results.items()}
    estimates = {name: parts.estimate(said) for name, said in decided.items()}
    best = max(estimates, key=lambda name: estimates[name]["value"] or 0.0)  # the first named of equal ones
    rows = [
        {
            "tuner": spec.name,
            "options": dict(spec.options),
            **estimates[spec.name],
            "log_loss": together(parts, results[spec.name])[1],
            "difference": None if spec.name == best else parts.difference(decided[spec.name], decided[best]),
            **_costs(results[spec.name]),
        }
        for spec in specs
    ]
    return {
        "metric": parts.headline,
        "labels": len(parts.texts),
        "folds": parts.folds,
        "left_out": parts.left_out,
        "tuners": sorted(rows, key=lambda row: (row["tuner"] != best, -row["value"])),
    }


def _costs(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The middle of the folds: the first one also waited for libraries and the base to load."""
    parameters = [one["measured"].get("trainable_parameters") for one in folds]
    return {
        "fit_seconds": median(one["fit_seconds"] for one in folds),
        "trainable_parameters": None if None in parameters else int(median(parameters)),
        "bytes": int(median(one["bytes"] for one in folds)),
        "texts_per_second": median(one["predicted"] / one["predict_seconds"] for one in folds),
    }


def as_text(found: Mapping[str, Any]) -> str:
    """The comparison for reading."""
    title = f"{found['labels']:,} labels, {found['folds']} folds: each text judged by a model that had not seen it"
    header = ("tuner", metric_words(found["metric"]), "difference", "a fit", "trained", "on disk", "texts/s")
    rows = []
    for one in found["tuners"]:
        trained = one["trainable_parameters"]
        cells = (
            one["tuner"],
            with_interval(one),
            "best" if one["difference"] is None else difference_words(one["difference"]),
            f"{one['fit_seconds']:.1f} s",
            "–" if trained is None else f"{trained:,}",
            f"{one['bytes'] / 1e6:.2f} MB",
            f"{one['texts_per_second']:,.0f}",
        )
        rows.append(cells)
    return table(title, header, rows, WIDTH, words={0, 1, 2})


def words(found: Mapping[str, Any]) -> list[str]:
    """What the table leaves open, in sentences."""
    best, *rest = found["tuners"]
    said = left_out_words(found)
    if equal := [one["tuner"] for one in rest if one["difference"]["high"] >= 0]:
        said.append(f"These labels cannot tell {' and '.join(equal)} from {best['tuner']}: the difference may be none.")
    return said


def left_out_words(found: Mapping[str, Any]) -> list[str]:
    """How these models differ from those of the project's rounds."""
    return [f"note: trained without {' and '.join(found['left_out'])}; rounds have them."] if found["left_out"] else []


def difference_words(difference: Mapping[str, Any]) -> str:
    """A difference with its 95 % interval: "-0.012 (-0.04 to +0.02)"."""
    return f"{difference['value']:+.3f} ({difference['low']:+.2f} to {difference['high']:+.2f})"
