import numpy as np
import pytest

from alloop.similar import nearest, shingled


def test_case_and_spaces_do_not_make_texts_different():
    most, row = nearest(shingled(["My  Parcel is LATE"]), shingled(["nothing", "my parcel is late"]))
    assert (most.tolist(), row.tolist()) == ([1.0], [1])


def test_resemblance_is_the_share_of_common_shingles():
    most, _ = nearest(shingled(["abcdefg"]), shingled(["abcdefx"]))  # abcde bcdef cdefg | cdefx: two of four
    assert most.tolist() == pytest.approx([0.5])


def test_nothing_is_near_without_others():
    most, row = nearest(shingled(["a", ""]), shingled([]))
    assert (most.tolist(), row.tolist()) == ([0.0, 0.0], [-1, -1])


def test_many_texts_are_compared_part_by_part_with_the_same_result(monkeypatch):
    texts = [f"text number {n} of some" for n in range(20)]
    whole = nearest(shingled(texts[:10]), shingled(texts[5:]))
    monkeypatch.setattr("alloop.similar.CELLS", 20)
    parts = nearest(shingled(texts[:10]), shingled(texts[5:]))
    assert all(np.array_equal(one, other) for one, other in zip(whole, parts, strict=True))
