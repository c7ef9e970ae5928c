"""The smallest whole job of sounds: whistles of three pitches by four people, as WAV files in folders, and networks of a few channels."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from limbeck.pipeline.job import Job, open_job, use_threads
from limbeck.recipe import read as recipe_file
from limbeck.sections.recipe import Recipe

RATE = 4_000
PITCHES = {"<b>high": 1400.0, "low": 300.0, "mid": 700.0}  # Hz, by class
SPEAKERS = ("ann", "bea", "cyd", "dot")
COUNTS = {"train": 40, "test": 12}  # of each class

RECIPE = """\
name: whistles
task: audio-classification
data: {name: data, seconds: 0.25, group: '([a-z]{3})_[0-9]+[.]wav'}
views: {shift: 0.05, gain: 6}
teacher: {model: ds_cnn, width: 12, train: {epochs: 4, batch_size: 16, learning_rate: 0.01}}
targets: {views: 2}
student: {model: ds_cnn, width: 4, depth: 1}
train: {epochs: 2, batch_size: 16, learning_rate: 0.01}
"""


def whistle(pitch: float, seed: int, seconds: float = 0.2, rate: int = RATE) -> np.ndarray:
    """Samples (S,) float32 of a tone that wavers a little, in some noise."""
    draw = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (pitch * draw.uniform(0.9, 1.1) * time + draw.uniform()))
    return (draw.uniform(0.1, 0.6) * tone + 0.02 * draw.standard_normal(len(time))).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """A WAV file of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return path


def write(folder: Path) -> Path:
    """``data``, a folder of sounds by split and class whose files are named by speaker, and ``whistles.yaml``."""
    for split, count in COUNTS.items():
        for c, (name, pitch) in enumerate(PITCHES.items()):
            for number in range(count):
                # the speaker of test is another than those of train
                speaker = "eve" if split == "test" else SPEAKERS[number % len(SPEAKERS)]
                seed = 10_000 * (split == "test") + 1_000 * c + number
                seconds = 0.15 + 0.01 * (number % 12)  # some are longer than the window
                write_wav(folder / "data" / split / name / f"{speaker}_{number}.wav", whistle(pitch, seed, seconds))
    (folder / "whistles.yaml").write_text(RECIPE)
    return folder


def recipe(folder: Path, *overrides: str) -> Recipe:
    """The recipe of a folder, with its data there whatever the working directory."""
    values: dict[str, Any] = yaml.safe_load(RECIPE)
    return recipe_file.from_dict(recipe_file.apply_overrides(values, (f"data.name={folder / 'data'}", *overrides)))


def job(folder: Path, out: Path, *overrides: str) -> Job:
    """The job in a run folder, on one thread."""
    use_threads(1)
    return open_job(recipe(folder, *overrides), quiet=True, out=out, device="cpu")
