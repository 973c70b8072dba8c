import tempfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from alloop.errors import ConfigError
from alloop.tuning import tuners
from alloop.tuning._training import _checkpoint_layers, _parts, batches


def test_every_example_is_seen_once_an_epoch_in_batches_of_similar_length():
    lengths = list(np.random.default_rng(0).integers(3, 60, 32))
    epoch = list(batches(lengths, 8, 4, np.random.default_rng(1)))
    assert sorted(row for rows in epoch for row in rows) == list(range(32))
    spread = np.mean([np.ptp([lengths[row] for row in rows]) for rows in epoch])
    assert spread < 20, "against about 50 in batches drawn at random"


def test_few_examples_are_repeated_to_fill_the_batches():
    few = list(batches([3, 4, 5], 8, 10, np.random.default_rng(0)))
    assert [len(rows) for rows in few] == [8] * 10
    assert set(np.bincount([row for rows in few[:4] for row in rows])) <= {10, 11}


def weights(directory):
    """Every number that was learnt, in one row."""
    from safetensors.numpy import load_file

    arrays = {**load_file(directory / "adapter.safetensors"), **load_file(directory / "head.safetensors")}
    return np.concatenate([arrays[name].ravel() for name in sorted(arrays)])


@pytest.fixture
def learnt(tiny_bases, job, tmp_path):
    """learnt("lora", accumulate=2): the weights after a few steps on a tiny base."""

    def fit(name="lora", base="bert", make_job=job, **options):
        out = Path(tempfile.mkdtemp(dir=tmp_path))
        few = {"steps": 6, "epochs": 0.1, "learning_rate": 1e-2, "precision": "fp32"}
        tuners.build(name, base=str(tiny_bases[base]), **{**few, **options}).fit(make_job(), out)
        return weights(out)

    return fit


@pytest.mark.parametrize("base", ["bert", "llama"])
def test_examples_in_parts_teach_the_same_as_all_at_once(base, learnt):
    at_once = learnt("lora", base)
    in_parts = learnt("lora", base, accumulate=3)
    assert in_parts == pytest.approx(at_once, abs=2e-4)
    assert learnt("lora", base, batch=3) != pytest.approx(at_once, abs=1e-2), "and not what smaller steps teach"


def test_parts_are_counted_by_their_examples():
    assert [list(part) for part in _parts(range(8), 3)] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [list(part) for part in _parts(range(2), 3)] == [[0], [1]]


@pytest.mark.parametrize("base", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("options", [{}, {"dropout": 0.3}])
def test_layers_computed_twice_teach_the_same(base, options, learnt, monkeypatch):
    import torch.utils.checkpoint as checkpointing

    calls = []
    original = checkpointing.checkpoint
    monkeypatch.setattr(checkpointing, "checkpoint", lambda *a, **k: calls.append(a) or original(*a, **k))
    once = learnt("lora", base, **options)
    assert not calls
    assert learnt("lora", base, checkpointing=True, **options) == pytest.approx(once, abs=1e-5)
    assert len(calls) == 6 * 2, "both layers, in each of six steps"


def test_a_network_without_layers_of_the_base_cannot_be_checkpointed(tiny_bases):
    import torch

    from alloop.tuning._bases import load_base

    with pytest.raises(ConfigError, match="checkpointing") as caught:
        _checkpoint_layers(load_base(str(tiny_bases["bert"])), torch.nn.Linear(2, 2))
    assert "accumulate" in caught.value.hint


def test_layers_that_are_given_a_cache_are_not_computed_twice(tiny_bases):
    """As prefix tuning does: the second time, they would add to it again."""
    import torch
    from transformers import DynamicCache

    from alloop.tuning._bases import load_base

    base = load_base(str(tiny_bases["llama"]))
    network = deepcopy(base.network)
    _checkpoint_layers(base, network)
    with pytest.raises(ConfigError, match="a cache of keys and values"):
        network(input_ids=torch.tensor([[5, 6]]), past_key_values=DynamicCache(config=network.config))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [0, 0.5, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0, 0.5, 1, 0.8536, 0.5, 0.1464]),
        ("constant", [0, 0.5, 1, 1, 1, 1]),
    ],
)
def test_the_learning_rate_rises_and_then_follows_its_schedule(schedule, expected, tiny_bases, job, monkeypatch):
    import torch

    rates = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda o: rates.append(o.param_groups[0]["lr"]) or step(o))
    few = {"steps": 6, "epochs": 0.1, "warmup_share": 0.34, "learning_rate": 1e-2}
    with tempfile.TemporaryDirectory() as out:
        tuners.build("lora", base=str(tiny_bases["bert"]), schedule=schedule, **few).fit(job(), Path(out))
    assert rates == pytest.approx([1e-2 * rate for rate in expected], abs=1e-6)


def test_precision_is_chosen_whatever_the_machine_is_fast_in(learnt, monkeypatch):
    from alloop.tuning import _encoding

    full, half = learnt(precision="fp32"), learnt(precision="bf16")
    assert half != pytest.approx(full, abs=1e-6)
    assert half == pytest.approx(full, abs=0.1)
    for is_fast, same in ((True, half), (False, full)):
        monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device, is_fast=is_fast: is_fast)
        assert np.array_equal(learnt(precision="auto"), same)


@pytest.mark.parametrize(
    "options", [{"schedule": "step"}, {"accumulate": 0}, {"accumulate": 9}, {"precision": "fp16"}, {"checkpointing": 1}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        tuners.build("full", **options)
