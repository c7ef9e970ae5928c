"""Background sound that clips are laid over: coloured noise, or recordings, as one loop of samples.

Shapes: P samples of the loop.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ... import randomness
from ...errors import BadInput
from .audio import read
from .data_sections import ENDINGS, Noise

LOOP = 1 << 19
"""Samples of coloured noise, after which it begins anew."""
_SLOPES = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # the amplitude falls with frequency to the power of these
_LOWEST = 20.0  # Hz, below which it falls no more: nobody hears it, and it would have all the power
_ON_DEVICES: dict[tuple[str, int, torch.device], Tensor] = {}


def loop_of(noise: Noise, rate: int, device: torch.device) -> Tensor:
    """The samples (P,) float32 that noise is cut from, at a place of its own for each clip and view.

    The same whatever the seed. Raises ``BadInput``, naming ``views.noise.files``, as :func:`of_files` does.
    """
    key = (f"{noise.colour}\0{noise.files}", rate, device)
    if key not in _ON_DEVICES:
        samples = coloured(noise.colour, rate) if noise.files is None else of_files(noise.files, rate)
        _ON_DEVICES[key] = torch.from_numpy(samples).to(device)
    return _ON_DEVICES[key]


def digest(noise: Noise | None, rate: int) -> str | None:
    """What tells recordings from others, for fingerprints: a hash of their samples; None for noise that is made."""
    if noise is None or noise.files is None:
        return None
    return hashlib.sha256(of_files(noise.files, rate).tobytes()).hexdigest()


@lru_cache(maxsize=8)
def coloured(colour: str, rate: int) -> np.ndarray:
    """Noise (P,) float32 of power 1, whose power falls by 0, 3 or 6 dB an octave above 20 Hz."""
    flat = randomness.uniform(0, torch.arange(LOOP), 0, "noise.loop").double().numpy() - 0.5
    slope = _SLOPES[colour]
    if slope:
        hertz = np.fft.rfftfreq(LOOP, 1 / rate)
        flat = np.fft.irfft(np.fft.rfft(flat) * np.maximum(hertz, _LOWEST) ** -slope, LOOP)
    flat -= flat.mean()
    return (flat / np.sqrt((flat**2).mean())).astype(np.float32)


@lru_cache(maxsize=8)
def of_files(folder: str, rate: int) -> np.ndarray:
    """All sounds below a folder, one after another in the order of their paths, (P,) float32.

    Raises ``BadInput`` where there is no such folder, no sound in it, one that cannot be read, or nothing to hear.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise BadInput(f"views.noise.files: there is no folder {folder}; relative paths start at {Path.cwd()}.")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS and not path.name.startswith("."))
    if not paths:
        raise BadInput(
            f"views.noise.files: {folder} holds no sound (WAV, FLAC, Ogg, MP3, AIFF): put recordings into it."
        )
    found = []
    for path in paths:
        try:
            found.append(read(path, rate).samples)
        except BadInput as error:
            raise BadInput(f"views.noise.files: {path}: the sound cannot be used: {error}.") from error
    samples = np.concatenate(found)
    if not samples.any():
        raise BadInput(f"views.noise.files: the recordings in {folder} are silent: put others into it.")
    return samples
