"""What holds for every family of bases, and for every tuner on each family that it claims."""

from pathlib import Path

import numpy as np
import pytest

from alloop.errors import ModelError
from alloop.tuning import tuners
from tests.tuning.families import FAMILIES

TEXTS = ["red", "the red apple is very dear", "a slow bus", ""]

# Pairs that a tuner refuses, and why. All others it claims.
REFUSED = {
    "bitfit": ("modernbert", "llama", "qwen3", "gemma", "gemma2", "gemma3", "mistral"),  # no biases
}
# What makes these tuners quick, or learn something in four steps.
QUICK: dict[str, dict[str, object]] = {
    "lora": {"rank": 4, "alpha": 8.0},
    "freeze": {"layers": 1},
    "ia3": {"learning_rate": 0.5},
}

ON_A_BASE = [name for name in tuners.names() if "base" in tuners.options(name)]
PAIRS = [
    pytest.param(name, family, marks=() if family in ("bert", "gpt2") else pytest.mark.slow)
    for family in FAMILIES
    for name in ON_A_BASE
]


def build(name, base: Path):
    quick = {"steps": 4, "epochs": 1.0, "learning_rate": 1e-2} | QUICK.get(name, {})
    return tuners.build(name, base=str(base), **{k: v for k, v in quick.items() if k in tuners.options(name)})


def forget():
    """As another process would start: nothing of a base or of a model is in memory."""
    from alloop.tuning import _bases, _encoding, _finetuning

    _bases._load.cache_clear()
    _encoding.frozen.cache_clear()
    _finetuning._network.cache_clear()


@pytest.fixture
def in_fp32(monkeypatch):
    from alloop.tuning import _encoding

    monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device: False)
    forget()  # of networks that are in bfloat16
    yield
    forget()


def remember_networks(tuner, monkeypatch):
    """A list that the networks come into which the tuner trains; empty for one that trains none."""
    from alloop.tuning._finetuning import FineTuner

    networks = []
    if isinstance(tuner, FineTuner):
        adapt = type(tuner).adapt

        def remember(self, base):
            networks.append(adapt(self, base))
            return networks[-1]

        monkeypatch.setattr(type(tuner), "adapt", remember)
    return networks


@pytest.mark.parametrize(("name", "family"), PAIRS)
def test_a_tuner_fits_saves_loads_and_predicts_and_the_same_seed_gives_the_same_weights(
    name, family, family_bases, job, tmp_path, in_fp32, monkeypatch
):
    from alloop.tuning._bases import load_base
    from alloop.tuning._encoding import embed

    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(), second.mkdir()
    tuner = build(name, family_bases[family])
    if family in REFUSED.get(name, ()):
        with pytest.raises(ModelError) as caught:
            tuner.fit(job(), first)
        assert caught.value.hint
        assert list(first.iterdir()) == []
        return
    trained = remember_networks(tuner, monkeypatch)
    tuner.fit(job(), first)
    said = tuner.predict(first, TEXTS, ("probs", "logits", "embeddings"), 0)
    assert said.probs.shape == (len(TEXTS), 3)
    assert said.probs.sum(1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    if trained:
        base = load_base(str(family_bases[family]))
        tokens = tuner.tokenize(base, TEXTS)
        assert embed(base, trained[0].eval(), tokens) == pytest.approx(said.embeddings, abs=1e-4)
        bare = tuner.predict(None, TEXTS, ("embeddings",), 0).embeddings
        assert np.abs(said.embeddings - bare).max() > 1e-3, "it learnt something"

    forget()
    tuner.fit(job(), second)
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }
    again = tuner.predict(second, TEXTS, ("probs",), 0)
    assert again.probs == pytest.approx(said.probs, abs=1e-6)


def test_the_table_of_refusals_names_tuners_and_families_that_exist():
    assert set(REFUSED) | set(QUICK) <= set(ON_A_BASE)
    assert {family for families in REFUSED.values() for family in families} <= set(FAMILIES)
