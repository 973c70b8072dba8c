"""Tells Label Studio where live suggestions come from. Doing it twice is doing it once."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alloop.errors import AlloopError

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio
    from label_studio_sdk.core.request_options import RequestOptions

TITLE = "alloop"
ONCE: "RequestOptions" = {
    "max_retries": 0
}  # the SDK repeats a POST that timed out, and Label Studio makes a second one


@dataclass(frozen=True)
class Connection:
    """The ML backend that an address is in Label Studio now; `is_new` where it was none before."""

    backend: int
    is_new: bool


def connect(client: "LabelStudio", project: int, url: str) -> Connection:
    """Make an address the ML backend of a project in Label Studio, with one webhook; a former address is replaced.

    Label Studio calls the address, from where it runs. Raises AlloopError where it cannot, and where the project has
    somebody else's backend, for only the first is ever asked; then all stays as it was.
    """
    from label_studio_sdk.core.api_error import ApiError

    url = url.rstrip("/")
    backends = sorted(client.ml.list(project=project), key=lambda one: one.id)
    here = [one for one in backends if one.url.rstrip("/") == url]
    former = [one for one in backends if one not in here and one.title == TITLE]
    for one in backends:
        if one not in here + former:
            raise AlloopError(
                f"project {project} of Label Studio has the model {one.title!r}, and only one is ever asked",
                "remove it there: Settings, Model",
            )
    try:
        backend = here[0] if here else client.ml.create(project=project, url=url, title=TITLE, request_options=ONCE)
    except ApiError as error:
        if error.status_code != 400:
            raise
        raise AlloopError(
            f"Label Studio gets no answer from {url}",
            "is alloop serve running? A Label Studio that runs elsewhere, as in a container, needs another address; "
            "one with ML_BLOCK_LOCAL_IP=true asks nobody on its own machine",
        ) from None  # its body repeats what was sent
    for one in former + here[1:]:
        client.ml.delete(one.id)
    _keep_one_webhook(client, project, f"{url}/webhook", [f"{one.url.rstrip('/')}/webhook" for one in former])
    # It is asked while people label only where the project's model version is the backend's title.
    client.projects.update(project, model_version=backend.title, show_collab_predictions=True)
    return Connection(backend.id, is_new=not here)


def _keep_one_webhook(client: "LabelStudio", project: int, url: str, former: Collection[str]) -> None:
    """One for `url`, without payload: a hint needs no texts. Label Studio made it, or did so several times, or not."""
    webhooks = client.webhooks.list(project=str(project))
    here = [one for one in webhooks if one.url == url]
    if here:
        client.webhooks.update(here[0].id, url=url, send_payload=False, send_for_all_actions=True, is_active=True)
    else:
        client.webhooks.create(
            project=project, url=url, send_payload=False, send_for_all_actions=True, request_options=ONCE
        )
    for one in here[1:] + [one for one in webhooks if one.url in former]:
        client.webhooks.delete(one.id)
