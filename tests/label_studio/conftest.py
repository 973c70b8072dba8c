"""A real Label Studio and a real browser. Where they are not installed the tests skip, and say so."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.label_studio.server import StudioServer, chromium, why_not

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

CHROMIUM_OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="session")
def studio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    """A server for all tests of a process: the work is spread over processes, and each has one on a port of its own.

    What earlier tests left is there: make a project of your own.
    """
    if reason := why_not():
        pytest.skip(reason)
    server = StudioServer(tmp_path_factory.mktemp("studio"))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _started(request: pytest.FixtureRequest) -> None:
    """A test may leave the server stopped; the next one finds it started."""
    if "studio_server" in request.fixturenames:
        request.getfixturevalue("studio_server").start()


@pytest.fixture
def browser(studio_server: StudioServer, tmp_path: Path) -> Iterator["BrowserContext"]:
    """A fresh Chromium (a Playwright context) that reaches nothing but the server."""
    executable = chromium()
    if executable is None:
        pytest.skip("no Chromium: .ci/run installs it, or apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "chromium", executable_path=executable, args=CHROMIUM_OPTIONS
        )
        context.route(lambda url: urlsplit(url).netloc != urlsplit(studio_server.url).netloc, lambda r: r.abort())
        yield context
        context.close()
