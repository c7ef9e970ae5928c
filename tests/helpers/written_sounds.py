"""Sounds as files: tones that differ, in any format that libsndfile writes."""

import io
from pathlib import Path

import numpy as np
import soundfile


def tone(number: int, *, seconds: float = 0.25, rate: int = 8000) -> np.ndarray:
    """A tone of its own for each number, float32 (S,), with a little noise and silence at its ends."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(number).normal(scale=0.01, size=len(time))
    wave = 0.4 * np.sin(2 * np.pi * (300 + 40 * (number % 50)) * time) * np.sin(np.pi * time / seconds)
    return (wave + noise).astype(np.float32)


def encoded(samples: np.ndarray, *, rate: int = 8000, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """The samples (S,) or (S, channels) as a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def write_class_folder(root: Path, *, count: int = 30, start: int = 0, classes=("no", "yes"), **how) -> str:
    """``root/CLASS/NUMBER.wav``, ``count`` of each class."""
    for place, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            one = start + number * len(classes) + place
            (root / name / f"{one:04}.wav").write_bytes(encoded(tone(one, **how), rate=how.get("rate", 8000)))
    return str(root)
