"""Which columns of a table hold the sounds, their labels, and what is said in them."""

from __future__ import annotations

import datasets

from ...data.columns import likely_labels
from ...data.labels import can_be_label, listed
from ...errors import BadInput, did_you_mean

PATH_NAMES = ("audio", "file_name", "path", "file", "filename", "file_path", "filepath", "audio_path", "audio_filepath", "audio_file", "wav", "sound", "clip")  # fmt: skip
"""How columns with the paths of sounds are called, likelier ones first (``audio_filepath``: NeMo's manifests)."""
TEXT_NAMES = ("text", "transcript", "transcription", "sentence", "normalized_text", "utterance", "words")
"""How columns of transcripts are called."""


def find_audio(features: datasets.Features, audio: str | None, field: str = "data.audio") -> str:
    """The column of sounds: the one asked for, the only one of their type, or one of paths by a usual name.

    A column of their type is ``Audio``, decoded or not, or records of ``bytes`` and ``path`` or of ``array`` and
    ``sampling_rate``. Raises ``BadInput`` listing the columns where there is none or more than one.
    """
    if audio is not None:
        if audio not in features:
            raise BadInput(f"{field}: there is no column '{audio}'.{did_you_mean(audio, features)}")
        if not is_of_sounds(features[audio]) and not _may_be_sound(features[audio]):
            raise BadInput(f"{field}: column '{audio}' holds no sounds; {listed(features)}.")
        return audio
    found = [name for name, kind in features.items() if is_of_sounds(kind)]
    if not found:
        lower = {name.lower(): name for name, kind in features.items() if _may_be_sound(kind)}
        found = [lower[name] for name in PATH_NAMES if name in lower][:1]
    if len(found) != 1:
        how_many = (
            "no column holds sounds, or is called as their files' paths are"
            if not found
            else f"{len(found)} columns hold sounds"
        )
        raise BadInput(f"{how_many}: name one with {field}; {listed(features)}.")
    return found[0]


def find_label(features: datasets.Features, audio: str, label: str | None) -> str:
    """The column of labels: the one asked for, or the one found by type, a ``ClassLabel`` first. ``BadInput`` lists the columns."""
    if label is not None:
        if label not in features:
            raise BadInput(f"data.label: there is no column '{label}'.{did_you_mean(label, features)}")
        if not can_be_label(features[label]) or label == audio:
            raise BadInput(f"data.label: column '{label}' holds no labels; {listed(features)}.")
        return label
    found = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    others = [name for name, kind in features.items() if name != audio and can_be_label(kind)]
    found = found or [name for name in others if name in ("label", "labels")] or likely_labels(others, features)
    if len(found) != 1:
        how_many = "no column holds labels" if not found else f"{', '.join(found)} may all be labels"
        raise BadInput(f"{how_many}: name one with data.label; {listed(features)}.")
    return found[0]


def find_text(features: datasets.Features, audio: str, text: str | None) -> str:
    """The column of transcripts: the one asked for, one with a usual name, or the only one of texts. ``BadInput`` lists the columns."""
    if text is not None:
        if text not in features:
            raise BadInput(f"data.text: there is no column '{text}'.{did_you_mean(text, features)}")
        if not _is_text(features[text]) or text == audio:
            raise BadInput(f"data.text: column '{text}' holds no transcripts; {listed(features)}.")
        return text
    found = [name for name, kind in features.items() if name != audio and _is_text(kind)]
    usual = [name for wanted in TEXT_NAMES for name in found if name.lower() == wanted]
    found = usual[:1] or found
    if len(found) != 1:
        how_many = "no column holds transcripts" if not found else f"{', '.join(found)} may all be transcripts"
        raise BadInput(f"{how_many}: name one with data.text; {listed(features)}.")
    return found[0]


def is_of_sounds(kind: object) -> bool:
    """Whether a column of that type holds sounds: ``Audio``, or records of bytes and path, or of samples and rate."""
    if isinstance(kind, datasets.Audio):
        return True
    return isinstance(kind, dict) and ({"bytes", "path"} <= kind.keys() or {"array", "sampling_rate"} <= kind.keys())


def _may_be_sound(kind: object) -> bool:
    return isinstance(kind, datasets.Value) and kind.dtype in ("string", "large_string", "binary", "large_binary")


def _is_text(kind: object) -> bool:
    return isinstance(kind, datasets.Value) and kind.dtype in ("string", "large_string")
