"""Questions about a project, answered without changing it: where it stands, and what its labels have bought.

Answers are dicts that JSON can hold, because `status --json` and `report --json` print them as they are. They may grow.
"""

import json
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from alloop.advice import advice, history
from alloop.agreement import agreement, aliases
from alloop.anchoring import anchoring
from alloop.annotators import HasAddress
from alloop.augmentation import augmentation, verdicts_words
from alloop.config import Config, restore
from alloop.consensus import is_tied
from alloop.errors import AlloopError
from alloop.pace import pace, pace_words
from alloop.project import CONFIG, Project, is_alive
from alloop.repeats import self_agreement
from alloop.steps import STEPS
from alloop.steps.pull import annotator_qualities, usable_votes
from alloop.store import MetricRow, RoundRow, Store

IN_THE_INBOX = ("terminal", "file")  # annotators whose answers can be read at once, without a network
METRIC_WORDS = {
    "f1_macro": "macro-F1",
    "f1_micro": "micro-F1",
    "f1_weighted": "weighted F1",
    "ece": "calibration error",
    "ece_uncalibrated": "calibration error before temperature",
    "matthews": "Matthews correlation",
}
LOWER_IS_BETTER = ("ece", "ece_uncalibrated", "log_loss", "hamming_loss")


def status(project: Project) -> dict[str, Any]:
    """Counts, where the round stands, and in "next" what to type now.

    "labelled" and "skipped" are texts, "waiting" is tasks nobody has answered yet, "unread" tasks whose answers the
    next round will read, "unused" answers without a label of today, "several" texts of two answers or more, "tied"
    those whose votes are evenly split. "consensus" is the rule that makes one label of them. "left" is how many pool
    texts can still be picked.
    "annotating" is how fast people answer and what the last batch still takes them, None where no times are known.
    "review" is {"tasks", "answered"} of the labels sent back to annotators, None where none were or that is over.
    "stopping" is what every stopping rule says: name -> {"stop", "since", "evidence", "first"}, see `alloop.advice`.
    """
    store, config = project.store, project.config
    row = store.last_round()
    texts, answers = store.counts(), store.answer_counts()
    tasks, unread, trouble = _tasks(project, config)
    found = {
        "project": project.name,
        "texts": {**texts, "left": texts["pool"] - store.taken_count()},
        "labels": {
            "labelled": answers["pool"]["labelled"] + answers["test"]["labelled"],
            "labelled_test": answers["test"]["labelled"],
            "skipped": answers["pool"]["skipped"] + answers["test"]["skipped"],
            "waiting": sum(not answered for answered in tasks.values()),
            "unread": unread,
            "unused": _pulled(store, "unused"),
            "several": _pulled(store, "several"),
            "tied": _pulled(store, "tied"),
        },
        "round": _round(store, row),
        "review": _review(store, tasks),
        "seconds": {} if row is None else store.step_seconds(row.number),
        "annotator": config.annotate.backend,
        "consensus": config.annotate.consensus,
        "annotating": pace(store, _answers_left(store, config, tasks)),
        "holder": lock_holder(project),
        "stopping": advice(config, history(store)),
    }
    found["next"] = _next(project, config, found, tasks, trouble)
    return found


def _round(store: Store, row: RoundRow | None) -> dict[str, Any]:
    """`step` is the first one without a finish: the round's state."""
    if row is None:
        return {"number": 0, "step": None, "finished": False}
    found = {"number": row.number, "step": None, "finished": row.finished_at is not None, "started_at": row.started_at}
    if row.abandoned_at is not None:
        return {**found, "abandoned": True}
    done = store.step_results(row.number)
    return {**found, "step": next((step.name for step in STEPS if step.name not in done), None)}


def _review(store: Store, tasks: Mapping[str, bool]) -> dict[str, int] | None:
    """How many labels `alloop audit --push` sent back last and how many are answered; None once that was applied."""
    jobs = store.jobs("audit")
    pushed = next((one for one in reversed(jobs) if "tasks" in one.config and one.result), None)
    if pushed is None or any(one.config.get("review") == pushed.id and one.result for one in jobs):
        return None
    answered = [tasks[one["key"]] for one in pushed.config["tasks"] if one["key"] in tasks]
    return {"tasks": len(answered), "answered": sum(answered)} if answered else None


def _pulled(store: Store, what: str) -> int:
    """What the newest pull counted: "unused" annotations that it had to leave out, "tied" texts."""
    for row in reversed(store.rounds()):
        if pulled := store.step_results(row.number).get("pull"):
            return int(pulled.get(what, 0))
    return 0


def _tasks(project: Project, config: Config) -> tuple[dict[str, bool], int, str | None]:
    """task key -> whether it is answered; how many of the answers no round has read; why the inbox cannot be read.

    An annotator with a network is not asked: of its answers, only those that a round has pulled are known.
    """
    asked = config.annotate.annotators_per_text
    read = {key: labelled + skipped >= asked for key, labelled, skipped in project.store.task_answers()}
    if config.annotate.backend not in IN_THE_INBOX or not read:
        return read, 0, None
    standing: dict[str, set[str]] = defaultdict(set)
    try:
        for one in project.annotator(config).pull("", project.desk(config)).annotations:
            if one.task_key in read and one.state == "deleted":
                standing[one.task_key].discard(one.annotator)
            elif one.task_key in read:
                standing[one.task_key].add(one.annotator)
    except AlloopError as error:
        return read, 0, error.message
    now = {key: len(standing[key]) >= asked if key in standing else answered for key, answered in read.items()}
    return now, sum(now[key] and not read[key] for key in now), None


def _answers_left(store: Store, config: Config, tasks: Mapping[str, bool]) -> int:
    """How many answers the last batch lacks."""
    asked = config.annotate.annotators_per_text
    batch = store.task_answers(last_batch=True)
    return sum(max(0, asked - labelled - skipped) for key, labelled, skipped in batch if not tasks[key])


def _next(
    project: Project, config: Config, found: Mapping[str, Any], tasks: Mapping[str, bool], trouble: str | None
) -> str:
    """A command that can be pasted; what follows a `#` says why. Someone may have to answer tasks first."""
    again = command("round", project.root)
    number, step = found["round"]["number"], found["round"]["step"]
    if found["holder"]:
        return f"{command('status', project.root)}  # {_says_holder(found['holder'])}"
    if step not in (None, "pull"):
        return f"{again}  # round {number} was interrupted and goes on with {step}"
    if trouble is not None:
        return f"correct the answers: {trouble}; then: {again}"
    batch = [tasks[key] for key, _, _ in project.store.task_answers(last_batch=True)]
    if sum(batch) < config.round.wait_for * len(batch):
        return _answer_first(project, config, again)
    if number == 0 and found["texts"]["pool"] < config.round.batch:
        return f"{command('add', project.root)} FILE  # the pool has fewer texts than round.batch, {config.round.batch}"
    if found["texts"]["left"] == 0 and _knows_all(project, found):
        return f"{command('report', project.root)}  # no text is left to ask about"
    if (rule := config.run.stop) is not None and _has_stopped(project, found, rule):
        return f"{command('report', project.root)}  # {rule} says stop; to go on, {_edit_to_go_on(project, rule)}"
    return again


def _knows_all(project: Project, found: Mapping[str, Any]) -> bool:
    """Whether the last round finished, asked nothing, and trained on every label there is now."""
    row = project.store.last_round()
    if row is None or row.finished_at is None or found["labels"]["unread"]:
        return False
    labels = found["labels"]["labelled"] - found["labels"]["labelled_test"] - found["labels"]["unused"]
    return not row.summary.get("pushed") and row.summary.get("labels", 0) >= labels


def _has_stopped(project: Project, found: Mapping[str, Any], rule: str) -> bool:
    """Whether the rule has ended the last round, and says the same with today's options."""
    row = project.store.last_round()
    ended = row is not None and row.summary.get("stopped") and not found["labels"]["unread"]
    return bool(ended and found["stopping"].get(rule, {}).get("stop"))


def stopped_words(project: Project, rule: str, evidence: str) -> str:
    """That the rule of `run.stop` has ended the labelling, why, and what to edit where it should go on."""
    return f"{rule} says stop: {evidence}. To go on, {_edit_to_go_on(project, rule)}."


def _edit_to_go_on(project: Project, rule: str) -> str:
    return f"change [options.{rule}] in {project.root / CONFIG} or take out run.stop"


def _answer_first(project: Project, config: Config, again: str) -> str:
    backend = config.annotate.backend
    if backend == "terminal":
        return command("label", project.root)
    if backend == "file":
        name = f"round-{project.store.last_batch_round():04}.{config.options_of('file').get('format', 'csv')}"
        return f"fill in {project.root / 'inbox' / name}, then: {again}"
    if backend == "simulated":  # answers while the round pulls
        return again
    return f"answer the tasks {_where(project, config)}, then: {again}"


def _where(project: Project, config: Config) -> str:
    """The place where annotators find their tasks, as exactly as the annotator knows it."""
    annotator = project.annotator(config)
    address = annotator.address(project.desk(config)) if isinstance(annotator, HasAddress) else None
    return f"at {address}" if address else f"in {config.annotate.backend}"


def is_read_by_rounds_only(project: Project) -> bool:
    """Whether there may be answers that nobody here knows of, because asking for them takes a network."""
    return isinstance(project.annotator(project.config), HasAddress) and bool(project.store.task_answers())


def command(name: str, root: Path) -> str:
    """An alloop command for a project, as it is typed in a shell."""
    return f"alloop {name}" if root == Path() else f"alloop {name} {shlex.quote(str(root))}"


def lock_holder(project: Project) -> dict[str, Any] | None:
    """The process that works on the project now: {"pid", "since", "command"}. Reads; never touches the lock itself."""
    path = project.root / ".lock"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        holder = {"pid": int(said["pid"]), "since": str(said["since"]), "command": str(said["command"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return holder if _has_open(int(said["pid"]), path) else None


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process lives and has a file open. Where nobody can say (macOS, another user's), that it lives."""
    if not is_alive(pid):
        return False
    try:
        opened = list(Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:
        return True
    except OSError:
        return not Path("/proc/self/fd").exists()
    return any(_points_to(one, path) for one in opened)


def _points_to(link: Path, path: Path) -> bool:
    try:
        return link.samefile(path)
    except OSError:  # closed in the meantime, or not a file at all
        return False


def _says_holder(holder: Mapping[str, Any]) -> str:
    return f"process {holder['pid']} ({holder['command']}) is at work since {holder['since']}"


def report(project: Project) -> dict[str, Any]:
    """The label-efficiency curve: a point for every finished round that trained a model.

    Metrics are those of the test texts, all under the latest test labels; "measured_on" is "audit" where a project has
    no test texts, and the metrics are then those of the random texts, which every point has under "audit" too.
    "labels" is what a model was trained on, "labels_paid" every answer that people were paid for by then: of each
    annotator, to each question, those about test texts too where "pays_for_test". "anchoring" is how often
    annotators agree with suggestions that they saw and that they did not see, None where they never saw one.
    "agreement" is how far they agree with each other, see `alloop.agreement`, None where no text has two answers;
    "self_agreement" how far each with themselves, see `alloop.repeats`, None where nobody was asked twice.
    "stopping" is what every stopping rule says, as in `status`; that of a point is what they look at, None where it was
    not measured: {"kappa", "change", "delta_f", "uncertainty", "batch_accuracy"}. "note" is what the strategy said of
    the texts it picked, None where it said nothing. "training" is how the model was trained, None where the tuner does
    not say: points {"step", "loss", "learning_rate"} and, where held-back labels were looked at, "dev_loss" and
    "dev_accuracy" or "dev_f1_micro".
    "spent" is what augmenters had cost by then, None where none costs anything: {name: {"requests", "tokens_in",
    "tokens_out", "cost", "stopped"}}.
    "temperature" is what the model's logits are divided by, None where the tuner knows none; the metric
    "ece_uncalibrated" is the calibration error without it. "augmentation" is what became of variants and what the gate
    decided, see `alloop.augmentation`; None where there are none.
    """
    store = project.store
    measured_on = "test" if store.counts()["test"] else "audit"
    metrics = {split: _by_round(store.metrics(split)) for split in ("test", "audit", "stop", "batch")}
    points: list[dict[str, Any]] = []
    names: tuple[str, ...] = ()
    last: dict[str, Any] = {}
    for row in store.rounds():
        results = store.step_results(row.number)
        if row.finished_at is None or row.abandoned_at is not None or "labels" not in results.get("train", {}):
            continue
        config = restore(row.config)
        known = {config.task.rename.get(name, name) for name in names}
        points.append(
            {
                **_bought(row, config),
                "metrics": metrics[measured_on].get(row.number, {}),
                "audit": metrics["audit"].get(row.number, {}),
                "stopping": _stopping_series(metrics["stop"].get(row.number, {}), metrics["batch"].get(row.number, {})),
                "seconds": store.step_seconds(row.number),
                "new_labels": [name for name in config.task.names if known and name not in known],
                "tuner": config.model.tuner,
                "note": results.get("select", {}).get("note"),
                "training": results["train"].get("measured", {}).get("curve"),
                "spent": results.get("augment", {}).get("spent"),
                "temperature": results["train"].get("measured", {}).get("temperature"),
            }
        )
        names, last = config.task.names, results
    return {
        "project": project.name,
        "kind": project.config.task.kind,
        "measured_on": measured_on,
        "pays_for_test": project.config.evaluate.holdout > 0,
        "label_names": list(names or project.config.task.names),
        "points": points,
        "confusion": last.get("evaluate", {}).get("confusion"),
        "agreement": _agreement(project),
        "self_agreement": _self_agreement(project),
        "anchoring": anchoring(store, project.config.task.kind, project.config.task.rename),
        "stopping": advice(project.config, history(store)),
        "augmentation": augmentation(store),
    }


def _agreement(project: Project) -> dict[str, Any] | None:
    """As `agreement` says, and: "rule", by which votes become labels, and the "quality" that it sees in annotators.

    "left_out" is how many answers stood beside a suggestion, "tied" how many texts the votes leave even.
    """
    config, task = project.config, project.config.task
    answers = project.store.answers()
    if all(len(said) < 2 for said in answers.values()):
        return None
    votes, _ = usable_votes(answers, task.names, task.rename, task.kind)
    spoken = project.store.spoken()
    independent: dict[str, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for text_id, who, labels, is_shown in spoken:
        if not is_shown:
            independent[text_id].append((who, labels))
    compared, _ = usable_votes(independent, task.names, task.rename, task.kind)
    called = _called(project)
    quality = {called[who]: value for who, value in annotator_qualities(project, config, votes).items()}
    found = agreement(compared, task.kind, task.names, called)
    return {
        **found,
        "annotators": [{**one, "quality": quality.get(one["annotator"])} for one in found["annotators"]],
        "left_out": sum(is_shown for *_, is_shown in spoken),
        "tied": sum(is_tied(said, task.kind) for said in votes.values()),
        "rule": config.annotate.consensus,
    }


def _self_agreement(project: Project) -> dict[str, Any] | None:
    """As `self_agreement` says, with annotators called as in "agreement"."""
    found = self_agreement(project.store, project.config.task.rename)
    if found is None:
        return None
    called = _called(project)
    people = [{**one, "annotator": called.get(one["annotator"], "a?")} for one in found["annotators"]]
    return {**found, "annotators": people}


def _called(project: Project) -> dict[str, str]:
    """What each annotator is called, those last who only ever answered what was asked again."""
    again = (who for said in project.store.answers().values() for who, _ in said)
    return aliases([*(who for _, who, _, _ in project.store.spoken()), *again])


def _stopping_series(stop: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Any]:
    names = ("kappa", "change", "delta_f", "uncertainty")
    values = {name: stop[name]["value"] if name in stop else None for name in names}
    return {**values, "batch_accuracy": next(iter(batch.values()), None)}


def _bought(row: RoundRow, config: Config) -> dict[str, Any]:
    summary = row.summary
    paid_for_test = summary.get("labels_test", 0) if config.evaluate.holdout else 0
    return {
        "round": row.number,
        "labels": summary["labels"],
        "labels_test": summary.get("labels_test", 0),
        "labels_audit": summary.get("labels_audit", 0),
        "labels_paid": summary.get("answers", summary["labels"] + paid_for_test),
        "seconds_annotating": summary.get("seconds_annotating", 0.0),
        "strategy": summary.get("strategy") or config.round.strategy,
    }


def _by_round(rows: Iterable[MetricRow]) -> dict[int, dict[str, dict[str, Any]]]:
    found: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        found[row.round][row.name] = {"value": row.value, "low": row.low, "high": row.high, "n": row.n}
    return dict(found)


def headline(report: Mapping[str, Any]) -> str:
    """The metric that a report's curve shows unless asked otherwise."""
    return "accuracy" if report["kind"] == "single" else "f1_micro"


def metric_words(name: str) -> str:
    """A metric as people call it."""
    return METRIC_WORDS.get(name, name.replace("_", " "))


def per_label(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How the last round does on each label: {"label", "precision", "recall", "f1", "n"}, the worst F1 first.

    n is how many of the measured texts truly have the label; numbers of one that none has are None, and it comes last.
    """
    if not report["points"]:
        return []
    metrics = report["points"][-1]["metrics"]
    counts = _true_counts(report)
    rows = []
    for label in report["label_names"]:
        found = {kind: metrics.get(f"{kind}[{label}]", {}).get("value") for kind in ("precision", "recall", "f1")}
        n = counts.get(label)
        rows.append({"label": label, **(dict.fromkeys(found) if n == 0 else found), "n": n})
    if all(row["f1"] is None for row in rows):
        return []
    return sorted(rows, key=lambda row: (row["f1"] is None, row["f1"]))


def _true_counts(report: Mapping[str, Any]) -> dict[str, int]:
    """From the confusion matrix: rows are true labels for single, (tp, fp, fn, tn) of a label for multi."""
    if report["confusion"] is None:
        return {}
    kept = slice(None) if report["kind"] == "single" else slice(0, 3, 2)
    return {name: sum(row[kept]) for name, row in zip(report["label_names"], report["confusion"], strict=True)}


def confused(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Which labels the last model took for which: {"label", "taken_for", "n", "of"}, most frequent first.

    Empty for multi-label tasks, whose labels do not compete.
    """
    matrix, names = report["confusion"], report["label_names"]
    if matrix is None or report["kind"] != "single":
        return []
    pairs = [
        {"label": names[true], "taken_for": names[said], "n": int(n), "of": int(sum(row))}
        for true, row in enumerate(matrix)
        for said, n in enumerate(row)
        if true != said and n
    ]
    return sorted(pairs, key=lambda pair: -pair["n"])


def with_interval(metric: Mapping[str, Any] | None, digits: int = 3) -> str:
    """A metric with its 95 % interval: "0.712 (0.66–0.76)"."""
    if metric is None:
        return "–"
    value = f"{metric['value']:.{digits}f}"
    if metric["low"] is None:
        return value
    return f"{value} ({metric['low']:.2f}–{metric['high']:.2f})"


def calibration_words(point: Mapping[str, Any]) -> str | None:
    """A point's calibration error, and what it was: "0.043 (0.03–0.06), 0.112 before temperature 1.80"."""
    if "ece" not in point["metrics"]:
        return None
    words = with_interval(point["metrics"]["ece"])
    before = point["metrics"].get("ece_uncalibrated")
    return words if before is None else f"{words}, {before['value']:.3f} before temperature {point['temperature']:.2f}"


def status_text(found: Mapping[str, Any]) -> str:
    """What `status` found, for reading."""
    texts, labels, state = found["texts"], found["labels"], found["round"]
    pool = f"{texts['pool']:,} in the pool, {texts['left']:,} of them never asked about"
    lines = [("texts", f"{pool}; {format(texts['test'], ',') if texts['test'] else 'none'} to test with")]
    counts = [f"{labels['labelled']:,} texts labelled"]
    if labels["labelled_test"]:
        counts[0] += f" ({labels['labelled_test']:,} of them test texts)"
    counts += [f"{labels['skipped']:,} skipped"] if labels["skipped"] else []
    counts += [f"{labels['unread']:,} new answers"] if labels["unread"] else []
    counts += [f"{labels['unused']:,} answers name no label of alloop.toml"] if labels["unused"] else []
    counts += [f"{labels['tied']:,} tied"] if labels["tied"] else []
    if found["consensus"] != "majority" and labels["labelled"] and not labels["several"]:
        counts.append(f"none with two answers, so that {found['consensus']} takes them as they are")
    lines.append(("labels", ", ".join([*counts, f"{labels['waiting']:,} tasks waiting in: {found['annotator']}"])))
    lines.append(("round", _round_words(state)))
    if found["seconds"]:
        lines.append(("seconds", seconds_words(found["seconds"])))
    if review := found["review"]:
        said = (
            f"{review['answered']:,} of {review['tasks']:,} labels sent back are answered; what changed: alloop audit"
        )
        lines.append(("review", f"{said} --apply"))
    if found["annotating"]:
        lines.append(("pace", pace_words(found["annotating"])))
    if found["round"]["number"]:
        lines.append(("stopping", stopping_words(found["stopping"])))
    if found["holder"]:
        lines.append(("lock", _says_holder(found["holder"])))
    lines.append(("next", found["next"]))
    return "\n".join([found["project"], *(f"  {name:8} {words}" for name, words in lines)])


def stopping_words(rules: Mapping[str, Any]) -> str:
    """Which rules would stop, in a line: "2 of 7 rules would stop: kappa since round 8, change since round 9"."""
    say = [f"{name} since round {said['since']}" for name, said in rules.items() if said["stop"]]
    return f"{len(say)} of {len(rules)} rules would stop" + (f": {', '.join(say)}" if say else "")


def _round_words(state: Mapping[str, Any]) -> str:
    if state["number"] == 0:
        return "none yet"
    if state.get("abandoned"):
        return f"{state['number']}, abandoned"
    return f"{state['number']}, finished" if state["finished"] else f"{state['number']}, at {state['step']}"


def seconds_words(seconds: Mapping[str, float]) -> str:
    """Seconds per step as a sum, the longest first; steps below a tenth of a second are not worth a word."""
    slow = sorted((item for item in seconds.items() if item[1] >= 0.1), key=lambda item: -item[1])
    total = f"{sum(seconds.values()):.1f}"
    return f"{total} = {' + '.join(f'{step} {taken:.1f}' for step, taken in slow)}" if slow else total


def outcome_text(project: Project, number: int) -> str:
    """What a finished round did, and what the labels of the last batch have changed."""
    store = project.store
    results, seconds = store.step_results(number), store.step_seconds(number)
    sentences = [f"Round {number} took {sum(seconds.values()):.1f} s."]
    train = results.get("train", {})
    if "labels" in train:
        labels = f"{train['labels']:,} label{'s' if train['labels'] != 1 else ''}"
        sentences.append(f"Trained on {labels}.{_measured_words(report(project), number)}")
    else:
        sentences.append("No model yet: that takes texts of two different labels.")
    pushed = results.get("push", {}).get("tasks", 0)
    if pushed:
        again = results.get("select", {}).get("again", 0)
        known = f", {again} of them asked about again," if again else ""
        sentences.append(
            f"Pushed {pushed} text{'s' if pushed != 1 else ''}{known} to: {project.config.annotate.backend}."
        )
    else:
        sentences.append("Pushed nothing.")
    if verdicts := results.get("augment", {}).get("gate"):
        sentences.insert(2, verdicts_words(verdicts, number))
    if note := results.get("select", {}).get("note"):
        sentences.append(f"They were picked {note}.")
    sentences += spent_words(results.get("augment", {}).get("spent") or {})
    return " ".join(sentences)


def spent_words(spent: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence on what each augmenter has cost so far, and why it asks for no more."""
    said = []
    for name, one in spent.items():
        if not one["requests"]:
            continue
        requests = f"{one['requests']:,} request{'s' if one['requests'] != 1 else ''}"
        cost = f", which cost {one['cost']:.3g}" if one["cost"] else ""
        said.append(f"So far {name} made {requests} of {one['tokens_in'] + one['tokens_out']:,} tokens{cost}.")
        if one["stopped"]:
            said.append(f"It asks no more: {one['stopped']}.")
    return said


def _measured_words(report: Mapping[str, Any], number: int) -> str:
    name = headline(report)
    values = {point["round"]: point["metrics"][name] for point in report["points"] if name in point["metrics"]}
    if number not in values:
        return " There are no labelled texts yet to measure it on."
    now = values[number]
    kind = "test texts" if report["measured_on"] == "test" else "random texts, judged before they were labelled"
    called = metric_words(name)
    words = f" {called[0].upper()}{called[1:]} {with_interval(now)} on {now['n']:,} {kind}"
    before = [values[earlier]["value"] for earlier in values if earlier < number]
    return f"{words}, {now['value'] - before[-1]:+.3f} since the last round." if before else f"{words}."
