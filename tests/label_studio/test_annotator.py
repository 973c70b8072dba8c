"""The annotator label-studio against a real server."""

import json
import shlex
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from alloop import studio
from alloop.annotators import Desk, annotators
from alloop.annotators.label_studio import KEY
from alloop.errors import ConfigError, RemoteError, WaitingError
from alloop.outgoing import remove_texts
from alloop.project import Project
from alloop.reports import status
from alloop.rounds import run_round
from alloop.store import Store
from tests.command import change, done
from tests.conftest import ANIMALS
from tests.label_studio.people import Person, choices
from tests.label_studio.server import StudioServer

pytestmark = pytest.mark.slow

Make = Callable[..., Project]


@pytest.fixture
def make(make_project: Make, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A project of 72 unlabelled texts whose annotators work on the real server."""
    monkeypatch.setenv(KEY, studio_server.token)

    def made(name: str = "project", settings: str = "", more: str = "", **others: Any) -> Project:
        annotate = f'label-studio"\nurl = "{studio_server.url}"\n{settings}\n#'
        return make_project(name, annotate=annotate, more=more, **others)

    return made


def person(project: Project, server: StudioServer, token: str | None = None) -> Person:
    return Person(server.url, token or server.token, remembered(project)["id"])


def remembered(project: Project) -> dict[str, Any]:
    return dict(json.loads((project.root / "inbox" / "label-studio.json").read_text()))


def truth(text: str) -> str:
    return "animal" if text.split()[1] in ANIMALS else "vehicle"


def answer_all(someone: Person) -> None:
    for task in someone.tasks():
        if not task.annotations:
            someone.answer(int(task.id), [truth(task.data["text"])])


def rows(project: Project, query: str) -> list[Any]:
    with sqlite3.connect(project.root / "alloop.db") as connection:
        return connection.execute(query).fetchall()


def test_a_round_makes_a_project_with_its_tasks_in_order_and_reads_the_answers(
    make: Make, studio_server: StudioServer
) -> None:
    project = make()
    assert run_round(project).pushed == 8
    someone = person(project, studio_server)
    picks = [text_id for (text_id,) in rows(project, "SELECT text_id FROM picks ORDER BY rank")]
    assert [task.data["alloop_key"].split(":")[1] for task in someone.tasks()] == picks
    with pytest.raises(WaitingError, match="0 of 8"):
        run_round(project)
    answer_all(someone)
    assert run_round(project).labels == 8
    assert {name for (name,) in rows(project, "SELECT DISTINCT annotator FROM annotations")} == {studio_server.email}
    assert rows(project, "SELECT sum(seconds) FROM annotations") == [(16.0,)]


def test_edits_skips_and_deletions_arrive(make: Make, studio_server: StudioServer) -> None:
    project = make()
    run_round(project)
    someone = person(project, studio_server)
    first, second, third, *rest = [int(task.id) for task in someone.tasks()]
    edited = someone.answer(first, ["animal"])
    deleted = someone.answer(second, ["animal"])
    someone.skip(third)
    for task in rest:
        someone.answer(task, ["vehicle"])
    someone.delete(deleted)  # before anybody read it
    with pytest.raises(WaitingError, match="7 of 8"):
        run_round(project)
    someone.edit(edited, ["vehicle"])
    again = someone.answer(second, ["animal"])
    run_round(project)
    store = project.store
    assert store.label_counts(2) == {"vehicle": 6, "animal": 1}
    states = rows(project, f"SELECT remote_id, state FROM annotations WHERE remote_id IN ('{deleted}', '{again}')")
    assert (str(again), "labelled") in states
    assert status(project)["labels"]["skipped"] == 1


def test_a_deletion_after_it_was_read_takes_the_label_back(make: Make, studio_server: StudioServer) -> None:
    project = make()
    run_round(project)
    someone = person(project, studio_server)
    made = someone.answer(int(someone.tasks()[0].id), ["animal"])
    with pytest.raises(WaitingError):
        run_round(project)
    assert status(project)["labels"]["labelled"] == 1
    someone.delete(made)
    with pytest.raises(WaitingError):
        run_round(project)
    assert status(project)["labels"]["labelled"] == 0


def test_a_task_deleted_on_the_server_is_no_longer_waited_for_and_its_label_stays(
    make: Make, studio_server: StudioServer
) -> None:
    project = make()
    run_round(project)
    someone = person(project, studio_server)
    answered, unanswered, *rest = [int(task.id) for task in someone.tasks()]
    someone.answer(answered, ["animal"])
    with pytest.raises(WaitingError):
        run_round(project)
    someone.client.tasks.delete(str(answered))
    someone.client.tasks.delete(str(unanswered))
    for task in rest:
        someone.answer(task, ["vehicle"])
    assert run_round(project).labels == 7
    gone = rows(project, "SELECT text_id FROM tasks WHERE withdrawn_at IS NOT NULL")
    assert len(gone) == 2


def test_what_is_not_ours_is_ignored_and_unknown_labels_are_kept_aside(make: Make, studio_server: StudioServer) -> None:
    project = make()
    run_round(project)
    someone = person(project, studio_server)
    tasks = [int(task.id) for task in someone.tasks()]
    someone.client.projects.import_tasks(someone.project, request=[{"data": {"text": "not ours"}}])
    someone.answer(int(someone.tasks()[-1].id), ["animal"])
    someone.answer(tasks[0], ["submarine"])
    for task in tasks[1:]:
        someone.answer(task, ["vehicle"] if task == tasks[1] else ["animal"])
    run_round(project)
    result = project.store.step_results(2)["pull"]
    assert (result["new"], result["resolved"], result["unused"], result["ignored"]) == (8, 7, 1, 1)


def test_several_annotators_per_text(make: Make, studio_server: StudioServer) -> None:
    project = make(settings="annotators_per_text = 2")
    run_round(project)
    other = studio_server.add_user("second")
    one, two = person(project, studio_server), person(project, studio_server, other.token)
    assert one.client.projects.get(one.project).maximum_annotations == 2
    answer_all(one)
    with pytest.raises(WaitingError, match="0 of 8"):
        run_round(project)
    for task in one.tasks():
        two.answer(int(task.id), [truth(task.data["text"])])
    assert run_round(project).labels == 8
    names = {name for (name,) in rows(project, "SELECT DISTINCT annotator FROM annotations")}
    assert names == {studio_server.email, "second@localhost"}


def test_suggestions_are_shown_for_a_part_and_carry_the_round(make: Make, studio_server: StudioServer) -> None:
    project = make(settings="suggest = 0.5")
    run_round(project)
    someone = person(project, studio_server)
    assert not any(task.predictions for task in someone.tasks())
    answer_all(someone)
    run_round(project)
    blind = dict(rows(project, "SELECT key, blind FROM tasks WHERE round = 2"))
    new = [task for task in someone.tasks() if task.data["alloop_key"] in blind]
    assert 0 < sum(blind.values()) < len(blind)
    for task in new:
        assert bool(task.predictions) != bool(blind[task.data["alloop_key"]])
        assert all(prediction.model_version == "round-0002" for prediction in task.predictions)
    assert someone.client.projects.get(someone.project).model_version == "round-0002"


def test_a_label_that_is_added_is_offered_at_the_next_pull(make: Make, studio_server: StudioServer) -> None:
    project = make()
    run_round(project)
    someone = person(project, studio_server)
    config = project.root / "alloop.toml"
    config.write_text(config.read_text().replace('["animal", "vehicle"]', '["animal", "vehicle", "plant"]'))
    with pytest.raises(WaitingError):
        run_round(project)
    assert 'value="plant"' in (someone.client.projects.get(someone.project).label_config or "")


def test_nothing_changed_is_one_request(
    make: Make, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make()
    run_round(project)
    with pytest.raises(WaitingError):
        run_round(project)
    asked = count_requests(monkeypatch)
    with pytest.raises(WaitingError):
        run_round(project)
    assert len(asked) == 1


def count_requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    import httpx

    asked: list[str] = []
    send = httpx.Client.send

    def counted(self: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
        asked.append(str(request.url))
        return send(self, request, **more)

    monkeypatch.setattr(httpx.Client, "send", counted)
    return asked


def test_two_projects_share_a_label_studio_project(make: Make, studio_server: StudioServer) -> None:
    first = make("first")
    run_round(first)
    shared = remembered(first)["id"]
    second = make("second", settings=f"project = {shared}")
    run_round(second)
    someone = person(first, studio_server)
    assert len(someone.tasks()) == 16
    answer_all(someone)
    assert run_round(first).labels == 8
    assert run_round(second).labels == 8
    assert first.store.step_results(2)["pull"]["ignored"] == 8


def test_an_adopted_project_whose_labels_differ_is_refused_naming_them(make: Make, studio_server: StudioServer) -> None:
    first = make("first")
    run_round(first)
    second = make("second", settings=f"project = {remembered(first)['id']}")
    config = second.root / "alloop.toml"
    config.write_text(config.read_text().replace('["animal", "vehicle"]', '["animal", "car"]'))
    with pytest.raises(ConfigError, match="lacks 'car' and has 'vehicle' besides"):
        run_round(second)


def test_ones_own_interface_is_used_and_checked(make: Make, studio_server: StudioServer) -> None:
    project = make(more='[options.label-studio]\nlabel_config = "mine.xml"\ninstructions = "how.md"')
    (project.root / "how.md").write_text("# How\n\n*Choose* one. <script>alert(1)</script>")
    mine = project.root / "mine.xml"
    mine.write_text(
        '<View><Text name="t" value="$message"/>'
        '<Choices name="kind" toName="t"><Choice value="animal"/></Choices></View>'
    )
    with pytest.raises(ConfigError, match=r"mine.xml and the labels of alloop.toml differ: it lacks 'vehicle'"):
        run_round(project)
    mine.write_text(mine.read_text().replace("</Choices>", '<Choice value="vehicle"/></Choices>'))
    run_round(project)
    someone = person(project, studio_server)
    assert all("message" in task.data for task in someone.tasks())
    there = someone.client.projects.get(someone.project)
    assert there.show_instruction
    assert "<em>Choose</em>" in (there.expert_instruction or "")
    assert "<script>" not in (there.expert_instruction or "")
    for task in someone.tasks():
        result = [
            {
                "from_name": "kind",
                "to_name": "t",
                "type": "choices",
                "value": {"choices": [truth(task.data["message"])]},
            }
        ]
        someone.client.annotations.create(int(task.id), result=result)
    assert run_round(project).labels == 8


def test_multi_label_answers_with_several_labels_and_with_none(make: Make, studio_server: StudioServer) -> None:
    project = make(more="[task.rename]\n")
    config = project.root / "alloop.toml"
    config.write_text(config.read_text().replace("[task]", '[task]\nkind = "multi"', 1))
    run_round(project)
    someone = person(project, studio_server)
    first, second, *rest = [int(task.id) for task in someone.tasks()]
    someone.answer(first, ["animal", "vehicle"])
    someone.client.annotations.create(second, result=[])
    for task in rest:
        someone.answer(task, ["animal"])
    run_round(project)
    given = {row.labels for row in project.store.resolved(2, "pool")}
    assert given == {("animal", "vehicle"), (), ("animal",)}


@pytest.mark.parametrize("stale", ["keep", "withdraw", "rescore"])
def test_waiting_tasks_of_earlier_rounds(
    make: Make, studio_server: StudioServer, stale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    from alloop.annotators import label_studio

    project = make(settings='suggest = "all"', more=f'[options.label-studio]\nstale = "{stale}"')
    run_round(project)
    someone = person(project, studio_server)
    answer_all(someone)
    run_round(project)
    first, *waiting = [task for task in someone.tasks() if not task.annotations]
    someone.answer(int(first.id), [truth(first.data["text"])])
    keys = {task.data["alloop_key"] for task in waiting}
    monkeypatch.setattr(label_studio, "QUIET", timedelta(seconds=-2))  # the header Date has whole seconds
    run_round(project, go_on=True)
    there = {task.data["alloop_key"]: task for task in someone.tasks()}
    assert first.data["alloop_key"] in there
    if stale == "keep":
        assert keys <= there.keys()
        blind = dict(rows(project, "SELECT key, blind FROM tasks"))
        for key in keys:
            shown = {prediction.model_version for prediction in there[key].predictions}
            assert shown == (set() if blind[key] else {"round-0002", "round-0003"})
        seen = "SELECT t.key, t.predicted <> p.predicted FROM tasks t JOIN picks p USING (round, text_id)"
        renewed = {key for key, is_new in rows(project, seen) if is_new}
        assert renewed == {key for key in keys if not blind[key]}
    else:
        blind_ones = {key for (key,) in rows(project, "SELECT key FROM tasks WHERE purpose <> 'pick'")}
        assert not (keys - blind_ones) & there.keys()
        new = [task for key, task in there.items() if not task.annotations and key not in blind_ones]
        again = {key.rpartition(":")[0] for key in keys} & {task.data["alloop_key"].rpartition(":")[0] for task in new}
        if stale == "rescore":
            assert again == {key.rpartition(":")[0] for key in keys - blind_ones}


def test_waiting_tasks_are_judged_by_one_model_shown_or_hidden(make: Make, studio_server: StudioServer) -> None:
    project = make(settings="suggest = 0.5", batch=16)
    run_round(project)
    someone = person(project, studio_server)
    answer_all(someone)
    run_round(project)
    touched = next(task for task in someone.tasks() if not task.annotations and task.predictions)
    draft = {"task": int(touched.id), "result": choices(["animal"]), "lead_time": 1.0}
    url = f"{studio_server.url}/api/tasks/{touched.id}/drafts"
    httpx.post(url, json=draft, headers={"Authorization": f"Token {studio_server.token}"}).raise_for_status()
    change(project.root / "alloop.toml", {"suggest = 0.5": 'suggest = "none"'})
    run_round(project, go_on=True)
    seen = "SELECT t.key, t.blind, t.predicted <> p.predicted FROM tasks t JOIN picks p USING (round, text_id)"
    waiting = rows(project, f"{seen} WHERE t.round = 2 AND t.purpose = 'pick'")
    assert {blind for _, blind, _ in waiting} == {0, 1}
    assert {key for key, _, is_new in waiting if not is_new} == {touched.data["alloop_key"]}
    assert someone.client.projects.get(someone.project).model_version == "round-0003"  # the new batch has none to show


def test_nothing_is_withdrawn_while_somebody_is_at_work(make: Make, studio_server: StudioServer) -> None:
    project = make(settings='suggest = "all"', more='[options.label-studio]\nstale = "withdraw"')
    run_round(project)
    someone = person(project, studio_server)
    answer_all(someone)
    run_round(project)
    run_round(project, go_on=True)  # the last answer is seconds old
    tasks = someone.tasks()
    assert len(tasks) == 24
    shown = [{one.model_version for one in task.predictions} for task in tasks[8:16] if task.predictions]
    assert shown == [{"round-0002", "round-0003"}] * 7  # what stays shows something: only the newest can be seen


def test_a_refused_key_is_explained_and_not_shown(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make()
    for key, kind in (("0123456789abcdef", "legacy token"), ("eyJh.eyJ0.AAAA", "personal access token")):
        monkeypatch.setenv(KEY, key)
        with pytest.raises(RemoteError, match=f"refused the {kind}") as refused:
            run_round(project)
        assert key not in str(refused.value) + (refused.value.hint or "")
        assert "user/account" in (refused.value.hint or "")


def test_a_missing_key_and_a_missing_server_say_what_to_type(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make()
    monkeypatch.delenv(KEY)
    with pytest.raises(ConfigError, match=f"{KEY} is not set"):
        run_round(project)
    monkeypatch.setenv(KEY, "x")
    nobody = annotators.build("label-studio", url="http://127.0.0.1:9")
    with pytest.raises(RemoteError, match="cannot be reached") as error:
        nobody.pull("", desk_of(project))
    assert error.value.is_temporary


def desk_of(project: Project) -> Desk:
    return project.desk(project.config)


def test_a_project_deleted_there_is_said_and_can_be_made_anew(make: Make, studio_server: StudioServer) -> None:
    project = make()
    run_round(project)
    someone = person(project, studio_server)
    someone.answer(int(someone.tasks()[0].id), ["animal"])
    with pytest.raises(WaitingError):
        run_round(project)
    someone.client.projects.delete(someone.project)
    with pytest.raises(RemoteError, match="does not have what was asked for") as error:
        run_round(project)
    assert shlex.quote(str(project.root / "inbox" / "label-studio.json")) in (error.value.hint or "")
    (project.root / "inbox" / "label-studio.json").unlink()  # as the hint says
    assert run_round(project).pushed == 8
    assert Store.open(project.root / "alloop.db").answer_counts()["pool"]["labelled"] == 1
    assert len(person(project, studio_server).tasks()) > 0


def test_the_key_is_nowhere(make: Make, studio_server: StudioServer) -> None:
    project = make()
    run_round(project)
    holding = [
        path
        for path in Path(project.root).rglob("*")
        if path.is_file() and studio_server.token.encode() in path.read_bytes()
    ]
    assert holding == []


def test_a_project_made_while_ones_own_server_runs_uses_it(
    studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write_csv: Callable[..., str]
) -> None:
    monkeypatch.setattr(studio, "directory", lambda: studio_server.root)
    monkeypatch.delenv(KEY, raising=False)
    data = write_csv("texts.csv", ["text"], [[f"the cat sleeps {place}"] for place in range(30)])
    here = tmp_path / "cats"
    ran = done("init", here, "--data", data, "--labels", "animal,vehicle", "--batch", 5, "--round")
    assert f"annotators work in the Label Studio that runs at {studio_server.url}" in ran.err
    project = Project.open(here)
    address = f"{studio_server.url}/projects/{remembered(project)['id']}/data/?labeling=1"
    assert f"Next: answer the tasks at {address}, then: alloop round" in ran.err
    assert len(person(project, studio_server).tasks()) == 5


def test_removed_texts_are_taken_back_from_the_server_and_erased_ones_with_their_answers(
    make: Make, studio_server: StudioServer
) -> None:
    project = make()
    run_round(project)
    someone = person(project, studio_server)
    answered, other, *_ = someone.tasks()
    someone.answer(int(answered.id), ["animal"])
    someone.answer(int(other.id), ["animal"])
    ids = [task.data["alloop_key"].split(":")[1] for task in someone.tasks()]
    remove_texts(project, [ids[0], ids[2]])
    assert [task.data["alloop_key"].split(":")[1] for task in someone.tasks()] == [ids[0], ids[1], *ids[3:]]
    remove_texts(project, [ids[1]], erase=True)
    assert [task.data["alloop_key"].split(":")[1] for task in someone.tasks()] == [ids[0], *ids[3:]]


def test_a_number_that_belongs_to_another_project_now_is_noticed(make: Make, studio_server: StudioServer) -> None:
    project = make()
    run_round(project)
    memory = project.root / "inbox" / "label-studio.json"
    known = json.loads(memory.read_text())
    memory.write_text(json.dumps(known | {"instance": f"{known['id']}@2020-01-01T00:00:00.000000Z"}))
    with pytest.raises(RemoteError, match="is not the one that it was"):
        run_round(project)
    assert project.store.open_tasks() == 8


def test_a_personal_access_token_works_too_and_a_legacy_one_that_is_not_allowed_is_explained(
    make: Make, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = studio_server.post("/api/token/", {})["token"]
    monkeypatch.setenv(KEY, token)
    project = make("personal")
    monkeypatch.setenv(KEY, token)  # make() sets the legacy one
    assert run_round(project).pushed == 8
    answer_all(person(project, studio_server))
    assert run_round(project).labels == 8

    access = httpx.post(f"{studio_server.url}/api/token/refresh/", json={"refresh": token}).json()["access"]
    settings, header = f"{studio_server.url}/api/jwt/settings", {"Authorization": f"Bearer {access}"}
    allowed = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
    refused = {**allowed, "legacy_api_tokens_enabled": False}
    try:
        assert httpx.post(settings, json=refused, headers=header).status_code < 300
        monkeypatch.setenv(KEY, studio_server.token)
        with pytest.raises(RemoteError, match="refused the legacy token") as error:
            run_round(project)
        assert "takes personal access tokens" in (error.value.hint or "")
    finally:
        httpx.post(settings, json=allowed, headers=header)


def test_a_label_that_is_removed_after_it_was_used_stops_nothing(make: Make, studio_server: StudioServer) -> None:
    project = make()
    config = project.root / "alloop.toml"
    config.write_text(config.read_text().replace('["animal", "vehicle"]', '["animal", "vehicle", "plant"]'))
    run_round(project)
    someone = person(project, studio_server)
    first, *rest = [int(task.id) for task in someone.tasks()]
    someone.answer(first, ["plant"])
    config.write_text(config.read_text().replace('"vehicle", "plant"]', '"vehicle"]'))
    for task in rest:
        someone.answer(task, ["animal"] if task % 2 else ["vehicle"])
    run_round(project)
    result = project.store.step_results(2)["pull"]
    assert (result["new"], result["unused"]) == (8, 1)
    assert 'value="plant"' not in (someone.client.projects.get(someone.project).label_config or "")


def test_a_name_that_people_gave_the_project_stays(make: Make, studio_server: StudioServer) -> None:
    project = make()
    run_round(project)
    someone = person(project, studio_server)
    someone.client.projects.update(someone.project, title="Our texts")
    config = project.root / "alloop.toml"
    config.write_text(config.read_text().replace('["animal", "vehicle"]', '["animal", "vehicle", "plant"]'))
    with pytest.raises(WaitingError):
        run_round(project)
    assert someone.client.projects.get(someone.project).title == "Our texts"


def test_a_review_is_asked_blind_beside_the_batch_and_its_answers_replace_the_first(
    make: Make, studio_server: StudioServer
) -> None:
    project = make(batch=12)
    run_round(project)
    someone = person(project, studio_server)
    wrong = int(someone.tasks()[0].id)
    for task in someone.tasks():
        said = truth(task.data["text"])
        someone.answer(int(task.id), ["animal" if (said == "animal") != (task.id == wrong) else "vehicle"])
    assert run_round(project).pushed == 12
    done("audit", project.root, "--push", "--most", 2)
    reviews = [task for task in someone.tasks() if task.data["alloop_key"].endswith(":2")]
    assert len(reviews) == 2
    assert all(not task.predictions and task.data["alloop_batch"].endswith(":2:review") for task in reviews)
    for task in reviews:
        someone.answer(int(task.id), [truth(task.data["text"])])
    found = json.loads(done("audit", project.root, "--apply", "--json").out)
    assert (found["answered"], found["open"]) == (2, 0)
    with pytest.raises(WaitingError, match="0 of 12"):
        run_round(project)
    answer_all(someone)
    assert run_round(project).pushed == 12
