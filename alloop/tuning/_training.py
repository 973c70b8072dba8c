"""The training loop, one for all tuners: they differ in what they make of the base, not in how it learns."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np

from alloop.errors import ConfigError, ModelError
from alloop.progress import progress
from alloop.records import Kind
from alloop.tuning._bases import Base
from alloop.tuning._encoding import Precision, Tokens, pad_batch, pool, uses_bfloat16
from alloop.tuning._families import layers_of
from alloop.tuning._linear import ClassWeights, class_weight_vector
from alloop.tuning._together import add_up, as_main_says, share

SCALE = 12.0  # logits = head(SCALE * vector of length 1); twice as much was no better, see tests/bench/recipe.md
HEAD_RATE, EASY_LABELS = 1e-3, 16  # of the head, up to so many labels
DEV_EVERY = 25  # steps between looks at the dev examples
MOST_POINTS = 60  # of a training curve
SCHEDULERS = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}  # ours -> transformers'

# (vectors (B, D), logits (B, C), target (B, C)) -> loss, a scalar: the mean of the examples'
Objective = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train. Fine-tuning tuners inherit these options.

    learning_rate: the peak, reached after warmup_share of the steps; head_learning_rate: the same of the linear head,
    0.001 where it is not given, and with more than 16 labels of which one applies so many times more.
    schedule: how the rate falls to 0 after the peak, in a line ("linear") or along a "cosine" (Loshchilov & Hutter
    2017, arXiv:1608.03983); "constant" stays at the peak. steps, epochs: at least so many of both. batch: examples a
    step. class_weights: "balanced" makes rare labels count as much as frequent ones, "sqrt" goes half the way.
    label_smoothing: for single-label tasks with noisy labels. accumulate: in how many parts a step's examples go
    through the network, one after the other; memory for one part is enough, and the gradient is the same.
    checkpointing: computes each layer a second time instead of keeping what it computed (Chen et al. 2016,
    arXiv:1604.06174): a third more time, much less memory with long texts. precision: what is computed in; "auto" takes
    bfloat16 ("bf16") where the machine has it in hardware, else "fp32"; what is learnt is always kept in fp32.
    patience: with labels held back, training ends after so many looks at them, 25 steps apart, that were no better;
    0 = never early. choose_steps: without labels held back, so many further trainings, each without a part of the
    labels, say how many steps are best, up to those configured (5 is usual); 0 = as configured.
    """

    learning_rate: float = 1e-3  # the peak, reached after the warm-up
    head_learning_rate: float | None = None  # of the linear head; see head_rate
    steps: int = 120  # at least so many, however few the examples
    epochs: float = 3.0  # at least so often sees each example
    batch: int = 8  # examples a step; small ones learn more a second than large ones
    warmup_share: float = 0.1  # of the steps
    class_weights: ClassWeights = "sqrt"  # rare labels count more: "none", "sqrt", "balanced"
    label_smoothing: float = 0.0  # single-label tasks only
    schedule: Literal["linear", "cosine", "constant"] = "linear"  # of the learning rate after the warm-up
    accumulate: int = 1  # parts in which a step's examples go through the network
    checkpointing: bool = False  # compute layers twice instead of keeping what they computed
    precision: Precision = "auto"  # of training: "fp32", "bf16", "auto" for the faster one
    patience: int = 3  # looks at held-back examples without improvement before the end; 0 = to the end
    choose_steps: int = 0  # folds that choose the number of steps where nothing is held back; 0 = none

    name: ClassVar[str] = "<tuner>"  # as in the config, for messages

    def __post_init__(self) -> None:
        rates = (self.learning_rate, 1.0 if self.head_learning_rate is None else self.head_learning_rate)
        if min(*rates, self.steps, self.epochs, self.batch) <= 0:
            raise ValueError("learning_rate, head_learning_rate, steps, epochs and batch must be above 0")
        if not (0 <= self.warmup_share <= 1 and 0 <= self.label_smoothing < 1):
            raise ValueError("warmup_share and label_smoothing are shares, from 0 to 1")
        if not 1 <= self.accumulate <= self.batch:
            raise ValueError("accumulate is from 1 to batch: every part needs an example")
        if self.patience < 0 or self.choose_steps < 0 or self.choose_steps == 1:
            raise ValueError("patience is 0 or more; choose_steps is 0, or 2 folds or more")

    def head_rate(self, labels: int, kind: Kind | None) -> float:
        """The peak learning rate of the head.

        Where one of many labels applies, each is met in few of the steps, and a step moves what the head says of it by
        about the rate at most: with 77 labels, 120 steps at 0.001 leave the head half trained (docs/tuners.md).
        """
        if self.head_learning_rate is not None:
            return self.head_learning_rate
        return HEAD_RATE * max(1.0, labels / EASY_LABELS) if kind != "multi" else HEAD_RATE

    def steps_for(self, examples: int) -> int:
        """How many steps so many examples are trained on."""
        return max(self.steps, math.ceil(self.epochs * examples / self.batch))


def train(
    base: Base,
    network: Any,
    head: Any,
    tokens: Tokens,
    y: np.ndarray,
    objective: Objective,
    schedule: Schedule,
    rng: np.random.Generator,
    dev: tuple[Tokens, np.ndarray] | None = None,
    order: Callable[[int], Iterator[list[int]]] | None = None,
    kind: Kind | None = None,
    divisible: bool = True,
) -> dict[str, Any]:
    """Train, in place, what in `network` and `head` requires a gradient.

    `head` maps SCALE times a vector (D,) of length 1 to logits (C,); y (N, C) are ones and zeros, or probabilities.
    With `dev` (tokens, y) the weights with the lowest loss there are kept, and training ends when it has stopped
    falling. `order`, given the number of steps, yields the rows of each of them; without it every row comes once an
    epoch. `kind` is needed for more than the loss to be known of dev. Without `divisible` the objective is no mean over
    examples, and a step's stay together. Raises ModelError when a loss is not a number.

    Returns train_loss (the mean over the steps), steps, with dev the lowest dev_loss, and `curve`, see `_curve`.
    """
    import torch
    from transformers import get_scheduler

    if schedule.accumulate > 1 and not divisible:
        message = f"accumulate = {schedule.accumulate} does not work with this tuner: it compares a step's examples"
        raise ConfigError(message, "take the option accumulate out, and lower batch instead")
    steps = schedule.steps_for(len(tokens))
    groups: list[dict[str, Any]] = [
        {"params": [p for p in module.parameters() if p.requires_grad], "lr": rate}
        for module, rate in (
            (network, schedule.learning_rate),
            (head, schedule.head_rate(len(head.weight), kind)),
        )
    ]
    trained = [parameter for group in groups for parameter in group["params"]]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.0, fused=True)
    warmup = int(schedule.warmup_share * steps)
    rates = get_scheduler(SCHEDULERS[schedule.schedule], optimizer, num_warmup_steps=warmup, num_training_steps=steps)
    if schedule.checkpointing:
        _checkpoint_layers(base, network)
    forward = _forward(base, network, head)
    target = torch.from_numpy(y).to(next(network.parameters()).device)  # (N, C)
    losses: list[float] = []
    speeds: list[float] = []  # the learning rate of each step
    looks: dict[int, dict[str, float]] = {}  # step -> what dev said after it
    best = _Best(trained, schedule.patience)
    with progress("training", steps) as advance:
        lengths = [len(ids) for ids in tokens]
        for rows in order(steps) if order else batches(lengths, schedule.batch, steps, rng):
            losses.append(0.0)
            speeds.append(rates.get_last_lr()[0])
            for part in _parts(share(rows) if divisible else rows, schedule.accumulate):
                loss = objective(*forward([tokens[row] for row in part]), target[part]) * (len(part) / len(rows))
                losses[-1] += loss.item()
                loss.backward()
            if divisible:
                losses[-1] = add_up(losses[-1], trained)
            _refuse_divergence(losses[-1], speeds[-1], len(losses), steps, schedule)
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
            advance(1)
            if dev and len(losses) % DEV_EVERY == 0:
                with _evaluating(network):  # dropout would judge each time another model
                    looks[len(losses)] = said = as_main_says(_judge(forward, objective, *dev, kind))
                _refuse_divergence(said["dev_loss"], speeds[-1], len(losses), steps, schedule)
                if not best.improves(said["dev_loss"]):
                    break
    measured: dict[str, Any] = {"train_loss": sum(losses) / len(losses), "steps": float(len(losses))}
    measured["curve"] = _curve(losses, speeds, looks)
    if dev and best.weights:
        best.restore()
        measured["dev_loss"] = best.loss
    return measured


def likelihood(
    kind: Kind, y: np.ndarray, class_weights: ClassWeights, label_smoothing: float, device: Any
) -> Objective:
    """The usual objective: cross-entropy for single-label tasks, of each label by itself for multi-label ones."""
    import torch
    from torch.nn import functional as F  # noqa: N812

    weight = torch.from_numpy(class_weight_vector(y, kind, class_weights)).to(device)  # (C,)

    def multi(vectors: Any, logits: Any, target: Any) -> Any:
        return F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)

    def single(vectors: Any, logits: Any, target: Any) -> Any:
        losses = F.cross_entropy(logits, target, reduction="none", label_smoothing=label_smoothing)  # (B,)
        return (losses * weight[target.argmax(1)]).mean()

    return multi if kind == "multi" else single


def _forward(base: Base, network: Any, head: Any) -> Callable[[Tokens], tuple[Any, Any]]:
    """tokens -> vectors (B, D) of length 1 and logits (B, C), both fp32."""
    import torch

    device = next(network.parameters()).device
    half = uses_bfloat16(device)

    def forward(tokens: Tokens) -> tuple[Any, Any]:
        ids, lengths, mask = pad_batch(tokens, base.pad, device)
        # One context per forward pass: it keeps casts of the weights, and the next step makes those stale.
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            hidden = network(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, L, D)
        vectors = pool(hidden, lengths, base.pooling)
        return vectors, head(SCALE * vectors)

    return forward


def _parts(rows: Sequence[int], parts: int) -> list[Sequence[int]]:
    size = max(1, math.ceil(len(rows) / parts))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _checkpoint_layers(base: Base, network: Any) -> None:
    """Make each layer of `network` forget what it computed, and compute it again for its gradient.

    Not by transformers' own switch: that one works in training mode only, which turns dropout on.
    """
    import torch
    from torch.utils.checkpoint import checkpoint
    from transformers import Cache

    def twice(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        if any(isinstance(one, Cache) for one in (*args, *kwargs.values())):  # the layer would add to it twice
            message = (
                "checkpointing = true does not work with this tuner: it gives its layers a cache of keys and values"
            )
            raise ConfigError(message, "take the option checkpointing out, and raise accumulate instead")
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    kind = type(base.network.get_submodule(layers_of(base)[0]))
    layers = [module for module in network.modules() if isinstance(module, kind)]
    if not layers:
        raise ConfigError(
            "checkpointing = true does not work with this tuner: its network has no layers of the base",
            "take the option checkpointing out, and raise accumulate instead",
        )
    for layer in layers:
        layer.forward = partial(twice, layer.forward)
    for module in network.modules():
        if hasattr(getattr(module, "config", None), "use_cache"):
            module.config.use_cache = False  # decoders keep keys and values for a next token that never comes


def _refuse_divergence(loss: float, rate: float, step: int, steps: int, schedule: Schedule) -> None:
    """Raise ModelError where a loss is not a number."""
    if not math.isfinite(loss):
        raise diverged(schedule, f"the loss is {loss} at step {step} of {steps}, at a learning rate of {rate:.3g}")


def diverged(schedule: Schedule, what: str) -> ModelError:
    """Training led to something that is not a number; nothing was written, and earlier models are as they were."""
    peak = schedule.learning_rate
    return ModelError(
        f"training failed: {what}",
        f"under [options.{schedule.name}] in alloop.toml set learning_rate = {peak / 2:g}, or {peak / 10:g}; an open "
        "round keeps its old options: alloop round --abandon closes it, and all labels stay",
    )


@contextmanager
def _evaluating(network: Any) -> Iterator[None]:
    """With every part in evaluation mode; as before afterwards."""
    trained = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in trained:
            module.training = True


def _judge(
    forward: Callable[[Tokens], tuple[Any, Any]], objective: Objective, tokens: Tokens, y: np.ndarray, kind: Kind | None
) -> dict[str, float]:
    """The mean loss of held-back examples as dev_loss; of a known kind also dev_accuracy or dev_f1_micro, unless
    targets hold more than labels, as those of tuners with another objective may.
    """
    import torch

    order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
    total = 0.0
    said: list[np.ndarray] = []  # logits (C,)
    with torch.no_grad():
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            vectors, logits = forward([tokens[row] for row in rows])
            total += objective(vectors, logits, torch.from_numpy(y[rows]).to(logits.device)).item() * len(rows)
            said.extend(logits.float().cpu().numpy())
    found, logits, y = {"dev_loss": total / len(tokens)}, np.array(said), y[order]
    if logits.shape != y.shape:
        return found
    if kind == "single":
        found["dev_accuracy"] = float((logits.argmax(1) == y.argmax(1)).mean())
    elif kind == "multi" and (given := (logits > 0).sum() + y.sum()):  # none given and none true: there is no F1
        found["dev_f1_micro"] = float(2 * ((logits > 0) * y).sum() / given)
    return found


def _curve(losses: Sequence[float], speeds: Sequence[float], looks: Mapping[int, Mapping[str, float]]) -> list[Any]:
    """At most MOST_POINTS points, however many steps: {"step", "loss", "learning_rate"}, and what dev said after it.

    "loss" is the mean since the point before.
    """
    shown = list(looks)[:: math.ceil(len(looks) / (MOST_POINTS / 2)) or 1]
    even = math.ceil(len(losses) / (MOST_POINTS - len(shown) - 1))
    ends = sorted({*range(even, len(losses), even), *shown, len(losses)})
    return [
        {
            "step": end,
            "loss": sum(losses[start:end]) / (end - start),
            "learning_rate": speeds[end - 1],
            **looks.get(end, {}),
        }
        for start, end in itertools.pairwise([0, *ends])
    ]


class _Best:
    """The weights that had the lowest loss on dev."""

    def __init__(self, parameters: list[Any], patience: int) -> None:
        self.parameters = parameters
        self.patience = patience
        self.weights: list[Any] = []
        self.loss = math.inf
        self.looks_since = 0

    def improves(self, loss: float) -> bool:
        """Keep the present weights if they are better. False when it is time to stop."""
        self.looks_since += 1
        if loss < self.loss:
            self.loss, self.looks_since = loss, 0
            self.weights = [p.detach().clone() for p in self.parameters]
        return not self.patience or self.looks_since < self.patience

    def restore(self) -> None:
        for parameter, weights in zip(self.parameters, self.weights, strict=True):
            parameter.data.copy_(weights)


def batches(lengths: Sequence[int], batch: int, steps: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Row numbers of each step's examples: every row once an epoch, texts of similar length together.

    Only four batches at a time are sorted by length between them, so that epochs still differ in their batches.
    """
    waiting: list[int] = []
    ready: list[list[int]] = []
    for _ in range(steps):
        if not ready:
            while len(waiting) < 4 * batch:
                waiting += rng.permutation(len(lengths)).tolist()
            some, waiting = sorted(waiting[: 4 * batch], key=lengths.__getitem__), waiting[4 * batch :]
            ready = [some[start : start + batch] for start in range(0, 4 * batch, batch)]
            rng.shuffle(ready)
        yield ready.pop()
