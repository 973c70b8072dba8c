"""What the tests of Label Studio stand on."""

from typing import TYPE_CHECKING

import pytest

from tests.label_studio.server import StudioServer

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.slow


def test_a_server_answers_to_its_token_also_after_a_restart(studio_server: StudioServer) -> None:
    made = studio_server.post("/api/projects", {"title": "kept"})["id"]
    studio_server.restart()
    assert studio_server.get("/api/current-user/whoami")["id"] == studio_server.user_id
    assert studio_server.get(f"/api/projects/{made}")["title"] == "kept"
    studio_server.stop()


def test_a_second_user_has_an_id_and_a_token_of_its_own(studio_server: StudioServer) -> None:
    anna = studio_server.add_user("anna")
    assert anna.id != studio_server.user_id
    assert studio_server.get("/api/current-user/whoami", anna.token)["email"] == anna.email == "anna@localhost"


def test_a_person_can_log_in_with_the_browser(studio_server: StudioServer, browser: "BrowserContext") -> None:
    page = browser.new_page()
    page.goto(f"{studio_server.url}/user/login/")
    page.fill("input[name=email]", studio_server.email)
    page.fill("input[name=password]", studio_server.password)
    page.click("button[type=submit]")
    page.get_by_text("Create Project").first.wait_for()
    assert page.url == f"{studio_server.url}/"


def test_the_browser_reaches_nothing_but_the_server(studio_server: StudioServer, browser: "BrowserContext") -> None:
    from playwright.sync_api import Error

    page = browser.new_page()
    assert page.goto(f"{studio_server.url}/health").ok
    elsewhere = studio_server.url.replace("127.0.0.1", "localhost")
    with pytest.raises(Error, match="ERR_FAILED"):
        page.goto(f"{elsewhere}/health")
