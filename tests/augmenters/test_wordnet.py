import shutil
import zipfile

import numpy as np
import pytest

from alloop.augmenters import augmenters
from alloop.doctor import examine
from alloop.errors import ConfigError
from alloop.rounds import run_round
from tests.hostile import HOSTILE

TAGGER = "averaged_perceptron_tagger_eng"
NAMES = ["antonyms", "synonyms"]


def made(name, text, n=3, seed=0, **options):
    return augmenters.build(name, **options)([text], n, np.random.default_rng(seed))[0]


@pytest.fixture
def data_elsewhere(nltk_data, tmp_path, monkeypatch):
    """A copy of nltk's data that a test may damage; nltk looks only there."""
    copy = tmp_path / "nltk_data"
    shutil.copytree(nltk_data, copy)
    monkeypatch.setattr("nltk.data.path", [str(copy)])
    return copy


@pytest.mark.usefixtures("nltk_data")
def test_words_become_synonyms_of_the_senses_asked_for():
    assert set(made("synonyms", "the quick card", 40, senses=1)) == {"the speedy card"}
    assert "the speedy menu" not in made("synonyms", "the quick card", 40, senses=1, share=1)
    assert {"the flying card", "the quick menu"} & set(made("synonyms", "the quick card", 40, senses=0))


@pytest.mark.usefixtures("nltk_data")
def test_words_become_antonyms_and_keep_their_case():
    assert made("antonyms", "This is a good bank!", 9, senses=1) == ["This is a bad bank!"]
    assert made("antonyms", "A GOOD bank", 9, senses=1) == ["A BAD bank"]
    assert made("antonyms", "A Good bank", 9, senses=1) == ["A Bad bank"]


@pytest.mark.usefixtures("nltk_data")
def test_pronouns_auxiliaries_negations_and_strange_words_stay():
    for name in NAMES:
        assert made(name, "I was not in, you are never in it; he has had none qwxz", 9) == []


@pytest.mark.usefixtures("nltk_data")
def test_a_base_form_is_no_synonym():
    assert not {"my card", "my cards"} & set(made("synonyms", "my cards", 40, senses=0))


@pytest.mark.usefixtures("nltk_data")
def test_words_in_two_words_stand_where_the_word_stood():
    found = made("synonyms", "Two “cards”, please: https://a.b/cards {{cards}}", 60, senses=0, share=0.01)
    assert "Two “identity card”, please: https://a.b/cards {{cards}}" in found


@pytest.mark.usefixtures("nltk_data")
@pytest.mark.parametrize("name", NAMES)
def test_hostile_texts_do_no_harm(name):
    for what, text in HOSTILE.items():
        found = made(name, text, 2)
        assert len(set(found)) == len(found) <= 2, what
        assert text.strip() not in found, what
    assert made(name, HOSTILE["a CSV formula"]) == []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_is_said_with_the_command_that_fetches_it(name, tmp_path, monkeypatch):
    monkeypatch.setattr("nltk.data.path", [str(tmp_path)])
    with pytest.raises(ConfigError) as caught:
        augmenters.build(name)
    assert caught.value.message == f"{name} needs wordnet and {TAGGER} of nltk's data, whole, in one of: {tmp_path}"
    assert caught.value.hint.startswith(f"python -m nltk.downloader wordnet {TAGGER} (")
    assert "NLTK_DATA" in caught.value.hint


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("corpora/wordnet", "wordnet"),
        ("corpora/wordnet/lexnames", "wordnet"),
        ("corpora/wordnet/verb.exc", "wordnet"),
        (f"taggers/{TAGGER}", TAGGER),
        (f"taggers/{TAGGER}/{TAGGER}.tagdict.json", TAGGER),
    ],
)
def test_only_what_is_missing_or_not_whole_is_named(lost, named, data_elsewhere):
    augmenters.build("synonyms")
    path = data_elsewhere / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ConfigError) as caught:
        augmenters.build("synonyms")
    assert caught.value.message.startswith(f"synonyms needs {named} of nltk's data, ")
    assert caught.value.hint.startswith(f"python -m nltk.downloader {named} (")


def test_the_old_tagger_is_not_enough(data_elsewhere):
    (data_elsewhere / "taggers" / TAGGER).rename(data_elsewhere / "taggers" / "averaged_perceptron_tagger")
    with pytest.raises(ConfigError, match=f"needs {TAGGER} of"):
        augmenters.build("antonyms")


def test_data_in_zip_files_as_the_downloader_leaves_it_will_do(data_elsewhere):
    wordnet = data_elsewhere / "corpora" / "wordnet"
    with zipfile.ZipFile(wordnet.with_suffix(".zip"), "w") as archive:
        for path in wordnet.iterdir():
            archive.write(path, f"wordnet/{path.name}")
    shutil.rmtree(wordnet)
    augmenters.build("synonyms")
    whole = wordnet.with_suffix(".zip").read_bytes()
    wordnet.with_suffix(".zip").write_bytes(whole[: len(whole) // 2])  # a download that was cut off
    with pytest.raises(ConfigError, match="needs wordnet of"):
        augmenters.build("synonyms")


@pytest.mark.usefixtures("nltk_data")
def test_missing_data_is_said_by_the_doctor_and_before_a_round_works(make_project, tmp_path, monkeypatch):
    project = make_project(more='[augment]\nuse = ["swap-words", "synonyms"]\n')
    monkeypatch.setattr("nltk.data.path", [str(tmp_path)])
    (check,) = [check for check in examine(project) if check.name == "config"]
    assert check.ok is False
    assert check.message.startswith("augment.use: synonyms needs wordnet and ")
    assert check.hint.startswith("python -m nltk.downloader wordnet ")
    with pytest.raises(ConfigError, match=r"alloop.toml, line \d+: augment.use: synonyms needs wordnet and "):
        run_round(project)
    assert project.store.last_round() is None
