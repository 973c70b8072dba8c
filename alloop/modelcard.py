"""The model card: what a model does, what it learnt from, how good it is, its limits and how to use it, as Markdown.

For whoever gets the model and knows nothing of the project, so it holds no texts, no names of people and no paths. The
head is what the Hugging Face Hub reads; the licence is the user's to choose.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from alloop.agreement import agreement_words
from alloop.config import Config, restore
from alloop.project import Project
from alloop.reports import confused, headline, metric_words, per_label, report, with_interval
from alloop.steps.pull import usable_votes
from alloop.store import RoundRow
from alloop.tuning._bases import MINILM

CARD, CURVE = "README.md", "curve.png"
FEW = 10  # examples of a label, below which the card says so
MOST_POINTS = 12  # of the curve, in its table
MOST_CONFUSED = 10
NOT_SHOWN = ("f1_weighted", "precision", "recall")


@dataclass(frozen=True)
class Forms:
    """What a model was written as besides its small form, and where texts are cut (in tokens)."""

    transformers: bool = False
    onnx: bool = False
    max_tokens: int | None = None
    adapted: Mapping[str, Any] | None = None  # how the project's own base came about, as `adapted.json` says it


def measured(project: Project, row: RoundRow) -> dict[str, Any]:
    """The project's report up to a round."""
    found = report(project)
    found["points"] = [point for point in found["points"] if point["round"] <= row.number]
    return found


def card(project: Project, row: RoundRow, about: Mapping[str, Any], found: Mapping[str, Any], forms: Forms) -> str:
    """The card of a round's model: `about` is what it says of itself, `found` what `measured` gives."""
    config = restore(row.config)
    is_measured = bool(found["points"]) and found["points"][-1]["round"] == row.number
    last = found["points"][-1]["metrics"] if is_measured else {}
    learnt, chosen = project.store.label_counts(row.number), _chosen(project, row)
    parts = [
        _front_matter(project, about, last, forms),
        f"# {project.name}\n\n{_what_it_does(config, about, forms, len(project.store.trained_ids(row.number)))}",
        _section("Labels", _labels(config, learnt)),
        _section("Data", _data(project, config, row, chosen)),
        _section("The label-efficiency curve", _curve(found)),
        _section("How good it is", _metrics(found, last, config, about.get("temperature", 1.0))),
        _section("Limits", _bullets(_limits(config, about, found, learnt, chosen, is_measured, forms))),
        _section("How to use it", _use(about, forms)),
        "Written by alloop.\n",
    ]
    return "\n\n".join(part for part in parts if part)


def _front_matter(project: Project, about: Mapping[str, Any], last: Mapping[str, Any], forms: Forms) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    named = {"accuracy": "accuracy", "f1_macro": "f1", "f1_micro": "f1", "matthews": "matthews_correlation"}
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=project.name,
            dataset_name=project.name,
            metric_type=kind,
            metric_value=round(last[name]["value"], 4),
            metric_name=f"{metric_words(name)}, 95 % interval {_interval(last[name])}, {last[name]['n']} texts",
        )
        for name, kind in named.items()
        if name in last
    ]
    base = _hub_id(forms.adapted or about)
    data = ModelCardData(
        model_name=project.name,
        library_name="transformers" if forms.transformers else "alloop",
        pipeline_tag="text-classification",
        base_model=base,
        base_model_relation="finetune" if base else None,
        tags=["alloop", "active-learning", about["tuner"]],
        metrics=sorted({kind for name, kind in named.items() if name in last}) or None,
        eval_results=results or None,
        ignore_metadata_errors=True,
    )
    return f"---\n# license: choose one, by its identifier on the Hub\n{data.to_yaml()}\n---"


def _what_it_does(config: Config, about: Mapping[str, Any], forms: Forms, texts: int) -> str:
    names = config.task.names
    if config.task.kind == "single":
        does = f"Gives each text one of {len(names)} labels, and a probability of each of them."
    else:
        does = f"Gives each text any number of {len(names)} labels: those with a probability of at least a half."
    base = "" if "base" not in about else f" on the base {_cell(_base_words(about, forms))}"
    return f"{does} Trained by the method `{about['tuner']}`{base}, on {texts:,} labelled texts."


def _labels(config: Config, learnt: Mapping[str, int]) -> str:
    rows = [(one.name, one.description or "–", f"{learnt.get(one.name, 0):,}") for one in config.task.labels]
    return _table(("label", "what it means", "texts learnt from"), rows)


def _data(project: Project, config: Config, row: RoundRow, chosen: Mapping[str, int]) -> str:
    store = project.store
    counts = store.counts()
    sources = store.source_counts()
    said = [f"- {rows:,} rows of `{_file(file)}`, {_split_words(split)}" for file, split, rows in sources]
    said.append(f"- different texts: {counts['pool']:,} to learn from, {counts['test']:,} to measure with")
    votes, _ = usable_votes(store.answers(), config.task.names, config.task.rename, config.task.kind)
    trained = store.trained_ids(row.number)
    given = Counter(who for one in trained for who, _ in votes.get(one, ()))
    files = {file for file, _, _ in sources}
    people = [n for who, n in given.most_common() if who not in files]
    said += [f"- labels that came with `{_file(who)}`: {n:,}" for who, n in given.most_common() if who in files]
    if people:
        by = ", ".join(f"a{number} {n:,}" for number, n in enumerate(people, 1))
        backend = config.annotate.backend
        who = "a simulated annotator" if backend == "simulated" else f"annotators, in {backend}"
        said.append(f"- labels given by {who}: {by}")
    if chosen:
        said.append(f"- how texts were chosen: {', '.join(f'`{name}` {n:,}' for name, n in chosen.items())}")
    return "\n".join(said)


def _chosen(project: Project, row: RoundRow) -> dict[str, int]:
    """strategy -> how many of the texts learnt from it chose, the most first."""
    trained = project.store.trained_ids(row.number)
    rounds = [one.number for one in project.store.rounds() if one.number < row.number]
    picks = (pick for number in rounds for pick in project.store.picks(number))
    is_new = (pick for pick in picks if pick.text_id in trained and pick.purpose in ("pick", "random"))
    return dict(Counter(pick.strategy for pick in is_new).most_common())


def _split_words(split: str) -> str:
    return "to measure with" if split == "test" else "to learn from"


def _curve(found: Mapping[str, Any]) -> str:
    points: Sequence[Mapping[str, Any]] = found["points"]
    if not points:
        return ""
    step = max(1, -(-len(points) // MOST_POINTS))
    shown = points[::-1][::step][::-1]  # the last one always
    names = [name for name in (headline(found), "f1_macro") if any(name in point["metrics"] for point in shown)]
    rows = [(f"{point['labels']:,}", *(with_interval(point["metrics"].get(name)) for name in names)) for point in shown]
    header = ("labels learnt from", *(f"{metric_words(name)} (95 % interval)" for name in names))
    return f"![{metric_words(headline(found))} against labels]({CURVE})\n\n{_table(header, rows)}"


def _metrics(found: Mapping[str, Any], last: Mapping[str, Any], config: Config, temperature: float) -> str:
    if not last:
        return "It has not been measured: there are no labelled texts that it has not learnt from."
    shown = {name: one for name, one in last.items() if "[" not in name and not name.startswith(NOT_SHOWN)}
    parts = [
        _measured_on(found, last, config),
        _table(
            ("metric", "value", "95 % interval", "texts"),
            [
                (metric_words(name), f"{one['value']:.3f}", _interval(one), f"{one['n']:,}")
                for name, one in shown.items()
            ],
        ),
    ]
    labels = [
        (
            one["label"],
            *("–" if one[kind] is None else f"{one[kind]:.2f}" for kind in ("precision", "recall", "f1")),
            "–" if one["n"] is None else f"{one['n']:,}",
        )
        for one in per_label(found)
    ]
    if labels:
        parts.append(
            "By label, the weakest first:\n\n" + _table(("label", "precision", "recall", "F1", "texts"), labels)
        )
    pairs = [(one["label"], one["taken_for"], f"{one['n']} of {one['of']}") for one in confused(found)[:MOST_CONFUSED]]
    if pairs:
        parts.append("Most confused:\n\n" + _table(("texts of", "were taken for", "how often"), pairs))
    if temperature != 1:
        parts.append(
            f"A temperature of {temperature:.2f}, by which its logits are divided, was found on labels that it had not "
            "learnt from; it is part of all probabilities."
        )
    if "ece" in last:
        parts.append(
            f"Calibration: its probabilities are off by {with_interval(last['ece'])} on average, the expected "
            "calibration error over 15 bins (Guo et al. 2017); 0 is perfect."
        )
    return "\n\n".join(parts)


def _measured_on(found: Mapping[str, Any], last: Mapping[str, Any], config: Config) -> str:
    n = next(iter(last.values()))["n"]
    if found["measured_on"] == "audit":
        which = (
            "texts drawn at random, each judged by the model of the time before people labelled it; "
            "the model has learnt from them since"
        )
    elif config.evaluate.test:
        which = f"texts of `{_file(config.evaluate.test)}`, none of them learnt from"
    else:
        which = "texts drawn at random before labelling began, none of them learnt from"
    return f"Measured on {n:,} {which}. Intervals are by bootstrap."


def _limits(
    config: Config,
    about: Mapping[str, Any],
    found: Mapping[str, Any],
    learnt: Mapping[str, int],
    chosen: Mapping[str, int],
    is_measured: bool,
    forms: Forms,
) -> list[str]:
    names = config.task.names
    few = [f"{_cell(name)} ({learnt.get(name, 0)})" for name in names if learnt.get(name, 0) < FEW]
    said = [
        "It knows texts like those of the files above, and no others: of another source, language, length or time, "
        "nothing is known of how good it is. The language of the texts was not recorded."
    ]
    if chosen.keys() - {"random"}:
        said.append(
            "Most texts that it learnt from were chosen by a strategy, not drawn at random, so labels are not as "
            "frequent among them as among all texts, and probabilities may lean that way."
        )
    if few:
        said.append(f"Fewer than {FEW} examples were there to learn from of: {', '.join(few)}.")
    if is_measured:
        missing = [_cell(one["label"]) for one in per_label(found) if one["n"] == 0]
        if missing:
            said.append(f"No text it was measured on has one of these labels: {', '.join(missing)}.")
    if config.annotate.annotators_per_text == 1:
        said.append("One person labelled each text: what people disagree about is not known.")
    elif found["agreement"]:
        said += agreement_words(found["agreement"])
    if found["anchoring"]:
        said.append("Annotators saw a model's suggestion on part of the texts, and may have followed it.")
    if forms.max_tokens is not None or "max_tokens" in about:
        cut = about.get("max_tokens") if forms.max_tokens is None else forms.max_tokens
        said.append(f"Of a text, the first {cut} tokens are read.")
    if "base" in about:
        said.append("What its base has learnt of the world before, prejudices included, is in it.")
    if about["tuner"] == "tfidf":
        said.append("`alloop/vocabulary.json` holds words, word pairs and pieces of words of the texts learnt from.")
    return said


def _use(about: Mapping[str, Any], forms: Forms) -> str:
    parts = []
    if forms.transformers:
        parts.append(
            "With transformers, which asks you to trust the short `modeling_alloop.py` here: no model class of "
            "transformers brings the pooled vector of a text to length 1 before its linear layer.\n\n"
            + _code(
                """
from transformers import pipeline

classify = pipeline("text-classification", model=".", trust_remote_code=True)
print(classify(["the first text", "another"], top_k=None))
"""
            )
        )
    if forms.onnx:
        parts.append(
            "With ONNX Runtime. `tokenizer.json` cuts and pads texts as the model was trained.\n\n"
            + _code(
                """
import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

labels = LABELS
read = Tokenizer.from_file("tokenizer.json").encode_batch(["the first text", "another"])
inputs = {
    "input_ids": np.array([one.ids for one in read]),
    "attention_mask": np.array([one.attention_mask for one in read]),
}
logits, probabilities = onnxruntime.InferenceSession("model.onnx").run(None, inputs)
print([dict(zip(labels, row)) for row in probabilities.tolist()])
""".replace("LABELS", repr(list(about["labels"])))
            )
        )
    if about["tuner"] == "tfidf":
        parts.append("Without alloop, from the files in `alloop/`:\n\n" + _code(_tfidf(about)))
    elif not forms.transformers:
        parts.append(
            f"The network of `{about['tuner']}` is not of its base's own architecture, so there are no files for "
            "transformers here."
        )
    parts.append(
        "With alloop, as a scikit-learn classifier that can also be trained anew:\n\n"
        + _code(
            """
import alloop

classifier = alloop.load(".")
print(classifier.classes_, classifier.predict_proba(["the first text", "another"]))
"""
        )
    )
    return "\n\n".join(parts)


def _tfidf(about: Mapping[str, Any]) -> str:
    from alloop.tuning.tfidf import _VIEWS

    last = "probabilities = 1 / (1 + np.exp(-logits))"
    if about["kind"] == "single":
        last = "probabilities = np.exp(logits - logits.max(1, keepdims=True))\n"
        last += "probabilities /= probabilities.sum(1, keepdims=True)"
    return f"""
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer

texts = ["the first text", "another"]
labels = {list(about["labels"])!r}
views = {_VIEWS!r}
arrays = load_file("alloop/weights.safetensors")
columns = []
for name, vocabulary in json.loads(Path("alloop/vocabulary.json").read_text(encoding="utf-8")).items():
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, vocabulary=vocabulary, **views[name])
    vectorizer.idf_ = arrays[f"idf.{{name}}"]
    columns.append(vectorizer.transform(texts))
logits = (hstack(columns) @ arrays["weight"].T + arrays["bias"]) / {about.get("temperature", 1.0)}
{last}
print([dict(zip(labels, row)) for row in probabilities.tolist()])
"""


def _hub_id(about: Mapping[str, Any]) -> str | None:
    """The base's name on the Hub, None where it is a directory."""
    name = str(about.get("base", ""))
    if name == "minilm":
        return MINILM
    return name if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).is_dir() else None


def _base_words(about: Mapping[str, Any], forms: Forms) -> str:
    known = _hub_id(about)
    if known:
        return known + (f" at revision {about['base_revision']}" if about.get("base_revision") else "")
    words = f"{_file(about['base'])}, which is in `alloop/base`"
    if forms.adapted:
        origin = _hub_id(forms.adapted) or _file(forms.adapted["base"])
        words += f" and went on from {origin} with {forms.adapted['texts']:,} texts of the pool, without their labels"
    return words


def _interval(metric: Mapping[str, Any]) -> str:
    return "–" if metric["low"] is None else f"{metric['low']:.3f} to {metric['high']:.3f}"


def _file(name: str) -> str:
    """A file without the directory it was in, or the name of a data set on the Hub."""
    return name if name.startswith("hf:") else PurePath(name).name


def _section(title: str, content: str) -> str:
    return f"## {title}\n\n{content}" if content else ""


def _bullets(said: Iterable[str]) -> str:
    return "\n".join(f"- {one}" for one in said)


def _code(source: str) -> str:
    return f"```python\n{source.strip()}\n```"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|")
