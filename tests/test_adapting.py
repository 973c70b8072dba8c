"""`alloop adapt`: the base reads the pool, never test texts; a kill leaves nothing half-written; a project may move."""

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from alloop import adapting
from alloop.config import load
from alloop.files import is_whole
from alloop.project import Project, tuner_spec
from alloop.tuning import _adapting
from alloop.tuning._bases import load_base
from tests.command import alloop, change, done
from tests.conftest import sentences

Make = Callable[..., Project]
LORA = "[options.lora]\nsteps = 2\nepochs = 0.1\n"


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_adapting, "RATE", 3e-3)


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of a few thousand random weights, with its head, that knows the words of the sentences."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    root = tmp_path_factory.mktemp("reader")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({word for text, _ in sentences() for word in text.split()})
    vocabulary = {word: number for number, word in enumerate(special + words)}
    tokens = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokens.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokens.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], special, strict=True))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=64,
        )
        BertForMaskedLM(config).save_pretrained(root)
    PreTrainedTokenizerFast(tokenizer_object=tokens, **names).save_pretrained(root)
    return root


@pytest.fixture
def project(make_project: Make, reader: Path) -> Project:
    """Of 72 pool texts, 14 of which are held back, and a base in its directory, named with a comment."""
    project = make_project("p", tuner="lora", more=LORA)
    shutil.copytree(reader, "p/reader")
    change(Path("p/alloop.toml"), {"[model]\n": '[model]\nbase = "reader"  # ours\n# one more\n'})
    return project


def only_base(root: str = "p") -> Path:
    (found,) = Path(root, "bases").iterdir()
    return found


def test_the_config_names_the_adapted_base_and_says_what_was_before(project: Project) -> None:
    before = Path("p/alloop.toml").read_text()
    ran = done("adapt", "p", "--json", "--epochs", 20)
    said = json.loads(ran.out)
    assert (said["adapted"], said["used"], said["new"]) == (f"bases/{only_base().name}", True, True)
    assert (said["texts"], said["held_back"]) == (58, 14)
    assert said["perplexity"]["after"]["value"] < said["perplexity"]["before"]["value"]
    old, new = (
        '"reader"  # ours',
        f'"{said["adapted"]}"  # ours; adapted from "reader": {adapting.perplexity_words(said)}',
    )
    assert Path("p/alloop.toml").read_text() == before.replace(old, new)
    assert f"On 14 texts that were held back: {adapting.perplexity_words(said)}" in ran.err
    (job,) = project.store.jobs("adapt")
    assert job.result is not None
    assert job.result["perplexity"] == said["perplexity"]


def test_test_texts_and_removed_ones_are_never_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = next(iter(project.store.pool_ids()))
    done("remove", "p", "--id", gone)
    read: list[str] = []
    adapt = _adapting.adapt
    monkeypatch.setattr(
        "alloop.work.adapt", lambda job, out: (read.extend([*job.train, *job.held_back]), adapt(job, out))[1]
    )
    done("adapt", "p", "--epochs", 1)
    assert sorted(read) == sorted(text.text for text in project.store.texts(list(project.store.pool_ids())))
    assert len(read) == 71


def test_the_same_again_trains_nothing_and_says_so(project: Project) -> None:
    done("adapt", "p", "--epochs", 20)
    config, base = Path("p/alloop.toml").read_text(), only_base()
    written = (base / "model.safetensors").stat().st_mtime_ns
    ran = done("adapt", "p", "--epochs", 20)
    assert "Nothing was trained." in ran.err
    assert (Path("p/alloop.toml").read_text(), only_base()) == (config, base)
    assert (base / "model.safetensors").stat().st_mtime_ns == written
    assert len(project.store.jobs("adapt")) == 1


def test_other_options_start_from_the_first_base_again(project: Project) -> None:
    done("adapt", "p", "--epochs", 20)
    said = json.loads(done("adapt", "p", "--epochs", 10, "--json").out)
    assert said["base_fingerprint"] == load_base("p/reader").fingerprint
    line = next(line for line in Path("p/alloop.toml").read_text().splitlines() if line.startswith("base ="))
    assert line == f'base = "{said["adapted"]}"  # ours; adapted from "reader": {adapting.perplexity_words(said)}'


def test_a_base_that_did_not_get_better_is_not_used(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Path("p/alloop.toml").read_text()
    monkeypatch.setattr(_adapting, "RATE", 1.0)
    ran = done("adapt", "p", "--epochs", 1)
    assert "The perplexity did not fall, so model.base stays as it is." in ran.err
    assert Path("p/alloop.toml").read_text() == before


@pytest.mark.slow
def test_a_kill_leaves_nothing_half_written_and_the_same_command_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*whatever: object) -> None:
        raise Killed

    before = Path("p/alloop.toml").read_text()
    for place in ("_write", "_measured_training"):
        with monkeypatch.context() as patch:
            patch.setattr(_adapting, place, die)
            with pytest.raises(Killed):
                adapting.adapt(project, epochs=20)
        assert Path("p/alloop.toml").read_text() == before
        assert not any(is_whole(path) for path in Path("p/bases").iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(adapting, "_name_in_config", die)
        with pytest.raises(Killed):
            adapting.adapt(project, epochs=20)
    assert is_whole(only_base())
    found = adapting.adapt(project, epochs=20)
    assert (found.is_new, found.is_used) == (False, True)
    assert load(Path("p/alloop.toml")).model.base == found.base
    (job,) = project.store.jobs("adapt")
    assert job.result is not None


@pytest.mark.slow
def test_the_next_rounds_start_from_it_wherever_the_project_is(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done("round", "p")
    done("adapt", "p", "--epochs", 20)
    done("round", "p")
    fingerprint = load_base(str(only_base())).fingerprint
    (model,) = Path("p/rounds/0002").glob("train-*")
    assert json.loads((model / "model.json").read_text())["base_fingerprint"] == fingerprint

    done("compare", "p", "--tuner", "features", "--folds", 2)
    said = done("predict", "p", "-", stdin="the cat sleeps here\n").out
    done("export", "p", "--project", "p.tar.gz")
    done("export", "p", "--model", "model")
    assert load_base("model/alloop/base").fingerprint == fingerprint
    assert json.loads(Path("model/alloop/alloop.json").read_text())["options"]["base"] == "base"
    (tmp_path / "far" / "away").mkdir(parents=True)
    with tarfile.open("p.tar.gz") as archive:
        archive.extractall("far/away", filter="data")
    shutil.rmtree("p")
    monkeypatch.chdir("far/away/p")
    assert done("predict", "-", stdin="the cat sleeps here\n").out == said
    done("round", "--no-push")
    done("doctor")


def test_a_base_that_is_gone_is_not_asked_of_the_hub(project: Project) -> None:
    done("adapt", "p", "--epochs", 20)
    shutil.rmtree("p/bases")
    ran = alloop("round", "p")
    assert ran.code == 1
    assert "the directory does not exist" in ran.err


def test_a_project_made_from_an_adapted_one_finds_its_base(project: Project) -> None:
    done("adapt", "p", "--epochs", 20)
    done("init", "q", "--from", "p", "--data", "pool.csv")
    other = Project.open(Path("q"))
    assert (
        load_base(str(other.tuner(other.config).options["base"])).fingerprint == load_base(str(only_base())).fingerprint
    )


@pytest.mark.slow
def test_what_is_erased_is_in_no_base_and_in_no_model_of_one(project: Project) -> None:
    done("round", "p")
    before = Path("p/alloop.toml").read_text()
    done("adapt", "p", "--epochs", 20)
    done("round", "p")
    base = project.config.model.base
    asked = project.store.asked_ids()
    gone = next(one for one in project.store.pool_ids() if one not in asked)
    done("remove", "p", "--id", gone, "--erase")
    assert not Path("p", base).exists()
    assert Path("p/alloop.toml").read_text() == before
    assert not list(Path("p/rounds").glob("*/train-*"))
    done("round", "p")


def test_a_tuner_without_a_base_and_a_small_pool_are_refused(make_project: Make, write_csv: Callable[..., str]) -> None:
    make_project("p")
    ran = alloop("adapt", "p")
    assert ran.code == 1
    assert "error: the tuner 'tfidf' has no pretrained base to adapt" in ran.err
    write_csv("few.csv", ["text"], [row[:1] for row in sentences()[:49]])
    done("init", "few", "--data", "few.csv", "--labels", "a,b")
    ran = alloop("adapt", "few")
    assert ran.code == 1
    assert "the pool has 49 texts, too few" in ran.err
    assert "hint: alloop add few FILE" in ran.err


def test_a_base_among_the_tuners_options_is_not_passed_over(project: Project) -> None:
    change(Path("p/alloop.toml"), {"[options.lora]": '[options.lora]\nbase = "minilm"'})
    ran = alloop("adapt", "p")
    assert ran.code == 1
    assert "[options.lora] has a base of its own" in ran.err


@pytest.mark.slow
def test_it_runs_in_a_process_of_its_own(project: Project) -> None:
    change(Path("p/alloop.toml"), {"[options.lora]": '[run]\nexecutor = "subprocess"\n[options.lora]'})
    assert json.loads(done("adapt", "p", "--epochs", 1, "--json").out)["texts"] == 58


def test_fingerprints_of_a_base_in_the_project_do_not_depend_on_where_it_is(project: Project) -> None:
    assert tuner_spec(project.config).options["base"] == "reader"
    assert project.tuner(project.config).options["base"] == str(Path("p/reader").absolute())
    assert project.own_base("minilm") is None
    assert project.own_base("owner/name") is None


@pytest.mark.parametrize(
    "table",
    ['[model]\nbase = "reader"\n', 'model = {base = "reader"}\n', 'model.base = "reader"\n', "[model]\n", ""],
)
def test_any_way_to_write_the_config_stays_a_config(project: Project, table: str) -> None:
    rest = '[task]\nlabels = ["animal", "vehicle"]  # kept\n'
    Path("p/alloop.toml").write_text(f"{table}{rest}" if "model" in table else rest, newline="")
    about = {"base": "reader", "perplexity": {"before": {"value": 30.0}, "after": {"value": 2.0}}}
    adapting._name_in_config(project, "bases/adapted-1", about)
    assert project.config.model.base == "bases/adapted-1"
    assert "# kept" in Path("p/alloop.toml").read_text()
    adapting._name_in_config(project, "reader")
    assert project.config.model.base == "reader"
    assert "adapted" not in Path("p/alloop.toml").read_text()
