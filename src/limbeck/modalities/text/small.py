"""Text classifiers without attention, for devices where a transformer is too much.

Both are ordinary transformers models, called with ``input_ids`` and ``attention_mask`` (B, L): their folders load with
``AutoModelForSequenceClassification.from_pretrained`` and ``pipeline`` once this module has been imported
(``import limbeck.modalities.text.small``), which tells transformers of them. Padding never changes an answer.

One for pairs (``separator_token_id`` in its configuration) pools the tokens up to the first separator and those behind it
apart, and gives its head u, v, |u - v| and u * v of the two (Conneau et al. 2017, "Supervised Learning of Universal Sentence
Representations from Natural Language Inference Data", section 3.1): sides mixed in one mean could not be compared.

Shapes: B texts, L tokens, H width, C classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...nlp.extra import SequenceClassifierOutput, transformers


class BagOfEmbeddingsConfig(transformers.PretrainedConfig):
    """Sizes of :class:`BagOfEmbeddings`."""

    model_type = "limbeck-bag"

    vocab_size: int = 30522
    hidden_size: int = 64  # of an embedding
    intermediate_size: int = 64  # units between the pooled embeddings and the classes
    hidden_dropout_prob: float = 0.1
    initializer_range: float = 0.05
    pad_token_id: int | None = 0
    separator_token_id: int | None = None  # of pairs: the token that ends the first side


class TextConvNetConfig(transformers.PretrainedConfig):
    """Sizes of :class:`TextConvNet`."""

    model_type = "limbeck-textconv"

    vocab_size: int = 30522
    hidden_size: int = 64
    num_hidden_layers: int = 2  # blocks, each of which sees (kernel_size - 1) / 2 tokens further to either side
    intermediate_size: int = 128  # units within a block
    kernel_size: int = 5  # odd
    hidden_dropout_prob: float = 0.1
    initializer_range: float = 0.05
    layer_norm_eps: float = 1e-5
    pad_token_id: int | None = 0
    separator_token_id: int | None = None  # of pairs: the token that ends the first side


class _Classifier(transformers.PreTrainedModel):
    """Embeddings in, logits out; a subclass says what lies between."""

    base_model_prefix = ""
    embeddings: nn.Embedding

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.loss_type = "ForSequenceClassification"  # transformers would go by the name of the class

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        assert isinstance(value, nn.Embedding)
        self.embeddings = value

    def logits(self, input_ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, C), from ids and a mask of booleans."""
        raise NotImplementedError

    def pooled(self, words_BLH: Tensor, input_ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """What the head is given: (B, 2H), or of pairs (B, 8H)."""
        separator = self.config.separator_token_id
        if separator is None:
            return _pooled(words_BLH, mask_BL)
        ends_BL = (input_ids_BL == separator).long()
        second_BL = ends_BL.cumsum(1) - ends_BL > 0  # the separator itself still belongs to the first side
        one, two = (_pooled(words_BLH, mask_BL & side_BL) for side_BL in (~second_BL, second_BL))
        return torch.cat([one, two, (one - two).abs(), one * two], dim=1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,  # tokenizers give them; the sides of a pair are told by the separator
        labels: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Logits (B, C), and the loss where there are labels."""
        mask_BL = torch.ones_like(input_ids).bool() if attention_mask is None else attention_mask.bool()
        logits_BC = self.logits(input_ids, mask_BL)
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits_BC, config=self.config)
        if return_dict is False:
            return (logits_BC,) if loss is None else (loss, logits_BC)
        return SequenceClassifierOutput(loss=loss, logits=logits_BC)


class BagOfEmbeddings(_Classifier):
    """The mean and the maximum of a text's embeddings, or of each side's of a pair, and a small network behind them; the order
    of words is lost."""

    config_class = BagOfEmbeddingsConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.head = _head(config)
        self.post_init()

    def logits(self, input_ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        return self.head(self.pooled(self.embeddings(input_ids_BL), input_ids_BL, mask_BL))


class TextConvNet(_Classifier):
    """Residual blocks of a depthwise convolution over the tokens and a pointwise network, then mean and maximum."""

    config_class = TextConvNetConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_hidden_layers))
        self.head = _head(config)
        self.post_init()

    def logits(self, input_ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        words_BLH = self.embeddings(input_ids_BL)
        for block in self.blocks:
            words_BLH = block(words_BLH, mask_BL)
        return self.head(self.pooled(words_BLH, input_ids_BL, mask_BL))


class _Block(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        width, kernel = config.hidden_size, config.kernel_size
        self.along = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.up = nn.Linear(width, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, words_BLH: Tensor, mask_BL: Tensor) -> Tensor:
        # Zeros in the place of padding, as the convolution itself sees beyond the ends.
        shown_BHL = (words_BLH * mask_BL[:, :, None]).transpose(1, 2)
        inner_BLF = nn.functional.gelu(self.up(self.norm(self.along(shown_BHL).transpose(1, 2))))
        return words_BLH + self.dropout(self.down(inner_BLF))


def _head(config: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(config.hidden_dropout_prob),
        nn.Linear((2 if config.separator_token_id is None else 8) * config.hidden_size, config.intermediate_size),
        nn.GELU(),
        nn.Linear(config.intermediate_size, config.num_labels),
    )


def _pooled(words_BLH: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean and maximum over the tokens that count, (B, 2H); zeros for a text that has none."""
    mask_BL1 = mask_BL[:, :, None]
    kept_BLH = words_BLH * mask_BL1
    count_B1 = mask_BL1.sum(1).clamp_min(1)
    lowest = torch.finfo(words_BLH.dtype).min
    largest_BH = words_BLH.masked_fill(~mask_BL1, lowest).amax(1)
    largest_BH = largest_BH.masked_fill(~mask_BL1.any(1), 0.0)
    return torch.cat([kept_BLH.sum(1) / count_B1, largest_BH], dim=1)


for _config, _model in ((BagOfEmbeddingsConfig, BagOfEmbeddings), (TextConvNetConfig, TextConvNet)):
    transformers.AutoConfig.register(_config.model_type, _config, exist_ok=True)
    transformers.AutoModelForSequenceClassification.register(_config, _model, exist_ok=True)
