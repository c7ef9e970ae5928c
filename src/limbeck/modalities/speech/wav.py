"""A WAV file as samples of one channel at one rate, with NumPy alone. Stands alone.

Shapes: S samples, T samples of the file, C channels.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_ZEROS, _BETA = 32, 10.0  # of a sinc on either side of its middle, and of the Kaiser window over it: -100 dB beyond
_PASSED = 0.94  # of half the lower rate
_AT_ONCE = 1 << 20
_RATES, _LOUDEST = (1_000, 384_000), 16  # as where training reads sounds


def read_sound(source: Path | str | bytes, rate: int) -> np.ndarray:
    """The samples (S,) of a WAV file, or of its bytes: float32 in -1 to 1, channels averaged, brought to ``rate`` where it has another.

    ``ValueError``, with a sentence, where it is missing, or no WAV file of 8, 16, 24 or 32 bits or floats, cut off, without a sample, at
    a rate that nobody records at, or holds NaN, infinity or floats far outside of -1 to 1.
    """
    name = "the sound" if isinstance(source, bytes) else f"sound {source}"
    if not isinstance(source, bytes):
        try:
            source = Path(source).read_bytes()
        except FileNotFoundError:
            raise ValueError(f"{name} does not exist.") from None
        except OSError as error:
            raise ValueError(f"{name} cannot be opened ({error.strerror}).") from None
    try:
        channels_CT, found = decoded(source)
    except ValueError as error:
        raise ValueError(f"{name} cannot be read: {error}.") from None
    # in float64, so that the mean of any number of channels is the same on every machine
    mono_T = channels_CT[0] if len(channels_CT) == 1 else channels_CT.mean(axis=0, dtype=np.float64)
    return resampled(np.clip(mono_T, -1, 1).astype(np.float32), found, rate)


def decoded(data: bytes) -> tuple[np.ndarray, int]:
    """The channels (C, T) of a WAV file's bytes, float32 of full scale 1, and their rate. ``ValueError`` as :func:`read_sound`."""
    if data[:4] not in (b"RIFF", b"RF64") or data[8:12] != b"WAVE":
        raise ValueError(
            "it is no WAV file; ffmpeg -i FILE sound.wav makes one of most sounds" if data else "it is empty"
        )
    form, at = None, 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if kind == b"fmt " and size >= 16 and at + 16 <= len(data):
            form = data[at : at + size]
        elif kind == b"data":
            break
        at += size + size % 2
    else:
        raise ValueError("it is a WAV file without samples, or cut off before them")
    if form is None:
        raise ValueError("it is a WAV file that does not say how its samples are written")
    code, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if code == _EXTENSIBLE and len(form) >= 26:
        code = int.from_bytes(form[24:26], "little")
    width = bits // 8
    if (code, bits) not in [(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)]:
        raise ValueError(
            f"its samples are of {bits} bits and format {code}, where 8, 16, 24 or 32 bits or floats are read"
        )
    if not channels or not rate:
        raise ValueError(f"it says that it has {channels} channels at {rate} Hz")
    if not _RATES[0] <= rate <= _RATES[1]:
        raise ValueError(f"its rate is {rate:,} samples a second: it must lie between {_RATES[0]:,} and {_RATES[1]:,}")
    # Whoever writes to a pipe does not know the size: ffmpeg says 2^32 - 1, others 0 or next to 2^31.
    there = len(data) - at
    if 0 < size < 0x7FFFF000 and there < size:
        raise ValueError(f"it is cut off: {there:,} of {size:,} bytes of sound are there")
    whole = min(there, size) if 0 < size < 0x7FFFF000 else there
    whole -= whole % (channels * width)
    if not whole:
        raise ValueError("it holds no sample")
    samples = _on_unit_scale(data[at : at + whole], code, width)
    if not np.isfinite(samples).all():
        raise ValueError("it holds NaN or infinity")
    if (peak := float(np.abs(samples).max())) > _LOUDEST:
        raise ValueError(f"its samples reach {peak:,.0f}: floats must lie in [-1, 1]; divide 16-bit values by 32768")
    return np.ascontiguousarray(samples.reshape(-1, channels).T), rate


def _on_unit_scale(data: bytes, code: int, width: int) -> np.ndarray:
    if code == _FLOAT:
        with np.errstate(over="ignore"):  # what is too large for float32 is refused as infinity
            return np.frombuffer(data, f"<f{width}").astype(np.float32)
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    if width == 3:  # as the upper three bytes of four
        whole = np.zeros((len(data) // 3, 4), np.uint8)
        whole[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return (whole.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
    return (np.frombuffer(data, f"<i{width}") / 2.0 ** (8 * width - 1)).astype(np.float32)


def resampled(samples_T: np.ndarray, found: int, rate: int) -> np.ndarray:
    """Samples (T,) at the rate ``found`` as samples (S,) at ``rate``, S = T rate / found, rounded, and at least 1; in -1 to 1.

    A sinc under a Kaiser window, cut off below half of the lower rate: as libsoxr, but for the last tenth below that.
    """
    if found == rate:
        return samples_T
    common = math.gcd(found, rate)
    up, down = rate // common, found // common
    count = max(1, round(len(samples_T) * rate / found))
    cutoff = _PASSED * min(1.0, up / down)  # of half the file's rate
    reach = math.ceil(_ZEROS / cutoff)  # samples of the file on either side
    padded = np.pad(samples_T.astype(np.float64), (reach, reach + down // up + 2))
    # an output lies at a place between two samples of the file, of which there are but `up`; a short sound of an odd rate has fewer
    phase_P, which_S = np.unique(np.arange(count) * down % up, return_inverse=True)
    taps = np.arange(1, 2 * reach + 1)
    at_once = max(1, _AT_ONCE // len(taps))
    weights_PK = np.empty((len(phase_P), len(taps)))
    for start in range(0, len(phase_P), at_once):
        place_P1 = phase_P[start : start + at_once, None] / up
        weights_PK[start : start + at_once] = _sinc(place_P1 - np.arange(-reach + 1, reach + 1), cutoff, reach)
    output_S = np.empty(count)
    for start in range(0, count, at_once):
        at = np.arange(start, min(count, start + at_once))
        before = np.minimum(at * down // up, len(samples_T))
        output_S[at] = (padded[before[:, None] + taps] * weights_PK[which_S[at]]).sum(axis=1)
    return np.clip(output_S, -1, 1).astype(np.float32)


def _sinc(distance: np.ndarray, cutoff: float, reach: int) -> np.ndarray:
    inside = np.clip(1 - (distance / reach) ** 2, 0, None)
    weights = cutoff * np.sinc(cutoff * distance) * np.i0(_BETA * np.sqrt(inside)) / np.i0(_BETA)
    return weights / weights.sum(axis=1, keepdims=True)


def window(samples_S: np.ndarray, samples: int) -> np.ndarray:
    """A sound in the middle of a window of so many samples: zeros about a shorter one, of a longer one the middle."""
    if (left := samples - len(samples_S)) >= 0:
        return np.pad(samples_S, (left // 2, left - left // 2))
    return samples_S[-left // 2 :][:samples]
