"""The front end of sounds: the frames of torch.stft, a stream's like a file's, in few bytes of an exported file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from limbeck.deploy.formats.onnx import ANY
from limbeck.deploy.onnx import write_onnx
from limbeck.errors import BadInput
from limbeck.interfaces import Exportable, Input
from limbeck.interfaces.exportable import BATCH
from limbeck.modalities.speech.frontend import LogMel, fit


def noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def as_published(samples_BS: Tensor, rate: int, n_fft: int, hop: int, mels: int) -> Tensor:
    """The log of triangles, even in HTK's mel, over the energies that torch.stft gives."""
    spectrum_BKT = torch.stft(
        samples_BS.double(), n_fft, hop, window=torch.hann_window(n_fft).double(), center=False, return_complex=True
    )
    top = 2595 * math.log10(1 + rate / 2 / 700)
    bottom = 2595 * math.log10(1 + 20 / 700)
    edges = [700 * (10 ** (mel / 2595) - 1) for mel in np.linspace(bottom, top, mels + 2)]
    bank_FK = torch.zeros(mels, n_fft // 2 + 1, dtype=torch.float64)
    for band in range(mels):
        low, centre, high = edges[band : band + 3]
        for k in range(n_fft // 2 + 1):
            hz = k * rate / n_fft
            bank_FK[band, k] = max(0, (hz - low) / (centre - low) if hz < centre else (high - hz) / (high - centre))
    return torch.log(bank_FK @ spectrum_BKT.abs().square() + 1e-6)


@pytest.mark.parametrize(
    ("rate", "mels", "hop_ms", "n_fft", "hop"),
    [(8000, 40, 16, 256, 128), (8000, 24, 20, 256, 160), (16000, 64, 10, 512, 160), (22050, 64, 10, 704, 224)],
)
def test_frames_are_those_of_the_short_time_fourier_transform(rate: int, mels: int, hop_ms: int, n_fft: int, hop: int):
    front, samples_BS = LogMel(rate, mels, hop_ms), noise(2, rate)
    assert (front.n_fft, front.hop) == (n_fft, hop)
    right = as_published(samples_BS, rate, n_fft, hop, mels)
    assert front(samples_BS).shape == (2, mels, int(front.frames_of(torch.tensor(rate))))
    torch.testing.assert_close(front(samples_BS).double(), right, atol=1e-5, rtol=0)


def test_a_frame_depends_on_its_own_samples_alone():
    front, samples_BS = LogMel(8000), noise(1, 8000)
    late = front(samples_BS[:, 10 * front.hop : 10 * front.hop + front.n_fft])
    torch.testing.assert_close(late[:, :, 0], front(samples_BS)[:, :, 10], atol=1e-5, rtol=0)


def test_sound_shorter_than_a_frame_is_one_frame_with_silence_behind_it():
    front, samples_BS = LogMel(8000), noise(1, 100)
    padded = nn.functional.pad(samples_BS, (0, front.n_fft - 100))
    assert torch.equal(front(samples_BS), front(padded))
    assert front.frames_of(torch.tensor([100, 256, 383, 384])).tolist() == [1, 1, 1, 2]


def test_fitted_frames_have_mean_0_and_deviation_1_in_each_band_and_the_front_end_has_no_parameters():
    front, samples_BS = LogMel(8000, 20), noise(6, 4000)
    fit(front, samples_BS.split(4))
    frames_FN = front(samples_BS).transpose(0, 1).flatten(1)
    torch.testing.assert_close(frames_FN.mean(1), torch.zeros(20), atol=1e-4, rtol=0)
    torch.testing.assert_close(frames_FN.std(1, correction=0), torch.ones(20), atol=1e-4, rtol=0)
    assert not list(front.parameters())
    assert sorted(front.state_dict()) == ["mean", "std"]


def test_more_bands_than_the_transform_tells_apart_are_refused():
    with pytest.raises(BadInput, match="128 mels are too many for sound at 8000 Hz"):
        LogMel(8000, 128)


def test_an_exported_front_end_makes_its_filters_itself_and_answers_alike(tmp_path: Path):
    front, path = LogMel(8000), tmp_path / "front.onnx"
    graph = Exportable("LogMel", front, {"samples": Input(noise(2, 8000), (BATCH, 8000))}, (BATCH, 40, 61), {})
    write_onnx(graph, path, ANY)
    filters = sum(4 * buffer.numel() for name, buffer in front.named_buffers() if name not in ("mean", "std"))
    assert path.stat().st_size < 15_000 < 50_000 < filters
    (frames,) = onnxruntime.InferenceSession(path).run(None, {"samples": noise(2, 8000).numpy()})
    np.testing.assert_allclose(frames, front(noise(2, 8000)).numpy(), atol=1e-5)
