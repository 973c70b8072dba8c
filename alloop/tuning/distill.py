"""Distillation: a smaller model learns what a larger one says of texts without labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from alloop.errors import ConfigError, ModelError
from alloop.records import Kind
from alloop.tuning import Choice, FitJob, Range, Search
from alloop.tuning._linear import probabilities
from alloop.tuning._training import Objective, likelihood, train
from alloop.tuning.full import Full

if TYPE_CHECKING:
    from alloop.tuning._bases import Base


@dataclass(frozen=True)
class Distill(Full):
    """A student of `model.base` learns a teacher's probabilities (Hinton et al. 2015, arXiv:1503.02531).

    For a small model to deploy, when a large one has learnt the task: texts without labels are many, and the teacher
    says of each how likely every label is. All weights of the student learn; what stays is the student alone. Each
    text counts by the teacher's probabilities, of labelled texts too, and those once more by their labels.

    teacher: a model directory of any tuner, or another project, whose newest model it then is; a relative path is
    relative to the project. Its labels are this project's, in any order. temperature: logits are divided by it on both
    sides, so that what the teacher thinks unlikely counts too; 1 is as they are. texts: how many without a label it is
    asked about, drawn from the pool. base: the student's: "minilm", a directory, or a Hub id. max_tokens: where longer
    texts are cut. learning_rate: the peak, of the base's weights; head_learning_rate: of the head. batch: texts a step.
    """

    teacher: str = ""
    temperature: float = 2.0
    texts: int = 1_000
    batch: int = 16

    name: ClassVar[str] = "distill"
    search: ClassVar[Search] = {
        "learning_rate": Range(1e-5, 5e-4, log=True),
        "temperature": Choice((1.0, 2.0, 4.0)),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature <= 0 or self.texts < 0:
            raise ValueError("temperature must be above 0, and texts not below")

    @property
    def unlabelled(self) -> int:
        """How many texts without a label it learns from."""
        return self.texts

    def check_task(self, kind: Kind, labels: tuple[str, ...]) -> None:
        """Raises ModelError where the teacher is missing, or has learnt another task."""
        from alloop.tuning._directory import read_about

        if not self.teacher:
            raise ConfigError("distill has no teacher", 'under [options.distill]: teacher = "../another-project"')
        about = read_about(Path(self.teacher))
        if about["kind"] != kind or set(about["labels"]) != set(labels):
            raise ModelError(
                f"the teacher {self.teacher} knows the labels {', '.join(about['labels'])} ({about['kind']}),"
                f" the student is to learn {', '.join(labels)} ({kind})",
                "set options.distill.teacher to a model of the same labels",
            )

    def learn(self, base: "Base", network: Any, head: Any, job: FitJob) -> dict[str, Any]:
        """Train `network` and `head` on the teacher's probabilities and on the labels."""
        self.check_task(job.kind, job.labels)
        y, device = job.targets(job.train), next(network.parameters()).device
        unlabelled = list(job.unlabelled or ())
        train_texts = [example.text for example in job.train]
        dev_texts = [example.text for example in job.dev or ()]
        taught = self._taught(job, [*train_texts, *unlabelled, *dev_texts])  # (N, C)
        of_dev = len(train_texts) + len(unlabelled)
        targets = _with_labels(taught[:of_dev], y)
        dev = None
        if job.dev:
            dev = self.tokenize(base, dev_texts), _with_labels(taught[of_dev:], job.targets(job.dev))
        labels = likelihood(job.kind, y, self.class_weights, self.label_smoothing, device)
        objective = _as_the_teacher(job.kind, labels, self.temperature)
        tokens, rng = self.tokenize(base, [*train_texts, *unlabelled]), np.random.default_rng(job.seed)
        return train(base, network, head, tokens, targets, objective, self, rng, dev, kind=job.kind)

    def _taught(self, job: FitJob, texts: list[str]) -> np.ndarray:
        """The teacher's probabilities (N, C), made softer, its columns in the order of the job's labels."""
        from alloop.tuning._directory import tuner_of

        model = Path(self.teacher)
        said = tuner_of(model).predict(model, texts, ("probs",), job.seed)
        if said.probs is None or said.labels is None:
            raise ModelError(f"the teacher {self.teacher} says no probabilities", "take another teacher")
        probs = said.probs[:, [said.labels.index(label) for label in job.labels]].astype(np.float64).clip(1e-7, 1)
        logits = np.log(probs)
        if job.kind == "multi":
            logits -= np.log((1 - probs).clip(1e-7))
        return probabilities(logits / self.temperature, job.kind)


plugin = Distill


def _with_labels(taught: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Targets (N, 2 C + 1): what the teacher says, what the labels say, and whether there are any; labelled first."""
    given = np.zeros((len(taught), y.shape[1] + 1), np.float32)
    given[: len(y)] = np.column_stack([y, np.ones(len(y), np.float32)])
    return np.asarray(np.concatenate([taught, given], 1), np.float32)


def _as_the_teacher(kind: Kind, labels: Objective, temperature: float) -> Objective:
    """The cross-entropy with softened probabilities, whose gradient shrinks by the temperature's square, as told in the
    paper; and, of the texts that have labels, the likelihood of these."""
    from torch.nn import functional as F  # noqa: N812

    def objective(vectors: Any, logits: Any, target: Any) -> Any:
        width = logits.shape[1]
        taught, given, has = target[:, :width], target[:, width:-1], target[:, -1] > 0
        if kind == "multi":
            loss = F.binary_cross_entropy_with_logits(logits / temperature, taught)
        else:
            loss = F.cross_entropy(logits / temperature, taught)
        loss = loss * temperature**2
        if has.any():
            loss = loss + labels(vectors[has], logits[has], given[has]) * has.float().mean()
        return loss

    return objective
