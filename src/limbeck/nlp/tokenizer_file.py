"""A tokenizer by itself, without a model: a folder, a name on the hub, or one ``tokenizer.json``.

What a file of that name does not say by its structure, which token pads, masks or is unknown, is found by what it says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import BadInput, short
from .extra import transformers
from .folder import quiet, sentences_of, source_of, tokenizer_of
from .locate import TOKENIZER

# How families call them; a file that lists another as special keeps it, without a part to play.
_PARTS = {
    "pad_token": ("[PAD]", "<pad>", "<|padding|>"),
    "mask_token": ("[MASK]", "<mask>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
}


def load_tokenizer_file(place: Path | str, name: str, *, role: str = "teacher") -> Any:
    """The tokenizer at a place that :func:`.locate.locate_tokenizer` found; messages call it ``name``.

    Raises:
        BadInput: it cannot be read.
    """
    if isinstance(place, str) or any((place / file).is_file() for file in ("tokenizer_config.json", "config.json")):
        with quiet(), sentences_of(name, role), source_of(str(place)):
            return tokenizer_of(str(place), name, role)
    return _of_file(place / TOKENIZER if place.is_dir() else place, role)


def _of_file(file: Path, role: str) -> Any:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        special = [str(token["content"]) for token in said["added_tokens"] if token["special"]]
        parts = {
            part: next(token for token in names if token in special)
            for part, names in _PARTS.items()
            if any(token in special for token in names)
        }
        if isinstance(padding := said.get("padding"), dict):
            parts["pad_token"] = str(padding["pad_token"])
        if (unknown := _unknown(said["model"])) is not None:
            parts["unk_token"] = unknown
        with quiet():
            tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(file), **parts)
    except Exception as error:  # tokenizers raises bare Exceptions
        raise BadInput(f"{role}: {file} is not a whole tokenizer.json ({short(error)}); copy it again.") from error
    rest = [token for token in special if token not in tokenizer.all_special_tokens]
    if rest:
        tokenizer.add_special_tokens({"extra_special_tokens": rest})
    return tokenizer


def _unknown(model: Any) -> str | None:
    """The token that stands for what the model has no token for."""
    if isinstance(token := model.get("unk_token"), str):
        return token
    if isinstance(place := model.get("unk_id"), int):  # SentencePiece's unigrams: (piece, score)
        return str(model["vocab"][place][0])
    return None
