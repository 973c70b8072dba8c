"""Adaptation: a base goes on learning language from the texts of a project (Gururangan et al. 2020, arXiv:2004.10964).

Encoders learn to fill in masked tokens: 15 % of a text's, of which 80 % are hidden, 10 % replaced at random and 10 %
left as they are (Devlin et al. 2019). Decoders learn to say the next token.

What it brought is the perplexity of texts held back, before and after, under the same masks, drawn once. Many a base
has no head that can say tokens: sentence-transformers publish none. Then one is fitted with the base frozen, and
"before" is the perplexity of the frozen base with this head, trained on for as many steps as "after" gets: both numbers
rest on equally many updates of the head, in the same order, and their difference is what the base itself has learnt.
"""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alloop.errors import DataError, ModelError
from alloop.pretrained import best_device, quiet
from alloop.progress import progress
from alloop.tuning._bases import Base, load_base
from alloop.tuning._encoding import has_fast_bfloat16, pad_batch
from alloop.tuning._training import batches

MASKED_SHARE, HIDDEN_SHARE, REPLACED_SHARE = 0.15, 0.8, 0.1
LOOKS = 4  # different masks under which each held-back text is measured: short texts have one or two masked tokens
BATCH = {"masked": 32, "causal": 8}  # texts a step; a decoder is asked at every token, and answers with a vocabulary
TOKENS_AT_ONCE, PLACES_AT_ONCE = 8, 64  # lengths of batches, and places asked about, are multiples of these
RATE, HEAD_RATE, WARMUP_SHARE = 5e-5, 1e-3, 0.1  # of the base, and of a head that starts from nothing
RESAMPLES = 1_000
TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json", "added_tokens.json")


@dataclass(frozen=True)
class AdaptJob:
    """All that an adaptation depends on. `minutes` is about how long to train: a slow machine takes fewer steps."""

    base: str
    train: Sequence[str]
    held_back: Sequence[str]
    max_tokens: int
    epochs: float
    minutes: float
    seed: int


@dataclass(frozen=True)
class Question:
    """A text with gaps: what the network reads, and which token is meant at each of the places asked about."""

    ids: list[int]
    places: list[int]
    meant: list[int]


def adapt(job: AdaptJob, out: Path) -> dict[str, Any]:
    """Write an adapted base, which `load_base` reads, into the existing, empty directory `out`.

    Returns steps, epochs_trained, had_head, and perplexity: before, after and their ratio, each with a 95 % interval.
    The same job gives the same base on one machine as long as `minutes` suffice.
    """
    import torch

    base = load_base(job.base)
    with torch.random.fork_rng():  # the caller's random numbers stay as they were
        torch.manual_seed(job.seed)
        reader = _Reader(base, best_device())
        train = reader.readable(base.tokenize(job.train, job.max_tokens))
        held_back = reader.readable(base.tokenize(job.held_back, job.max_tokens))
        if not train or not held_back:
            raise DataError(
                f"the texts have no tokens that {base.name!r} could learn from", "choose another model.base"
            )
        measured = _measured_training(reader, train, held_back, job)
        _write(reader, base, out)
    return measured


def _measured_training(
    reader: "_Reader", train: list[list[int]], held_back: list[list[int]], job: AdaptJob
) -> dict[str, Any]:
    batch = BATCH[reader.kind]
    steps = math.ceil(job.epochs * len(train) / batch)
    steps = min(steps, _affordable(reader, train, batch, 60 * job.minutes))
    rng = np.random.default_rng([job.seed, 0])
    questions = [question for _ in range(LOOKS) for question in reader.questions(held_back, rng)]
    phases = 1 if reader.has_head else 3
    with progress("adapting", phases * steps) as advance:

        def go(number: int, rate: float, head_rate: float) -> None:
            rng = np.random.default_rng([job.seed, number])
            _train(reader, train, batch, steps, rate, head_rate, rng, advance)

        if reader.has_head:
            before = reader.losses(questions)
            go(2, RATE, RATE)
        else:
            go(1, 0.0, HEAD_RATE)
            first = reader.copy_of_head()
            go(2, 0.0, HEAD_RATE)
            before = reader.losses(questions)
            reader.put_head(first)
            go(2, RATE, HEAD_RATE)  # the same batches, masks and updates of the head
    after = reader.losses(questions)
    counts = np.array([len(question.places) for question in questions], float)
    return {
        "steps": steps,
        "epochs_trained": round(steps * batch / len(train), 2),
        "had_head": reader.has_head,
        "perplexity": _perplexities(before, after, counts, len(held_back), np.random.default_rng([job.seed, 3])),
    }


def _affordable(reader: "_Reader", train: list[list[int]], batch: int, seconds: float) -> int:
    """How many steps fit into the time, judged by a few that change nothing: their learning rate is 0."""

    def seconds_a_step(with_base: bool) -> float:
        times: list[float] = []
        rng = np.random.default_rng(0)
        _train(reader, train, batch, 6, 0.0, 0.0, rng, lambda n: times.append(time.perf_counter()), with_base)
        return (times[-1] - times[1]) / (len(times) - 2)

    a_step = seconds_a_step(True)
    if not reader.has_head:
        a_step += 2 * seconds_a_step(False)
    return max(1, int(seconds / a_step))


def _train(
    reader: "_Reader",
    tokens: list[list[int]],
    batch: int,
    steps: int,
    rate: float,
    head_rate: float,
    rng: np.random.Generator,
    advance: Callable[[int], None],
    with_base: bool | None = None,
) -> None:
    """Train in place; the base is frozen where its rate is 0, unless `with_base` says otherwise."""
    import torch
    from transformers import get_linear_schedule_with_warmup

    with_base = rate > 0 if with_base is None else with_base
    reader.freeze(not with_base)
    groups: list[dict[str, Any]] = [{"params": reader.of_head, "lr": head_rate}] if reader.of_head else []
    if with_base:
        groups.append({"params": reader.of_base, "lr": rate})
    parameters = [parameter for group in groups for parameter in group["params"]]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
    rates = get_linear_schedule_with_warmup(optimizer, int(WARMUP_SHARE * steps), steps)
    for step, rows in enumerate(batches([len(ids) for ids in tokens], batch, steps, rng), 1):
        loss = reader.ask(reader.questions([tokens[row] for row in rows], rng)).mean()
        if not math.isfinite(loss.item()):
            raise ModelError(f"adapting failed: the loss is {loss.item()} at step {step}", "choose another model.base")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        rates.step()
        optimizer.zero_grad()
        advance(1)


class _Reader:
    """A copy of the base with a head that says tokens: the checkpoint's own, else one drawn at random."""

    def __init__(self, base: Base, device: Any) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoModelForMaskedLM
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as DECODERS
        from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as ENCODERS

        family = base.network.config.model_type
        if family not in ENCODERS and family not in DECODERS:
            raise ModelError(f"the base {base.name!r} ({family}) has no language model to train", "choose another base")
        self.kind = "masked" if family in ENCODERS else "causal"
        if self.kind == "masked" and base.tokenizer.mask_token_id is None:
            raise ModelError(f"the tokenizer of {base.name!r} has no mask token", "choose another model.base")
        with quiet():
            self.model, report = (
                AutoModelForMaskedLM if self.kind == "masked" else AutoModelForCausalLM
            ).from_pretrained(
                base.directory,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        self.base, self.device = base, device
        self.model.to(device).eval()  # without dropout: masks differ each time, and that is noise enough
        self.network = self.model.base_model
        self.of_base = list(self.network.parameters())
        own = {id(parameter) for parameter in self.of_base}  # the table of words is often the head's too
        self.of_head = [parameter for parameter in self.model.parameters() if id(parameter) not in own]
        inner = f"{self.model.base_model_prefix}."
        self.has_head = all(key.startswith(inner) for key in report["missing_keys"])
        self.half = has_fast_bfloat16(device)
        if self.half and device.type == "cpu":
            self.model.set_attn_implementation("eager")  # see copy_for_speed
        special = set(base.tokenizer.all_special_ids)
        self.special = np.array(sorted(special))
        self.words = np.array([one for one in range(len(base.tokenizer)) if one not in special])

    def freeze(self, base: bool) -> None:
        for parameter in self.of_head:
            parameter.requires_grad_(True)
        for parameter in self.of_base:
            parameter.requires_grad_(not base)

    def copy_of_head(self) -> list[Any]:
        return [parameter.detach().clone() for parameter in self.of_head]

    def put_head(self, weights: list[Any]) -> None:
        for parameter, values in zip(self.of_head, weights, strict=True):
            parameter.data.copy_(values)

    def readable(self, tokens: list[list[int]]) -> list[list[int]]:
        """The texts in which there is something to ask about."""
        return [ids for ids in tokens if (len(ids) > 1 if self.kind == "causal" else len(self._maskable(ids)))]

    def _maskable(self, ids: list[int]) -> np.ndarray:
        return np.flatnonzero(~np.isin(ids, self.special))

    def questions(self, tokens: Sequence[list[int]], rng: np.random.Generator) -> list[Question]:
        """One for each text, with other gaps each time."""
        if self.kind == "causal":
            return [Question(ids, list(range(len(ids) - 1)), ids[1:]) for ids in tokens]
        return [self._masked(ids, rng) for ids in tokens]

    def _masked(self, ids: list[int], rng: np.random.Generator) -> Question:
        can = self._maskable(ids)
        asked = rng.random(len(can)) < MASKED_SHARE
        asked[rng.integers(len(can))] |= not asked.any()  # one at least
        places = can[asked].tolist()
        shown = list(ids)
        for place, chance in zip(places, rng.random(len(places)), strict=True):
            if chance < HIDDEN_SHARE:
                shown[place] = self.base.tokenizer.mask_token_id
            elif chance < HIDDEN_SHARE + REPLACED_SHARE:
                shown[place] = int(rng.choice(self.words))
        return Question(shown, places, [ids[place] for place in places])

    def ask(self, questions: Sequence[Question]) -> Any:
        """The loss, -log p, at each place asked about, one text after the other."""
        import torch

        ids, _, mask = pad_batch([question.ids for question in questions], self.base.pad, self.device)
        asked = [(row, *one) for row, q in enumerate(questions) for one in zip(q.places, q.meant, strict=True)]
        # Sizes that come again and again: with new ones each step the heap falls into pieces, gigabytes of them
        ids, mask = _widened(ids, mask, self.base)
        padded = asked + [(0, 0, 0)] * (-len(asked) % PLACES_AT_ONCE)
        rows, columns, meant = torch.tensor(padded, device=self.device).T

        def only_the_places(module: Any, inputs: Any, output: Any) -> Any:
            # A vocabulary of 30,000 at every token is most of the work, and an encoder is asked about one in seven
            output.last_hidden_state = output.last_hidden_state[rows, columns][None]  # (1, places, D)
            return output

        hook = self.network.register_forward_hook(only_the_places)
        try:
            # One context per forward pass: it keeps casts of the weights, and the next step makes those stale.
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                more = {"use_cache": False} if self.kind == "causal" else {}
                logits = self.model(input_ids=ids, attention_mask=mask, **more).logits[0]  # (places, V)
        finally:
            hook.remove()
        return torch.nn.functional.cross_entropy(logits.float(), meant, reduction="none")[: len(asked)]

    def losses(self, questions: Sequence[Question]) -> np.ndarray:
        """The summed loss of each question (Q,)."""
        import torch

        out = np.zeros(len(questions))
        order = sorted(range(len(questions)), key=lambda row: len(questions[row].ids))
        size = BATCH[self.kind]
        with torch.no_grad():
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                losses = self.ask([questions[row] for row in rows]).cpu().numpy()
                owner = np.repeat(np.arange(len(rows)), [len(questions[row].places) for row in rows])
                out[rows] = np.bincount(owner, losses, len(rows))
        return out


def _widened(ids: Any, mask: Any, base: Base) -> tuple[Any, Any]:
    """ids (B, L) and mask (B, L) with L a multiple of TOKENS_AT_ONCE, or as long as the base can read."""
    import torch

    wide = math.ceil(ids.shape[1] / TOKENS_AT_ONCE) * TOKENS_AT_ONCE
    more = min(wide, base.max_tokens or wide) - ids.shape[1]
    mask = torch.ones_like(ids) if mask is None else mask
    return torch.nn.functional.pad(ids, (0, more), value=base.pad), torch.nn.functional.pad(mask, (0, more))


def _perplexities(
    before: np.ndarray, after: np.ndarray, counts: np.ndarray, texts: int, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """exp(mean loss a token), from sums over questions; the intervals by resampling texts, both sides alike."""
    sums = np.stack([one.reshape(-1, texts).sum(0) for one in (before, after, counts)], 1)  # (texts, 3)
    draws = rng.multinomial(texts, np.full(texts, 1 / texts), RESAMPLES) @ sums  # (RESAMPLES, 3)
    means = np.concatenate([sums.sum(0, keepdims=True), draws])
    first, second = means[:, 0] / means[:, 2], means[:, 1] / means[:, 2]
    found = {}
    for name, logs in {"before": first, "after": second, "ratio": second - first}.items():
        low, high = np.quantile(logs[1:], [0.025, 0.975])
        found[name] = {key: math.exp(value) for key, value in (("value", logs[0]), ("low", low), ("high", high))}
    return found


def _write(reader: _Reader, base: Base, out: Path) -> None:
    """The network without the head, and the rest as the base had it: the tokenizer, how vectors are pooled."""
    with quiet():
        reader.network.to("cpu").save_pretrained(out)
    for pattern in TOKENIZER:
        for path in base.directory.glob(pattern):
            shutil.copyfile(path, out / path.name)
    pooling = base.directory / "1_Pooling" / "config.json"
    if pooling.is_file():
        (out / "1_Pooling").mkdir()
        shutil.copyfile(pooling, out / "1_Pooling" / "config.json")
