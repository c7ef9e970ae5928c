"""The front end of sounds within an exported student: parity with torch.stft, bytes and milliseconds, format by format.

    LIMBECK_DATA=../shared/data python benchmarks/front_end.py
    LIMBECK_DATA=../shared/data python benchmarks/front_end.py --formats onnx onnx-int8

The student is `ds_cnn` (24 x 4) with weights drawn, on the first `--clips` test clips of `fsdd` in windows of 1 s at 8 kHz. `frames` is the largest
difference of log-mel frames from those of torch.stft in float64 with a dense bank of triangles; `logits` that of the file's logits from
PyTorch's, beside the spread of these; `bytes` are the file's, and what filters of the front end are in it. Milliseconds are of one window on one
thread, the median of 300 calls of `process_time`; of the same net behind a convolution with all cosines and sines of the transform, too (`direct`).
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from common import arguments, print_conditions, print_table
from streaming import sounds
from torch import Tensor, nn
from torch.nn import functional

from limbeck.deploy.formats import FORMATS
from limbeck.deploy.formats.onnx import ANY
from limbeck.deploy.graphs import of_file, of_module
from limbeck.deploy.onnx import write_onnx
from limbeck.interfaces import Exportable, Graph
from limbeck.modalities.speech.export import exportable, sound_metadata
from limbeck.modalities.speech.frontend import FLOOR, LogMel, fit
from limbeck.modalities.speech.networks import build
from limbeck.modalities.speech.wav import window

RATE, BATCH = 8000, 10


class Direct(nn.Module):
    """The same frames by one convolution with the cosines and sines of every frequency, and a dense bank."""

    def __init__(self, front: LogMel) -> None:
        super().__init__()
        n_fft = front.n_fft
        sample, frequency = torch.arange(n_fft).double(), torch.arange(n_fft // 2 + 1).double()
        angle = (frequency[:, None] * sample).remainder(n_fft) * (2 * math.pi / n_fft)
        hann = torch.hann_window(n_fft).double()
        self.register_buffer("filters", torch.cat([angle.cos() * hann, angle.sin() * hann])[:, None].float())
        self.register_buffer("bank", dense(front).float()[:, :, None])
        self.front = front

    def forward(self, samples_BS: Tensor) -> Tensor:
        parts_BCT = functional.conv1d(samples_BS[:, None], self.get_buffer("filters"), stride=self.front.hop)
        real_BKT, imaginary_BKT = (parts_BCT * parts_BCT).chunk(2, 1)
        energy_BFT = functional.conv1d(real_BKT + imaginary_BKT, self.get_buffer("bank"))
        return (torch.log(energy_BFT + FLOOR) - self.front.mean[:, None]) / self.front.std[:, None]


def dense(front: LogMel) -> Tensor:
    """Triangles (F, K) even in HTK's mel, float64."""
    mels = torch.linspace(2595 * math.log10(1 + 20 / 700), 2595 * math.log10(1 + RATE / 1400), front.mels + 2).double()
    edges, hz_K = 700 * (10 ** (mels / 2595) - 1), torch.arange(front.n_fft // 2 + 1) * RATE / front.n_fft
    low, centre, high = (edges[at : at + front.mels, None] for at in range(3))
    return torch.minimum((hz_K - low) / (centre - low), (high - hz_K) / (high - centre)).clamp(min=0)


def by_stft(front: LogMel, samples_NS: Tensor) -> np.ndarray:
    hann = torch.hann_window(front.n_fft, dtype=torch.float64)
    spectrum = torch.stft(samples_NS.double(), front.n_fft, front.hop, window=hann, center=False, return_complex=True)
    logs = torch.log(dense(front) @ spectrum.abs().square() + FLOOR)
    return ((logs - front.mean[:, None]) / front.std[:, None]).numpy()


def asked(ask: Graph, samples_NS: np.ndarray) -> np.ndarray:
    parts = range(0, len(samples_NS), BATCH)
    return np.concatenate([ask({"samples": samples_NS[at : at + BATCH]})[0] for at in parts])


def milliseconds(ask: Graph, samples_NS: np.ndarray) -> float:
    took = []
    for call in range(300):
        one = {"samples": samples_NS[call % len(samples_NS)][None]}
        began = time.process_time_ns()
        ask(one)
        took.append(time.process_time_ns() - began)
    return float(np.median(took)) / 1e6


def front_of(path: Path, folder: Path) -> Graph:
    """The front end as it is within a file in 8 bits: up to the first number that is quantised."""
    proto = onnx.load(path)
    constants = {one.name for one in proto.graph.initializer}
    first = next(
        node for node in proto.graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in constants
    )
    del proto.graph.output[:]
    proto.graph.output.append(onnx.helper.make_tensor_value_info(first.input[0], onnx.TensorProto.FLOAT, None))
    onnx.save(proto, folder / "front.onnx")
    return of_file(folder / "front.onnx")


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--formats", nargs="+", default=["onnx", "onnx-int8", "executorch", "executorch-int8"])
    given, began = parser.parse_args(), time.monotonic()
    torch.set_num_threads(1)
    samples_NS = np.stack([window(one, RATE) for one in sounds("fsdd", RATE, given.clips)])
    model = build("ds_cnn", {}, rate=RATE, samples=RATE, classes=10, seed=0).eval()
    fit(model.front, [torch.from_numpy(samples_NS)])
    names = [str(digit) for digit in range(10)]
    graph = exportable(model, sound_metadata(model, name="student", classes=names, rate=RATE, samples=RATE))
    assert graph.parts is not None
    front, exact = graph.parts[0], asked(of_module(graph), samples_NS)
    frames = by_stft(model.front, torch.from_numpy(samples_NS))
    calibration = [{"samples": samples_NS[at : at + BATCH]} for at in range(0, len(samples_NS), BATCH)]
    filters = model.front.filter_bytes

    def off(ask: Graph) -> str:
        return f"{np.abs(asked(ask, samples_NS).reshape(frames.shape) - frames).max():.1e}"

    rows = [["PyTorch", off(of_module(front)), "", "", "", ""]]
    with tempfile.TemporaryDirectory() as folder:
        direct = Path(folder) / "direct.onnx"
        behind = nn.Sequential(Direct(model.front), model.net).eval()
        write_onnx(Exportable("direct", behind, graph.inputs, graph.answer, graph.metadata), direct, ANY)
        rows.append(
            row(
                "direct (onnx)",
                direct,
                of_file(direct),
                "",
                exact,
                samples_NS,
                4 * sum(b.numel() for b in behind[0].buffers()),
            )
        )
        for name in given.formats:
            form, path, alone = (
                FORMATS[name],
                Path(folder) / f"student{FORMATS[name].suffix}",
                Path(folder) / f"front{FORMATS[name].suffix}",
            )
            form.write(graph, path, () if form.exact else calibration)
            if name == "onnx-int8":
                parity = off(front_of(path, Path(folder)))
            elif form.exact:
                form.write(front, alone, ())
                parity = off(form.ask(alone))
            else:
                parity = "as the float32 file's"
            rows.append(
                row(name, path, form.ask(path), parity, exact, samples_NS, 0 if name.startswith("onnx") else filters)
            )
    print_table(["file", "frames", "logits (of a spread of)", "same decisions", "bytes (filters)", "ms"], rows)
    print_conditions("0", began)


def row(
    name: str, path: Path, ask: Callable, parity: str, exact: np.ndarray, samples_NS: np.ndarray, filters: int
) -> list[str]:
    ours = asked(ask, samples_NS)
    same = int((ours.argmax(1) == exact.argmax(1)).sum())
    return [
        name,
        parity,
        f"{np.abs(ours - exact).max():.1e} ({np.ptp(exact):.2f})",
        f"{same}/{len(exact)}",
        f"{path.stat().st_size:,} ({filters:,})",
        f"{milliseconds(ask, samples_NS):.3f}",
    ]


if __name__ == "__main__":
    main()
