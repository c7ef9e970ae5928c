"""Sentences spoken by espeak-ng in many voices, as WAV files: sound to learn from that nobody had to record.

    LIMBECK_DATA=../shared/data python benchmarks/synthetic_speech.py --count 2000 --out speech
    limbeck run recipes/kathleen.yaml --set data.transfer.name=speech

Sentences are the English captions of `$LIMBECK_DATA/multi30k`, or the lines of `--texts FILE`. Each is spoken once, in a voice, at a speed and
at a pitch that are drawn by `--seed` and the sentence's number: five accents of English, twelve voices each, 130 to 190 words a minute.
`speech/train.csv` names the files with what is said in them and by which voice, so that the folder is a transfer set, or a data set of its own
(`data: {name: speech, text: text}`). Files that are there already are kept. espeak-ng is a package of Debian's and of most others; its speech
is that of rules, and no person's.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import datasets
import numpy as np
from common import print_table

ACCENTS = ("en-gb", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan")
VOICES = (*(f"m{k}" for k in range(1, 8)), *(f"f{k}" for k in range(1, 6)))
SPEEDS, PITCHES = (130, 190), (30, 70)  # words a minute; espeak-ng's own scale, of which 50 is usual


def sentences_of(texts: Path | None, count: int) -> list[str]:
    """The first sentences, each once."""
    if texts is None:
        folder = Path(os.environ.get("LIMBECK_DATA", "data")) / "multi30k"
        rows = datasets.load_dataset(str(folder), split="train")
        lines = [row["en"] for row in rows["translation"]]  # pyright: ignore
    else:
        lines = texts.read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip()))[:count]


def speak(text: str, path: Path, draw: np.random.Generator) -> str:
    """Writes a WAV file, where there is none, and says in which voice."""
    voice = f"{draw.choice(ACCENTS)}+{draw.choice(VOICES)}"
    speed, pitch = (str(draw.integers(low, high + 1)) for low, high in (SPEEDS, PITCHES))
    if not path.exists():
        # a name of its own until it is whole; the text by standard input, where it is no option whatever it begins with
        partial = path.with_suffix(".part")
        asked = ["espeak-ng", "-v", voice, "-s", speed, "-p", pitch, "-w", str(partial), "--stdin"]
        subprocess.run(asked, input=text.encode(), check=True)
        partial.rename(path)
    return voice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, metavar="FILE", help="sentences, one a line")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng is not installed: it is the package espeak-ng of Debian's.")
    (given.out / "sounds").mkdir(parents=True, exist_ok=True)
    rows, seconds = [], 0.0
    for number, text in enumerate(sentences_of(given.texts, given.count)):
        path = given.out / "sounds" / f"{number:05}.wav"
        voice = speak(text, path, np.random.default_rng([given.seed, number]))
        rows.append((f"sounds/{path.name}", text, voice))
        with wave.open(str(path), "rb") as file:
            seconds += file.getnframes() / file.getframerate()
    with open(given.out / "train.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "text", "voice"), *rows])
    voices = len({voice for _, _, voice in rows})
    print_table(["sentences", "voices", "minutes"], [[f"{len(rows):,}", str(voices), f"{seconds / 60:.1f}"]])


if __name__ == "__main__":
    main()
