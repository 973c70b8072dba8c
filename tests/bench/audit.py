"""Does `alloop audit` find wrong labels, and does reviewing them pay? (issue 6, point 1)

    python tests/bench/audit.py choose --data DATA --work W --out A.jsonl    # which of cleanlab's scores, on TREC
    python tests/bench/audit.py find --data DATA --work W --out A.jsonl      # noisy_agnews: precision, recall
    python tests/bench/audit.py review --data DATA --work W --out A.jsonl    # reviewing, beside as many new labels
    python tests/bench/audit.py show --out A.jsonl > tests/bench/audit.md

`choose` makes errors up on TREC, whose labels are clean: random ones that favour some pairs of labels, and ones where a
model trained on the clean labels is nearest to being wrong. Nothing is chosen on noisy_agnews. `find` asks of its
10,000 human labels, 19.75 % of them wrong, which are suspicious; `--tuner lora` for another model, `--texts N` for a
part of them. `review` starts from so many of them, and spends a tenth as many answers in three ways: on the most
suspicious, through `--push` and `--apply` of a whole project, on random ones of the labels there are, or on new texts.
The reviewer says the truth, or errs as often and in the same ways as people did; new labels are people's. Measured on
the 7,600 clean test texts, by the stand-in. A stopped run goes on: finished ones are in --out.
"""

import argparse
import csv
import gzip
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import loops
import numpy as np

ARMS = ("suspicious", "random", "new")
METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
SET = "noisy_agnews"
CONFIG = """\
[task]
labels = {labels}
[data]
text = "text"
label = "label"
[model]
tuner = "features"
[options.features]
vectors = "{vectors}"
[round]
seed = {seed}
[evaluate]
test = "test.csv"
[annotate]
with = "simulated"
"""


def truth(data: Path) -> list[tuple[str, str, str]]:
    """(text, label that people gave, true label) of every text of noisy_agnews that is not a test text too, once."""
    with gzip.open(data / SET / "train_truth.csv.gz", "rt", encoding="utf-8", newline="") as file:
        clean = [row["clean_label"] for row in csv.DictReader(file)]
    from alloop.ingest import text_id

    rows = loops.read_rows(data / SET / "train.csv.gz")
    seen = {text_id(text) for text, _ in loops.read_rows(data / SET / "test.csv.gz")}
    found = []
    for (text, given), true in zip(rows, clean, strict=True):
        if text_id(text) not in seen:
            seen.add(text_id(text))
            found.append((text, given, true))
    return found


def vectors(data: Path, work: Path, name: str) -> Path:
    """A directory with the frozen vectors of a data set's texts, read once."""
    from alloop.files import publish
    from alloop.tuning._vectors import write_vectors
    from alloop.work import TunerSpec

    texts = [text for part in ("train", "test") for text, _ in loops.read_rows(data / name / f"{part}.csv.gz")]
    spec = TunerSpec("features", {"base": "minilm", "max_tokens": 128}).build()

    def fill(out: Path) -> None:
        write_vectors(out, "minilm", 128, texts, np.array(spec.predict(None, texts, ("embeddings",), 0).embeddings))

    return publish((work / f"vectors-{name}").absolute(), fill)


def project_of(
    root: Path,
    answers: Sequence[tuple[str, str]],
    given: Sequence[tuple[str, str]],
    test: loops.Rows,
    seed: int,
    at: Path,
) -> Any:
    """A project whose texts have labels that somebody gave, and whose simulated annotator says `answers` when asked."""
    import alloop
    from alloop.ingest import text_id
    from alloop.store import StoredText

    root.mkdir(parents=True)
    loops.write_rows(root / "pool.csv", list(answers))
    loops.write_rows(root / "test.csv", test)
    labels = json.dumps(sorted({label for _, label in test}))
    config = CONFIG.format(labels=labels, seed=seed, vectors=at).replace(
        'text = "text"', 'files = ["pool.csv"]\ntext = "text"', 1
    )
    (root / "alloop.toml").write_text(config)
    project = alloop.create(root)[0]
    opinions = [
        StoredText(text_id(text), text, "people.csv", n, None, {}, labels=(label,))
        for n, (text, label) in enumerate(given, 1)
    ]
    with project.store.transaction():
        project.store.add_texts(opinions, "pool")
    return project


def ranking(is_wrong: np.ndarray, suspicion: np.ndarray) -> dict[str, float]:
    """How good a ranking of labels is at finding the wrong ones."""
    from sklearn.metrics import average_precision_score

    order = np.argsort(-suspicion, kind="stable")
    wrong = int(is_wrong.sum())
    return {
        "precision": float(is_wrong[order[: len(order) // 10]].mean()),
        "recall": float(is_wrong[order[:wrong]].mean()),
        "area": float(average_precision_score(is_wrong, suspicion)),
        "wrong": float(is_wrong.mean()),
    }


def choose(arguments: argparse.Namespace) -> None:
    """Every score of cleanlab on errors made up on TREC."""
    from cleanlab.rank import get_label_quality_scores

    from alloop import config as configs
    from alloop.steps import stand_in
    from alloop.tuning._vectors import look_up

    rows = loops.read_rows(arguments.data / "trec" / "train.csv.gz")
    names = sorted({label for _, label in rows})
    texts, y = [text for text, _ in rows], np.array([names.index(label) for _, label in rows])
    x = look_up(vectors(arguments.data, arguments.work, "trec"), "minilm", 128, texts, lambda _: np.zeros((0, 0)))
    config = configs.parse(f"[task]\nlabels = {json.dumps(names)}\n")
    one_hot = np.eye(len(names), dtype=np.float32)
    clean = stand_in.out_of_fold(config, x, one_hot[y], 5, 0)
    for seed in range(arguments.seeds):
        for noise in ("random", "near"):
            if done_already(arguments.out, kind="choose", seed=seed, noise=noise):
                continue
            rng = np.random.default_rng(seed)
            given = made_up(y, clean, noise, rng)
            probs = np.asarray(stand_in.out_of_fold(config, x, one_hot[given], 5, seed), np.float64)
            for method in METHODS:
                quality = get_label_quality_scores(given, probs / probs.sum(1, keepdims=True), method=method)
                found = ranking(given != y, 1 - quality)
                record(arguments.out, {"kind": "choose", "seed": seed, "noise": noise, "method": method, **found})


def made_up(y: np.ndarray, probs: np.ndarray, noise: str, rng: np.random.Generator) -> np.ndarray:
    """Labels with errors: 20 % at random, a label taken for a few others; or the 15 % nearest to being wrong."""
    c, given = probs.shape[1], y.copy()
    if noise == "random":
        wrong = np.flatnonzero(rng.random(len(y)) < 0.2)
        taken_for = np.zeros((c, c))
        for label in range(c):
            taken_for[label, np.arange(c) != label] = rng.dirichlet(np.full(c - 1, 0.4))
        given[wrong] = [rng.choice(c, p=taken_for[y[row]]) for row in wrong]
        return given
    other = probs.copy()
    other[np.arange(len(y)), y] = 0
    near = other.max(1) * np.exp(0.5 * rng.gumbel(size=len(y)))
    wrong = np.argsort(-near)[: int(0.15 * len(y))]
    given[wrong] = other[wrong].argmax(1)
    return given


def find(arguments: argparse.Namespace) -> None:
    """Which labels of noisy_agnews are suspicious, and how many of these are wrong."""
    import shutil

    from alloop.auditing.material import material
    from alloop.auditing.suspects import judge, suspects
    from alloop.ingest import text_id

    at, test = vectors(arguments.data, arguments.work, SET), loops.read_rows(arguments.data / SET / "test.csv.gz")
    rows = truth(arguments.data)
    for seed in range(arguments.seeds):
        some = rows if arguments.texts is None else random.Random(seed).sample(rows, arguments.texts)
        about = {"kind": "find", "seed": seed, "tuner": arguments.tuner, "texts": len(some)}
        if done_already(arguments.out, **about):
            continue
        root = arguments.work / f"find-{arguments.tuner}-{len(some)}-{seed}"
        shutil.rmtree(root, ignore_errors=True)
        project = project_of(root, [(t, y) for t, _, y in some], [(t, g) for t, g, _ in some], test[:100], seed, at)
        given = material(project)
        judged = judge(given, None if arguments.tuner == "features" else arguments.tuner, print)
        true = {text_id(text): label for text, _, label in some}
        is_wrong = np.array([one.labels != (true[one.text_id],) for one in given.resolved])
        found = suspects(given.y, judged.probs, "single")
        told = {
            "contradicted": int(found.is_contradicted.sum()),
            "contradicted_wrong": float(is_wrong[found.is_contradicted].mean()),
            "errors": int(found.is_error.sum()),
            "errors_wrong": float(is_wrong[found.is_error].mean()),
        }
        record(arguments.out, {**about, **ranking(is_wrong, found.suspicion), **told})
        shutil.rmtree(root)


def review(arguments: argparse.Namespace) -> None:
    """Three ways to spend as many answers, from the same start."""
    import shutil

    at, test = vectors(arguments.data, arguments.work, SET), loops.read_rows(arguments.data / SET / "test.csv.gz")
    rows = truth(arguments.data)
    for n in arguments.labels:
        for seed in range(arguments.seeds):
            drawn = random.Random(f"{n}:{seed}").sample(rows, n + n // 10)
            start, new = drawn[:n], drawn[n:]
            for reviewer in ("truth", "people"):
                about = {"kind": "review", "labels": n, "seed": seed, "reviewer": reviewer}
                if done_already(arguments.out, **about):
                    continue
                answers = [
                    (text, said)
                    for (text, _, _), said in zip(start, said_again(rows, start, reviewer, seed), strict=True)
                ]
                root = arguments.work / f"review-{n}-{seed}-{reviewer}"
                shutil.rmtree(root, ignore_errors=True)
                project = project_of(root, answers, [(t, g) for t, g, _ in start], test, seed, at)
                for one in spent(project, start, new, dict(answers), seed):
                    record(arguments.out, {**about, **one})
                shutil.rmtree(root)


def said_again(
    rows: Sequence[tuple[str, str, str]], start: Sequence[tuple[str, str, str]], reviewer: str, seed: int
) -> list[str]:
    """What a reviewer says of each text: the truth, or a draw from what people said of texts with that true label."""
    if reviewer == "truth":
        return [true for _, _, true in start]
    rng = random.Random(f"reviewer:{seed}")
    said: dict[str, list[str]] = {}
    for _, given, true in rows:
        said.setdefault(true, []).append(given)
    return [rng.choice(said[true]) for _, _, true in start]


def spent(
    project: Any,
    start: Sequence[tuple[str, str, str]],
    new: Sequence[tuple[str, str, str]],
    answers: dict[str, str],
    seed: int,
) -> Iterator[dict[str, Any]]:
    """The accuracy before and after each way to spend the answers."""
    from alloop import metrics
    from alloop.auditing import review as reviews
    from alloop.auditing.material import as_y
    from alloop.steps import stand_in

    config, store = project.config, project.store
    gold = store.test_gold()
    y = as_y(config, list(gold.values()))
    test_x = stand_in.vectors(project, config, [one.text for one in store.texts(list(gold))])
    true = {text: label for text, _, label in [*start, *new]}

    def probs(labels: dict[str, str]) -> np.ndarray:
        texts = sorted(labels)
        x = stand_in.vectors(project, config, texts)
        model = stand_in.fitted(config, x, as_y(config, [(labels[text],) for text in texts]))
        return stand_in.predicted(config, test_x, model)

    given = {text: label for text, label, _ in start}
    asked = random.Random(seed).sample(sorted(given), len(new))
    reviewed = {text: answers[text] if text in set(asked) else label for text, label in given.items()}
    bought = {**given, **{text: label for text, label, _ in new}}
    before = probs(given)
    rng = np.random.default_rng(0)
    for arm, labels in (("random", reviewed), ("new", bought)):
        after = probs(labels)
        gained = metrics.difference("accuracy", y, after, before, "single", rng)
        yield {
            "arm": arm,
            "before": accuracy(y, before),
            "after": accuracy(y, after),
            "low": gained.low,
            "high": gained.high,
            "wrong_before": mean(given[text] != true[text] for text in given),
            "wrong_after": mean(labels[text] != true[text] for text in labels),
        }
    reviews.push(project, most=len(new))
    found = reviews.apply(project)
    now = {text.id: text.text for text in store.texts(sorted(store.answers()))}
    labels = {now[one]: said[-1][1][0] for one, said in store.answers().items()}
    yield {
        "arm": "suspicious",
        "before": found["before"]["value"],
        "after": found["after"]["value"],
        "low": found["difference"]["low"],
        "high": found["difference"]["high"],
        "changed": found["changed"],
        "confirmed": found["confirmed"],
        "wrong_before": mean(given[text] != true[text] for text in given),
        "wrong_after": mean(labels[text] != true[text] for text in given),
    }


def accuracy(y: np.ndarray, probs: np.ndarray) -> float:
    return float((y.argmax(1) == probs.argmax(1)).mean())


def done_already(out: Path, **about: Any) -> bool:
    return any(all(one.get(key) == value for key, value in about.items()) for one in loops.done(out))


def record(out: Path, one: dict[str, Any]) -> None:
    loops.append(out, one)
    print(json.dumps(one), flush=True)


def show(arguments: argparse.Namespace) -> None:
    """The tables, in Markdown."""
    runs = loops.done(arguments.out)
    print(TOP)
    chosen = [one for one in runs if one["kind"] == "choose"]
    print(f"\n## Which score\n\n{CHOOSE}\n")
    print(table_of(chosen, ("noise", "method"), ("precision", "recall", "area")))
    print(f"\n## Finding\n\n{FIND}\n")
    finding = [one for one in runs if one["kind"] == "find"]
    print(table_of(finding, ("tuner", "texts"), ("precision", "recall", "area", "contradicted_wrong", "errors_wrong")))
    print(f"\n## Reviewing\n\n{REVIEW}\n")
    print(gains([one for one in runs if one["kind"] == "review"]))


TOP = """# Audit: does it find wrong labels, and does reviewing them pay?

Written by `tests/bench/audit.py show`; its first lines say how each is measured. MiniLM. Intervals are 95 %,
by Student's t over seeds."""
CHOOSE = """Errors made up on TREC (5,452 labels), judged by the stand-in in 5 folds. Precision is that of the
tenth that is most suspicious, recall that at the number of errors, area that under the precision-recall curve. The
first two cannot be told apart; cleanlab's own default is kept."""
FIND = """noisy_agnews: human labels, 19.75 % wrong, so that a random tenth has a precision of 0.20. A seed draws
the folds, and the texts where they are fewer. Contradicted: the share of wrong ones among the labels that the model
contradicts; errors: among those that confident learning calls errors."""
REVIEW = """Accuracy of the stand-in on the 7,600 clean test texts, and what it gained by as many answers as a tenth
of the labels there are. The reviewer says the truth, or errs as often as people did and into the same labels, but in any
text, not in the hard ones. New labels are people's, on random texts. An answer is taken to cost the same everywhere."""


def table_of(runs: Sequence[dict[str, Any]], keys: Sequence[str], values: Sequence[str]) -> str:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in runs:
        groups.setdefault(tuple(one[key] for key in keys), []).append(one)
    lines = [
        f"| {' | '.join([*keys, 'seeds', *values]).replace('_', ' ')} |",
        "|---" * (len(keys) + 1 + len(values)) + "|",
    ]
    for group, ones in groups.items():
        cells = [str(part) for part in group] + [str(len(ones))]
        cells += [with_interval([one[value] for one in ones]) for value in values]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def gains(runs: Sequence[dict[str, Any]]) -> str:
    head = (
        "labels",
        "answers",
        "reviewer",
        "seeds",
        "before",
        *(f"{arm}: gain" for arm in ARMS),
        "suspicious − new",
        "changed",
    )
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for n in sorted({one["labels"] for one in runs}):
        for reviewer in ("truth", "people"):
            by_arm = {
                arm: {
                    one["seed"]: one
                    for one in runs
                    if (one["labels"], one["reviewer"], one["arm"]) == (n, reviewer, arm)
                }
                for arm in ARMS
            }
            seeds = sorted(set.intersection(*(set(one) for one in by_arm.values())))
            if not seeds:
                continue
            gain = {arm: [by_arm[arm][s]["after"] - by_arm[arm][s]["before"] for s in seeds] for arm in ARMS}
            over = [one - other for one, other in zip(gain["suspicious"], gain["new"], strict=True)]
            changed = mean(by_arm["suspicious"][seed]["changed"] for seed in seeds)
            cells = [f"{n:,}", f"{n // 10:,}", reviewer, str(len(seeds))]
            cells.append(f"{mean(by_arm['new'][seed]['before'] for seed in seeds):.3f}")
            cells += [with_interval(gain[arm], "+.4f") for arm in ARMS] + [
                with_interval(over, "+.4f"),
                f"{changed:.0f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def with_interval(values: Sequence[float], form: str = ".3f") -> str:
    if len(values) < 2:
        return f"{values[0]:{form}}"
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return f"{mean(values):{form}} ({mean(values) - half:{form}} to {mean(values) + half:{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="choose | find | review | show")
    for name, run, seeds in (("choose", choose, 5), ("find", find, 3), ("review", review, 10)):
        command = commands.add_parser(name, help=run.__doc__)
        command.add_argument("--data", type=Path, required=True, help="the directory of the data sets")
        command.add_argument("--work", type=Path, required=True, help="where projects and vectors go")
        command.add_argument("--out", type=Path, required=True, help="JSON lines")
        command.add_argument("--seeds", type=int, default=seeds)
        command.set_defaults(run=run)
        if name == "find":
            command.add_argument("--tuner", default="features")
            command.add_argument("--texts", type=int, help="a random part of them")
        if name == "review":
            command.add_argument("--labels", type=int, nargs="+", default=[1_000, 3_000])
    command = commands.add_parser("show", help=show.__doc__)
    command.add_argument("--out", type=Path, required=True, help="the JSON lines")
    command.set_defaults(run=show)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
