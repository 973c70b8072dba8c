"""The gate: an augmenter is learnt from only where the labels at hand show that it helps.

Cross-validation, paired: on the same folds a model learns the other folds' texts with and without their variants, and
both judge the same real texts. On are augmenters whose gain has a lower bound above zero; a bound says what other
texts might have shown. It is decided once there are LEAST labels, and again when they have grown by half since, a third
of them is gone or other labels by now, or the settings changed; until then the last decision stands.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from alloop import metrics
from alloop.files import fingerprint, publish
from alloop.progress import progress
from alloop.project import MIXUP, mixup_of, tuner_spec
from alloop.records import Example, Kind
from alloop.seeds import seed_for
from alloop.steps.besides import besides
from alloop.steps.context import Context
from alloop.steps.stand_in import fitted
from alloop.steps.train import held_back
from alloop.store import JobRow, Resolved, now
from alloop.tuning import FitJob
from alloop.tuning._folds import split
from alloop.tuning._linear import linear_logits, probabilities
from alloop.tuning._mixup import with_mixed
from alloop.work import load_predictions, write_fit, write_predict

LEAST = 20  # labels
GROWN = 1.5  # times as many labels as at the last decision, or as are left of it: decide anew
FOLDS = 5
JUDGEMENTS = 600  # of texts: few labels are judged several times, with other folds each, and the mean counts
MOST_REPEATS = 10
COVERED = 0.8  # how often the interval is to hold the gain: one in ten is above it, and one in ten below


@dataclass(frozen=True)
class Gain:
    """How much higher the headline metric is with variants than without, with its 80 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """Whether an augmenter is on, since which round and with how many labels, and on what evidence.

    `why` is said where there is no gain to go by. `began` and `ended` are None of a verdict that stands from before.
    """

    augmenter: str
    is_on: bool
    round: int
    labels: int
    gain: Gain | None = None
    why: str | None = None
    variants: int = 0
    began: str | None = None
    ended: str | None = None

    @property
    def as_json(self) -> dict[str, Any]:
        numbers = {"value": None, "low": None, "high": None} if self.gain is None else vars(self.gain)
        return {
            "augmenter": self.augmenter,
            "on": self.is_on,
            "round": self.round,
            "labels": self.labels,
            **numbers,
            "variants": self.variants,
            "why": self.why,
        }


@dataclass(frozen=True)
class Labelled:
    """The labelled texts by row, and by augmenter the variants: the row of its parent and its text."""

    ids: Sequence[str]
    examples: Sequence[Example]
    y: np.ndarray  # (N, C) ones and zeros
    variants: Mapping[str, Sequence[tuple[int, str]]]


# name -> decisions (R, N, C) of R cross-validations, each text judged by a model that has learnt neither it nor its
# variants; None is the name of the model without variants
Judge = Callable[[str | None], np.ndarray]


def verdicts(
    context: Context,
    resolved: Sequence[Resolved],
    variants: Mapping[str, Mapping[str, Sequence[str]]],
    read: Callable[[Sequence[str]], np.ndarray],
) -> list[Verdict]:
    """A verdict on every augmenter that the config uses, from the variants that may be learnt from.

    `variants` are by augmenter and parent id. `read` gives vectors (N, D) of texts.
    """
    config = context.config
    if config.augment.gate == "off":
        return [
            Verdict(name, True, context.round.number, len(resolved), why="it was not judged, as augment.gate is off")
            for name in config.augment.use
        ]
    labelled = _labelled(context, resolved, variants)
    by_tuner = config.augment.gate == "tuner"
    judge = _judge_by_tuner(context, labelled) if by_tuner else _judge_by_features(context, labelled, read)
    found, without = [], None
    began = now()
    for name in config.augment.use:
        before = _standing(context, name, resolved)
        if before is not None:
            found.append(before)
        elif (why := _cannot_be_judged(labelled, name)) is not None:
            found.append(Verdict(name, False, context.round.number, len(resolved), why=why))
        else:
            without = judge(None) if without is None else without
            measured = gain(labelled.y, without, judge(name), config.task.kind)
            count = len(labelled.variants[name])
            ended = now()
            is_on = measured.low > 0
            verdict = Verdict(
                name, is_on, context.round.number, len(resolved), measured, None, count, began=began, ended=ended
            )
            found.append(verdict)
            began = ended
    return found


def needs_variants(context: Context, name: str, resolved: Sequence[Resolved]) -> bool:
    """Whether an augmenter's variants are learnt from or judged in this round; those of one that stays off can wait."""
    if context.config.augment.gate == "off":
        return True
    before = _standing(context, name, resolved)
    return len(resolved) >= LEAST if before is None else before.is_on


def record(context: Context, found: Sequence[Verdict]) -> None:
    """Write down what was decided in this round; belongs into a transaction."""
    store = context.project.store
    for one in found:
        if one.began is not None:
            said = one.as_json
            config = {
                "key": _key(context, one.augmenter),
                **{key: said[key] for key in ("augmenter", "round", "labels")},
            }
            judge = context.config.augment.gate
            config |= {"gate": judge, "folds": FOLDS, "repeats": repeats(one.labels) if judge == "features" else 1}
            result = {key: said[key] for key in ("on", "value", "low", "high", "variants")}
            store.finish_job(store.add_job("gate", config, one.began), result, one.ended)


def _key(context: Context, name: str) -> str:
    """Stands for all that makes an earlier decision one about something else, besides the labels."""
    config = context.config
    judge = "features" if config.augment.gate == "features" else config.model.tuner
    settings = config.augment.model_dump(exclude={"use"})
    options = [config.options_of(name), config.options_of(judge)]
    model = [config.model.base, config.model.max_tokens]
    return fingerprint([name, settings, options, judge, model, config.task.kind, config.task.names])


def _standing(context: Context, name: str, resolved: Sequence[Resolved]) -> Verdict | None:
    """The last decision, where it is still good: on labels that are nearly as many, and most of them the same."""
    key, store, rename = _key(context, name), context.project.store, context.config.task.rename
    same = [job for job in store.jobs("gate") if job.config["key"] == key and job.result is not None]
    if not same:
        return None
    last = _of_job(same[-1])
    then = {
        one.text_id: {rename.get(label, label) for label in one.labels} for one in store.resolved(last.round, "pool")
    }
    left = sum(then.get(one.text_id) == set(one.labels) for one in resolved)
    return None if len(resolved) >= GROWN * last.labels or last.labels >= GROWN * left else last


def _of_job(job: JobRow) -> Verdict:
    config, result = job.config, job.result or {}
    measured = Gain(result["value"], result["low"], result["high"])
    return Verdict(
        config["augmenter"], result["on"], config["round"], config["labels"], measured, None, result["variants"]
    )


def _cannot_be_judged(labelled: Labelled, name: str) -> str | None:
    n = len(labelled.examples)
    if n < LEAST:
        return f"{n} labels are too few to tell; it takes {LEAST}"
    if not labelled.variants[name] and name != MIXUP:
        return "there are no variants that may be learnt from"
    return None


def _labelled(
    context: Context, resolved: Sequence[Resolved], variants: Mapping[str, Mapping[str, Sequence[str]]]
) -> Labelled:
    names = context.config.task.names
    ids = [one.text_id for one in resolved]
    texts = [text.text for text in context.project.store.texts(ids)]
    row = {text_id: number for number, text_id in enumerate(ids)}
    return Labelled(
        ids,
        [Example(text, one.labels) for text, one in zip(texts, resolved, strict=True)],
        np.array([[float(name in one.labels) for name in names] for one in resolved], np.float32),
        {
            name: [(row[parent], text) for parent, made in by_parent.items() for text in made]
            for name, by_parent in variants.items()
        },
    )


def _judge_by_features(context: Context, labelled: Labelled, read: Callable[[Sequence[str]], np.ndarray]) -> Judge:
    """By the stand-in: a linear model on the vectors of the bare base."""
    config = context.config

    def judge(name: str | None) -> np.ndarray:
        x = read([one.text for one in labelled.examples])
        of = labelled.variants[name] if name is not None else ()
        parent = np.array([row for row, _ in of], np.int64)
        more = read([text for _, text in of]) if of else x[:0]
        decisions = np.zeros((repeats(len(x)), *labelled.y.shape))
        with progress(_about(name), len(decisions) * FOLDS) as advance:
            for repeat in range(len(decisions)):
                seed = seed_for(context.round.seed, repeat, "gate")
                fold = split(labelled.examples, FOLDS, seed)
                job = _job(context, labelled.examples, name, seed)
                for number in range(FOLDS):
                    learnt, theirs = fold != number, fold[parent] != number
                    own, targets = with_mixed(job, x, labelled.y, np.flatnonzero(learnt))
                    linear = fitted(
                        config,
                        np.concatenate([own, more[theirs]]),
                        np.concatenate([targets, labelled.y[parent[theirs]]]),
                    )
                    said = probabilities(linear_logits(x[~learnt], linear), config.task.kind)
                    decisions[repeat, ~learnt] = metrics.decide(said, config.task.kind)
                    advance(1)
        return decisions

    return judge


def _judge_by_tuner(context: Context, labelled: Labelled) -> Judge:
    """By the project's own tuner, trained anew for each fold; what a fold decides is published, and stays."""
    project, config = context.project, context.config
    spec = project.learner(tuner_spec(config))
    seed = seed_for(context.round.seed, 0, "gate")
    fold = split(labelled.examples, FOLDS, seed)
    resolved = {
        one: Resolved(one, example.labels, 1.0, 1) for one, example in zip(labelled.ids, labelled.examples, strict=True)
    }

    def probs_of(name: str | None, number: int) -> np.ndarray:
        learnt, judged = (np.flatnonzero(rows).tolist() for rows in (fold != number, fold == number))
        dev = held_back([resolved[labelled.ids[row]] for row in learnt])
        own = {True: [], False: []}  # type: dict[bool, list[Example]]
        for row in learnt:
            own[labelled.ids[row] in dev].append(labelled.examples[row])
        into = {row for row in learnt if labelled.ids[row] not in dev}
        of = labelled.variants[name] if name is not None else ()
        variants = [Example(text, labelled.examples[row].labels, is_variant=True) for row, text in of if row in into]
        others = (project.store.asked_ids() - set(labelled.ids)) | {labelled.ids[row] for row in judged}
        more = besides(project, config, spec, set(labelled.ids), others)
        job = replace(_job(context, own[False] + variants, name, seed), dev=own[True] or None, **more.fields)
        told = [asdict(job), spec.name, dict(spec.options), more.told_by, judged]

        def fill(out: Path) -> None:
            with project.scratch("gate") as model:
                context.run_job(lambda at: write_fit(at, spec, job), model)
                texts = [labelled.examples[row].text for row in judged]
                where = model.absolute()
                context.run_job(lambda at: write_predict(at, spec, where, texts, ("probs",), seed), out)

        return np.array(load_predictions(publish(context.directory("gate", told), fill)).probs)

    def judge(name: str | None) -> np.ndarray:
        decisions = np.zeros((1, *labelled.y.shape))
        with progress(_about(name), FOLDS) as advance:
            for number in range(FOLDS):
                decisions[0, fold == number] = metrics.decide(probs_of(name, number), config.task.kind)
                advance(1)
        return decisions

    return judge


def _about(name: str | None) -> str:
    return "augment: judging without variants" if name is None else f"augment: judging {name}"


def _job(context: Context, train: Sequence[Example], name: str | None, seed: int) -> FitJob:
    task = context.config.task
    descriptions = {label.name: label.description for label in task.labels if label.description}
    mixup = mixup_of(context.config) if name == MIXUP else None
    return FitJob(train, task.kind, task.names, seed, descriptions=descriptions, mixup=mixup)


def repeats(labels: int) -> int:
    """How often the stand-in is cross-validated: what many labels gain by it is not worth the time."""
    return min(MOST_REPEATS, max(1, JUDGEMENTS // labels))


def gain(y: np.ndarray, without: np.ndarray, having: np.ndarray, kind: Kind) -> Gain:
    """How much better decisions `having` (R, N, C) variants are than those `without`, in the headline metric."""
    from scipy.stats import t

    n = len(y)
    values, differences = [], []
    for one, other in zip(having, without, strict=True):
        (value, share), (before, share_before) = _by_text(y, one, kind), _by_text(y, other, kind)
        values.append(value - before)
        differences.append(share - share_before)
    value = float(np.mean(values))
    spread = float(np.mean(differences, 0).std(ddof=1) / np.sqrt(n))
    reach = float(t.ppf((1 + COVERED) / 2, n - 1)) * spread
    return Gain(value, value - reach, value + reach)


def _by_text(y: np.ndarray, decided: np.ndarray, kind: Kind) -> tuple[float, np.ndarray]:
    """Accuracy or micro-F1, and how far each text (N,) moves it from there: its share, linearised for F1."""
    if kind == "single":
        right = (y == decided).all(1).astype(np.float64)
        return float(right.mean()), right - right.mean()
    hits, given = 2 * (y * decided).sum(1), (y + decided).sum(1)  # (N,)
    f1 = float(hits.sum() / given.sum()) if given.sum() else 0.0
    return f1, (hits - f1 * given) / max(given.mean(), 1e-9)
