"""What an audit found, for reading: each section as a title, sentences and entries, for a terminal or a page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from alloop.anchoring import anchoring_words
from alloop.annotators._session import harmless

WIDTH = 120
EXAMPLES_CUT = 200  # characters of a text in the terminal
WEAK = 0.4  # of the labels are contradicted: from here on the judge itself is to be doubted

Found = Mapping[str, Any]
Name = Callable[[str], str]  # makes anybody's words harmless where they are shown


@dataclass(frozen=True)
class Entry:
    """One finding: a line, the texts it speaks of with what is said of each, and where they are from."""

    head: str
    texts: Sequence[tuple[str, str]] = ()
    facts: str = ""


@dataclass(frozen=True)
class Chapter:
    """How a section is shown. `said` is what was found in a sentence, `todo` what it means and what to do about it."""

    key: str
    title: str
    said: Callable[[Found, Found, Name], str]
    todo: str
    entry: Callable[[Found, Name], Entry]


def labels_words(labels: Sequence[str] | None, name: Name) -> str:
    """An answer: its labels, or that none applies."""
    if labels is None:
        return "no label"
    return ", ".join(name(label) for label in labels) or "none of the labels"


def where(about: Found, name: Name) -> str:
    """Who labelled a text and where it came from."""
    files = {one["file"] for one in about["sources"]}
    people = [who for who in about["annotators"] if who not in files]
    parts = [f"labelled by {', '.join(name(who) for who in people)}"] if people else []
    if about["round"] is not None:
        parts.append(f"picked in round {about['round']}")
    for one in about["sources"][:1]:
        came = "labelled in " if one["file"] in about["annotators"] else ""
        parts.append(
            f"{came}{who(one['file'], name)}, row {one['row']}" + (f", id {name(one['id'])}" if one["id"] else "")
        )
    return "; ".join(parts)


def who(annotator: str, name: Name) -> str:
    """An annotator; of a file whose labels came with it, its name without the way there."""
    return name(annotator.rpartition("/")[2] or annotator)


def _count(section: Found, one: str, several: str | None = None) -> str:
    n = section["n"]
    return f"{n:,} {one if n == 1 else several or one + 's'}"


def _of(section: Found, what: str) -> str:
    sample = section.get("sample")
    looked = f"of {section['of']:,} {what}"
    return f"{looked} (looked at: {sample})" if sample else looked


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _suspicious(section: Found, found: Found, name: Name) -> str:
    share = f" ({section['n'] / section['of']:.0%})" if section["of"] else ""
    judged, n = found["judged_by"], section["errors"]
    is_weak = section["n"] > WEAK * section["of"]
    warning = (
        ". People seldom err so often: it is the model that is weak, until there are more labels" if is_weak else ""
    )
    return (
        f"{_count(section, 'label')} {_of(section, 'labelled texts')}{share} {_are(section['n'])} contradicted by "
        f"{name(judged['tuner'])}, judged in {judged['folds']} folds by models that had not seen them; confident "
        f"learning calls {n:,} of them {'an error' if n == 1 else 'errors'}{warning}"
    )


def _suspicious_entry(item: Found, name: Name) -> Entry:
    head = (
        f"{labels_words(item['labels'], name)} → {labels_words(item['says'], name)} {item['probability']:.2f}"
        if item["says"] != item["labels"]
        else f"{labels_words(item['labels'], name)}, against which {item['probability']:.2f} is said"
    )
    return Entry(head, [("", item["text"])], where(item, name))


def _pair_entry(item: Found, name: Name) -> Entry:
    one, other = item["texts"]
    how = "the same but for case and spaces" if item["is_exact"] else f"{item['resemblance']:.0%} alike"
    head = f"{labels_words(one['labels'], name)} / {labels_words(other['labels'], name)}: {how}"
    facts = "  |  ".join(where(text, name) for text in (one, other))
    return Entry(head, [("", one["text"]), ("", other["text"])], facts)


def _leakage(section: Found, found: Found, name: Name) -> str:
    return (
        f"{section['pool_texts']:,} {_of(section, 'pool texts')} {_are(section['pool_texts'])} nearly "
        f"equal to a test text; {section['labelled']:,} of them labelled, so that models learn from them"
    )


def _confusion_entry(item: Found, name: Name) -> Entry:
    one, other = item["labels"]
    pair = f"{name(one)} / {name(other)}" if other is not None else f"{name(one)}, or not"
    texts = []
    for example in item["examples"]:
        if "says" in example:
            said = f"{labels_words(example['labels'], name)} → {labels_words(example['says'], name)}"
        else:
            answers = [
                f"{who(one['annotator'], name)}: {labels_words(one['labels'], name)}" for one in example["answers"]
            ]
            said = "; ".join(answers[:5])
        texts.append((said, example["text"]))
    return Entry(f"{pair}: {item['n']:,} of {item['of']:,} texts", texts)


def _people(section: Found, found: Found, name: Name) -> str:
    return f"{section['texts']:,} {_of(section, 'texts with several answers')} are answered differently"


def _model(section: Found, found: Found, name: Name) -> str:
    return f"on {section['texts']:,} {_of(section, 'labelled texts')} the model says something else than was given"


def _slices(section: Found, found: Found, name: Name) -> str:
    on = "test" if section["measured_on"] == "test" else "labelled"
    said = (
        f"{_count(section, 'part')} of {section['tested']:,} looked at {_are(section['n'])} weaker than the rest, "
        f"measured on {section['of']:,} {on} texts"
    )
    alarms = f"; of the parts named here, {section['false_alarms']:.0%} are expected to be false alarms"
    return said + alarms if section["n"] else said


def _slice_entry(item: Found, name: Name) -> Entry:
    gap = item["difference"]
    head = (
        f"{name(item['column'])} = {name(item['value']) or 'empty'}: right on {item['accuracy']:.0%} of {item['n']:,}, "
        f"elsewhere {item['rest']:.0%} ({gap['value']:+.2f}, {gap['low']:+.2f} to {gap['high']:+.2f})"
    )
    return Entry(
        head, [(f"wrong, given: {labels_words(one['labels'], name)}", one["text"]) for one in item["examples"]]
    )


def _suggestions(section: Found, found: Found, name: Name) -> str:
    said = (
        f"{section['n']:,} {_of(section, 'answers to picks')} differ from what the model said when it picked the text"
    )
    return said if section["shown"] is None else f"{said}. {anchoring_words(section['shown']).rstrip('.')}"


def _suggestion_entry(item: Found, name: Name) -> Entry:
    seen = "who saw that" if item["is_shown"] else "who did not see that"
    head = (
        f"the model said {labels_words(item['says'], name)} {item['probability']:.2f}, the annotator, {seen}, "
        f"{labels_words(item['given'], name)}"
    )
    return Entry(head, [("", item["text"])], where(item, name))


def _outliers(section: Found, found: Found, name: Name) -> str:
    return (
        f"{_count(section, 'text')} {_of(section, 'texts')} {_are(section['n'])} far from all others "
        f"(farther than {section['limit']:.2f} from the nearest; usual is {section['usual']:.2f})"
    )


def _outlier_entry(item: Found, name: Name) -> Entry:
    far = "far" if item["is_far"] else "not far, but the farthest"
    return Entry(
        f"distance {item['distance']:.2f} ({far}), {labels_words(item['labels'], name)}",
        [("", item["text"])],
        where(item, name),
    )


def _languages(section: Found, found: Found, name: Name) -> str:
    home = " and ".join(section["at_home"])
    what = f"{_count(section, 'text')} {_of(section, 'texts')} {_are(section['n'])}"
    return f"{what} all but surely in another language than {home}"


def _language_entry(item: Found, name: Name) -> Entry:
    test = ", a test text" if item["is_test"] else ""
    head = f"{item['language']} {item['probability']:.2f}{test}, {labels_words(item['labels'], name)}"
    return Entry(head, [("", item["text"])], where(item, name))


def _balance(section: Found, found: Found, name: Name) -> str:
    unused = [name(one["label"]) for one in section["items"] if one["is_unused"]]
    rare = [name(one["label"]) for one in section["items"] if one["is_rare"]]
    said = []
    if section["ratio"] is not None:
        said.append(f"the most frequent label is given {section['ratio']:g} times as often as the rarest in use")
    said += [f"nobody uses: {', '.join(unused)}"] if unused else []
    said += [f"rare: {', '.join(rare)}"] if rare else []
    if section.get("without"):
        said.append(f"{section['without']:,} texts have none of the labels")
    return "; ".join(said)


def _balance_entry(item: Found, name: Name) -> Entry:
    texts = "text" if item["texts"] == 1 else "texts"
    mark = " (nobody uses it)" if item["is_unused"] else " (rare)" if item["is_rare"] else ""
    return Entry(f"{name(item['label'])}: {item['texts']:,} {texts}, {item['share']:.1%}{mark}")


CHAPTERS = (
    Chapter(
        "suspicious",
        "Suspicious labels",
        _suspicious,
        "Given → what a model says that has not seen this label, and how surely. It may be the model that is wrong: "
        "alloop audit --push asks annotators again.",
        _suspicious_entry,
    ),
    Chapter(
        "conflicts",
        "Nearly equal texts with different labels",
        lambda section, found, name: f"{_count(section, 'pair')} among {section['of']:,} labelled texts",
        "At most one of the two labels can be right, or the instructions leave it open.",
        _pair_entry,
    ),
    Chapter(
        "leakage",
        "Test texts that are in the pool",
        _leakage,
        "What a model has learnt by heart makes the test flatter. Take the pool's text out: alloop remove DIR --id ID.",
        _pair_entry,
    ),
    Chapter(
        "confused_by_people",
        "Labels that people take for each other",
        _people,
        "Say in the instructions, or in the labels' descriptions, where the one ends and the other begins.",
        _confusion_entry,
    ),
    Chapter(
        "confused_by_model",
        "Labels that the model takes for each other",
        _model,
        "Where people agree, more such texts help the model; where they do not, sharper instructions do.",
        _confusion_entry,
    ),
    Chapter(
        "slices",
        "Parts of the texts where the model is weak",
        _slices,
        "Label more of these, or see whether something in them misleads the model.",
        _slice_entry,
    ),
    Chapter(
        "suggestions",
        "Answers against the model's suggestion",
        _suggestions,
        "Either teaches something: an answer given in haste, or what the model has not understood.",
        _suggestion_entry,
    ),
    Chapter(
        "outliers",
        "Texts unlike all others",
        _outliers,
        "Often no texts at all: leftovers of a form, of another source, or cut off.",
        _outlier_entry,
    ),
    Chapter(
        "languages",
        "Texts in another language",
        _languages,
        "The model may not read it. Short texts are never listed, as nobody can tell.",
        _language_entry,
    ),
    Chapter(
        "balance",
        "How often each label is given",
        _balance,
        "round.balance = true asks for more of the rare ones. A label that nobody uses may be two that are one.",
        _balance_entry,
    ),
)


def plain(words: str) -> str:
    """Anybody's words in one line of a terminal."""
    return " ".join(harmless(words[: 4 * EXAMPLES_CUT]).split())


def as_text(found: Found, show: int) -> str:
    """The audit for a terminal: every section, and the first `show` entries of each."""
    lines = [f"{plain(found['project'])}: audit of {found['labels']:,} labels"]
    for chapter in CHAPTERS:
        section = found[chapter.key]
        lines.append("")
        if section["missing"] is not None:
            lines.append(f"{chapter.title}: {section['missing']}.")
            continue
        lines += wrap(f"{chapter.title}: {chapter.said(section, found, plain)}.", WIDTH)
        if not section["items"]:
            continue
        lines += wrap(chapter.todo, WIDTH, initial_indent="  ", subsequent_indent="  ")
        for number, item in enumerate(section["items"][:show], 1):
            lines += _entry(number, chapter.entry(item, plain))
        more = max(section["n"], len(section["items"])) - show
        if more > 0:
            lines.append(f"      … {more:,} more")
    return "\n".join(lines)


def _entry(number: int, entry: Entry) -> list[str]:
    lines = wrap(f"{number:4}. {entry.head}", WIDTH, subsequent_indent="      ", max_lines=3)
    for said, text in entry.texts:
        shown = _cut(plain(text), WIDTH - 8)
        lines += [f"      [{_cut(said, WIDTH - 8)}]"] if said else []
        lines.append(f"      {shown}")
    return [*lines, f"      {_cut(entry.facts, WIDTH)}"] if entry.facts else lines


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def review_words(found: Found) -> str:
    """How the last review stands, in a sentence."""
    said = f"{found['answered']:,} of {found['tasks']:,} reviewed texts answered"
    return f"{said}, applied" if found["applied"] else said


def applied_words(found: Found) -> list[str]:
    """What a review changed, in sentences."""
    said = [
        f"Of {found['tasks']:,} labels sent back, {found['answered']:,} were answered: {found['changed']:,} changed, "
        f"{found['confirmed']:,} confirmed; {found['skipped']:,} skipped, {found['open']:,} still open."
    ]
    if found["metric"] is None:
        return [*said, f"What that did to the metric cannot be measured: {found['missing']}."]
    difference = found["difference"]
    on = "test texts" if found["measured_on"] == "test" else "random texts that were kept out of training"
    name = "Accuracy" if found["metric"] == "accuracy" else "Micro-F1"
    return [
        *said,
        f"{name} of {found['tuner']} on {found['n']:,} {on}: {found['before']['value']:.3f} with the labels before, "
        f"{found['after']['value']:.3f} after: {difference['value']:+.3f} "
        f"({difference['low']:+.3f} to {difference['high']:+.3f}).",
    ]
