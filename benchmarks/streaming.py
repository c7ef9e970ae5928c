"""Streams of sound against whole files: whether they say the same, and what a stream costs in time and memory.

    LIMBECK_DATA=../shared/data python benchmarks/streaming.py

Three students, exported: a causal CTC encoder on sentences (`kathleen`, 16 kHz), a causal keyword net and one that slides its window on spoken
digits (`fsdd`, 8 kHz, in windows of 1 s). The clips of the test split, the first `--clips`, come in blocks of 20 ms; the model is asked each
100 ms. Weights are drawn, not learnt: what is compared, and what it costs, does not depend on them. `difference` is the largest between the
logits of a stream and those of the file (of the keyword nets after the last block), `time` the share of a second that a second of sound takes on
one thread, `memory` what a process that has ONNX Runtime and NumPy gains at most while `predict.py` streams all clips
as one file, the file itself among it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import arguments, print_conditions, print_table
from datasets import Audio, load_dataset
from torch import nn

from limbeck.data.places import place_of
from limbeck.deploy.formats.onnx import ANY
from limbeck.deploy.onnx import write_onnx
from limbeck.deploy.standalone import write_standalone
from limbeck.modalities.speech import predict
from limbeck.modalities.speech.audio import as_wav, read
from limbeck.modalities.speech.export import KEYWORDS, SPEECH, exportable, sound_metadata
from limbeck.modalities.speech.frames import FrameNorm
from limbeck.modalities.speech.frontend import fit
from limbeck.modalities.speech.networks import build
from limbeck.modalities.speech.predict import BLOCK_MS, answers_to, open_model, read_metadata, streamed
from limbeck.modalities.speech.wav import window

STUDENTS: dict[str, tuple[str, dict[str, Any], str, int]] = {
    "ds_ctc, causal": ("ds_ctc", {"causal": True}, "kathleen", 16_000),
    "ds_cnn_causal": ("ds_cnn_causal", {}, "fsdd", 8_000),
    "ds_cnn, sliding": ("ds_cnn", {}, "fsdd", 8_000),
}
# Linux's own count: what getrusage says outlives exec, and begins at the size of the process that started this one.
MEMORY = """
import runpy, sys
import numpy, onnxruntime
def megabytes(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field)) * 1024 / 1e6
before = megabytes("VmRSS")
predict = runpy.run_path("predict.py")
predict["stream"](predict["Path"](sys.argv[1]), predict["Path"](sys.argv[2]), tell=lambda line: None)
print(megabytes("VmHWM") - before)
"""


def sounds(name: str, rate: int, count: int) -> list[np.ndarray]:
    """The first clips of a test split, by their samples."""
    rows = load_dataset(str(place_of(name, None, "data") or name), split="test")
    rows = rows.cast_column("audio", Audio(decode=False)).select(range(count))
    return [read(audio["bytes"], rate).samples for audio in rows["audio"]]


def exported(name: str, path: Path, clips: list[np.ndarray]) -> None:
    model, knobs, _, rate = STUDENTS[name]
    writes = model == "ds_ctc"
    samples, task, classes = (None, SPEECH, 29) if writes else (rate, KEYWORDS, 10)
    net = build(model, knobs, rate=rate, samples=samples, classes=classes, seed=0).eval()
    fit(net.front, [torch.from_numpy(one)[None] for one in clips[:10]])
    for norm in net.modules():
        if isinstance(norm, FrameNorm):  # which begin with blocks that do nothing
            nn.init.constant_(norm.weight, 1)
    names = ["", *(chr(97 + k) for k in range(28))] if writes else [str(k) for k in range(10)]
    metadata = sound_metadata(net, name=name, classes=names, rate=rate, samples=samples, task=task)
    write_onnx(exportable(net, metadata), path, ANY)


def measured(name: str, path: Path, clips: list[np.ndarray]) -> list[str]:
    session = open_model(path, threads=1)
    metadata = read_metadata(session, path)
    if not metadata.writes:
        assert metadata.samples is not None
        clips = [window(one, metadata.samples) for one in clips]
    spread, block, worst, alike, took, whole = 0.0, metadata.rate * BLOCK_MS // 1000, 0.0, 0, 0.0, 0.0
    for clip in clips:
        feeding, _ = streamed(session, metadata, path)
        said = []
        began = time.process_time()
        for start in range(0, len(clip), block):
            logits = feeding.feed(clip[start : start + block], last=start + block >= len(clip))
            said += [] if logits is None else [logits]
        took += time.process_time() - began
        began = time.process_time()
        (right,) = answers_to(session, metadata, [clip], path)
        whole += time.process_time() - began
        ours = np.concatenate(said) if metadata.writes else said[-1][0]
        worst = max(worst, float(np.abs(ours - right).max()))
        spread = max(spread, float(np.ptp(right)))
        alike += bool((ours.argmax(-1) == right.argmax(-1)).all())
    seconds = sum(map(len, clips)) / metadata.rate
    with tempfile.TemporaryDirectory() as folder:
        write_standalone(predict.__name__, Path(folder) / "predict.py")
        sound = Path(folder) / "all.wav"
        sound.write_bytes(as_wav(np.concatenate(clips), metadata.rate))
        command = [sys.executable, "-c", MEMORY, str(path), str(sound)]
        memory = float(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout)
    asked = "each 100 ms" if metadata.frames is None else f"with {metadata.frames.before} frames before"
    return [
        name,
        asked,
        f"{worst:.1e} ({spread:.0f})",
        f"{alike}/{len(clips)}",
        f"{took / seconds:.4f}",
        f"{whole / seconds:.4f}",
        f"{memory:.1f}",
    ]


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--clips", type=int, default=50)
    asked, began = parser.parse_args(), time.monotonic()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (_, _, data, rate)) in enumerate(STUDENTS.items()):
            clips, path = sounds(data, rate, asked.clips), Path(folder) / f"{number}.onnx"
            exported(name, path, clips)
            rows.append(measured(name, path, clips))
    print_table(
        ["student", "asked", "difference (of a spread of)", "same answers", "time", "time of the file", "memory, MB"],
        rows,
    )
    print_conditions("0", began)


if __name__ == "__main__":
    main()
