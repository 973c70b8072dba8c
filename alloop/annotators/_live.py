"""Tells Label Studio where live suggestions come from. Doing it twice is doing it once.

Label Studio asks a model while people label only where the project's model version is not a version but the title of
that model. So whoever sets a project's model version leaves TITLE alone.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alloop.errors import AlloopError

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio
    from label_studio_sdk.core.request_options import RequestOptions

TITLE = "alloop"
ONCE: "RequestOptions" = {"max_retries": 0}  # a POST that timed out may have been carried out


@dataclass(frozen=True)
class Connection:
    """The ML backend that an address is in Label Studio now; `is_new` where it was none before."""

    backend: int
    is_new: bool


def connect(client: "LabelStudio", project: int, url: str, options: "RequestOptions" = ONCE) -> Connection:
    """Make an address the ML backend of a project in Label Studio, with one webhook; a former address is replaced.

    Label Studio calls the address, from where it runs. Raises AlloopError where it cannot, and where the project has
    somebody else's backend, for only the first is ever asked; then all stays as it was.
    """
    from label_studio_sdk.core.api_error import ApiError

    url = url.rstrip("/")
    backends = sorted(client.ml.list(project=project, request_options=options), key=lambda one: one.id)
    here = [one for one in backends if one.url.rstrip("/") == url]
    former = [one for one in backends if one not in here and one.title == TITLE]
    is_new = False
    for one in backends:
        if one not in here + former:
            raise AlloopError(
                f"project {project} of Label Studio has the model {one.title!r}, and only one is ever asked",
                "remove it there: Settings, Model",
            )
    it_is: dict[str, Any] = {"project": project, "url": url, "title": TITLE, "request_options": options}
    try:
        if not here:
            here, is_new = [client.ml.create(**it_is)], True
        elif here[0].title != TITLE:  # somebody added it in the browser
            client.ml.update(here[0].id, **it_is)
    except ApiError as error:
        if error.status_code != 400:
            raise
        raise AlloopError(
            f"Label Studio gets no answer from {url}",
            "is alloop serve running? A Label Studio that runs elsewhere, as in a container, needs another address; "
            "one with ML_BLOCK_LOCAL_IP=true asks nobody on its own machine",
        ) from None  # its body repeats what was sent
    for one in here[1:] + former:
        client.ml.delete(one.id, request_options=options)
    _keep_one_webhook(client, project, url, [one.url.rstrip("/") for one in former], options)
    client.projects.update(project, model_version=TITLE, show_collab_predictions=True, request_options=options)
    return Connection(here[0].id, is_new)


def _keep_one_webhook(
    client: "LabelStudio", project: int, url: str, former: Collection[str], options: "RequestOptions"
) -> None:
    """Label Studio makes one with a model, and with all texts and answers: a hint needs neither."""
    webhooks = client.webhooks.list(project=str(project), request_options=options)
    here = [one for one in webhooks if one.url == f"{url}/webhook"]
    settings: dict[str, Any] = {
        "url": f"{url}/webhook",
        "send_payload": False,
        "send_for_all_actions": True,
        "is_active": True,
        "request_options": options,
    }
    if here:
        client.webhooks.update(here[0].id, **settings)
    else:
        client.webhooks.create(project=project, **settings)
    for one in here[1:] + [one for one in webhooks if one.url in [f"{gone}/webhook" for gone in former]]:
        client.webhooks.delete(one.id, request_options=options)
