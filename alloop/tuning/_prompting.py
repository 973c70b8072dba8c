"""Virtual tokens before every text: their embeddings are weights of the network, and nobody outside sees them."""

from typing import Any

from alloop.errors import ModelError
from alloop.tuning._bases import Base
from alloop.tuning._families import unfreeze


def with_prompt(base: Base, length: int) -> Any:
    """A copy of the base's network that reads `length` virtual tokens first, alone in requiring a gradient.

    What it says is of the text's own tokens. The virtual ones start as the embeddings of words drawn from the base's
    vocabulary (Lester et al. 2021, section 3.2), not as noise. Hooks rather than peft's PromptEmbedding: that starts
    from noise or a given text, and its wrapper around the network hands out the virtual tokens' states too.
    """
    import torch

    from alloop.tuning._encoding import copy_for_speed

    network = copy_for_speed(base.network)
    embed = network.get_input_embeddings()
    network.prompt = torch.nn.Embedding(length, embed.weight.shape[1])  # ELECTRA's words are narrower than its layers
    with torch.no_grad():
        network.prompt.weight.copy_(embed(random_words(base, length)))
    network.register_forward_pre_hook(_put_before, with_kwargs=True)
    network.register_forward_hook(_take_away)
    return unfreeze(network, iter(["prompt.weight"]))


def random_words(base: Base, length: int) -> Any:
    """Token ids (length,) of words that are not special tokens, drawn from torch's global generator.

    Raises ModelError where they leave no room for a text.
    """
    import torch

    if base.max_tokens is not None and length >= base.max_tokens:
        raise ModelError(
            f"the base {base.name!r} reads {base.max_tokens} tokens, and the option length alone is {length}",
            "lower it, or choose another model.base",
        )
    special = set(base.tokenizer.all_special_ids)
    rows = min(len(base.tokenizer), base.network.get_input_embeddings().weight.shape[0])
    words = torch.tensor([word for word in range(rows) if word not in special])
    return words[torch.randint(len(words), (length,))]


def _put_before(network: Any, given: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """input_ids (B, L) become inputs_embeds (B, P + L, D), and the mask, if any, (B, P + L)."""
    import torch

    ids, mask = named["input_ids"], named["attention_mask"]
    texts = network.get_input_embeddings()(ids)  # (B, L, D)
    prompt = network.prompt.weight.to(texts.dtype).expand(ids.shape[0], -1, -1)  # (B, P, D)
    if mask is not None:
        mask = torch.nn.functional.pad(mask, (prompt.shape[1], 0), value=1)
    return given, {"inputs_embeds": torch.cat([prompt, texts], 1), "attention_mask": mask}


def _take_away(network: Any, given: Any, out: Any) -> Any:
    out.last_hidden_state = out.last_hidden_state[:, network.prompt.num_embeddings :]
    return out
