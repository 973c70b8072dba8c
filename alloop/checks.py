"""The contract of each family, as functions that a plug-in's own tests can call: silent when it is kept.

    from alloop.checks import check_strategy
    def test_my_strategy_keeps_the_contract():
        check_strategy(MyStrategy())

A broken contract raises ContractError, an AssertionError that says which promise, with the values that broke it.
"""

import dataclasses
import pickle
import random
import shutil
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from alloop.annotators import Annotator, Desk
from alloop.augmenters import Augmenter, Prepares, Surroundings
from alloop.config import BatchMode
from alloop.consensus import Consensus, Votes
from alloop.errors import AlloopError, ConfigError, ModelError
from alloop.executors import Executor
from alloop.metrics import Metric
from alloop.records import Example, Kind, Task
from alloop.stopping import Advice, Seen, StoppingRule
from alloop.strategies import Labelled, Picks, Pool, Strategy, needed_of_labelled
from alloop.strategies._batches import make_batch
from alloop.tuning import FitJob, Predictions, Tuner
from alloop.work import TunerSpec, load_predictions, write_fit, write_predict

TEXTS = ("the invoice is wrong", "please refund my card", "i was charged twice", "my payment did not arrive")
MORE_TEXTS = ("the app crashes at once", "i cannot log in", "the screen stays black", "an error after the update")
ODD_TEXTS = [
    "",
    " \n",
    "x",
    "?!",
    "ünïcødé 漢字 🙂",
    "لماذا تم رفض بطاقتي",
    "a\0b\tcharged\r\ntwice\x1b[0m",
    "twice " * 3000,
    "<p class='a b'>My <b>card</b></p>",
    "=cmd|' /C calc'!A0",
    "Hello {{name}} https://a.b/c?d",
    "a" * 100_000,
]
LABELS = ("billing", "technical")
KINDS: tuple[Kind, ...] = ("single", "multi")
PICKLED = {".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".dill"}  # loading one can run any code


class ContractError(AssertionError):
    """A plug-in does something that its family promises it does not, or the reverse."""


def check_plugin(plugin: object) -> None:
    """Any plug-in: an instance of a frozen dataclass whose docstring is its help and whose fields all have defaults."""
    cls: Any = type(plugin)
    _hold(dataclasses.is_dataclass(cls), f"{cls.__name__} is not a dataclass")
    _hold(cls.__dataclass_params__.frozen, f"{cls.__name__} is not frozen: @dataclass(frozen=True)")
    generated = f"{cls.__name__}("  # what dataclass writes where there is no docstring
    _hold(bool(cls.__doc__) and not cls.__doc__.startswith(generated), f"{cls.__name__} has no docstring")
    for field in dataclasses.fields(cls):
        default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        _hold(default, f"{cls.__name__}.{field.name} has no default")


def check_strategy(strategy: Strategy) -> None:
    """Picks exactly n different texts, best first, with finite scores; the same for the same `rng`; writes no input.

    Tried on single- and multi-label pools: of one text, of equal texts, with twins, asked for as a whole, with
    probabilities of exactly 0 and 1, with one label seen; without any label where it needs embeddings alone; with and
    without what it `uses`. A strategy that draws nothing from `rng` picks the same texts in whatever order they come.
    One that has no meaning for a kind of task says so in `kinds`, and raises ConfigError with a hint. One that
    `scores_each` text scores it the same whatever else is in the batch. Batches can be made of it in all ways that
    `[round]` offers.
    """
    check_plugin(strategy)
    known = {field.name for field in dataclasses.fields(Pool)}
    known |= {f"labelled.{name}" for name in ("embeddings", "probs", "frozen")} | {"labels.embeddings"}
    uses = getattr(strategy, "uses", ())
    for which, named in (("needs", strategy.needs), ("uses", uses)):
        _hold(isinstance(named, tuple), f"{which} is {named!r}, not a tuple")
        _hold(set(named) <= known, f"{which} {set(named) - known}, which no pool has")
    kinds = [kind for kind in KINDS if not _refuses(strategy, kind)]
    _hold(bool(kinds), "it refuses every kind of task")
    said = list(getattr(strategy, "kinds", KINDS))
    _hold(kinds == said, f"it picks from tasks of the kinds {kinds}, and its kinds are {said}")
    for kind in kinds:
        for needs in dict.fromkeys((strategy.needs, (*strategy.needs, *uses))):
            for special in ("", "equal texts"):
                for size, n in ((1, 1), (40, 1), (40, 7), (40, 40)):
                    _check_picks(strategy, _pool(kind, size, needs, special), n)
            for special in ("twins", "probabilities of 0 and 1", "one label seen"):
                _check_picks(strategy, _pool(kind, 40, needs, special), 7)
        if {need.rpartition(".")[2] for need in strategy.needs} <= {"embeddings"}:
            _check_picks(strategy, _pool(kind, 40, strategy.needs, "no label"), 7)
            _check_picks(strategy, dataclasses.replace(_pool(kind, 40, strategy.needs), labelled=None), 7)
        _check_order(strategy, _pool(kind, 40, strategy.needs), 7)
        if getattr(strategy, "scores_each", False):
            _check_scores(strategy, _pool(kind, 40, strategy.needs), 7)
        for special, n in (("", 7), ("", 40), ("equal texts", 7), ("one label seen", 7)):
            _check_batches(strategy, _pool(kind, 40, (*strategy.needs, "probs"), special), n)


def check_tuner(tuner: Tuner, directory: Path, kind: Kind = "single") -> None:
    """Fits into one directory, the same bytes for the same job, and predicts each text whatever stands beside it.

    If it gives samples, an equal seed draws the same models and another seed others, whatever they are asked about.

    `directory` is empty and for this check alone. Without a model there are embeddings, or a ModelError.
    """
    check_plugin(tuner)
    job = _fit_job(kind)
    model, again, aside = directory / "model", directory / "again", directory / "aside"
    for place in (model, again, aside):
        place.mkdir()
    measured = tuner.fit(job, model)
    _hold(_is_finite(measured), f"fit measured {measured}, which is not all finite numbers")
    tuner.fit(job, again)
    written = {str(p.relative_to(directory)) for p in directory.iterdir()}
    _hold(written == {"model", "again", "aside"}, f"fit wrote outside its directory: {sorted(written)}")
    _hold(_content(model) == _content(again), f"the same job twice gave different files: {_differing(model, again)}")
    _hold(bool(_content(model)), "fit wrote nothing")
    pickled = [name for name in _content(model) if Path(name).suffix in PICKLED]
    _hold(not pickled, f"the model holds pickled files, which can run code when loaded: {pickled}")
    _check_predictions(tuner, model, kind)
    _hold(_content(model) == _content(again), f"predict changed the model: {_differing(model, again)}")
    shutil.copytree(model, aside / "moved")
    moved = tuner.predict(aside / "moved", TEXTS, ("probs",), 0)
    _hold(_same(moved.probs, tuner.predict(model, TEXTS, ("probs",), 0).probs), "a model that was moved says otherwise")
    (directory / "empty").mkdir()
    try:
        tuner.predict(directory / "empty", TEXTS, ("probs",), 0)
    except ModelError:
        pass
    else:
        raise ContractError("predicts with an empty directory instead of raising ModelError")


def check_augmenter(augmenter: Augmenter) -> None:
    """At most n different variants of each text, never the text; all randomness from `rng`, none left behind.

    The same of a text whatever it was asked before, and by a copy in another process where it allows copies; one that
    `Prepares` is prepared, and does not mind in which order it is told of the texts. Tried on hostile texts too: empty,
    of one character, of one long word, in other scripts, with control characters, markup and a formula of a sheet.
    """
    check_plugin(augmenter)
    is_copied = not getattr(augmenter, "one_process", False)
    with TemporaryDirectory() as directory:
        if not isinstance(augmenter, Prepares):
            _check_variants(augmenter, is_copied)
            return
        labels = {text: LABELS[number % 2 :][:1] for number, text in enumerate(TEXTS)}
        turned = dict(reversed(labels.items()))
        ready = augmenter.prepared(Surroundings("single", labels, lambda: MORE_TEXTS, Path(directory)))
        other = augmenter.prepared(Surroundings("single", turned, lambda: MORE_TEXTS[::-1], Path(directory)))
        _check_variants(ready, is_copied)
        same = _each(ready, TEXTS) == _each(other, TEXTS)
        _hold(same, "the order in which it is told of labelled texts and of the pool changes the variants")


def _check_variants(augmenter: Augmenter, is_copied: bool) -> None:
    texts = [*TEXTS, *MORE_TEXTS, *ODD_TEXTS]
    for n in (1, 3):
        given = list(texts)
        variants = augmenter(given, n, np.random.default_rng(7))
        _hold(given == texts, "the list of texts was changed")
        _hold(len(variants) == len(texts), f"{len(texts)} texts gave {len(variants)} lists of variants")
        for text, made in zip(texts, variants, strict=True):
            _hold(len(made) <= n, f"{n} variants asked for, {len(made)} made of {text!r}")
            _hold(all(isinstance(one, str) for one in made), f"a variant of {text!r} is not a text: {made}")
            _hold(text not in made, f"{text!r} is a variant of itself")
            _hold(all(one.strip() for one in made), f"a variant of {text!r} says nothing: {made}")
            _hold(len(set(made)) == len(made), f"the variants of {text!r} are not different: {made}")
        _draw_from_global_randomness()
        before = _global_randomness()
        again = augmenter(list(texts), n, np.random.default_rng(7))
        _hold(variants == again, "the same texts and an equal rng gave other variants")
        _hold(_global_randomness() == before, "the state of the global `random` or `np.random` was changed")
    _hold(augmenter([], 3, np.random.default_rng(7)) == [], "no texts gave variants")
    each = _each(augmenter, texts)
    _hold(_each(augmenter, texts[::-1]) == each, "what it was asked before changes the variants of a text")
    if is_copied:
        try:
            copy = pickle.loads(pickle.dumps(augmenter))
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise ContractError(
                f"no copy can be made for another process, and one_process is not True: {error}"
            ) from error
        _hold(_each(copy, texts) == each, "a copy of it, as another process has one, makes other variants")


def _each(augmenter: Augmenter, texts: Sequence[str]) -> dict[str, list[str]]:
    """Asked of one text at a time, as a round does it."""
    return {text: augmenter([text], 1, np.random.default_rng(len(text)))[0] for text in texts}


def check_annotator(annotator: Annotator, desk: Desk, answer: Callable[[Sequence[Task]], None] | None = None) -> None:
    """Creates each task once, however often it is pushed; pulls each answer, again when asked again from the start.

    `answer` stands for the people: it is called once with the tasks after they were pushed. None for an annotator that
    answers by itself, or from which no answer is expected.
    """
    check_plugin(annotator)
    tasks = [_task(desk, row, text) for row, text in enumerate(TEXTS, 1)]
    first = annotator.push(tasks[:2], desk)
    _hold(set(first) == {t.key for t in tasks[:2]}, f"pushed {[t.key for t in tasks[:2]]}, got ids for {sorted(first)}")
    both = annotator.push(tasks, desk)
    _hold(set(both) == {task.key for task in tasks}, f"a push of {len(tasks)} tasks gave ids for {sorted(both)}")
    _hold(first.items() <= both.items(), f"pushed twice, a task got another id: {first} became {both}")
    _hold(len(set(both.values())) == len(tasks), f"two tasks have one id: {both}")
    _hold(annotator.push([], desk) == {}, "a push of nothing gave ids")
    if answer:
        answer(tasks)
    start = annotator.pull("", desk)
    answers = list(start.annotations)
    keys = [(one.remote_id, one.version) for one in answers if one.version]
    _hold(len(keys) == len(set(keys)), f"one pull gave an annotation twice: {keys}")
    for one in answers:
        _hold(one.task_key is not None or one.text_id is not None, f"{one} names neither a task nor a text")
        _hold(one.task_key is None or one.task_key in both, f"{one} answers a task that was never pushed")
        strange = set(one.labels) - set(desk.label_names)
        _hold(not strange, f"{one} has the labels {sorted(strange)}, which the project lacks")
        _hold(one.state == "labelled" or not one.labels, f"{one} is {one.state} and has labels")
        known = desk.kind == "multi" or one.state != "labelled" or len(one.labels) == 1
        _hold(known, f"{one} has {len(one.labels)} labels in a single-label task")
    if answer:
        _hold({one.task_key for one in answers} == set(both), "not every task that was answered was pulled")
    _hold(list(annotator.pull("", desk).annotations) == answers, "a second pull from the start gave something else")
    annotator.push(tasks, desk)
    _hold(list(annotator.pull("", desk).annotations) == answers, "pushing again changed the answers")
    rest = annotator.pull(start.upto, desk)
    _hold(set(rest.annotations) <= set(answers), f"nothing was answered since, yet a pull found {rest.annotations}")


def check_executor(executor: Executor, directory: Path) -> None:
    """Runs fits and predictions to their end, with the results in `out`; a job that fails raises AlloopError.

    `directory` is empty and for this check alone.
    """
    check_plugin(executor)
    tuner = TunerSpec("tfidf", {})
    fit, predict, broken = (directory / name for name in ("fit", "predict", "broken"))
    for place in (fit, predict, broken, directory / "empty", directory / "model"):
        place.mkdir(parents=True)
    job = _fit_job("single")
    write_fit(fit, tuner, job)
    executor.run(fit)
    tuner.build().fit(job, directory / "model")
    _hold(_content(fit / "out") == _content(directory / "model"), "a fit gave another model than in this process")
    _hold((fit / "result.json").is_file(), "a fit left no result.json")
    write_predict(predict, tuner, fit / "out", TEXTS, ("probs",), 0)
    executor.run(predict)
    here = tuner.build().predict(fit / "out", TEXTS, ("probs",), 0)
    there = load_predictions(predict / "out")
    _hold(_same(here.probs, there.probs), "a prediction gave other probabilities than in this process")
    write_predict(broken, tuner, directory / "empty", TEXTS, ("probs",), 0)
    try:
        executor.run(broken)
    except AlloopError as error:
        _hold(bool(error.message), "a job that failed raised an error without a message")
    else:
        raise ContractError("a job that failed raised nothing")


def check_stopping(rule: StoppingRule) -> None:
    """Says the same of the same rounds, in one line of evidence, whatever was measured; of no rounds, not to stop.

    Tried on a single round, on several that rise, fall, stand still or have a gap, with perfect and with worthless
    values, on rounds that measured nothing at all or lack one of the splits.
    """
    check_plugin(rule)
    for about, history in _histories().items():
        try:
            said = rule(history)
        except Exception as error:
            raise ContractError(f"{about}: it raised {error!r}") from error
        _hold(isinstance(said, Advice), f"{about}: it returned {said!r}, not Advice")
        _hold(said.stop is True or said.stop is False, f"{about}: stop is {said.stop!r}, neither True nor False")
        is_line = isinstance(said.evidence, str) and bool(said.evidence.strip()) and "\n" not in said.evidence
        _hold(is_line, f"{about}: the evidence is {said.evidence!r}, not a line of words")
        _hold("nan" not in said.evidence.split(), f"{about}: the evidence has a number that is none: {said.evidence}")
        _hold(not (said.stop and not history), f"{about}: it stops: {said.evidence}")
        _hold(rule(history) == said, f"{about}: it says something else the second time")
        _hold(rule(tuple(history)) == said, f"{about}: it says something else of a tuple of the same rounds")


def _histories() -> dict[str, list[Seen]]:
    """What it is about -> rounds, oldest first."""
    curves = {
        "rising": [0.5 + one / 20 for one in range(9)],
        "falling": [0.9 - one / 20 for one in range(9)],
        "constant": [0.7] * 9,
        "perfect": [1.0] * 9,
        "worthless": [0.0] * 9,
    }
    found: dict[str, list[Seen]] = {"no rounds": []}
    for name, values in curves.items():
        rounds = [_seen(number, value) for number, value in enumerate(values, 2)]
        found |= {f"{name} rounds": rounds, f"two {name} rounds": rounds[:2], f"one {name} round": rounds[:1]}
        unmeasured = dataclasses.replace(rounds[-2], metrics={})
        found[f"{name} rounds, one of them unmeasured"] = [*rounds[:-2], unmeasured, rounds[-1]]
        for split in rounds[0].metrics:
            found[f"{name} rounds without {split}"] = [
                dataclasses.replace(one, metrics={key: row for key, row in one.metrics.items() if key != split})
                for one in rounds
            ]
    found["rounds that measured nothing"] = [Seen(number, 10 * number, 0.0, {}) for number in range(1, 9)]
    return found


def _seen(number: int, value: float) -> Seen:
    names = {
        "stop": ("kappa", "change", "delta_f", "uncertainty"),
        "batch": ("accuracy",),
        "test": ("accuracy", "f1_micro", "f1_macro"),
        "audit": ("accuracy", "f1_micro", "f1_macro"),
    }
    metrics = {
        split: {name: Metric(name, value, max(0.0, value - 0.1), min(1.0, value + 0.1), 10 * number) for name in some}
        for split, some in names.items()
    }
    return Seen(number, 10 * number, 60.0 * number, metrics)


def check_consensus(rule: Consensus) -> None:
    """Labels of the set with a confidence in 0-1 for every text that has a vote, the same whatever the texts' order.

    Tried on both kinds of task: with no votes, one annotator, one vote each, all of one mind, all divided, labels that
    nobody uses and names that are anything; with probabilities of all texts, of some and of none. It writes no input,
    draws nothing from global randomness, and with one vote a text and no probabilities takes the votes as they are.
    """
    check_plugin(rule)
    needs = getattr(rule, "needs", None)
    _hold(isinstance(needs, tuple) and set(needs) <= {"probs"}, f"needs is {needs!r}: it may be () or ('probs',)")
    for kind in KINDS:
        for about, votes in _elections(kind).items():
            for known in ("no", "some", "all") if needs else ("no",):
                _check_decided(rule, kind, votes, f"{kind}-label, {about}, probabilities of {known} texts", known)


def _check_decided(rule: Consensus, kind: Kind, votes: Votes, where: str, known: str) -> None:
    labels = ("billing", "<b>=1+1</b>", "tech|nical", "nobody says this")
    rng = np.random.default_rng(3)
    drawn = (
        rng.dirichlet(np.ones(len(labels)), len(votes)) if kind == "single" else rng.random((len(votes), len(labels)))
    )
    drawn[: len(drawn) // 2] = 1 / len(labels)  # exactly even
    probs = {one: row for at, (one, row) in enumerate(zip(votes, drawn, strict=True)) if known == "all" or at % 2}
    given = None if known == "no" else probs
    drawn.flags.writeable = False
    try:
        turned = rule(dict(reversed(list(votes.items()))), kind, labels, given and dict(reversed(given.items())))
        _draw_from_global_randomness()
        before = _global_randomness()  # after the first call, which may import what draws when it is imported
        found = rule(types.MappingProxyType(votes), kind, labels, given and types.MappingProxyType(given))
    except Exception as error:
        raise ContractError(f"{where}: it raised {error!r}") from error
    _hold(_global_randomness() == before, f"{where}: it drew from global randomness")
    _hold(set(found) == set(votes), f"{where}: {len(votes)} texts have votes, {len(found)} were decided")
    for one, (said, confidence) in found.items():
        _hold(isinstance(said, tuple) and set(said) <= set(labels), f"{where}: {one} has the labels {said!r}")
        _hold(kind == "multi" or len(said) == 1, f"{where}: {one} has the labels {said!r}, not one")
        order = [labels.index(label) for label in said]
        _hold(order == sorted(set(order)), f"{where}: {one} has {said!r}, not in the order of the labels, each once")
        _hold(isinstance(confidence, float) and 0 <= confidence <= 1, f"{where}: a confidence of {confidence!r}")
    same = all(turned[one][0] == said and abs(turned[one][1] - sure) < 1e-9 for one, (said, sure) in found.items())
    _hold(same, f"{where}: the texts in another order were decided otherwise")
    if known == "no" and all(len(said) == 1 for said in votes.values()):
        plain = {one: said[0][1] for one, said in votes.items()}
        _hold({one: said for one, (said, _) in found.items()} == plain, f"{where}: single votes do not stand")


def _elections(kind: Kind) -> dict[str, dict[str, Sequence[tuple[str, tuple[str, ...]]]]]:
    """What it is about -> votes, of labels of which nobody uses the last."""
    answers: list[tuple[str, ...]] = [("billing",), ("<b>=1+1</b>",), ("tech|nical",)]
    if kind == "multi":
        answers += [(), ("billing", "tech|nical")]
    rng = np.random.default_rng(2)
    names = ("anna", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "", "بن\u202e")

    def voted(texts: int, each: int, among: Sequence[tuple[str, ...]]) -> dict[str, Any]:
        return {
            f"t1-{one:03}": tuple(
                (names[who], among[int(rng.integers(len(among)))])
                for who in rng.choice(len(names), each, replace=False)
            )
            for one in range(texts)
        }

    return {
        "no votes": {},
        "one vote": voted(1, 1, answers),
        "one annotator": {one: said[:1] for one, said in voted(9, 1, answers).items()},
        "one vote each": voted(9, 1, answers),
        "two votes each": voted(25, 2, answers),
        "several votes each": voted(12, 4, answers),
        "from none to all": {f"t1-{n}": voted(1, n, answers)["t1-000"] for n in range(1, 6)},
        "all of one mind": voted(6, 3, answers[:1]),
        "all divided": {f"t1-{n}": (("a", answers[n % 2]), ("b", answers[1 - n % 2])) for n in range(6)},
        "rows of a file": {f"t1-{n}": tuple(("f.csv", one) for one in answers[: n % 3 + 1]) for n in range(6)},
    }


def _hold(promise: bool, broken: str) -> None:
    if not promise:
        raise ContractError(broken)


def _pool(kind: Kind, size: int, needs: Sequence[str], special: str = "") -> Pool:
    """A pool that has what `needs` names, in arrays that cannot be written to."""
    rng = np.random.default_rng(3)
    row = np.zeros(size, int) if special == "equal texts" else np.arange(size)  # the text that each is a copy of
    if special == "twins":
        row[1] = 0
    logits = rng.normal(size=(1, size, 3)) + rng.normal(size=(4, size, 3)) / 2
    drawn = 1 / (1 + np.exp(-logits[:, row]))  # (4, N, C)
    if kind == "single":
        drawn /= drawn.sum(2, keepdims=True)
    if special == "probabilities of 0 and 1":
        drawn = np.eye(3)[drawn.argmax(2)] if kind == "single" else drawn.round()
    arrays = {
        "probs": (drawn[0] if special == "probabilities of 0 and 1" else drawn.mean(0)).astype(np.float32),
        "samples": drawn.astype(np.float32),
        "members": drawn.astype(np.float32),
        "embeddings": rng.normal(size=(size, 5)).astype(np.float32)[row],
    }
    y = np.eye(3, dtype=np.float32)
    if special == "one label seen":
        y = y[[0, 0, 0]]
    seen = {
        "embeddings": np.eye(3, 5, dtype=np.float32),
        "frozen": np.eye(3, 5, 1, dtype=np.float32),
        "probs": np.full((3, 3), 1 / 3, np.float32),
    }
    asked_in, at_random = np.array([0, 1, 2]), np.array([False, True, False])
    names = np.eye(3, 5, dtype=np.float32)
    for array in (*arrays.values(), *seen.values(), y, asked_in, at_random, names):
        array.setflags(write=False)
    ids = tuple(f"t1-{one:04}" for one in range(size))
    texts = tuple(f"text {one}" + " and more" * one for one in row)
    given = {name: seen[name] for name in needed_of_labelled(needs)}
    labelled = Labelled(("t1-a", "t1-b", "t1-c"), y, **given, asked_in=asked_in, at_random=at_random)
    if special == "no label":
        labelled = Labelled((), y[:0])
    given = {name: arrays[name] for name in arrays if name in needs}
    of_labels = names if "labels.embeddings" in needs else None
    return Pool(ids, texts, kind, labelled=labelled, label_embeddings=of_labels, **given)


def _refuses(strategy: Strategy, kind: Kind) -> bool:
    try:
        strategy(_pool(kind, 40, strategy.needs), 7, np.random.default_rng(5))
    except ConfigError as error:
        _hold(bool(error.hint), f"it refuses a {kind}-label pool without a hint: {error.message}")
        return True
    except ValueError:
        pass  # `_check_picks` meets it again, and says what it means
    return False


def _check_picks(strategy: Strategy, pool: Pool, n: int) -> None:
    where = f"{n} of {len(pool)} texts of a {pool.kind}-label pool"
    try:
        picks = strategy(pool, n, np.random.default_rng(5))
    except ValueError as error:
        if "read-only" in str(error):
            raise ContractError(f"{where}: it writes to the pool's arrays: {error}") from error
        raise
    index, score = np.asarray(picks.index), np.asarray(picks.score)
    _hold(index.shape == (n,) and score.shape == (n,), f"{where}: index {index.shape}, score {score.shape}")
    _hold(np.issubdtype(index.dtype, np.integer), f"{where}: index is of {index.dtype}, not of whole numbers")
    _hold(len(set(index.tolist())) == n, f"{where}: a text was picked twice: {index}")
    _hold(bool(((index >= 0) & (index < len(pool))).all()), f"{where}: the index points outside: {index}")
    _hold(bool(np.isfinite(score).all()), f"{where}: scores are not all finite: {score}")
    _hold(bool((np.diff(score) <= 0).all()), f"{where}: scores rise, though the best comes first: {score}")
    _draw_from_global_randomness()
    again: Picks = strategy(pool, n, np.random.default_rng(5))
    same = np.array_equal(index, again.index) and np.array_equal(score, again.score)
    _hold(same, f"{where}: an equal rng gave other picks: {index}, then {again.index}")


def _check_order(strategy: Strategy, pool: Pool, n: int) -> None:
    """Whatever picks the same with any `rng` picks the same texts when other texts have their ids."""
    picks, *others = (strategy(pool, n, np.random.default_rng(seed)) for seed in (5, 6, 7))
    if not all(np.array_equal(picks.index, other.index) for other in others):
        return
    order = np.random.default_rng(8).permutation(len(pool))
    turned: dict[str, Any] = {"texts": tuple(pool.texts[row] for row in order)}
    for name in ("probs", "embeddings"):
        turned[name] = None if getattr(pool, name) is None else getattr(pool, name)[order]
    for name in ("samples", "members"):
        turned[name] = None if getattr(pool, name) is None else getattr(pool, name)[:, order]
    again = strategy(dataclasses.replace(pool, **turned), n, np.random.default_rng(5))
    same = np.allclose(picks.score, again.score, rtol=1e-3, atol=1e-5)
    if len(np.unique(picks.score)) == n:  # of texts with equal scores any may come first
        same &= np.array_equal(picks.index, order[again.index])
    _hold(same, f"the texts in another order gave other picks: {picks.index}, then {order[again.index]}")


def _check_scores(strategy: Strategy, pool: Pool, n: int) -> None:
    few = strategy(pool, n, np.random.default_rng(5)).score
    every = strategy(pool, len(pool), np.random.default_rng(5)).score
    _hold(np.allclose(few, every[:n]), f"it scores each text, and a larger batch has other scores: {few}, {every[:n]}")


def _check_batches(strategy: Strategy, pool: Pool, n: int) -> None:
    """Even over the labels, without near-duplicates or drawn, a batch is n different texts, by the rng alone."""
    ways: list[dict[str, Any]] = [{"balance": True}, {"unlike": pool.texts[:5]}]
    modes: tuple[BatchMode, ...] = ("power", "softmax", "soft-rank")
    ways += [{"mode": mode} for mode in modes if getattr(strategy, "scores_each", False)]
    ways.append({name: value for way in ways for name, value in way.items()})
    for way in ways:
        where = f"{n} of {len(pool)} texts, {way}"
        picks, again = (make_batch(strategy, pool, n, np.random.default_rng(5), **way) for _ in range(2))
        rows = set(picks.index.tolist())
        _hold(len(rows) == len(picks.index) == n, f"{where}: not {n} different picks: {picks.index}")
        _hold(rows <= set(range(len(pool))), f"{where}: the index points outside: {picks.index}")
        _hold(len(picks.score) == n, f"{where}: {len(picks.score)} scores")
        _hold(bool(np.isfinite(picks.score).all()), f"{where}: scores are not all finite: {picks.score}")
        same = np.array_equal(picks.index, again.index) and np.array_equal(picks.score, again.score)
        _hold(same, f"{where}: an equal rng gave other picks: {picks.index}, then {again.index}")


def _draw_from_global_randomness() -> None:
    """So that whoever draws from it, against the rules, draws something else the second time."""
    random.random()
    np.random.random()  # noqa: NPY002


def _global_randomness() -> tuple[Any, ...]:
    _, keys, position, *_ = np.random.get_state(legacy=True)  # noqa: NPY002
    return random.getstate(), np.asarray(keys).tobytes(), position


def _fit_job(kind: Kind) -> FitJob:
    train = [Example(text, LABELS[:1]) for text in TEXTS] + [Example(text, LABELS[1:]) for text in MORE_TEXTS]
    if kind == "multi":
        train += [Example("charged twice after the update crashed", LABELS), Example("good morning", ())]
    return FitJob(train, kind, LABELS, seed=11)


def _task(desk: Desk, rank: int, text: str) -> Task:
    text_id = f"t1-{rank:032x}"
    return Task(f"{desk.project}:{text_id}:1", text_id, text, "pick", 1, rank, blind=True)


def _check_predictions(tuner: Tuner, model: Path, kind: Kind) -> None:
    texts = [*TEXTS, *MORE_TEXTS, "", "ünïcødé 漢字 🙂", "long " * 2000]
    said = tuner.predict(model, texts, ("probs", "embeddings"), 0)
    probs, embeddings = said.probs, said.embeddings
    if probs is None or embeddings is None:
        raise ContractError("probs and embeddings were asked for, and one of them is missing")
    _hold(probs.shape == (len(texts), len(LABELS)), f"probs have the shape {probs.shape}")
    _hold(probs.dtype == np.float32, f"probs are of {probs.dtype}, not float32")
    _hold(bool(((probs >= 0) & (probs <= 1)).all()), "probs are not all between 0 and 1")
    if kind == "single":
        _hold(np.allclose(probs.sum(1), 1, atol=1e-4), f"rows of probs sum to {probs.sum(1)}, not to 1")
    _hold(said.labels == LABELS, f"the columns are named {said.labels}, not {LABELS}")
    _hold(embeddings.ndim == 2 and len(embeddings) == len(texts), f"embeddings have the shape {embeddings.shape}")
    _hold(bool(np.isfinite(embeddings).all()), "embeddings are not all finite")
    repeated = tuner.predict(model, texts, ("probs", "embeddings"), 0)
    _hold(np.array_equal(repeated.probs, probs), "a second prediction gave other probabilities")  # type: ignore[arg-type]
    turned = tuner.predict(model, texts[::-1], ("probs",), 0)
    _hold(_same(turned.probs, probs[::-1]), "the order of the texts changes what is said of them")
    alone = tuner.predict(model, texts[:1], ("probs",), 0)
    _hold(_same(alone.probs, probs[:1]), "the texts beside a text change what is said of it")
    none = tuner.predict(model, [], ("probs",), 0)
    _hold(none.probs is not None and none.probs.shape == (0, len(LABELS)), "no texts gave no probs of shape (0, C)")
    if "samples" in tuner.gives:
        _check_samples(tuner, model, texts, kind)
    _check_bare(tuner, texts)


def _check_samples(tuner: Tuner, model: Path, texts: Sequence[str], kind: Kind) -> None:
    samples, again, other = (tuner.predict(model, texts, ("samples",), seed).samples for seed in (1, 1, 2))
    if samples is None or again is None or other is None:
        raise ContractError("samples are among what it gives, and were asked for: they are missing")
    _hold(
        samples.shape[1:] == (len(texts), len(LABELS)) and len(samples) > 1, f"samples have the shape {samples.shape}"
    )
    _hold(samples.dtype == np.float32, f"samples are of {samples.dtype}, not float32")
    _hold(bool(((samples >= 0) & (samples <= 1)).all()), "samples are not all between 0 and 1")
    if kind == "single":
        _hold(np.allclose(samples.sum(2), 1, atol=1e-4), "rows of samples do not sum to 1")
    _hold(np.array_equal(samples, again), "an equal seed gave other samples")
    _hold(not np.array_equal(samples, other), "another seed gave the same samples")
    alone = tuner.predict(model, texts[:1], ("samples",), 1).samples
    same = alone is not None and np.allclose(alone, samples[:, :1], atol=0.02)  # a drawn model may enlarge rounding
    _hold(same, "the texts beside a text change its samples")


def _check_bare(tuner: Tuner, texts: Sequence[str]) -> None:
    try:
        bare: Predictions = tuner.predict(None, texts, ("embeddings",), 0)
    except ModelError:  # a tuner without a base has nothing to say before it is trained
        return
    _hold(bare.probs is None, "there is no model, yet there are probs")
    _hold(bare.embeddings is not None and len(bare.embeddings) == len(texts), "the bare base gave no embeddings")


def _is_finite(measured: Any) -> bool:
    """Whether every number is finite, in lists and dictionaries too, and of a kind that JSON can hold."""
    if isinstance(measured, dict | list):
        return all(map(_is_finite, measured.values() if isinstance(measured, dict) else measured))
    return isinstance(measured, str) or (isinstance(measured, int | float) and bool(np.isfinite(measured)))


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Equal but for what another order of adding up costs in single precision, as with another batch."""
    return one is not None and other is not None and np.allclose(one, other, atol=1e-3)


def _content(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def _differing(one: Path, other: Path) -> list[str]:
    here, there = _content(one), _content(other)
    return sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
