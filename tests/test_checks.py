"""Every plug-in that the registries know keeps its family's contract, and each contract notices when it is broken."""

import csv
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from alloop.annotators import Annotator, Desk, Pulled, _answers, annotators
from alloop.augmenters import augmenters
from alloop.checks import (
    ContractError,
    _fit_job,
    check_annotator,
    check_augmenter,
    check_consensus,
    check_executor,
    check_plugin,
    check_stopping,
    check_strategy,
    check_tuner,
)
from alloop.consensus import consensus_rules
from alloop.consensus.majority import Majority
from alloop.errors import ConfigError
from alloop.executors import executors
from alloop.executors.inline import Inline
from alloop.records import Annotation, Task
from alloop.stopping import Advice, stopping
from alloop.strategies import Picks, Pool, strategies
from alloop.tuning import tuners
from alloop.tuning.tfidf import TfIdf

NEEDS_A_SERVER = {"label-studio"}  # its own tests run check_annotator against a stand-in of the server
NEED_WORDNET = {"synonyms", "antonyms"}
NEED_A_MODEL = {"contextual", "back-translation", "llm"}  # as do theirs, against check_augmenter
SLOW_TUNERS = set(tuners.names()) - {"tfidf", "features"}


@pytest.mark.parametrize("name", strategies.names())
def test_every_strategy_keeps_the_contract(name):
    check_strategy(strategies.build(name))


@pytest.mark.parametrize("name", [name for name in augmenters.names() if name not in NEED_A_MODEL])
def test_every_augmenter_keeps_the_contract(name, request):
    if name in NEED_WORDNET:
        request.getfixturevalue("nltk_data")
    check_augmenter(augmenters.build(name))


@pytest.mark.parametrize("name", stopping.names())
def test_every_stopping_rule_keeps_the_contract(name):
    check_stopping(stopping.build(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", consensus_rules.names())
def test_every_consensus_rule_keeps_the_contract(name):
    check_consensus(consensus_rules.build(name))


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW_TUNERS)) for name in tuners.names()]
)
def test_every_tuner_keeps_the_contract(name, kind, tmp_path, tmp_path_factory):
    few = {"steps": 5, "epochs": 0.1}  # the contract is the same for a model that has learnt little
    options = {key: value for key, value in few.items() if key in tuners.options(name)}
    if name == "distill":
        teacher = tmp_path_factory.mktemp("teacher")
        TfIdf().fit(_fit_job(kind), teacher)
        options["teacher"] = str(teacher)
    check_tuner(tuners.build(name, **options), tmp_path, kind)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "inline")) for name in executors.names()]
)
def test_every_executor_keeps_the_contract(name, tmp_path):
    check_executor(executors.build(name), tmp_path)


def write_into_the_file(desk: Desk, tasks: Sequence[Task]) -> None:
    """As a person does in a spreadsheet."""
    path = next(desk.inbox.glob("round-*.csv"))
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"label": "billing"} for row in rows)


def type_at_the_terminal(desk: Desk, tasks: Sequence[Task]) -> None:
    for task in tasks:
        _answers.record(desk.inbox, task.key, "anna", "labelled", ("billing",), 2.5)


PEOPLE: dict[str, Callable[[Desk, Sequence[Task]], None]] = {
    "file": write_into_the_file,
    "terminal": type_at_the_terminal,
    "simulated": lambda desk, tasks: None,
}


def new_desk(tmp_path: Path) -> Desk:
    names = {"billing": "money", "technical": ""}
    return Desk("p1", tmp_path / "inbox", "single", names, gold=lambda ids: dict.fromkeys(ids, ("billing",)))


@pytest.mark.parametrize("name", [name for name in annotators.names() if name not in NEEDS_A_SERVER])
def test_every_annotator_keeps_the_contract(name, tmp_path):
    desk = new_desk(tmp_path)
    people = PEOPLE.get(name)
    check_annotator(annotators.build(name), desk, people and (lambda tasks: people(desk, tasks)))


# ---- each promise broken by a toy ----------------------------------------------------------------------------------


def test_a_plug_in_that_can_be_changed_is_noticed():
    @dataclass
    class Thawed:
        """Help."""

    with pytest.raises(ContractError, match="not frozen"):
        check_plugin(Thawed())


def test_a_plug_in_without_help_is_noticed():
    @dataclass(frozen=True)
    class Silent:
        size: int = 3

    with pytest.raises(ContractError, match="no docstring"):
        check_plugin(Silent())


def test_an_option_without_a_default_is_noticed():
    @dataclass(frozen=True)
    class Demanding:
        """Help."""

        size: int

    with pytest.raises(ContractError, match="size has no default"):
        check_plugin(Demanding(3))


def test_a_plug_in_that_is_no_dataclass_is_noticed():
    with pytest.raises(ContractError, match="object is not a dataclass"):
        check_plugin(object())


@dataclass(frozen=True)
class First:
    """Picks the first texts, as the toys below do but for one thing each."""

    needs: ClassVar[tuple[str, ...]] = ("probs",)

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Picks:
        return Picks(np.arange(n), np.zeros(n))


class Twice(First):
    """Picks one text again and again."""

    def __call__(self, pool, n, rng):
        return Picks(np.zeros(n, int), np.zeros(n))


class Outside(First):
    """Counts from one."""

    def __call__(self, pool, n, rng):
        return Picks(np.arange(n) + 1, np.zeros(n))


class TooFew(First):
    """Never picks the last text."""

    def __call__(self, pool, n, rng):
        return Picks(np.arange(n)[: len(pool) - 1], np.zeros(n)[: len(pool) - 1])


class NotANumber(First):
    """Divides nothing by nothing."""

    def __call__(self, pool, n, rng):
        return Picks(np.arange(n), np.full(n, np.nan))


class WorstFirst(First):
    """Mixes up the directions."""

    def __call__(self, pool, n, rng):
        return Picks(np.arange(n), np.arange(n) / n)


class OwnRandomness(First):
    """Draws from the global generator."""

    def __call__(self, pool, n, rng):
        return Picks(np.random.permutation(len(pool))[:n], np.zeros(n))  # noqa: NPY002


class Scribbler(First):
    """Writes to what it was lent."""

    def __call__(self, pool, n, rng):
        pool.probs[0] = 0
        return Picks(np.arange(n), np.zeros(n))


class ByPlace(First):
    """Scores the place in the pool."""

    def __call__(self, pool, n, rng):
        return Picks(np.arange(n), np.sort(pool.probs[:n, 0])[::-1])


class AfterTheStart(First):
    """Needs labels that are not there yet."""

    needs = ("embeddings", "labelled.embeddings")

    def __call__(self, pool, n, rng):
        far = pool.embeddings[:, 0] - pool.labelled.embeddings[0, 0]
        return Picks(np.argsort(-far)[:n], np.sort(far)[::-1][:n])


class AllSure(First):
    """Takes the logarithm of 0."""

    def __call__(self, pool, n, rng):
        with np.errstate(divide="ignore"):
            surprise = -np.log(pool.probs[:, 0])
        index = np.argsort(-surprise)[:n]
        return Picks(index, surprise[index])


class Refusing(First):
    """Refuses everything."""

    def __call__(self, pool, n, rng):
        raise ConfigError("no", "take another")


class Unhelpful(First):
    """Refuses several labels without saying what to take instead."""

    def __call__(self, pool, n, rng):
        if pool.kind == "multi":
            raise ConfigError("one label only")
        return super().__call__(pool, n, rng)


class SingleOnly(First):
    """Refuses several labels, as it may."""

    kinds = ("single",)

    def __call__(self, pool, n, rng):
        if pool.kind == "multi":
            raise ConfigError("one label only", 'strategy = "margin"')
        return super().__call__(pool, n, rng)


class Unknown(First):
    """Needs what no pool has."""

    needs = ("horoscope",)


class Obliging(First):
    """Is for tasks of several labels, and picks from any."""

    kinds = ("multi",)


class Relative(First):
    """Says to score each text, and scores places in the batch."""

    scores_each = True

    def __call__(self, pool, n, rng):
        return Picks(rng.permutation(len(pool))[:n], 1 - np.arange(n) / n)


class WholePoolsOnly(First):
    """Is lost where the pool is a part of another, as the texts of one label are."""

    def __call__(self, pool, n, rng):
        return super().__call__(pool, n, rng) if len(pool) in (1, 40) else Picks(np.zeros(n, int), np.zeros(n))


@pytest.mark.parametrize(
    ("toy", "complaint"),
    [
        (WholePoolsOnly, "not 7 different picks"),
        (Twice, "picked twice"),
        (Outside, "points outside"),
        (TooFew, r"index \(0,\)"),
        (NotANumber, "not all finite"),
        (WorstFirst, "scores rise"),
        (OwnRandomness, "other picks"),
        (Scribbler, "writes to the pool"),
        (Unknown, "horoscope"),
        (Obliging, r"its kinds are \['multi'\]"),
        (Relative, "larger batch"),
        (ByPlace, "another order"),
        (AllSure, "not all finite"),
        (Refusing, "every kind"),
        (Unhelpful, "without a hint"),
    ],
)
def test_a_broken_strategy_is_noticed(toy, complaint):
    check_strategy(First())
    with pytest.raises(ContractError, match=complaint):
        check_strategy(toy())


def test_a_strategy_on_embeddings_that_cannot_do_without_labels_is_noticed():
    with pytest.raises(TypeError):
        check_strategy(AfterTheStart())


def test_a_strategy_may_refuse_a_kind_of_task_with_a_hint():
    check_strategy(SingleOnly())


@dataclass(frozen=True)
class Shout:
    """Adds up to n exclamation marks."""

    def __call__(self, texts, n, rng):
        return [[text + "!" * (i + 1) for i in range(n)] for text in texts]


class Echo(Shout):
    """Gives the text back."""

    def __call__(self, texts, n, rng):
        return [[text] for text in texts]


class TooMany(Shout):
    """Gives one more than was asked for."""

    def __call__(self, texts, n, rng):
        return super().__call__(texts, n + 1, rng)


class Alike(Shout):
    """Gives the same variant n times."""

    def __call__(self, texts, n, rng):
        return [[text + "!"] * n for text in texts]


class Forgetful(Shout):
    """Drops empty texts."""

    def __call__(self, texts, n, rng):
        return super().__call__([text for text in texts if text], n, rng)


class Gambler(Shout):
    """Draws from the global generator."""

    def __call__(self, texts, n, rng):
        return [[f"{text} {random.random()}"] for text in texts]


class Seeder(Shout):
    """Seeds the global generator for everybody."""

    def __call__(self, texts, n, rng):
        np.random.seed(int(rng.integers(100)))  # noqa: NPY002
        return super().__call__(texts, n, rng)


class Silent(Shout):
    """Gives nothing but white space."""

    def __call__(self, texts, n, rng):
        return [[" "] for _ in texts]


class Learner(Shout):
    """Shouts louder at a text it has met."""

    met: ClassVar[Counter] = Counter()

    def __call__(self, texts, n, rng):
        self.met.update(texts if len(texts) == 1 else [])
        return [[text + "!" * (1 + self.met[text])] for text in texts]


@dataclass(frozen=True)
class Locked(Shout):
    """Keeps what cannot be copied."""

    lock: object = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Single(Locked):
    """Keeps it, and says so."""

    one_process: ClassVar[bool] = True


@dataclass(frozen=True)
class Newest(Shout):
    """Appends the text of the pool that it read last."""

    last: str = ""

    def prepared(self, around):
        return Newest(last=around.pool()[-1])

    def __call__(self, texts, n, rng):
        return [[text + self.last + "!"] for text in texts]


@pytest.mark.parametrize(
    ("toy", "complaint"),
    [
        (Echo, "variant of itself"),
        (TooMany, "1 variants asked for, 2 made"),
        (Alike, "not different"),
        (Forgetful, "lists of variants"),
        (Gambler, "other variants"),
        (Seeder, "global"),
        (Silent, "says nothing"),
        (Learner, "what it was asked before"),
        (Locked, "one_process is not True"),
        (Newest, "the order in which it is told"),
    ],
)
def test_a_broken_augmenter_is_noticed(toy, complaint):
    check_augmenter(Shout())
    check_augmenter(Single())
    with pytest.raises(ContractError, match=complaint):
        check_augmenter(toy())


class Litterer(TfIdf):
    """Writes beside its directory."""

    def fit(self, job, out):
        (out.parent / "log.txt").write_text("fitting")
        return super().fit(job, out)


class Unsteady(TfIdf):
    """Writes something else each time."""

    def fit(self, job, out):
        (out / "noise").write_bytes(random.randbytes(8))
        return super().fit(job, out)


class Pickler(TfIdf):
    """Keeps a live object."""

    def fit(self, job, out):
        (out / "model.pkl").write_bytes(b"")
        return super().fit(job, out)


class Unnormalised(TfIdf):
    """Forgets the softmax."""

    def predict(self, model, texts, needs, seed):
        said = super().predict(model, texts, needs, seed)
        return (
            said if said.probs is None else type(said)(said.probs / 2, embeddings=said.embeddings, labels=said.labels)
        )


class Neighbourly(TfIdf):
    """Lets the first text speak for all."""

    def predict(self, model, texts, needs, seed):
        said = super().predict(model, texts, needs, seed)
        probs = said.probs if said.probs is None else np.repeat(said.probs[:1], len(texts), 0)
        return type(said)(probs, embeddings=said.embeddings, labels=said.labels)


class Gullible(TfIdf):
    """Makes something up where there is no model."""

    def predict(self, model, texts, needs, seed):
        if model and not any(model.iterdir()):
            model = None
        return super().predict(model, texts, needs, seed)


class Drawing(TfIdf):
    """Gives as samples what it is told to: shares of the probabilities that a generator draws."""

    gives = (*TfIdf.gives, "samples")

    def generator(self, seed):
        return np.random.default_rng(seed)

    def predict(self, model, texts, needs, seed):
        said = super().predict(model, texts, [need for need in needs if need != "samples"], seed)
        if "samples" not in needs:
            return said
        share = self.generator(seed).random((5, 1, 1), np.float32)
        return replace(said, samples=share * said.probs + (1 - share) / len(said.labels))


class Forgetful(Drawing):
    """Draws other models each time."""

    def generator(self, seed):
        return np.random.default_rng()


class Stubborn(Drawing):
    """Draws the same models each time."""

    def generator(self, seed):
        return np.random.default_rng(0)


class Impartial(Drawing):
    """Draws for each text anew, so that a sample is not one model."""

    def predict(self, model, texts, needs, seed):
        said = super().predict(model, texts, needs, seed)
        if said.samples is None:
            return said
        share = self.generator(seed).random((*said.samples.shape[:2], 1), np.float32)
        return replace(said, samples=share * said.probs + (1 - share) / len(said.labels))


def test_a_tuner_whose_samples_are_models_keeps_the_contract(tmp_path):
    check_tuner(Drawing(), tmp_path)


@pytest.mark.parametrize(
    ("toy", "complaint"),
    [
        (Forgetful, "an equal seed gave other samples"),
        (Stubborn, "another seed gave the same samples"),
        (Impartial, "the texts beside a text change its samples"),
        (Litterer, "outside its directory"),
        (Unsteady, "different files: .*noise"),
        (Pickler, "pickled"),
        (Unnormalised, "sum to"),
        (Neighbourly, "order of the texts"),
        (Gullible, "empty directory"),
    ],
)
def test_a_broken_tuner_is_noticed(toy, complaint, tmp_path):
    with pytest.raises(ContractError, match=complaint):
        check_tuner(toy(), tmp_path)


@dataclass(frozen=True)
class Clipboard:
    """Keeps tasks as empty files, and finds each answered at once."""

    def push(self, tasks: Sequence[Task], desk: Desk) -> dict[str, str]:
        desk.inbox.mkdir(exist_ok=True)
        for task in tasks:
            (desk.inbox / task.key).touch()
        return {task.key: task.key for task in tasks}

    def pull(self, since: str, desk: Desk) -> Pulled:
        keys = sorted(path.name for path in desk.inbox.iterdir())
        return Pulled([self.answer(key) for key in keys])

    def answer(self, key: str) -> Annotation:
        return Annotation(key, "1", key, None, "anna", "labelled", ("billing",), None, "2026-01-01T00:00:00Z")


class Doubling(Clipboard):
    """Creates a task for every push."""

    def push(self, tasks, desk):
        super().push(tasks, desk)
        return {task.key: f"{task.key}-{random.random()}" for task in tasks}


class Partial(Clipboard):
    """Gives ids of new tasks only."""

    def push(self, tasks, desk):
        there = {path.name for path in desk.inbox.iterdir()} if desk.inbox.exists() else set()
        return {key: one for key, one in super().push(tasks, desk).items() if key not in there}


class Stutter(Clipboard):
    """Gives each answer twice."""

    def pull(self, since, desk):
        found = super().pull(since, desk).annotations
        return Pulled([*found, *found])


class OnceOnly(Clipboard):
    """Gives each answer once, so that a kill loses it."""

    def pull(self, since, desk):
        found = super().pull(since, desk)
        for path in desk.inbox.iterdir():
            path.unlink()
        return found


class Inventive(Clipboard):
    """Makes up labels."""

    def answer(self, key):
        return Annotation(key, "1", key, None, "anna", "labelled", ("weather",), None, "2026-01-01T00:00:00Z")


class Deaf(Clipboard):
    """Never hears an answer."""

    def pull(self, since, desk):
        return Pulled([])


@pytest.mark.parametrize(
    ("toy", "complaint"),
    [
        (Doubling, "another id"),
        (Partial, "gave ids for"),
        (Stutter, "an annotation twice"),
        (OnceOnly, "second pull"),
        (Inventive, "weather"),
        (Deaf, "not every task"),
    ],
)
def test_a_broken_annotator_is_noticed(toy: type[Annotator], complaint, tmp_path):
    (tmp_path / "right").mkdir()
    check_annotator(Clipboard(), new_desk(tmp_path / "right"), lambda tasks: None)
    with pytest.raises(ContractError, match=complaint):
        check_annotator(toy(), new_desk(tmp_path), lambda tasks: None)


class Lazy(Inline):
    """Says it is done."""

    def run(self, job):
        (job / "out").mkdir()


class Smooth(Inline):
    """Keeps quiet about failures."""

    def run(self, job):
        try:
            super().run(job)
        except Exception:
            return


@pytest.mark.parametrize(("toy", "complaint"), [(Lazy, "another model"), (Smooth, "raised nothing")])
def test_a_broken_executor_is_noticed(toy, complaint, tmp_path):
    with pytest.raises(ContractError, match=complaint):
        check_executor(toy(), tmp_path)


@dataclass(frozen=True)
class Patience:
    """Stops after so many rounds."""

    rounds: int = 3

    def __call__(self, history):
        return Advice(len(history) >= self.rounds, f"{len(history)} rounds")


class Eager(Patience):
    """Stops before there is anything."""

    def __call__(self, history):
        return Advice(True, "enough")


class Trusting(Patience):
    """Believes that everything is measured."""

    def __call__(self, history):
        return Advice(bool(history) and history[-1].metrics["stop"]["kappa"].value > 0.9, "kappa")


class Fickle(Patience):
    """Throws a coin."""

    def __call__(self, history):
        return Advice(False, f"a die says {random.random()}")


class Silent(Patience):
    """Gives no reasons."""

    def __call__(self, history):
        return Advice(False, "")


class Numeric(Patience):
    """Returns a number for a truth."""

    def __call__(self, history):
        return Advice(np.bool_(False), "numpy says so")


@pytest.mark.parametrize(
    ("toy", "complaint"),
    [
        (Eager, "no rounds: it stops"),
        (Trusting, "KeyError"),
        (Fickle, "something else the second time"),
        (Silent, "not a line of words"),
        (Numeric, "neither True nor False"),
    ],
)
def test_a_broken_stopping_rule_is_noticed(toy, complaint):
    check_stopping(Patience())
    with pytest.raises(ContractError, match=complaint):
        check_stopping(toy())


@dataclass(frozen=True)
class Careless(Majority):
    """Forgets texts that one annotator saw alone."""

    def __call__(self, votes, kind, labels, probs=None):
        return super().__call__({one: said for one, said in votes.items() if len(said) > 1}, kind, labels)


@dataclass(frozen=True)
class SureOfItself(Majority):
    """Counts votes and calls it confidence."""

    def __call__(self, votes, kind, labels, probs=None):
        decided = super().__call__(votes, kind, labels)
        return {one: (said, sure * len(votes[one])) for one, (said, sure) in decided.items()}


@dataclass(frozen=True)
class FirstComer(Majority):
    """Gives every text the label of the first text."""

    def __call__(self, votes, kind, labels, probs=None):
        decided = super().__call__(votes, kind, labels)
        return {one: next(iter(decided.values())) for one in decided} if len(votes) > 20 else decided


@pytest.mark.parametrize(
    ("toy", "complaint"),
    [(Careless, "were decided"), (SureOfItself, "confidence"), (FirstComer, "order|single votes")],
)
def test_a_broken_consensus_rule_is_noticed(toy, complaint):
    check_consensus(Majority())
    with pytest.raises(ContractError, match=complaint):
        check_consensus(toy())
