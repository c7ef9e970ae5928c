"""How an answer is kept on disk: logits in, named columns of fixed width out, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import BadInput, did_you_mean
from .base import Answer, Codec, Column, Rows, bytes_per_target, unknown_as_nan
from .dense import Dense, Int8
from .error import codec_error
from .hypotheses import HypothesesCodec
from .numbers import Numbers, answer_width
from .sample import SampleCodec
from .topk import TopKCodec

_CODECS: dict[str, Callable[..., Codec]] = {
    codec.name: codec for codec in (Dense, Int8, TopKCodec, SampleCodec, Numbers, HypothesesCodec)
}


def codec_from(name: str, settings: Mapping[str, Any] | None = None) -> Codec:
    """The codec of a plan or manifest.

    Raises :class:`BadInput` naming those there are, or the setting that does not fit.
    """
    if name not in _CODECS:
        raise BadInput(f"there is no codec '{name}'.{did_you_mean(str(name), _CODECS)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in (settings or {}).items()}
    try:
        return _CODECS[name](**values)
    except (TypeError, ValueError) as error:
        raise BadInput(f"the codec {name} cannot be made from the settings {dict(settings or {})}: {error}.") from error


__all__ = [
    "Answer",
    "Codec",
    "Column",
    "Dense",
    "HypothesesCodec",
    "Int8",
    "Numbers",
    "Rows",
    "SampleCodec",
    "TopKCodec",
    "answer_width",
    "bytes_per_target",
    "codec_error",
    "codec_from",
    "unknown_as_nan",
]
