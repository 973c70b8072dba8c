"""A text classifier: a pretrained network, the pooled vector of a text at length 1, and a linear layer on it.

alloop wrote this file beside the weights. It needs torch and transformers, and nothing of alloop:

    from transformers import pipeline

    classify = pipeline("text-classification", model=DIRECTORY, trust_remote_code=True)
    classify(["a text", "another"], top_k=None)
"""

from typing import Any

import torch
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel, TextClassificationPipeline
from transformers.modeling_outputs import SequenceClassifierOutput


class AlloopConfig(PreTrainedConfig):  # type: ignore[misc]
    """base: the configuration of the pretrained network. pooling: "mean", "cls" or "last".

    empty: the token that stands for a text without any.
    """

    model_type = "alloop"
    base: dict[str, Any] | None = None
    pooling: str = "mean"
    empty: int = 0


class AlloopForSequenceClassification(PreTrainedModel):  # type: ignore[misc]
    """logits (B, C) of texts whose tokens are padded on the right.

    A softmax makes probabilities of them, a sigmoid where a text may have several labels: `config.problem_type` says
    which. A calibration temperature, where one was fitted, is part of the weights.
    """

    config_class = AlloopConfig
    base_model_prefix = "base"
    _supports_sdpa = True

    def __init__(self, config: AlloopConfig) -> None:
        super().__init__(config)
        self.base = AutoModel.from_config(AutoConfig.for_model(**(config.base or {})))
        if getattr(self.base, "pooler", None) is not None:
            self.base.pooler = None
        self.head = torch.nn.Linear(self.base.config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **unused: Any
    ) -> SequenceClassifierOutput:
        """input_ids and attention_mask (B, L); token types and the like do not matter."""
        if input_ids.shape[1] == 0:
            input_ids = input_ids.new_full((len(input_ids), 1), self.config.empty, dtype=torch.long)
            attention_mask = None
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        return SequenceClassifierOutput(
            logits=self.head(vectors(self.base, input_ids, attention_mask, self.config.pooling))
        )


class AlloopPipeline(TextClassificationPipeline):  # type: ignore[misc]
    """Cuts texts at the length that the model was trained with."""

    def preprocess(self, inputs: Any, **options: Any) -> Any:
        return super().preprocess(inputs, **{"truncation": True, **options})

    def check_model_type(self, supported_models: Any) -> None:
        """The list of transformers' own models does not have this one."""


def vectors(network: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pooled vectors (B, D) of length 1, in fp32. A row without tokens counts as its first padding token."""
    mask = torch.cat([torch.ones_like(attention_mask[:, :1]), attention_mask[:, 1:]], dim=1)
    hidden = network(input_ids=input_ids, attention_mask=mask).last_hidden_state.float()  # (B, L, D)
    if pooling == "cls":
        pooled = hidden[:, 0]
    elif pooling == "last":
        last = (mask.sum(1) - 1)[:, None, None].expand(-1, 1, hidden.shape[2])
        pooled = hidden.gather(1, last)[:, 0]
    else:
        pooled = (hidden * mask[..., None]).sum(1)  # the mean, but for its length
    return torch.nn.functional.normalize(pooled, dim=1)
