"""alloop audit --push and --apply: suspicious labels go back to annotators, whose new answers replace the old."""

import csv
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from alloop.annotators import simulated, terminal
from alloop.auditing import review
from alloop.project import Project
from alloop.rounds import run_round
from alloop.store import Store
from tests.audited import TRUTH, WRONG, Row, audited, labelled
from tests.command import alloop, done

Make = Callable[..., Project]
TEST = [(f"{text} now", label) for text, label in TRUTH.items() if "here" in text or "next door" in text]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return partial(audited, tmp_path)


def pool() -> list[Row]:
    """80 labelled sentences, three of them wrongly, and 16 without a label to ask about."""
    return [(text, "" if "far away" in text else label, about) for text, label, about in labelled()]


def tasks(project: Project) -> list[dict[str, Any]]:
    rows = project.store._sql("SELECT key, text_id, purpose, round, rank, blind FROM tasks ORDER BY rowid")
    return [dict(zip(("key", "text_id", "purpose", "round", "rank", "blind"), row, strict=True)) for row in rows]


def asked(project: Project) -> list[str]:
    """The texts that wait in the terminal."""
    lines = (project.root / "inbox" / "tasks.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


def answer(project: Project, texts: Sequence[str]) -> None:
    done("label", project.root, stdin="".join(f"{TRUTH[text]}\n" for text in texts))


def test_the_most_suspicious_labels_are_asked_again_blind_and_once(make: Make) -> None:
    project = make(pool())
    said = done("audit", project.root, "--push", "--json")
    assert json.loads(said.out) == {"pushed": 3, "open": 0, "resumed": False}
    assert "Asked again about 3 texts in: terminal." in said.err
    assert set(asked(project)) == set(WRONG)
    assert {(one["purpose"], one["blind"], one["key"][-2:]) for one in tasks(project)} == {("review", 1, ":1")}
    (line, *_) = (project.root / "inbox" / "tasks.jsonl").read_text().splitlines()
    assert json.loads(line)["suggestion"] is None

    again = done("audit", project.root, "--push")
    assert "Nothing new: 3 reviewed texts are not answered yet." in again.err
    assert len(asked(project)) == len(tasks(project)) == 3


@pytest.mark.parametrize(
    ("words", "n"), [(("--most", 2), 2), (("--share", 0.1), 8), (("--share", 0.001), 1), (("--share", 1), 80)]
)
def test_how_many_are_asked_can_be_said(make: Make, words: Sequence[object], n: int) -> None:
    project = make(pool())
    done("audit", project.root, "--push", *words)
    texts = asked(project)
    assert len(set(texts)) == len(texts) == n
    assert set(texts[:3]) <= set(WRONG) if n < 3 else set(texts[:3]) == set(WRONG)


def test_apply_says_what_changed_and_what_that_did_to_the_metric(make: Make) -> None:
    turned = [text for text, label in TRUTH.items() if label == "animal" and "far away" not in text][:24]
    rows = [(text, "" if "far away" in text else label, about) for text, label, about in labelled(turned)]
    project = make(rows, test=TEST)
    done("audit", project.root, "--push", "--share", 0.5)
    answer(project, asked(project))
    ran = done("audit", project.root, "--apply", "--json")
    found = json.loads(ran.out)
    assert (found["tasks"], found["answered"], found["skipped"], found["open"]) == (40, 40, 0, 0)
    assert found["changed"] == len(set(turned) & set(asked(project))) == len(found["changes"])
    assert found["confirmed"] == 40 - found["changed"]
    assert all((one["before"], one["after"]) == (["vehicle"], ["animal"]) for one in found["changes"])
    assert (found["metric"], found["measured_on"], found["n"]) == ("accuracy", "test", 48)
    gain = found["difference"]
    assert gain["value"] == pytest.approx(found["after"]["value"] - found["before"]["value"])
    assert gain["low"] <= gain["value"] <= gain["high"]
    ids = {text.text: text.id for text in project.store.texts(list(project.store.pool_ids()))}
    answers = project.store.answers()
    for text in asked(project):
        assert [said for _, said in answers[ids[text]]] == [(TRUTH[text],)], "the older label counts no more"
    push, applied = project.store.jobs("audit")
    assert applied.result == found
    assert applied.config["review"] == push.id


def test_confirmed_and_skipped_labels_stay_and_open_ones_are_counted(make: Make) -> None:
    project = make(pool())
    done("audit", project.root, "--push", "--most", 4)
    first, second, third, _ = asked(project)
    assert first in WRONG and second in WRONG and third in WRONG  # noqa: PT018
    given = {text: label for text, label, _ in labelled()}
    done("label", project.root, stdin=f"{TRUTH[first]}\n{given[second]}\ns\nq\n")
    found = json.loads(done("audit", project.root, "--apply", "--json").out)
    counts = {key: found[key] for key in ("tasks", "answered", "changed", "confirmed", "skipped", "open")}
    assert counts == {"tasks": 4, "answered": 2, "changed": 1, "confirmed": 1, "skipped": 1, "open": 1}
    assert found["metric"] is None
    assert "20 labelled test texts" in found["missing"]
    assert "1 changed, 1 confirmed; 1 skipped, 1 still open" in done("audit", project.root, "--apply").out


def test_without_an_answer_it_waits_and_without_a_review_it_says_how_to_begin(make: Make) -> None:
    project = make(pool())
    ran = alloop("audit", project.root, "--apply")
    assert (ran.code, "no review" in ran.err) == (1, True)
    done("audit", project.root, "--push")
    ran = alloop("audit", project.root, "--apply")
    assert ran.code == 3
    assert "none of 3 reviewed texts is answered" in ran.err
    assert len(project.store.jobs("audit")) == 1


def test_status_says_how_far_a_review_is_until_it_is_applied(make: Make) -> None:
    project = make(pool())
    assert json.loads(done("status", project.root, "--json").out)["review"] is None
    done("audit", project.root, "--push", "--most", 3)
    answer(project, asked(project)[:2])
    assert json.loads(done("status", project.root, "--json").out)["review"] == {"tasks": 3, "answered": 2}
    assert "2 of 3 labels sent back are answered" in done("status", project.root).out
    done("audit", project.root, "--apply")
    assert "sent back" not in done("status", project.root).out


def test_what_was_reviewed_is_not_asked_again(make: Make) -> None:
    project = make(pool())
    done("audit", project.root, "--push", "--most", 3)
    given = {text: label for text, label, _ in labelled()}
    done("label", project.root, stdin="".join(f"{given[text]}\n" for text in asked(project)))  # all are confirmed
    done("audit", project.root, "--apply")
    assert "every suspicious label was reviewed before" in done("audit", project.root, "--push").err
    done("audit", project.root, "--push", "--most", 3)
    assert len(set(asked(project))) == 6


@pytest.mark.parametrize("when", ["before pushing", "after pushing", "while saving"])
def test_a_push_that_was_cut_short_is_finished_whatever_happened_since(
    make: Make, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    project = make(pool())

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    push = terminal.Terminal.push
    with monkeypatch.context() as patch:
        if when == "before pushing":
            patch.setattr(terminal.Terminal, "push", die)
        elif when == "after pushing":
            patch.setattr(terminal.Terminal, "push", lambda *given: (push(*given), die()))
        else:
            patch.setattr(Store, "finish_job", die)
        assert alloop("audit", project.root, "--push", "--most", 3).code == 130
    assert tasks(project) == []
    ran = alloop("audit", project.root, "--apply")
    assert (ran.code, "cut short" in ran.err) == (1, True)
    ran = done("audit", project.root, "--push", "--most", 5)
    assert "Asked again about 3 texts in: terminal (the rest of a push that was cut short)." in ran.err
    assert set(asked(project)) == set(WRONG)
    assert len(asked(project)) == len(tasks(project)) == 3
    assert len(project.store.jobs("audit")) == 1


def test_a_text_that_was_removed_since_is_not_asked(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make(pool())
    with monkeypatch.context() as patch:
        patch.setattr(terminal.Terminal, "push", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            review.push(project, most=3)
    gone = project.store.jobs("audit")[0].config["tasks"][0]["text_id"]
    with project.store.transaction():
        project.store.remove_texts([gone])
    assert review.push(project) == {"pushed": 2, "open": 0, "resumed": True}


@pytest.mark.slow
def test_rounds_neither_wait_for_a_review_nor_are_confused_by_it(make: Make) -> None:
    project = make(pool(), annotate="simulated", more="strategy = 'margin'\ncold_start = 'random'\n")
    done("round", project.root)
    before = project.store.last_batch_round()
    pushed = simulated.Simulated.push
    with pytest.MonkeyPatch.context() as patch:  # reviewers who have not answered yet
        patch.setattr(simulated.Simulated, "push", lambda self, tasks, desk: {task.key: task.key for task in tasks})
        done("audit", project.root, "--push", "--most", 3)
    assert project.store.last_batch_round() == before
    assert project.store.open_tasks() == 1, "the round's own text, whose answer was not read yet"
    assert json.loads(done("status", project.root, "--json").out)["labels"]["waiting"] == 4
    outcome = run_round(project)
    assert outcome.pushed == 1
    assert project.store.last_batch_round() == outcome.number
    assert pushed is simulated.Simulated.push
    run_round(project, push=False)
    run_round(project, push=False, low_water=1)
    assert [one["purpose"] for one in tasks(project)].count("review") == 3


@pytest.mark.slow
def test_a_simulated_reviewer_answers_and_the_next_round_learns_from_it(make: Make) -> None:
    project = make(pool(), test=TEST, annotate="simulated", more="strategy = 'margin'\ncold_start = 'random'\n")
    run_round(project)
    assert json.loads(done("audit", project.root, "--push", "--most", 3, "--json").out)["pushed"] == 3
    found = json.loads(done("audit", project.root, "--apply", "--json").out)
    assert (found["changed"], found["confirmed"]) == (3, 0)
    run_round(project, push=False)
    last = project.store.last_round()
    assert last is not None
    texts = {text.id: text.text for text in project.store.texts(list(project.store.pool_ids()))}
    resolved = project.store.resolved(last.number, "pool")
    assert {texts[one.text_id]: one.labels[0] for one in resolved}.items() <= TRUTH.items()
    audit = json.loads(done("audit", project.root, "--json").out)
    assert audit["suspicious"]["n"] == 0
    assert audit["review"]["applied"]["changed"] == 3


@pytest.mark.parametrize("test", [(), TEST])
def test_texts_that_measure_are_reviewed_only_where_test_texts_measure_too(
    make: Make, monkeypatch: pytest.MonkeyPatch, test: Sequence[tuple[str, str]]
) -> None:
    project = make(
        pool(), test, annotate="simulated", more="strategy = 'margin'\ncold_start = 'random'\nrandom_share = 1\n"
    )
    for _ in range(3):
        run_round(project)
    drawn = set(project.store.random_predictions(3))
    assert len(drawn) == 2
    monkeypatch.setattr(review, "FEWEST_MEASURED", 2)
    review.push(project, share=1)
    reviewed = {one["text_id"] for one in tasks(project) if one["purpose"] == "review"}
    assert len(reviewed) == (82 if test else 80)
    assert reviewed.isdisjoint(drawn) == (not test)
    found = review.apply(project)
    assert (found["measured_on"], found["n"]) == (("test", 48) if test else ("audit", 3))


def test_what_a_review_says_of_a_text_is_erased_with_it(make: Make) -> None:
    project = make(pool())
    done("audit", project.root, "--push", "--most", 3)
    answer(project, asked(project))
    done("audit", project.root, "--apply")
    gone, *others = (one["text_id"] for one in project.store.jobs("audit")[0].config["tasks"])
    done("remove", project.root, "--id", gone, "--erase")
    pushed, applied = project.store.jobs("audit")
    assert [one["text_id"] for one in pushed.config["tasks"]] == others
    assert applied.result is not None
    assert {one["id"] for one in applied.result["changes"]} == set(others)
    assert not any(gone in line for line in project.store._connection.iterdump())
    assert json.loads(done("audit", project.root, "--apply", "--json").out)["tasks"] == 2


def test_a_review_of_which_every_text_was_removed_is_over(make: Make) -> None:
    project = make(pool())
    done("audit", project.root, "--push", "--most", 1)
    (one,) = tasks(project)
    done("remove", project.root, "--id", one["text_id"])
    ran = alloop("audit", project.root, "--apply")
    assert (ran.code, "no review to apply" in ran.err) == (1, True)
    assert "sent back" not in done("status", project.root).out


def test_people_with_a_spreadsheet_review_in_a_file_of_its_own(make: Make) -> None:
    project = make(pool(), annotate="file", more="cold_start = 'random'\nstrategy = 'margin'\n")
    done("round", project.root)
    done("audit", project.root, "--push")
    path = project.root / "inbox" / "review-0001.csv"
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert {row["text"] for row in rows} == set(WRONG)
    with open(project.root / "inbox" / "round-0001.csv", newline="", encoding="utf-8-sig") as file:
        assert len(list(csv.DictReader(file))) == 1
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": TRUTH[row["text"]]} for row in rows)
    found = json.loads(done("audit", project.root, "--apply", "--json").out)
    assert (found["changed"], found["open"]) == (3, 0)


def test_pushing_and_applying_wait_for_no_lock(make: Make) -> None:
    project = make(pool())
    with project.lock("alloop round"):
        for word in ("--push", "--apply"):
            ran = alloop("audit", project.root, word)
            assert ran.code == 1
            assert "(alloop round)" in ran.err


@pytest.mark.parametrize(
    "words",
    ["--push --apply", "--most 3", "--share 0.2", "--push --most 3 --share 0.2", "--push --html a.html"],
)
def test_options_that_make_no_sense_together_are_refused(make: Make, words: str) -> None:
    assert alloop("audit", make(pool()).root, *words.split()).code == 2
