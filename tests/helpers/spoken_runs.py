"""The smallest whole job of speech recognition: words whistled letter by letter, as WAV files beside a table of transcripts."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from limbeck.modalities.speech.audio import as_wav
from limbeck.pipeline.job import Job, open_job, use_threads
from limbeck.recipe import read as recipe_file
from limbeck.sections.recipe import Recipe

RATE = 4_000
PITCHES = {"a": 300.0, "b": 700.0, "c": 1400.0}  # Hz; " " is silence
LETTER, GAP = 0.09, 0.05  # seconds
COUNTS = {"train": 96, "validation": 16, "test": 16}

RECIPE = """\
name: whistled
task: automatic-speech-recognition
data: {name: data, validation: validation}
teacher:
  model: ds_ctc
  width: 32
  depth: 2
  stride: 2
  mels: 20
  train: {epochs: 8, batch_size: 8, learning_rate: 0.01}
targets: {views: 1}
student: {model: ds_ctc, width: 16, depth: 1, stride: 2, mels: 20}
train: {epochs: 2, batch_size: 8, learning_rate: 0.01}
"""


def words(seed: int) -> str:
    """One or two words of one to three letters."""
    draw = np.random.default_rng(seed)
    return " ".join("".join(draw.choice(list(PITCHES), draw.integers(1, 4))) for _ in range(draw.integers(1, 3)))


def whistle(pitch: float, seed: int) -> np.ndarray:
    """Samples (S,) float32 of a letter: a tone that wavers a little, in some noise."""
    draw = np.random.default_rng(seed)
    second = np.arange(round(LETTER * RATE)) / RATE
    tone = np.sin(2 * np.pi * (pitch * draw.uniform(0.9, 1.1) * second + draw.uniform()))
    return (draw.uniform(0.1, 0.6) * tone + 0.02 * draw.standard_normal(len(second))).astype(np.float32)


def spoken(text: str, seed: int) -> np.ndarray:
    """Samples (S,) float32."""
    parts = [np.zeros(round(GAP * RATE), np.float32)]
    for place, letter in enumerate(text):
        silent = np.zeros(round(LETTER * RATE), np.float32)
        parts.append(silent if letter == " " else whistle(PITCHES[letter], 100 * seed + place))
        parts.append(np.zeros(round(GAP * RATE), np.float32))
    return np.concatenate(parts)


def write(folder: Path) -> Path:
    """``data``: tables of transcripts, one a split, and the sounds that they name."""
    for k, (split, count) in enumerate(COUNTS.items()):
        rows = []
        for number in range(count):
            seed, name = 1000 * k + number, f"sounds/{split}-{number}.wav"
            text = words(seed)
            (folder / "data" / "sounds").mkdir(parents=True, exist_ok=True)
            (folder / "data" / name).write_bytes(as_wav(spoken(text, seed), RATE))
            rows.append(json.dumps({"audio": name, "text": text}))
        (folder / "data" / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def recipe(folder: Path, *overrides: str) -> Recipe:
    """The recipe of a folder, with its data there whatever the working directory."""
    values: dict[str, Any] = yaml.safe_load(RECIPE)
    return recipe_file.from_dict(recipe_file.apply_overrides(values, (f"data.name={folder / 'data'}", *overrides)))


def job(folder: Path, out: Path, *overrides: str) -> Job:
    """The job in a run folder, on one thread."""
    use_threads(1)
    return open_job(recipe(folder, *overrides), quiet=True, out=out, device="cpu")


def listener(sureness: float = 0.75, takes: float = 0.0) -> Any:
    """A recogniser of such words: of each stretch of a letter the pitch that is loudest. It takes so many seconds over a clip."""

    def recognise(samples_S: np.ndarray, rate: int) -> tuple[str, float]:
        time.sleep(takes)
        step, letter, gap = (round(seconds * rate) for seconds in (LETTER + GAP, LETTER, GAP))
        said = ""
        for start in range(gap, len(samples_S) - letter + 1, step):
            part = samples_S[start : start + letter]
            spectrum = np.abs(np.fft.rfft(part))
            heard = float(spectrum.argmax()) * rate / len(part)
            nearest = min(PITCHES, key=lambda one: abs(PITCHES[one] - heard))
            said += nearest if np.abs(part).max() > 0.01 else " "
        return said, sureness

    return recognise
