import pytest

from alloop.languages import Languages, languages

ENGLISH = [f"I would like to {do} my account as soon as possible, please" for do in ("open", "close", "see", "change")]
GERMAN = "Ich möchte mein Konto so bald wie möglich wieder öffnen können, bitte"
RUSSIAN = "Я хотел бы как можно скорее снова открыть свой счёт, пожалуйста"


def test_a_text_in_another_language_is_foreign_and_one_in_theirs_is_not() -> None:
    known = languages(ENGLISH)
    assert known.at_home == ("en",)
    assert [known.foreign(text) for text in ENGLISH] == [None] * 4
    for text, code in ((GERMAN, "de"), (RUSSIAN, "ru")):
        found = known.foreign(text)
        assert found is not None
        assert found[0] == code
        assert 0.9 <= found[1] <= 1


def test_several_languages_can_be_at_home() -> None:
    known = languages([*ENGLISH, GERMAN, GERMAN])
    assert known.at_home == ("en", "de")
    assert known.foreign(GERMAN) is None
    assert known.foreign(RUSSIAN) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Konto",
        "12345 67890 12345 67890 12345 67890 12345 67890",
        "😀" * 100,
        "x" * 100,
        "https://example.org/" * 4,
        "\x00\x1b[31m\u202e" * 50,
        "Ouagadougou Reykjavik Zagreb Nuku'alofa Antananarivo Ljubljana",
    ],
)
def test_what_may_be_any_language_is_foreign_to_none(text: str) -> None:
    assert languages(ENGLISH).foreign(text) is None


def test_where_nothing_is_known_of_the_rest_nothing_is_foreign() -> None:
    assert languages([]) == languages(["ok", "12"]) == Languages(())
    assert Languages(()).foreign(GERMAN) is None


def test_a_text_of_a_megabyte_is_judged_by_its_beginning() -> None:
    assert languages(ENGLISH).foreign(GERMAN + " the cat" * 150_000) == languages(ENGLISH).foreign(
        GERMAN + " the cat" * 1_000
    )
