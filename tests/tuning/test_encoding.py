import numpy as np
import pytest
import torch

from alloop.tuning._encoding import TOKENS_A_BATCH, batches_of_one_length, has_fast_bfloat16, pad_batch, pool


def test_batches_hold_one_length_and_every_row_once():
    lengths = sorted([7] * 900 + [13] * 400 + [100] * 50)
    batches = list(batches_of_one_length(lengths))
    assert [row for batch in batches for row in batch] == list(range(len(lengths)))
    assert all(len({lengths[row] for row in batch}) == 1 for batch in batches)
    assert max(sum(lengths[row] for row in batch) for batch in batches) <= TOKENS_A_BATCH


def test_lengths_that_few_texts_have_share_a_batch_of_similar_ones():
    lengths = list(range(10, 60))
    batches = list(batches_of_one_length(lengths))
    assert len(batches) < 12
    assert all(lengths[batch[-1]] <= 1.25 * lengths[batch[0]] + 1 for batch in batches)


def test_a_text_longer_than_a_batch_is_its_own():
    assert list(batches_of_one_length([9000, 9000])) == [range(1), range(1, 2)]


@pytest.mark.parametrize(("pooling", "expected"), [("mean", [0.6, 0.8]), ("cls", [1.0, 0.0]), ("last", [0.0, 1.0])])
def test_pooling_does_not_see_the_padding(pooling, expected):
    hidden = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [50.0, 50.0]]])
    pooled = pool(hidden, torch.tensor([2]), pooling)
    assert pooled[0].tolist() == pytest.approx(expected)


def test_a_mask_is_made_only_where_something_is_padded():
    cpu = torch.device("cpu")
    ids, lengths, mask = pad_batch([[5, 6], [7]], 0, cpu)
    assert (ids.tolist(), lengths.tolist(), mask.tolist()) == ([[5, 6], [7, 0]], [2, 1], [[1, 1], [1, 0]])
    assert pad_batch([[5, 6], [7, 8]], 0, cpu)[2] is None


def test_emulated_bfloat16_is_not_fast(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "avx512_bf16": False}, raising=False)
    assert not has_fast_bfloat16(torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert has_fast_bfloat16(torch.device("cpu"))


def test_fp32_processors_predict_nearly_the_same(monkeypatch):
    from alloop.tuning import _encoding
    from alloop.tuning._bases import load_base

    base = load_base("minilm")
    tokens = base.tokenize(["where is my card?", "the match was won", "hello"], 32)
    fast = _encoding.embed(base, _encoding.for_scoring(base.network), tokens)
    monkeypatch.setattr(_encoding, "has_fast_bfloat16", lambda device: False)
    slow = _encoding.embed(base, _encoding.for_scoring(base.network), tokens)
    assert np.sum(fast * slow, 1) == pytest.approx(np.ones(3), abs=2e-3)
