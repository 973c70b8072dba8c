import numpy as np
import pytest

from alloop.similar import ALIKE, _shingles, alike, nearest, shingled


def test_case_and_spaces_do_not_make_texts_different():
    most, row = nearest(shingled(["My  Parcel is LATE"]), shingled(["nothing", "my parcel is late"]))
    assert (most.tolist(), row.tolist()) == ([1.0], [1])


def test_resemblance_is_the_share_of_common_shingles():
    most, _ = nearest(shingled(["abcdefg"]), shingled(["abcdefx"]))  # abcde bcdef cdefg | cdefx: two of four
    assert most.tolist() == pytest.approx([0.5])


def test_nothing_is_near_without_others():
    most, row = nearest(shingled(["a", ""]), shingled([]))
    assert (most.tolist(), row.tolist()) == ([0.0, 0.0], [-1, -1])


def test_a_text_is_not_compared_with_the_one_it_came_of(monkeypatch):
    some, others = shingled(["my parcel is late", "it rains"]), shingled(["My parcel is late", "my parcels are late"])
    but = np.array([0, -1])
    for cells in (10_000, 2):  # all at once, and one by one
        monkeypatch.setattr("alloop.similar.CELLS", cells)
        most, row = nearest(some, others, but)
        assert row[0] == 1
        assert 0 < most[0] < 0.8
        assert most[1] == 0


def test_many_texts_are_compared_part_by_part_with_the_same_result(monkeypatch):
    texts = [f"text number {n} of some" for n in range(20)]
    whole = nearest(shingled(texts[:10]), shingled(texts[5:]))
    monkeypatch.setattr("alloop.similar.CELLS", 20)
    parts = nearest(shingled(texts[:10]), shingled(texts[5:]))
    assert all(np.array_equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_all_pairs_of_near_duplicates_are_found_as_by_comparing_each_with_each() -> None:
    rng = np.random.default_rng(0)
    words = [f"word{n}" for n in range(60)]
    texts = [" ".join(rng.choice(words, 12)) for _ in range(60)]
    texts += [f"{text} indeed" for text in texts[:20]] + texts[:5] + ["", "a", "a"]
    some, others = shingled(texts), shingled(texts[::-1])
    one, other, resemblance = alike(some, others)
    sets = [set(_shingles(text)) for text in texts]
    expected = {
        (a, len(texts) - 1 - b): len(sets[a] & sets[b]) / len(sets[a] | sets[b])
        for a in range(len(texts))
        for b in range(len(texts))
        if len(sets[a] & sets[b]) / len(sets[a] | sets[b]) >= ALIKE
    }
    found = dict(zip(zip(one.tolist(), other.tolist(), strict=True), resemblance.tolist(), strict=True))
    assert len(found) == len(one) > len(texts)
    assert found == pytest.approx(expected)


def test_pairs_of_no_texts_are_none() -> None:
    assert [len(part) for part in alike(shingled([]), shingled(["a cat"]))] == [0, 0, 0]
    assert [len(part) for part in alike(shingled(["a cat"]), shingled([]))] == [0, 0, 0]


def test_what_thousands_share_proposes_no_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alloop.similar.COMMON", 5)
    form = ["thank you for your message"] * 6
    assert len(alike(shingled(form), shingled(form))[0]) == 0
    assert len(alike(shingled(form[:2]), shingled(form[:2]))[0]) == 4
