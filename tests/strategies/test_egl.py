import numpy as np
import pytest

from alloop.strategies import Picks, Pool, strategies


def pick(probs, embeddings, n, kind="single") -> Picks:
    ids = [f"t1-{row}" for row in range(len(probs))]
    pool = Pool(ids, ids, kind, probs=np.asarray(probs), embeddings=np.asarray(embeddings))
    return strategies.build("egl")(pool, n, np.random.default_rng(0))


def test_the_score_is_the_mean_length_of_the_gradients_that_torch_finds():
    import torch

    rng = np.random.default_rng(0)
    head, h = torch.nn.Linear(4, 3), torch.from_numpy(rng.normal(size=(5, 4)).astype(np.float32))
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))
    torch.nn.init.zeros_(head.bias)
    probs, expected = head(h).softmax(1).detach(), []
    for row in range(5):
        mean = 0.0
        for label in range(3):
            head.zero_grad()
            torch.nn.functional.cross_entropy(head(h[row : row + 1]), torch.tensor([label])).backward()
            length = torch.cat([head.weight.grad.flatten(), head.bias.grad]).norm()
            mean += float(probs[row, label] * length)
        expected.append(mean)
    picks = pick(probs.numpy(), h.numpy(), 5)
    assert picks.score[np.argsort(picks.index)] == pytest.approx(expected, rel=1e-4)


def test_of_several_labels_it_is_the_mean_of_theirs():
    picks = pick([[0.5, 0.5], [0.5, 1.0], [0.0, 1.0]], np.zeros((3, 2)), 3, "multi")
    assert picks.index.tolist() == [0, 1, 2]
    assert picks.score == pytest.approx([0.5, 0.25, 0])


def test_of_two_equally_doubtful_texts_the_one_with_the_longer_vector_is_picked():
    assert pick([[0.5, 0.5]] * 2, [[1.0, 0.0], [3.0, 0.0]], 1).index.tolist() == [1]
