"""Cloze: the text goes into a sentence with a gap, and what a masked language model puts there names the label."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from alloop.errors import ConfigError, ModelError
from alloop.tuning import Choice, FitJob, Range, Search
from alloop.tuning._finetuning import FineTuner
from alloop.tuning._training import SCALE

if TYPE_CHECKING:
    from alloop.tuning._bases import Base
    from alloop.tuning._encoding import Tokens

LOOKED_AT = 32  # texts on which the first head is put to scale


@dataclass(frozen=True)
class Cloze(FineTuner):
    """Prompt-based fine-tuning (Schick & Schütze 2021, arXiv:2001.07676; Gao et al. 2021, arXiv:2012.15723).

    The vector of a text is what a masked language model makes of the gap in the pattern, and the head starts as the
    words of each label (the mean, where a word has several pieces): before a label is seen the model says what the base
    would write into the gap. Then all weights are tuned, as in "full". For a handful of labels, on a base that was
    published as a masked language model: BERT, RoBERTa, DistilBERT, ModernBERT. The bundled "minilm" was not: of such a
    base the state at the gap is compared with the words as they are read, which says little before training.

    pattern: with {text} and {mask}, once each; long texts are cut, the pattern never. words: label = "word", or several
    in a list, best those that fit the gap; else the label's name. base: an encoder with a mask token, a directory, or a
    Hub id. max_tokens: where text and pattern are cut. learning_rate: the peak, of the base's weights;
    head_learning_rate: of the head.
    """

    pattern: str = "{text} It is about {mask}."
    words: dict[str, Any] = field(default_factory=dict, hash=False)
    learning_rate: float = 1e-4

    name: ClassVar[str] = "cloze"
    search: ClassVar[Search] = {
        "learning_rate": Range(1e-5, 5e-4, log=True),
        ("steps", "epochs"): Choice(((60, 1.5), (120, 3.0), (240, 6.0))),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pattern.count("{text}") != 1 or self.pattern.count("{mask}") != 1:
            raise ValueError(f"pattern = {self.pattern!r} must have {{text}} and {{mask}} in it, once each")
        if not isinstance(self.words, dict):
            raise ValueError(f'words = {self.words!r} is not a table of label = "word"')
        for label, said in self.words.items():
            if not (_words(said) and all(isinstance(word, str) and word.strip() for word in _words(said))):
                raise ValueError(f"words: {label} = {said!r} is neither a word nor a list of words")

    def tokenize(self, base: "Base", texts: Sequence[str]) -> "Tokens":
        """Each text in the pattern; what would be too long is cut off the text."""
        _refuse_others(base)
        tokenizer = base.tokenizer
        before, after = self.pattern.replace("{mask}", tokenizer.mask_token).split("{text}")
        one = tokenizer(tokenizer.mask_token)["input_ids"]  # between what the tokenizer puts around any text
        place = one.index(tokenizer.mask_token_id)
        first = [*one[:place], *_ids(base, [before.rstrip()])[0]]
        last = [*_ids(base, [after])[0], *one[place + 1 :]]
        limit = min(self.max_tokens, base.max_tokens or self.max_tokens)
        room = limit - len(first) - len(last)
        if room < 1:
            raise ConfigError(
                f"the pattern {self.pattern!r} takes {len(first) + len(last)} tokens, model.max_tokens is {limit}",
                "raise model.max_tokens, or shorten the pattern",
            )
        space = " " if before != before.rstrip() else ""
        cut = [space + text[: 32 * limit] for text in texts]
        mask = tokenizer.mask_token_id  # a text may hold its own
        return [[*first, *[one for one in ids if one != mask][:room], *last] for ids in _ids(base, cut)]

    def adapt(self, base: "Base") -> Any:
        """A copy of the masked language model, without its vocabulary, in which everything requires a gradient."""
        from alloop.tuning._encoding import copy_for_speed
        from alloop.tuning._families import unfreeze

        network = copy_for_speed(_masked_lm(base)[0])
        return unfreeze(network, (name for name, _ in network.named_parameters()))

    def first_head(self, base: "Base", job: FitJob) -> Any:
        """The words of each label, so that logits are the language model's own, for a gap of average length.

        In multi-label tasks they are shifted to how frequent labels are: a masked language model only says which word
        is likelier than another.
        """
        import torch

        strangers = sorted(self.words.keys() - set(job.labels))
        if strangers:
            labels = ", ".join(job.labels)
            raise ConfigError(
                f"words: {strangers[0]!r} is no label; there are: {labels}", "under [options.cloze.words]"
            )
        network, weight, bias = _masked_lm(base)
        head = super().first_head(base, job)
        tokens = self.tokenize(base, [example.text for example in job.train[:LOOKED_AT]])
        with torch.no_grad():
            gaps = torch.cat([network.gap(torch.tensor([ids]), None) for ids in tokens])  # (N, D)
            length = gaps.norm(dim=1).mean()
            for row, label in enumerate(job.labels):
                said = _words(self.words.get(label, label.replace("_", " ").replace("-", " ")))
                pieces = [one for ids in _ids(base, [f" {word}" for word in said]) for one in ids]
                if not pieces:
                    continue
                mean = weight[pieces].mean(0) * length  # (D,), for vectors of length 1
                head.weight[row] = mean / SCALE
                if job.kind == "multi":
                    head.bias[row] -= (torch.nn.functional.normalize(gaps, dim=1) @ mean).mean()
                else:
                    head.bias[row] = bias[pieces].mean()
        return head

    def _shape(self) -> dict[str, Any]:
        return {"pattern": self.pattern}


plugin = Cloze


def _words(said: Any) -> list[Any]:
    return [said] if isinstance(said, str) else list(said) if isinstance(said, list | tuple) else []


def _ids(base: "Base", texts: Sequence[str]) -> list[list[int]]:
    """Token ids of pieces of text, without what the tokenizer puts around a whole one."""
    if not texts:
        return []
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    found: list[list[int]] = base.tokenizer(clean, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    return found


def _refuse_others(base: "Base") -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as ENCODERS

    family = base.network.config.model_type
    if family in ENCODERS and base.tokenizer.mask_token_id is not None:
        return
    why = "its tokenizer has no mask token" if family in ENCODERS else "it is no masked language model"
    raise ModelError(
        f"the base {base.name!r} ({family}) cannot fill a gap: {why}",
        'set model.base to an encoder such as "roberta-base", or model.tuner = "lora"',
    )


@lru_cache(maxsize=1)
def _masked_lm(base: "Base") -> tuple[Any, Any, Any]:
    """The network that says vectors of gaps, and weight (V, D) and bias (V,) that make words of them.

    A checkpoint without a head of its own, as sentence-transformers publish them, has its input embeddings for words
    and the state at the gap as it is.
    """
    import torch
    from transformers import AutoModelForMaskedLM

    from alloop.pretrained import quiet

    _refuse_others(base)
    with quiet(), torch.random.fork_rng(devices=[]):  # a missing head is drawn at random, and not used
        model, report = AutoModelForMaskedLM.from_pretrained(
            base.directory,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    model.eval().requires_grad_(False)
    read = model.get_input_embeddings().weight
    inner = f"{model.base_model_prefix}."
    has_head = all(key.startswith(inner) for key in report["missing_keys"])
    decoder = model.get_output_embeddings()
    names = [name for name, module in model.named_modules() if module is decoder]
    if not has_head or not names or getattr(decoder, "out_features", 0) != len(read):
        return _gap_network(base.network, base), base.network.get_input_embeddings().weight, torch.zeros(len(read))
    weight = decoder.weight
    bias = torch.zeros(len(weight)) if decoder.bias is None else decoder.bias
    if weight.shape[1] != base.width:
        raise ModelError(
            f"the base {base.name!r} says words by {weight.shape[1]} numbers, and its vectors have {base.width}",
            'set model.tuner = "lora", or choose another model.base',
        )
    parent, _, name = names[0].rpartition(".")
    setattr(model.get_submodule(parent), name, torch.nn.Identity())
    for holder in model.modules():  # BERT keeps the bias of its vocabulary a second time
        for name, parameter in list(holder.named_parameters(recurse=False)):
            if parameter is bias:
                setattr(holder, name, None)
    return _gap_network(model, base), weight, bias


def _gap_network(model: Any, base: "Base") -> Any:
    """A network that reads tokens with a gap and has the gap's vector at every place, whichever way they are pooled."""
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    mask = base.tokenizer.mask_token_id

    class GapNetwork(torch.nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def gap(self, input_ids: Any, attention_mask: Any) -> Any:
            """Vectors (B, D) of the gaps, of any length."""
            place = (input_ids == mask).int().argmax(1)  # (B,)

            def only_the_gap(module: Any, inputs: Any, output: Any) -> Any:
                output.last_hidden_state = output.last_hidden_state[torch.arange(len(place)), place][:, None]
                return output

            bare = getattr(self.inner, "base_model", self.inner)
            hook = bare.register_forward_hook(only_the_gap)
            try:
                said = self.inner(input_ids=input_ids, attention_mask=attention_mask)
            finally:
                hook.remove()
            return (said.logits if hasattr(said, "logits") else said.last_hidden_state)[:, 0]

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            vectors = self.gap(input_ids, attention_mask)[:, None]
            return BaseModelOutput(last_hidden_state=vectors.expand(-1, input_ids.shape[1], -1))

        def set_attn_implementation(self, name: str) -> None:
            self.inner.set_attn_implementation(name)

    return GapNetwork(model)
