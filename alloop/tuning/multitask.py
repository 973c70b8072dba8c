"""Multi-task learning: other labelled texts train the same base, each task with a head of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from alloop.errors import ConfigError
from alloop.records import Kind
from alloop.tuning import Choice, FitJob, OtherTask, Range, Search
from alloop.tuning._training import Objective, train
from alloop.tuning.full import Full

if TYPE_CHECKING:
    from alloop.tuning._bases import Base


@dataclass(frozen=True)
class Multitask(Full):
    """Other tasks train the base as well (Caruana 1997; MT-DNN, Liu et al. 2019, arXiv:1901.11504).

    For a task with few labels beside related ones with many: other label sets on the same kind of texts. Half of each
    step are the project's own texts, half those of one other task, which take turns. Each task has a linear head while
    it trains; only the project's own is kept. All weights learn, as in MT-DNN, and not adapters beside a frozen base:
    what the tasks share is the base, and a model of this kind is taken for its accuracy, not for its size.

    others: files of labelled texts, such as `alloop export --labels` writes, or directories of other projects; a
    relative path is relative to the project. A file in which some text has several labels, or none of them, is a task
    of several labels per text. Texts that judge this project's model are left out, and counted. texts: of each other
    task at most, drawn anew for each seed. base: "minilm", a directory, or a Hub id. max_tokens: where longer texts are
    cut. learning_rate: the peak, of the base's weights; head_learning_rate: of the heads. batch: texts a step.
    """

    others: tuple[str, ...] = ()
    texts: int = 1_000
    batch: int = 16

    name: ClassVar[str] = "multitask"
    search: ClassVar[Search] = {
        "learning_rate": Range(1e-5, 5e-4, log=True),
        ("steps", "epochs"): Choice(((60, 1.5), (120, 3.0), (240, 6.0))),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.texts < 1 or self.batch < 2:
            raise ValueError("texts must be above 0, and batch above 1: half of it are other tasks'")

    def check_task(self, kind: Kind, labels: tuple[str, ...]) -> None:
        """Raises ConfigError where no other task is named."""
        if not self.others:
            raise ConfigError("multitask has no other tasks", 'under [options.multitask]: others = ["labels.csv"]')

    def learn(self, base: "Base", network: Any, head: Any, job: FitJob) -> dict[str, Any]:
        """Train `network` and `head`, with `job.others` if there are any; train_loss is of all tasks."""
        import torch

        rng, device = np.random.default_rng(job.seed), head.weight.device
        tasks = [OtherTask("", job.kind, job.labels, job.train), *(_some(one, self.texts, rng) for one in job.others)]
        jobs = [FitJob(task.train, task.kind, task.labels, job.seed) for task in tasks]
        heads = [head, *(self.first_head(base, other).to(device) for other in jobs[1:])]
        joint = torch.nn.Linear(base.width, sum(len(one.weight) for one in heads), device=device)
        with torch.no_grad():
            joint.weight.copy_(torch.cat([one.weight for one in heads]))
            joint.bias.copy_(torch.cat([one.bias for one in heads]))
        ys = [other.targets(other.train) for other in jobs]
        objectives = [self.objective(other.kind, y, device) for other, y in zip(jobs, ys, strict=True)]
        widths = [y.shape[1] for y in ys]
        tokens = self.tokenize(base, [example.text for task in tasks for example in task.train])
        dev = None
        if job.dev:
            of_dev = _side_by_side([job.targets(job.dev)], widths)
            dev = self.tokenize(base, [one.text for one in job.dev]), of_dev
        measured = train(
            base,
            network,
            joint,
            tokens,
            _side_by_side(ys, widths),
            _of_each(objectives, widths),
            replace(self, head_learning_rate=self.head_rate(widths[0], job.kind)),
            rng,
            dev,
            order=lambda steps: _mixed([len(y) for y in ys], self.batch, steps, rng),
        )
        with torch.no_grad():
            head.weight.copy_(joint.weight[: widths[0]])
            head.bias.copy_(joint.bias[: widths[0]])
        return measured


plugin = Multitask


def _some(task: OtherTask, most: int, rng: np.random.Generator) -> OtherTask:
    rows = sorted(rng.permutation(len(task.train))[:most].tolist())
    return replace(task, train=[task.train[row] for row in rows])


def _side_by_side(ys: list[np.ndarray], widths: list[int]) -> np.ndarray:
    """Targets (N, C of all tasks + 1) of the tasks' rows one after the other; the last column is the task's number."""
    starts = np.cumsum([0, *widths])
    blocks = []
    for number, y in enumerate(ys):
        block = np.zeros((len(y), starts[-1] + 1), np.float32)
        block[:, starts[number] : starts[number + 1]] = y
        block[:, -1] = number
        blocks.append(block)
    return np.concatenate(blocks)


def _of_each(objectives: list[Objective], widths: list[int]) -> Objective:
    """Each task's loss on its own texts and its own labels, a text counting as much as another."""
    starts = np.cumsum([0, *widths])

    def objective(vectors: Any, logits: Any, target: Any) -> Any:
        loss = 0.0
        for number, of_task in enumerate(objectives):
            rows, columns = target[:, -1] == number, slice(starts[number], starts[number + 1])
            if rows.any():
                found = of_task(vectors[rows], logits[rows, columns], target[rows, columns])
                loss = loss + found * rows.float().mean()
        return loss

    return objective


def _mixed(sizes: list[int], batch: int, steps: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Rows of each step: half of the first task's, half of one of the others', which take turns."""
    starts = np.cumsum([0, *sizes])
    waiting: list[list[int]] = [[] for _ in sizes]

    def take(task: int, count: int) -> list[int]:
        while len(waiting[task]) < count:
            waiting[task] += (starts[task] + rng.permutation(sizes[task])).tolist()
        some, waiting[task] = waiting[task][:count], waiting[task][count:]
        return some

    others = cycle(range(1, len(sizes)))
    for _ in range(steps):
        own = batch // 2 if len(sizes) > 1 else batch
        yield take(0, own) + (take(next(others), batch - own) if own < batch else [])
