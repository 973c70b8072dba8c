"""Tests of alloop.steps.policies, filters and gate, and of what reports say of them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alloop.augmentation import augmentation, verdicts_words
from alloop.config import parse
from alloop.figures import curve_text
from alloop.ingest import text_id as id_of
from alloop.intake import create
from alloop.languages import Languages
from alloop.pages import page
from alloop.project import Project
from alloop.reports import outcome_text, report
from alloop.rounds import run_round
from alloop.steps import augment, filters, gate, policies
from alloop.steps.context import Context
from alloop.steps.gate import Gain, gain
from alloop.store import PickRow, Resolved, Variant
from tests.conftest import project_toml
from tests.hostile import HOSTILE

MakeProject = Callable[..., Project]
LABELS = '[task]\nlabels = ["animal", "vehicle"]\n'


def labelled(*answers: str) -> list[Resolved]:
    return [Resolved(f"t{number}", (label,), 1.0, 1) for number, label in enumerate(answers)]


def test_each_text_gets_as_many_variants_as_asked_for():
    config = parse(LABELS + "[augment]\nper_text = 3")
    assert policies.variants_wanted(config, labelled("animal", "vehicle")) == {"t0": 3, "t1": 3}


def test_with_balance_only_rare_labels_get_variants_until_they_are_as_frequent():
    config = parse(LABELS + "[augment]\nper_text = 9\nbalance = true")
    wanted = policies.variants_wanted(config, labelled(*["animal"] * 7, "vehicle", "vehicle"))
    assert [wanted[f"t{number}"] for number in range(9)] == [0] * 7 + [3, 2]
    halves = policies.variants_wanted(config, labelled(*["animal"] * 7, "vehicle", "vehicle"), augmenters=2)
    assert (halves["t7"], halves["t8"]) == (2, 1)


def test_with_balance_no_text_gets_more_than_per_text():
    config = parse(LABELS + "[augment]\nper_text = 2\nbalance = true")
    assert policies.variants_wanted(config, labelled(*["animal"] * 9, "vehicle"))["t9"] == 2


def test_with_a_curriculum_variants_become_more_as_labels_do():
    config = parse(LABELS + "[augment]\nper_text = 4\ncurriculum = 8")
    counts = [policies.variants_wanted(config, labelled(*["animal"] * n))["t0"] for n in (1, 2, 4, 6, 8, 9)]
    assert counts == [1, 1, 2, 3, 4, 4]


def vectors(texts: Sequence[str]) -> np.ndarray:
    """(N, 2) of length 1, by what a text says of animals and vehicles, for models that learn at once."""
    found = np.array([[1 + 9 * ("sleeps" in text), 1 + 9 * ("stops" in text)] for text in texts], np.float32)
    return np.asarray(found.reshape(-1, 2) / np.linalg.norm(found.reshape(-1, 2), axis=1, keepdims=True))


@pytest.fixture
def context(make_project: MakeProject) -> Context:
    """A round that has pulled 40 labels."""
    project = make_project(more='[augment]\nuse = ["swap-words", "keyboard"]\n')
    store = project.store
    with store.transaction():
        row = store.open_round(project.config.snapshot(), 0, {})
        ids = list(store.pool_ids())[:40]
        store.add_resolved(row.number, [Resolved(one, store.gold([one])[one], 1.0, 1) for one in ids])
    return Context(project, row)


def resolved(context: Context) -> list[Resolved]:
    return context.project.store.resolved(1, "pool")


def text_of(context: Context, text_id: str) -> str:
    return context.project.store.texts([text_id])[0].text


def why(context: Context, *variants: str, parent: int = 0, maker: str = "keyboard") -> list[str | None]:
    """What the filters say of variants of a labelled text."""
    of = resolved(context)[parent].text_id
    rows: list[Variant] = [(id_of(variant), of, variant, maker, "{}", 1, None) for variant in variants]
    return filters.rejections(filters.Around(context, resolved(context), vectors), rows)


def test_a_slip_in_its_parent_is_learnt_from(context: Context):
    parent = text_of(context, resolved(context)[0].text_id)
    assert why(context, parent.replace("the", "teh")) == [None]


def test_a_variant_may_be_near_its_parent_but_near_no_other_text(make_project: MakeProject, context: Context):
    store = context.project.store
    test = store.texts(store.test_ids())[0].text
    other = text_of(context, resolved(context)[1].text_id)
    assert why(context, test, other) == ["equal to a test text", "equal to another text"]
    alike = (len(other) - 4) / len(other)  # of its shingles, and four more
    assert why(context, f"{test.upper()} ", f"{other} ...") == [
        "nearly equal to a test text: 100% alike, 80% is near",
        f"nearly equal to another text: {alike:.0%} alike, 80% is near",
    ]


def test_a_variant_that_came_of_two_texts_is_learnt_once(context: Context):
    parent = text_of(context, resolved(context)[0].text_id).replace("the", "teh")
    assert why(context, parent, parent) == [None, "a copy of another variant"]
    assert why(context, parent, maker="swap-words") == [None]


def test_nothing_and_too_much_are_no_variants(context: Context):
    assert why(context, " \n", "long " * 2_001) == ["empty", "too long: 10,005 characters, the most is 10,000"]


def test_another_language_is_noticed(context: Context, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(filters, "languages", lambda texts: Languages(("en",)))  # the pool's are too short to tell
    german = "leider wurde meine Karte gestern Abend an der Kasse im Supermarkt nicht angenommen"
    said = why(context, german)[0]
    assert said is not None
    assert said.startswith("another language: de (")


def test_a_variant_of_which_the_model_is_sure_that_it_has_another_label_is_rejected(context: Context):
    first = resolved(context)[0]
    turned = {"animal": "a bus stops for them", "vehicle": "a goose sleeps for them"}[first.labels[0]]
    other = {"animal": "vehicle", "vehicle": "animal"}[first.labels[0]]
    said = why(context, turned)[0]
    assert said is not None
    assert said.startswith(f"another label: the model says {other} (")
    assert why(context, "nobody does anything here, says the text") == [None]  # unsure: there is something to learn


def test_a_variant_farther_from_its_parent_than_other_labels_are_is_rejected(context: Context):
    def far(texts: Sequence[str]) -> np.ndarray:
        """A third direction for what is neither; and of the two labels, near to each other."""
        near = np.array([[1.0, 0.1 * ("stops" in text), 0.0] for text in texts], np.float32)
        near[["mumble" in text for text in texts]] = [0.5, 0.0, 0.5]
        return np.asarray(near / np.linalg.norm(near, axis=1, keepdims=True))

    of = resolved(context)[0].text_id
    row: Variant = ("v1", of, "mumble mumble", "keyboard", "{}", 1, None)
    said = filters.rejections(filters.Around(context, resolved(context), far), [row])
    assert said[0] is not None
    assert said[0].startswith("far from its parent: similarity 0.7")


def test_of_several_labels_the_one_is_named_that_the_model_was_right_about():
    y, of_parent = np.array([1.0, 0, 0]), np.array([0.8, 0.9, 0.1])  # wrong about the second
    assert filters._contradiction(np.array([0.04, 0.99, 0.5]), of_parent, y, "multi") == (0, pytest.approx(0.96))
    assert filters._contradiction(np.array([0.2, 0.99, 0.5]), of_parent, y, "multi") is None


def test_a_model_that_was_wrong_about_the_parent_is_not_asked():
    y, said = np.array([1.0, 0, 0]), np.array([0.02, 0.97, 0.01])
    assert filters._contradiction(said, np.array([0.6, 0.3, 0.1]), y, "single") == (1, pytest.approx(0.97))
    assert filters._contradiction(said, np.array([0.3, 0.6, 0.1]), y, "single") is None
    assert filters._contradiction(np.array([0.3, 0.6, 0.1]), np.array([0.6, 0.3, 0.1]), y, "single") is None


def test_hostile_texts_go_through_every_filter(make_project: MakeProject, context: Context):
    texts = [text.encode("utf-8", "replace").decode() for text in HOSTILE.values()]  # as the database can hold them
    said = why(context, *texts)
    assert len(said) == len(HOSTILE)
    assert {one.split(":")[0] for one in said if one} <= set(filters.REASONS)
    by_name = dict(zip(HOSTILE, said, strict=True))
    assert by_name["nothing"] == by_name["spaces"] == "empty"
    assert str(by_name["1 MB of letters without a space"]).startswith("too long")


def test_variants_that_change_nothing_gain_nothing():
    y = np.eye(2)[[0, 1] * 10]
    same = np.stack([y, y])
    assert gain(y, same, same, "single") == Gain(0.0, 0.0, 0.0)


def test_the_gain_is_the_mean_difference_and_its_interval_holds_it():
    y = np.eye(2)[[0, 1] * 10]
    worse = y.copy()
    worse[:4] = 1 - worse[:4]  # 4 of 20 wrong
    found = gain(y, np.stack([worse, worse]), np.stack([y, worse]), "single")
    assert found.value == pytest.approx(0.1)
    assert found.low < 0.1 < found.high
    assert gain(y, worse[None], y[None], "single").low > 0
    assert gain(y, y[None], worse[None], "single").high < 0


def test_with_several_labels_the_gain_is_in_micro_f1():
    y = np.array([[1.0, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]] * 5)
    missing = y.copy()
    missing[:, 2] = 0  # 5 of 25 labels are not found: F1 = 2 × 20 / 45
    found = gain(y, missing[None], y[None], "multi")
    assert found.value == pytest.approx(1 - 40 / 45)
    assert 0 < found.low < found.value < found.high


def judged(context: Context, monkeypatch: pytest.MonkeyPatch, on: float) -> augment.Done:
    """The augment step with the gate's gain given."""
    monkeypatch.setattr(augment, "vectors", lambda project, config, texts: vectors(texts))
    monkeypatch.setattr(gate, "gain", lambda *_: Gain(on, on - 0.01, on + 0.01))
    done = augment.do(context)
    with context.project.store.transaction():
        result = augment.save(context, done)
        context.project.store.finish_step(context.round.number, "augment", "2026-01-01T00:00:00+00:00", result)
    return done


def test_a_gain_above_zero_turns_an_augmenter_on_and_a_job_says_why(context: Context, monkeypatch: pytest.MonkeyPatch):
    judged(context, monkeypatch, 0.02)
    result = context.results["augment"]
    assert result["on"] == ["swap-words", "keyboard"]
    jobs = context.project.store.jobs("gate")
    assert [job.config["augmenter"] for job in jobs] == ["swap-words", "keyboard"]
    assert jobs[0].result == {"on": True, "value": 0.02, "low": 0.01, "high": 0.03, "variants": 40 - result["rejected"]}
    assert jobs[0].seconds is not None
    words = verdicts_words(result["gate"][:1], 1)
    assert words == "Augmentation on (swap-words): +2.0 points (+1.0 to +3.0)."


def test_what_is_refused_stays_stored_and_is_not_learnt_from(context: Context, monkeypatch: pytest.MonkeyPatch):
    from alloop.steps.train import fit_job

    done = judged(context, monkeypatch, -0.008)
    assert context.results["augment"]["on"] == []
    assert len(done.rows) > 40
    assert verdicts_words(context.results["augment"]["gate"][:1], 1) == (
        "Augmentation off (swap-words): −0.8 points (−1.8 to +0.2)."
    )
    assert not any(one.is_variant for one in fit_job(context, resolved(context), ()).train)
    assert any(one.is_variant for one in fit_job(context, resolved(context), ["keyboard"]).train)


def more_labels(context: Context, n: int, **augment: object) -> Context:
    """The next round, which has pulled n labels."""
    store = context.project.store
    config = context.config.model_copy(update={"augment": context.config.augment.model_copy(update=augment)})
    with store.transaction():
        store.finish_round(context.round.number, {})
        row = store.open_round(config.snapshot(), 0, {})
        ids = list(store.pool_ids())[:n]
        store.add_resolved(row.number, [Resolved(one, store.gold([one])[one], 1.0, 1) for one in ids])
    return Context(context.project, row)


def test_a_decision_stands_until_the_labels_have_grown_by_half(context: Context, monkeypatch: pytest.MonkeyPatch):
    judged(context, monkeypatch, 0.02)
    later = more_labels(context, 59)
    assert len(judged(later, monkeypatch, -0.5).rows) > 30  # of the 19 new texts
    assert later.results["augment"]["on"] == ["swap-words", "keyboard"]
    said = verdicts_words(later.results["augment"]["gate"], 2)
    assert said.count("+2.0 points (+1.0 to +3.0), as of round 1.") == 2
    grown = more_labels(later, 60)
    judged(grown, monkeypatch, -0.5)
    assert grown.results["augment"]["on"] == []
    assert [one["labels"] for one in grown.results["augment"]["gate"]] == [60, 60]


def test_no_variants_are_made_while_an_augmenter_stays_off(context: Context, monkeypatch: pytest.MonkeyPatch):
    judged(context, monkeypatch, -0.5)
    later = more_labels(context, 59)
    assert judged(later, monkeypatch, 0.02).rows == []
    assert later.results["augment"]["on"] == []
    grown = more_labels(later, 60)
    assert len(judged(grown, monkeypatch, 0.02).rows) > 30  # of the texts since
    assert grown.results["augment"]["on"] == ["swap-words", "keyboard"]


def test_a_decision_falls_when_a_third_of_its_labels_has_changed(context: Context, monkeypatch: pytest.MonkeyPatch):
    judged(context, monkeypatch, 0.02)
    other = {"animal": ("vehicle",), "vehicle": ("animal",)}

    def corrected(n: int) -> list[Resolved]:
        return [replace(one, labels=other[one.labels[0]]) for one in labels[:n]] + labels[n:]

    later, labels = more_labels(context, 40), resolved(context)
    assert gate._standing(later, "keyboard", corrected(13)) is not None
    assert gate._standing(later, "keyboard", corrected(14)) is None
    assert gate._standing(later, "keyboard", labels[13:]) is not None
    assert gate._standing(later, "keyboard", labels[14:]) is None, "they are gone"
    assert not gate.needs_variants(later, "keyboard", labels[:10])


def test_other_settings_are_decided_anew(context: Context, monkeypatch: pytest.MonkeyPatch):
    judged(context, monkeypatch, 0.02)
    later = more_labels(context, 41, per_text=2)
    judged(later, monkeypatch, -0.5)
    assert later.results["augment"]["on"] == []
    model = later.config.model.model_copy(update={"max_tokens": 16})
    shorter = Context(
        later.project, replace(later.round, config=later.config.model_copy(update={"model": model}).snapshot())
    )
    assert gate._standing(later, "keyboard", resolved(context)) is not None
    assert gate._standing(shorter, "keyboard", resolved(context)) is None, "the judge reads other texts"


def test_with_too_few_labels_it_is_off_and_says_so(make_project: MakeProject, context: Context):
    few = resolved(context)[:12]
    found = gate.verdicts(context, few, {"swap-words": {}, "keyboard": {}}, vectors)
    assert [one.is_on for one in found] == [False, False]
    assert verdicts_words([found[0].as_json], found[0].round) == (
        "Augmentation off (swap-words): 12 labels are too few to tell; it takes 20."
    )


def test_without_the_gate_all_are_on(context: Context):
    off = more_labels(context, 40, gate="off")
    found = gate.verdicts(off, resolved(off), {}, vectors)
    assert [one.is_on for one in found] == [True, True]
    assert "it was not judged" in verdicts_words([found[0].as_json], found[0].round)


def test_the_report_has_every_decision_and_every_reason(context: Context, monkeypatch: pytest.MonkeyPatch):
    judged(context, monkeypatch, 0.02)
    found = augmentation(context.project.store)
    assert found is not None
    assert json.loads(json.dumps(found)) == found
    assert [(one["augmenter"], one["on"], one["labels"]) for one in found["decisions"]] == [
        ("swap-words", True, 40),
        ("keyboard", True, 40),
    ]
    fates = found["variants"]["swap-words"]
    assert fates["accepted"] + sum(fates["rejected"].values()) == 40
    assert set(fates["rejected"]) <= set(filters.REASONS)


def test_a_breaker_of_labels_is_refused(context: Context):
    """Its variants are texts of the other label."""
    labels = resolved(context)
    texts = {"animal": "one {} stops here", "vehicle": "one {} sleeps here"}
    broken = {one.text_id: [texts[one.labels[0]].format(place)] for place, one in enumerate(labels)}
    kept = {one.text_id: [text_of(context, one.text_id) + " again"] for one in labels}
    found = gate.verdicts(context, labels, {"swap-words": broken, "keyboard": kept}, vectors)
    assert [one.is_on for one in found] == [False, False]
    assert found[0].gain is not None
    assert found[0].gain.high < 0


def test_no_variant_is_made_of_texts_that_measure(context: Context):
    store = context.project.store
    drawn = resolved(context)[0].text_id
    with store.transaction():
        store.add_picks(1, [PickRow(drawn, 1, None, "random", 0.1, {"animal": 1.0}, "random")])
    later = more_labels(context, 41)
    parents = {one.text_id for one in policies.parents(later, resolved(later))}
    assert drawn not in parents
    assert len(parents) == 39 + (drawn not in {one.text_id for one in resolved(later)})


@pytest.mark.slow
def test_a_round_decides_by_the_stand_in_and_trains_on_what_is_on(make_project: MakeProject):
    project = make_project(batch=30, more='[augment]\nuse = ["swap-words", "keyboard"]\n')
    run_round(project)
    run_round(project)
    results = project.store.step_results(2)
    assert len(results["augment"]["gate"]) == 2
    assert len(project.store.jobs("gate")) == 2
    on = results["augment"]["on"]
    assert (results["train"]["variants"] > 0) == bool(on)
    assert ("Augmentation on" in outcome_text(project, 2)) == bool(on)
    found = report(project)
    text = curve_text([found], 120)
    assert "whether the labels at hand show that it helps" in text
    assert text.count("swap-words") == 2  # a decision and its variants
    assert "<h2>Augmentation</h2>" in page([found])


@pytest.mark.slow
def test_the_gate_may_ask_the_projects_own_tuner_and_does_not_ask_twice(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    """The tuner is tfidf, which learns from words: half of the variants of the one augmenter have the other's words."""
    labels = resolved(context)
    texts = {"animal": "the bus stops here, {}", "vehicle": "the cow sleeps here, {}"}
    broken = {one.text_id: [texts[one.labels[0]].format(place)] for place, one in enumerate(labels)}
    kept = {one.text_id: [f"{text_of(context, one.text_id)}, and so on"] for one in labels}
    tuned = more_labels(context, 40, gate="tuner")
    variants = {"swap-words": broken, "keyboard": kept}
    found = gate.verdicts(tuned, labels, variants, lambda texts: pytest.fail("no vectors are needed"))
    assert found[0].gain is not None
    assert found[0].gain.high < 0
    directories = sorted((context.project.round_path(2)).glob("gate-*"))
    assert len(directories) == 3 * gate.FOLDS
    monkeypatch.setattr(gate, "write_fit", lambda *_: pytest.fail("it was trained again"))
    again = gate.verdicts(tuned, labels, variants, lambda texts: pytest.fail("no vectors are needed"))
    assert [one.gain for one in again] == [one.gain for one in found]


@pytest.mark.slow
def test_mixup_is_judged_though_it_makes_no_texts(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch):
    project = make_project(tuner="features", batch=24, more='[augment]\nuse = ["mixup"]\n')
    monkeypatch.setattr(gate, "gain", lambda *_: Gain(0.02, 0.01, 0.03))
    run_round(project)
    run_round(project)
    results = project.store.step_results(2)
    assert results["augment"]["on"] == ["mixup"]
    assert results["train"]["variants"] == 0


@pytest.mark.slow
def test_hostile_texts_go_through_a_round_and_its_report(
    tmp_path: Path, write_csv: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(augment, "vectors", lambda project, config, texts: vectors(texts))
    texts = [text.encode("utf-8", "replace").decode().replace("\0", "") for text in HOSTILE.values()]
    rows = [[text, ("animal", "<b>vehicle")[place % 2]] for place, text in enumerate(texts) if text.strip()]
    config = tmp_path / "hostile.toml"
    more = '[augment]\nuse = ["swap-words", "keyboard"]\n'
    config.write_text(project_toml(annotate="file", labels='labels = ["animal", "<b>vehicle"]', more=more))
    project, _ = create(tmp_path / "p", source=config, data=[write_csv("pool.csv", ["text", "label"], rows)])
    run_round(project, push=False)
    assert project.store.step_results(1)["augment"]["variants"] > 40
    found = report(project)
    assert "Augmentation" in page([found])
    assert "<b>vehicle" not in page([found])
    assert "swap-words" in curve_text([found], 80)
    assert max(map(len, curve_text([found], 80).splitlines())) <= 80
