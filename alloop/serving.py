"""`alloop serve`: a small web server that Label Studio takes for an ML backend. What it suggests: suggesting.py.

Label Studio waits a second for /health, three for /setup and a hundred for /predict, while an annotator looks on. So
predictions and the loading of models happen in threads, and everything else answers at once. There is no password:
whoever reaches the port may ask what the model thinks of a text, but learns nothing of other texts or labels.

/setup is sent the token of the project's owner with every task that is opened. It is not looked at. Nothing of any
request is logged or kept.
"""

import asyncio
import json
import socket
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alloop.errors import AlloopError, DataError
from alloop.hints import leave_hint
from alloop.suggesting import Suggester

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse

LARGEST = 16 * 2**20  # bytes of a request
LOOK_EVERY_S = 1.0  # for a newer model
LAST_WORDS_S = 5  # for the requests in flight when the server stops
INSTALL = "pip install 'alloop[label-studio]'"
# They bring no answers, and our own pushes cause them.
UNEVENTFUL = {"TASKS_CREATED", "PROJECT_CREATED", "PROJECT_UPDATED", "PROJECT_DELETED"}


def serve(
    suggester: Suggester, host: str, port: int, on_start: Callable[[str], None], log: Callable[[str], None]
) -> None:
    """Answer until SIGINT or SIGTERM. `on_start` is told the address that others can type.

    Raises AlloopError where the port is taken, or the packages of the extra are not there.
    """
    with listen(host, port) as listener:
        server = make_server(suggester, log)
        on_start(address_of(listener))
        server.run(sockets=[listener])


def make_server(suggester: Suggester, log: Callable[[str], None]) -> "uvicorn.Server":
    """A web server that says nothing by itself, not even which pages were asked for."""
    try:
        import uvicorn

        app = make_app(suggester, log)
    except ImportError as error:
        raise AlloopError(f"live suggestions need more packages: {error.name} is missing", INSTALL) from error
    return uvicorn.Server(
        uvicorn.Config(
            app,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="critical",  # else the traceback of a bug, with its message
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=LAST_WORDS_S,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes requests from now on. Raises AlloopError for an address that cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        # Not socket.create_server(): its sockets do not say that they are TCP, so that asyncio leaves Nagle's algorithm
        # on, and every answer takes 40 ms.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
        return listener
    except socket.gaierror as error:
        raise AlloopError(f"{host!r} is no address of this machine: {error.strerror}", "--host 127.0.0.1") from error
    except OSError as error:
        hint = f"another port: --port {port + 1 if 1023 < port < 65_535 else 9090}"
        raise AlloopError(f"port {port} of {host} cannot be had: {error.strerror}", hint) from error


def address_of(listener: socket.socket) -> str:
    """The URL of a listening socket, as seen from this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach a server on that host."""
    return host in ("localhost", "::1") or host.startswith("127.")


def make_app(suggester: Suggester, log: Callable[[str], None] = lambda words: None) -> "Starlette":
    """The web application; looks for a newer model while it runs."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    inbox = suggester.root / "inbox"

    async def health(request: "Request") -> "JSONResponse":
        said = {"status": "UP", "model_version": suggester.model_version or None, "problem": suggester.problem}
        if not suggester.model_version and suggester.problem is None:
            said["problem"] = "no model is loaded yet; a round that trains one is noticed by itself"
        return JSONResponse(said)

    async def setup(request: "Request") -> "JSONResponse":
        await _body(request)
        return JSONResponse({"model_version": suggester.model_version})

    async def versions(request: "Request") -> "JSONResponse":
        version = suggester.model_version
        return JSONResponse({"versions": [version] if version else []})

    async def predict(request: "Request") -> "JSONResponse":
        asked = _fields(await _body(request))
        tasks, label_config = asked.get("tasks"), asked.get("label_config")
        if not isinstance(tasks, list):
            raise HTTPException(HTTPStatus.BAD_REQUEST, "tasks is missing; it is a list")
        if not isinstance(label_config, str):
            raise HTTPException(HTTPStatus.BAD_REQUEST, "label_config is missing; it is the project's XML")
        try:
            return JSONResponse({"results": await run_in_threadpool(suggester.suggest, tasks, label_config)})
        except DataError as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, error.message) from error

    async def webhook(request: "Request") -> "JSONResponse":
        action = _fields(await _body(request)).get("action")
        is_eventful = not isinstance(action, str) or action not in UNEVENTFUL
        if is_eventful:
            leave_hint(inbox)
        return JSONResponse({"hint": is_eventful})

    async def sentence(request: "Request", error: Exception) -> "JSONResponse":
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)

    async def failure(request: "Request", error: Exception) -> "JSONResponse":
        if isinstance(error, AlloopError):
            why = error.message
        else:  # a bug; its message may hold a text
            place = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        log(f"{request.url.path} failed: {why}")
        return JSONResponse({"error": "this failed; alloop serve says why"}, HTTPStatus.INTERNAL_SERVER_ERROR)

    @asynccontextmanager
    async def looking_for_models(app: "Starlette") -> AsyncIterator[None]:
        async def look() -> None:
            while True:
                with suppress(AlloopError):  # a request will meet it too, and say so
                    await run_in_threadpool(suggester.refresh)
                await asyncio.sleep(LOOK_EVERY_S)

        looking = asyncio.create_task(look())
        yield
        looking.cancel()

    return Starlette(
        routes=[
            Route("/", health, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/setup", setup, methods=["POST"]),
            Route("/predict", predict, methods=["POST"]),
            Route("/versions", versions, methods=["GET"]),
            Route("/webhook", webhook, methods=["POST"]),
            Route("/train", webhook, methods=["POST"]),
        ],
        exception_handlers={HTTPException: sentence, AlloopError: failure, Exception: failure},
        lifespan=looking_for_models,
    )


async def _body(request: "Request") -> bytes:
    """All of a request's body, or 413 once it is too much."""
    from starlette.exceptions import HTTPException

    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"this is more than {LARGEST // 2**20} MB; send fewer tasks"
            )
    return bytes(body)


def _fields(body: bytes) -> dict[str, Any]:
    """The JSON object in a body, or 400 saying what is wrong with it."""
    from starlette.exceptions import HTTPException

    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):  # what is wrong with it could quote it
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the body is not JSON") from None
    if not isinstance(fields, dict):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
    return fields
