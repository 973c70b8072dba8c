import pytest

from alloop.annotators import Desk
from alloop.records import Task

LABELS = {"billing": "money", "delivery": "parcels", "account": ""}


@pytest.fixture
def desk(tmp_path):
    return Desk(project="p1", inbox=tmp_path / "inbox", kind="single", label_names=LABELS, seed=7)


@pytest.fixture
def make_task():
    def make(number, text=None, *, ask=1, **more):
        text_id = f"t1-{number}"
        values = {"purpose": "pick", "round": 3, "rank": number, "blind": True} | more
        return Task(f"p1:{text_id}:{ask}", text_id, text or f"text number {number}", **values)

    return make
