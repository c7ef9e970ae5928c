"""Tiny models of speech of transformers, with weights drawn on the spot, as folders that its own classes save."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

HEARS = 150  # positions of a Whisper that hears three seconds


def whisper(folder: Path, **changes: Any) -> Path:
    """A Whisper of two layers; its weights matter everywhere, biases among them."""
    sizes = {"d_model": 16, "vocab_size": 60, "max_source_positions": HEARS, "max_target_positions": 32}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": 2, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 24}
    special = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, "decoder_start_token_id": 1}
    config = transformers.WhisperConfig(**{**sizes, **special, "begin_suppress_tokens": None, **changes})
    return saved(transformers.WhisperForConditionalGeneration(config), folder)


def with_words(folder: Path) -> Path:
    """The folder of a Whisper with what it says its 60 tokens by: letters, and the special ones that it begins and ends with."""
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    letters = "abc Ġ".replace(" ", "") + "defghijklmnopqrstuvwxyz'.,ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    tokens = [*special[:2], *letters[:57], special[2]]  # what follows the last would be times
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({token: at for at, token in enumerate(tokens)}, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(special)
    backend.save(str(folder / "tokenizer.json"))
    names = {f"{name}_token": special[0] for name in ("unk", "bos", "eos", "pad")}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "WhisperTokenizer", **names}))
    transformers.WhisperFeatureExtractor(chunk_length=3).save_pretrained(folder)
    said = {
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "decoder_start_token_id": 1,
        "no_timestamps_token_id": 59,
    }
    transformers.GenerationConfig(**said, max_length=9, is_multilingual=False, return_timestamps=False).save_pretrained(
        folder
    )
    return folder


_SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (12,) * 7,
}
_SMALL |= {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 8}


def for_ctc(folder: Path, letters: list[str], **settings: Any) -> Path:
    """A wav2vec2 for CTC whose outputs are these, the first the blank."""
    config = transformers.Wav2Vec2Config(**{**_SMALL, "vocab_size": len(letters), "pad_token_id": 0, **settings})
    saved(transformers.Wav2Vec2ForCTC(config), folder)
    (folder / "vocab.json").write_text(json.dumps({letter: at for at, letter in enumerate(letters)}))
    transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def classifier(folder: Path, classes: dict[int, str]) -> Path:
    """A wav2vec2 that tells these classes apart."""
    label2id = {name: at for at, name in classes.items()}
    config = transformers.Wav2Vec2Config(**_SMALL, id2label=classes, label2id=label2id, num_labels=len(classes))
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return saved(transformers.Wav2Vec2ForSequenceClassification(config), folder)


def saved(model: Any, folder: Path) -> Path:
    """The folder of a model, its weights drawn larger than they begin."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.2 * noise if parameter.dim() > 1 else parameter + 0.1 * noise)
    model.save_pretrained(folder)
    return folder


def clips(rate: int, *seconds: float) -> dict[str, torch.Tensor]:
    """A batch of noise: clips of so many seconds, and more noise where they are padded."""
    generator = torch.Generator().manual_seed(1)
    lengths_B = torch.tensor([round(one * rate) for one in seconds])
    samples_BS = torch.rand(len(seconds), int(lengths_B.max()), generator=generator) - 0.5
    return {"samples_BS": samples_BS * torch.rand(samples_BS.shape[1], generator=generator), "lengths_B": lengths_B}
