"""A sound as it is read: any format that libsndfile knows, mixed to one channel, brought to one rate. No torch.

Shapes: S samples.
"""

from __future__ import annotations

import io
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import BadInput, not_installed
from .data_sections import ELSEWHERE

try:
    import soundfile
    import soxr
except ModuleNotFoundError as missing:
    raise not_installed("sounds", missing, "speech") from missing
except OSError as broken:  # the wheel for this machine came without libsndfile, and the system has none
    raise BadInput(
        f"sounds need libsndfile, which cannot be loaded ({broken}): apt install libsndfile1, or the like."
    ) from broken

RATES = (1_000, 384_000)
"""The rates, in samples a second, that a sound may be read at or brought to."""
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # each byte, its bits the other way round
_CONVERT = "ffmpeg -i {name} {stem}.flac"


@dataclass(frozen=True)
class Decoded:
    """A sound: ``samples`` (S,) float32 in [-1, 1] of one channel, at ``rate``; what it was recorded at, and how many channels it had.

    ``original`` (T,) float32 are the samples before they were brought to ``rate``, and the same array where they were not.
    """

    samples: np.ndarray
    rate: int
    original: np.ndarray
    original_rate: int
    channels: int


def read(source: bytes | str | Path, rate: int | None = None, *, stated: int | None = None) -> Decoded:
    """The sound of a file, or of its bytes, at ``rate`` samples a second; None: at its own.

    It is read as float32, since integers would wrap where a lossy format's peaks pass full scale, and cut at full scale.
    Channels are averaged, and the rate is changed once, by libsoxr at its high quality. ``stated`` is the rate that somebody
    else says the file has.

    Raises ``BadInput``, which names no file but says what is wrong and what would be right: no sound, a format that needs
    another program, cut off, without a sample, NaN or infinity, another rate than stated, a file that cannot be opened.
    """
    encoded = source if isinstance(source, bytes) else _bytes_of(source)
    name = None if isinstance(source, bytes) else os.fspath(source)
    _check_whole(encoded)
    try:
        with soundfile.SoundFile(io.BytesIO(encoded)) as file:
            said, found = file.frames, file.samplerate
            frames_SC = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise BadInput(_unreadable(encoded, name, error)) from error
    if len(frames_SC) < said:
        raise BadInput(f"it is cut off: {len(frames_SC):,} of {said:,} samples are there")
    if stated is not None and stated != found:
        raise BadInput(f"its rate is {found:,} samples a second, and {stated:,} are stated: one of the two is wrong")
    return of_array(frames_SC.T, found, rate)


def of_array(samples: np.ndarray, original_rate: int, rate: int | None = None) -> Decoded:
    """Samples (T,) or (channels, T) of a program, floats in [-1, 1] or integers of their type's full scale, as :func:`read` has them.

    Raises ``BadInput`` as it does, and for floats far outside of [-1, 1].
    """
    if not RATES[0] <= original_rate <= RATES[1]:
        raise BadInput(
            f"its rate is {original_rate:,} samples a second: it must lie between {RATES[0]:,} and {RATES[1]:,}"
        )
    if samples.ndim not in (1, 2):
        raise BadInput(f"its samples have shape {samples.shape}: they must be (samples,) or (channels, samples)")
    channels_CS = np.atleast_2d(samples)
    if not channels_CS.size:
        raise BadInput("it holds no sample")
    channels_CS = _on_unit_scale(channels_CS)
    # In float64, so that the mean of any number of channels is the same on every machine.
    mono = channels_CS[0] if len(channels_CS) == 1 else channels_CS.mean(axis=0, dtype=np.float64)
    original = np.ascontiguousarray(mono.clip(-1.0, 1.0), dtype=np.float32)
    return Decoded(
        brought_to(original, original_rate, rate), rate or original_rate, original, original_rate, len(channels_CS)
    )


def brought_to(samples: np.ndarray, original_rate: int, rate: int | None) -> np.ndarray:
    """Samples (T,) float32 at another rate (S,), by libsoxr at its high quality; the same where the rate is that already.

    S is T x rate / original_rate, rounded, and at least 1. Raises ``BadInput`` where nobody means such a rate.
    """
    if rate is None or rate == original_rate:
        return samples
    if not RATES[0] <= rate <= RATES[1]:
        raise BadInput(f"a rate of {rate:,} samples a second: it must lie between {RATES[0]:,} and {RATES[1]:,}")
    resampled = soxr.resample(samples, original_rate, rate, quality="HQ")
    if not len(resampled):  # shorter than the filter lets through
        resampled = samples[:1]
    return np.ascontiguousarray(resampled.clip(-1.0, 1.0), dtype=np.float32)


def as_wav(samples: np.ndarray, rate: int) -> bytes:
    """Samples (S,) float32 in [-1, 1] as a WAV file of 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _bytes_of(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"it cannot be opened ({error.strerror})") from error


def _on_unit_scale(samples: np.ndarray) -> np.ndarray:
    if samples.dtype.kind in "iu":
        if samples.dtype not in (np.uint8, np.int16, np.int32):
            raise BadInput(f"its samples are {samples.dtype}: give floats in [-1, 1], int16, int32, or 8 bits as uint8")
        if samples.dtype == np.uint8:
            return (samples.astype(np.float32) - 128.0) / 128.0
        return samples.astype(np.float64) / -float(np.iinfo(samples.dtype).min)
    if samples.dtype.kind != "f":
        raise BadInput(f"its samples are {samples.dtype}: give floats in [-1, 1], int16, int32, or 8 bits as uint8")
    if not np.isfinite(samples).all():
        where = int(np.argwhere(~np.isfinite(samples))[0][-1])
        raise BadInput(f"it holds NaN or infinity (first at sample {where:,}): write it anew from its source")
    # A lossy format's peaks pass full scale by a little; integers given as floats by orders of magnitude.
    if (peak := float(np.abs(samples).max())) > 16:
        raise BadInput(f"its samples reach {peak:,.0f}: floats must lie in [-1, 1]; divide 16-bit values by 32768")
    return samples


def _unreadable(encoded: bytes, name: str | None, error: Exception) -> str:
    """Why libsndfile does not read it, and what to do."""
    if not encoded:
        return "the file is empty"
    ending = Path(name or "").suffix.lower()
    if ending in ELSEWHERE or encoded[4:8] == b"ftyp" or encoded[:4] == b"\x1aE\xdf\xa3":
        converted = _CONVERT.format(name=Path(name or "in.m4a").name, stem=Path(name or "in.m4a").stem)
        return (
            f"{ending or 'its format'} needs a decoder that libsndfile lacks: convert it with FFmpeg (apt install ffmpeg, or brew "
            f"install ffmpeg): {converted}; WAV, FLAC, Ogg and MP3 need none"
        )
    reason = str(error).rpartition(": ")[2].strip().rstrip(".") or type(error).__name__
    if encoded[:4] in (b"RIFF", b"RF64", b"FORM", b"fLaC", b"OggS", b".snd", b"caff") or encoded[:3] == b"ID3":
        return f"it is damaged or cut off ({reason})"
    return "it is no sound: WAV, FLAC, Ogg (Vorbis, Opus), MP3 and AIFF are read"


def _check_whole(encoded: bytes) -> None:
    """Raises ``BadInput`` where a file is shorter than it says itself, or an Ogg file damaged, which libsndfile reads without a word."""
    if encoded[:4] == b"OggS":
        if lacking := _lacking_of_last_page(encoded):
            raise BadInput(f"it is cut off: its last page lacks {lacking:,} bytes or more")
        if (at := _damaged_page(encoded)) is not None:
            raise BadInput(
                f"it is damaged: its page at byte {at:,} is not as it was written, or one before it is lacking"
            )
    if (size := _said_of_data(encoded)) is None:
        return
    start, said = size
    if (there := len(encoded) - start) < said:
        raise BadInput(f"it is cut off: {max(there, 0):,} of {said:,} bytes of sound are there")


def _lacking_of_last_page(encoded: bytes) -> int:
    """How many bytes an Ogg file's last page is short of what it says (RFC 3533, section 6)."""
    at = encoded.rfind(b"OggS")
    if len(encoded) <= at + 26:
        return at + 27 - len(encoded)
    segments = encoded[at + 26]
    return max(0, at + 27 + segments + sum(encoded[at + 27 : at + 27 + segments]) - len(encoded))


def _damaged_page(encoded: bytes) -> int | None:
    """Where an Ogg file has a page whose checksum is another, or whose number does not follow; None where it has none.

    Of such a page, and of those that go on from it, libsndfile leaves out the sound. What follows the end of all streams is no page.
    """
    at, next_of = 0, dict[bytes, int]()  # by stream the number of its next page
    while at + 27 <= len(encoded):
        if encoded[at : at + 4] != b"OggS":
            return at if next_of else None
        segments = encoded[at + 26]
        end = at + 27 + segments + sum(encoded[at + 27 : at + 27 + segments])
        stream, number = encoded[at + 14 : at + 18], int.from_bytes(encoded[at + 18 : at + 22], "little")
        page = encoded[at : at + 22] + bytes(4) + encoded[at + 26 : end]
        if _ogg_checksum(page) != encoded[at + 22 : at + 26] or next_of.get(stream, number) != number:
            return at
        next_of[stream] = number + 1
        if encoded[at + 5] & 4:  # the last one of its stream
            del next_of[stream]
        at = end
    return None


def _ogg_checksum(page: bytes) -> bytes:
    """CRC-32 with its polynomial the other way round than zlib has it, from 0, and as it comes out."""
    turned = zlib.crc32(page.translate(_TURNED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return turned.to_bytes(4, "big").translate(_TURNED)


def _said_of_data(encoded: bytes) -> tuple[int, int] | None:
    """Where the samples of a WAV, RF64, W64, AIFF, CAF or AU file start, and how many bytes they take; None where it does not say."""
    if encoded[:4] == b".snd" and len(encoded) >= 12:
        start, said = int.from_bytes(encoded[4:8], "big"), int.from_bytes(encoded[8:12], "big")
        return None if said == 0xFFFFFFFF else (start, said)
    if encoded[:4] == b"RF64" and encoded[12:16] == b"ds64":
        return _data_chunk(encoded, 12, 4, 4, "little", b"data", said=int.from_bytes(encoded[28:36], "little"))
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WAVE":
        return _data_chunk(encoded, 12, 4, 4, "little", b"data")
    if encoded[:4] == b"FORM" and encoded[8:12] in (b"AIFF", b"AIFC"):
        return _data_chunk(encoded, 12, 4, 4, "big", b"SSND")
    if encoded[:4] == b"caff":
        return _data_chunk(encoded, 8, 4, 8, "big", b"data", even=1)
    if (
        encoded[:4] == b"riff" and encoded[24:28] == b"wave"
    ):  # W64, whose chunks count their heads, and lie at multiples of 8
        return _data_chunk(encoded, 40, 16, 8, "little", b"data", even=8, head=24)
    return None


def _data_chunk(
    encoded: bytes,
    at: int,
    name: int,
    number: int,
    order: Literal["little", "big"],
    wanted: bytes,
    *,
    even: int = 2,
    head: int = 0,
    said: int | None = None,
) -> tuple[int, int] | None:
    """The chunk of samples among those from ``at`` on, each a name and a size of so many bytes; ``said`` stands for its own size."""
    while at + name + number <= len(encoded):
        size = max(0, int.from_bytes(encoded[at + name : at + name + number], order) - head)
        start = at + name + number
        if encoded[at : at + 4] == wanted:
            size = size if said is None else said
            # Whoever writes to a pipe does not know the size: ffmpeg says 2^32 - 1, others 0 or next to 2^31.
            unknown = size == 0 or size >= 1 << 62 or (number == 4 and said is None and size >= 0x7FFFF000)
            return None if unknown else (start, size)
        at = start + -(-size // even) * even
    return None
