"""Train: examples in, a model directory out."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alloop.config import Config, restore
from alloop.files import publish
from alloop.project import MIXUP, mixup_of, tuner_spec
from alloop.records import Example
from alloop.steps.besides import besides
from alloop.steps.context import Context, published, read_json
from alloop.steps.policies import learnable
from alloop.steps.pull import learnt_from, seen_labels
from alloop.store import Resolved
from alloop.strategies import strategies
from alloop.tuning import FitJob
from alloop.work import write_fit

HELD_BACK_SHARE = 0.1
HELD_BACK_FROM = 400  # below this many labels a tenth of them is too noisy a judge to be worth its loss

COMMITTEE = 5  # models of a committee whose strategy does not say how many


def do(context: Context) -> dict[str, Any]:
    resolved = learnt_from(context)
    if len(seen_labels(resolved)) < 2:
        return {"skipped": "fewer than two different labels so far"}
    named = tuner_spec(context.config)
    spec = context.project.learner(named)
    labelled = {one.text_id for one in resolved}
    judging = context.project.store.asked_how(context.round.number).keys() - labelled | held_back(resolved)
    more = besides(context.project, context.config, spec, labelled, judging)
    use = context.results["augment"].get("on", context.config.augment.use)  # of before there was a gate: all of them
    fit = dataclasses.replace(fit_job(context, resolved, use), **more.fields)
    described = dataclasses.asdict(fit) | {"init": fit.init and fit.init.name}
    ingredients = {"fit": described, "tuner": named.name, "options": dict(named.options), **more.told_by}
    directory = publish(
        context.directory("train", ingredients), lambda out: context.run_job(lambda job: write_fit(job, spec, fit), out)
    )
    return {
        "directory": context.relative(directory),
        "labels": len(resolved),
        "variants": sum(example.is_variant for example in fit.train),
        "held_back": len(fit.dev or ()),
        **more.counts,
        "measured": read_json(directory / "measured.json"),
    }


def fit_job(context: Context, resolved: Sequence[Resolved], use: Sequence[str]) -> FitJob:
    """What a model learns from: the labelled texts that are not held back, and their variants by these augmenters."""
    config = context.config
    ids = [one.text_id for one in resolved]
    texts = {text.id: text.text for text in context.project.store.texts(ids)}
    dev = held_back(resolved)
    labels = {one.text_id: one.labels for one in resolved}
    makers = [name for name in use if name != MIXUP]
    variants = {
        variant: Example(variant, labels[parent], is_variant=True)  # two augmenters may have made the same
        for name in makers
        for parent, made in learnable(context, name, resolved, augmenters=len(makers)).items()
        if parent not in dev
        for variant in made
    }
    return FitJob(
        train=[Example(texts[one], labels[one]) for one in ids if one not in dev] + [*variants.values()],
        dev=[Example(texts[one], labels[one]) for one in ids if one in dev] or None,
        kind=config.task.kind,
        labels=config.task.names,
        descriptions={label.name: label.description for label in config.task.labels if label.description},
        seed=context.seed("train"),
        init=_previous_model(context) if config.model.warm_start else None,
        members=_members(config),
        mixup=mixup_of(config) if MIXUP in use else None,
    )


def _members(config: Config) -> int:
    """How many models the strategy compares: its option `members`, 1 where it compares none."""
    name = config.round.strategy
    strategy = strategies.build(name, **config.options_of(name))
    return int(getattr(strategy, "members", COMMITTEE)) if "members" in strategy.needs else 1


def held_back(resolved: Sequence[Resolved]) -> set[str]:
    """The ids kept out of training to judge it by, a share of each answer; none while labels are few."""
    if len(resolved) < HELD_BACK_FROM:
        return set()
    groups: dict[tuple[str, ...], list[str]] = {}
    for one in resolved:
        groups.setdefault(one.labels, []).append(one.text_id)
    # ids are hashes, so that the first of them are a random sample, and the same one as long as no label is added
    return {text_id for ids in groups.values() for text_id in ids[: int(HELD_BACK_SHARE * len(ids))]}


def _previous_model(context: Context) -> Path | None:
    for row in reversed(context.project.store.rounds()):
        if row.number < context.round.number and restore(row.config).model == context.config.model:
            directory = published(context.project, row, "train")
            if directory is not None:
                return directory.absolute()
    return None


def save(context: Context, result: dict[str, Any]) -> dict[str, Any]:
    return result
