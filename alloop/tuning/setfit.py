"""SetFit: the base learns which texts belong together, then logistic regression says what they are called."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from alloop.tuning import Choice, FitJob, Range, Search
from alloop.tuning._linear import fit_linear
from alloop.tuning._training import SCALE, train
from alloop.tuning.full import Full

if TYPE_CHECKING:
    from alloop.tuning._bases import Base


@dataclass(frozen=True)
class SetFit(Full):
    """Contrastive fine-tuning of all weights (Tunstall et al. 2022, arXiv:2209.11055), for a handful of labels.

    Vectors of texts that share a label are drawn together, of others apart, by the squared error of their cosine; texts
    become many more pairs than there are texts. Then the head is logistic regression on the tuned vectors. As memory
    and size go it is "full".

    Which pairs: each text in turn with one that shares a label with it, drawn anew each time, batch / 2 such couples a
    step. The authors compare couples only; here every two texts of a step are compared, batch * (batch - 1) / 2 pairs,
    those that share a label counting half of the loss. So the work grows with the texts, not with their square.
    Texts without any label are drawn apart from those that have one, and not compared with each other.

    It is alloop's own rather than the package setfit, whose trainer is sentence-transformers' and whose head is a
    pickle: here is one training loop for all tuners, the same bytes for the same job, and nothing that runs code.

    strength: trust of the logistic regression in the examples (scikit-learn's C). steps, epochs: at least so many of
    both. base: "minilm", a directory, or a Hub id. max_tokens: where longer texts are cut. learning_rate: the peak.
    batch: texts a step. class_weights: of the logistic regression.
    """

    learning_rate: float = 1e-4
    batch: int = 16
    strength: float = 30.0

    name: ClassVar[str] = "setfit"
    search: ClassVar[Search] = {
        "learning_rate": Range(1e-5, 5e-4, log=True),
        ("steps", "epochs"): Choice(((60, 1.5), (120, 3.0), (240, 6.0))),
        "strength": Range(0.3, 300, log=True),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strength <= 0 or self.batch < 2:
            raise ValueError("strength must be above 0, and batch above 1: texts are compared")
        if self.accumulate > 1:
            raise ValueError("accumulate has no use: every two texts of a step are compared; lower batch instead")
        if self.head_learning_rate is not None or self.label_smoothing:
            raise ValueError("head_learning_rate and label_smoothing have no use: the head is logistic regression")

    def learn(self, base: "Base", network: Any, head: Any, job: FitJob) -> dict[str, Any]:
        """Train `network` on pairs, then find the head; train_loss and dev_loss are of pairs."""
        import torch

        from alloop.tuning._encoding import computing_in, embed, for_scoring

        y, rng = job.targets(job.train), np.random.default_rng(job.seed)
        tokens = self.tokenize(base, [example.text for example in job.train])
        dev = (self.tokenize(base, [one.text for one in job.dev]), job.targets(job.dev)) if job.dev else None
        measured = train(
            base,
            network,
            head,
            tokens,
            y,
            _likeness,
            self,
            rng,
            dev,
            order=lambda steps: _couples(y, self.batch, steps, rng),
            divisible=False,
        )
        with computing_in("auto"):  # as predicting will see them
            vectors = embed(base, for_scoring(network), tokens)
        linear = fit_linear(vectors, y, job.kind, self.strength, self.class_weights)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(linear["weight"] / SCALE))
            head.bias.copy_(torch.from_numpy(linear["bias"]))
        return measured


plugin = SetFit


def _likeness(vectors: Any, logits: Any, target: Any) -> Any:
    """Mean squared error of the cosines of all pairs: 1 is right where two texts share a label, else 0."""
    import torch

    rows, columns = torch.triu_indices(len(vectors), len(vectors), 1, device=vectors.device)
    share = (target @ target.T > 0).float()[rows, columns]  # (pairs,)
    either = target.any(1)
    apart = (1 - share) * (either[rows] | either[columns])
    error = ((vectors @ vectors.T)[rows, columns] - share) ** 2
    pull, push = ((those * error).sum() / those.sum().clamp(min=1) for those in (share, apart))
    return (pull + push) / 2


def _couples(y: np.ndarray, batch: int, steps: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Rows of each step: texts in turn, each followed by another that shares a label; where none does, by any."""
    waiting: list[int] = []
    for _ in range(steps):
        while len(waiting) < batch // 2:
            waiting += rng.permutation(len(y)).tolist()
        anchors, waiting = waiting[: batch // 2], waiting[batch // 2 :]
        rows = []
        for anchor in anchors:
            others = np.flatnonzero(y @ y[anchor] > 0)
            others = others[others != anchor]
            rows += [anchor, int(rng.choice(others) if len(others) else rng.integers(len(y)))]
        yield rows
