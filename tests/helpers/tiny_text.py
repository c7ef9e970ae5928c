"""Tiny text classifiers and a WordPiece tokenizer, made on the spot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from limbeck.deploy.metadata import said_by
from limbeck.modalities.text.export import exportable
from tests.helpers.exported import parity

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "a",
    "the",
    "film",
    "plot",
    "actor",
    "is",
    "was",
    "good",
    "bad",
    "dull",
    "bright",
    "very",
    "not",
    "never",
    "love",
    "hate",
    "it",
    "and",
    "but",
    "this",
]
PIECES = ["##s", "##ly", "##ing", "un", "re", "f", "##i", "##l", "##m", "g", "##o", "##d"]
TEXTS = [
    "the film is good",
    "a very dull plot",
    "this actor was bad and the film never bright",
    "love it",
    "hate the plot but not the actors",
    "a good film, a bright plot and actors never dull",
    "not badly",
    "unbright",
]
CLASSES = ["negative", "mixed", "positive"]
WIDTHS = {"layers": 4, "hidden": 24, "heads": 4, "feed_forward": 40}


def tiny_tokenizer(tokens: list[str] | None = None, **settings):
    """Lower-casing WordPiece over ``tokens`` (default: SPECIAL, WORDS, PIECES), as BERT's; ``settings`` are transformers'."""
    vocabulary = {token: index for index, token in enumerate(tokens or SPECIAL + WORDS + PIECES)}
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    special = {f"{name}_token": token for name, token in names.items()}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **special, **settings)


def tiny_classifier(family: str = "bert", classes: list[str] = CLASSES, seed: int = 0, **changes):
    """A classifier with weights large enough that its parts matter, in eval mode."""
    common = {
        "vocab_size": len(SPECIAL + WORDS + PIECES),
        "max_position_embeddings": 66 if family == "roberta" else 64,
        "pad_token_id": 0,
        "id2label": dict(enumerate(classes)),
        "label2id": {name: index for index, name in enumerate(classes)},
    }
    if family == "distilbert":
        sizes = {"n_layers": 4, "dim": 24, "n_heads": 4, "hidden_dim": 40}
    else:
        sizes = {"num_hidden_layers": 4, "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 40}
    config = transformers.AutoConfig.for_model(family, **{**common, **sizes, **changes})
    generator = torch.Generator().manual_seed(seed)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.3 * noise if parameter.dim() > 1 else parameter + 0.1 * noise)
    return model.eval()


def encode(tokenizer, texts: list[str]) -> dict[str, torch.Tensor]:
    """Ids and mask, padded to the longest."""
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}


@torch.no_grad()
def logits_of(model, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits (B, C) in eval mode."""
    return model.eval()(**inputs).logits


def text_parity(
    model: nn.Module, path: Path, batches: Sequence[Mapping[str, Tensor]], max_abs: float, agreement: float
) -> dict[str, Any]:
    """How a classifier's file answers batches of its inputs, beside the model itself."""
    return parity(exportable(model, tiny_tokenizer(), said_by(path)), path, batches, max_abs, agreement)
