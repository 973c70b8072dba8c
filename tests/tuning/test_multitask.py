from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alloop.errors import ConfigError
from alloop.records import Example
from alloop.tuning import FitJob, OtherTask, tuners
from alloop.tuning.multitask import _mixed, _of_each, _side_by_side
from tests.tuning.conftest import FRUIT, RIDES

EDIBLE = OtherTask(
    "edible.csv",
    "single",
    ("eaten", "driven"),
    [Example(f"{word} {text}", ("eaten",)) for text in FRUIT for word in ("my", "your")]
    + [Example(f"{word} {text}", ("driven",)) for text in RIDES for word in ("my", "your")],
)
COLOURS = OtherTask(
    "colours",
    "multi",
    ("red", "blue"),
    [
        Example(text, tuple(colour for colour in ("red", "blue") if colour in text.split()))
        for text in (*FRUIT, *RIDES, "red blue car", "a red apple", "a blue train")
    ],
)


def build(base, **options):
    return tuners.build("multitask", base=str(base), **{"steps": 60, "learning_rate": 3e-3, **options})


def fitted(tuner, job, out: Path) -> Path:
    out.mkdir()
    tuner.fit(job, out)
    return out


def test_another_task_teaches_what_two_labels_cannot(tiny_bases, job, tmp_path):
    two = [Example(FRUIT[0], ("no",)), Example(RIDES[0], ("null",))]
    tuner = build(tiny_bases["bert"], steps=120)
    out = fitted(tuner, replace(job(), train=two, others=[EDIBLE]), tmp_path / "out")
    said = tuner.predict(out, [*FRUIT, *RIDES], ("probs",), 0)
    assert said.labels == ("no", "null", "1e5"), "the other heads are gone"
    assert said.probs.shape == (12, 3)
    assert (said.probs.argmax(1) == [0] * 6 + [1] * 6).mean() > 0.8


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_it_learns_its_own_task_beside_others_and_without(kind, tiny_bases, job, tmp_path):
    tuner = build(tiny_bases["bert"], steps=120)
    for name, others in (("with", [COLOURS]), ("without", [])):
        out = fitted(tuner, replace(job(kind), others=others, dev=job(kind).train), tmp_path / name)
        probs = tuner.predict(out, ["the fast car", "a green pear"], ("probs",), 0).probs
        assert probs[0, 1] > 0.5 > probs[0, 0]
        assert probs[1, 0] > 0.5 > probs[1, 1]


def test_the_same_job_gives_the_same_bytes(tiny_bases, job, tmp_path):
    tuner, task = build(tiny_bases["bert"], steps=5, texts=7), replace(job(), others=[EDIBLE, COLOURS])
    one, other = (
        {path.name: path.read_bytes() for path in fitted(tuner, task, tmp_path / name).iterdir()} for name in ("1", "2")
    )
    assert one == other


def test_each_task_has_its_loss_on_its_own_texts_and_labels():
    import torch

    y = _side_by_side([np.eye(2, dtype=np.float32), np.ones((1, 3), np.float32)], [2, 3])
    assert y.tolist() == [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1]]
    seen = []

    def own(vectors, logits, target):
        seen.append((vectors.tolist(), logits.tolist(), target.tolist()))
        return logits.sum()

    logits = torch.arange(15.0).reshape(3, 5)
    loss = _of_each([own, own], [2, 3])(torch.tensor([[1.0], [2.0], [3.0]]), logits, torch.from_numpy(y))
    assert seen == [
        ([[1], [2]], [[0, 1], [5, 6]], [[1, 0], [0, 1]]),
        ([[3]], [[12, 13, 14]], [[1, 1, 1]]),
    ]
    assert float(loss) == pytest.approx(12 * 2 / 3 + 39 / 3)


def test_half_of_each_step_are_the_projects_own_texts_and_the_others_take_turns():
    steps = list(_mixed([3, 10, 5], 4, 4, np.random.default_rng(0)))
    assert [sum(row < 3 for row in rows) for rows in steps] == [2] * 4
    assert [{1 + (row >= 13) for row in rows if row >= 3} for rows in steps] == [{1}, {2}, {1}, {2}]
    assert sorted(next(_mixed([3], 3, 1, np.random.default_rng(0)))) == [0, 1, 2]


def test_without_another_task_a_round_is_refused():
    with pytest.raises(ConfigError, match="no other tasks") as caught:
        build("minilm").check_task("single", ("a", "b"))
    assert "[options.multitask]" in caught.value.hint
    build("minilm", others=["labels.csv"]).check_task("single", ("a", "b"))


def test_one_file_is_not_taken_for_a_list_of_letters():
    with pytest.raises(ConfigError, match="others"):
        tuners.build("multitask", others="labels.csv")


@pytest.mark.parametrize("options", [{"texts": 0}, {"batch": 1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        tuners.build("multitask", **options)


def test_a_label_of_the_same_name_is_another_label(tiny_bases, job, tmp_path):
    """The heads are apart: what "no" means elsewhere is not what it means here."""
    turned = OtherTask("turned", "single", ("no", "null"), [replace(e, labels=("no",)) for e in job().train[6:]])
    turned = replace(turned, train=[*turned.train, *(replace(e, labels=("null",)) for e in job().train[:6])])
    tuner = build(tiny_bases["bert"])
    out = fitted(tuner, FitJob(job().train, "single", job().labels, 0, others=[turned]), tmp_path / "out")
    probs = tuner.predict(out, [example.text for example in job().train], ("probs",), 0).probs
    assert (probs.argmax(1) == [0] * 6 + [1] * 6).mean() > 0.8
