"""Sound to log-mel frames, by fixed filters within the model: raw samples in, on every runtime.

A frame k is the samples from ``hop * k`` on, ``n_fft`` of them, under a Hann window: nothing is centred, and no figure is taken of the
whole clip, so that a frame depends on its own samples alone and a stream has the frames that the file has.

The Fourier transform is two steps of plain operators, as Cooley and Tukey (1965) part it, n = R a + b and k = u + M v with
n_fft = R M: R short transforms of windowed samples (one grouped convolution, whose stride is the hop), then one of length R across
them (another, of one sample). That is an eighth of the multiplications of a convolution with all cosines and sines, and of its weights.

Shapes: B sounds, S samples, T frames, F bands; R and M as above, U = M // 2 + 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import BadInput

FLOOR = 1e-6
"""Added to a band's energy, of samples between -1 and 1, before its logarithm: -60 dB, under which there is but noise."""
LOWEST_HZ = 20.0
_WINDOW_MS = 32
_LEAST_DEVIATION = 1e-2


class LogMel(nn.Module):
    """Samples (B, S) between -1 and 1 to log-mel frames (B, F, T), less their mean and divided by their deviation.

    Args:
        rate: samples a second.
        mels: F, bands whose centres are even in mel (HTK's, 2595 log10(1 + f / 700)) from 20 Hz to half the rate.
        hop_ms: from one frame to the next.

    ``mean`` and ``std`` (F,) are buffers, 0 and 1 until :func:`fit` sets them; there are no parameters. Sounds shorter than a
    frame are taken as if silence followed. Raises :class:`BadInput` where a band would hold no frequency of the transform.
    """

    def __init__(self, rate: int, mels: int = 40, hop_ms: int = 16) -> None:
        super().__init__()
        # of 64 samples, so that it has divisors to be parted by; the hop of 16
        self.rate, self.mels = rate, mels
        self.n_fft = max(64, round(rate * _WINDOW_MS / 64_000) * 64)
        self.hop = max(16, round(rate * hop_ms / 16_000) * 16)
        self.across = _parted(self.n_fft, self.hop)  # R
        self.along = self.n_fft // self.across  # M
        ones = torch.zeros((), dtype=torch.float64)
        for name, values in self._constants(ones).items():
            self.register_buffer(name, values, persistent=False)
        if not bool((self.get_buffer("bank").flatten(1) > 0).any(1).all()):
            raise BadInput(
                f"model: {mels} mels are too many for sound at {rate} Hz: the lowest bands would hold no frequency of a "
                f"transform of {self.n_fft} samples. Take fewer, such as {min(40, mels // 2)}."
            )
        self.register_buffer("mean", torch.zeros(mels))
        self.register_buffer("std", torch.ones(mels))
        self.mean: Tensor
        self.std: Tensor

    def forward(self, samples_BS: Tensor) -> Tensor:
        return (self.log_mel(samples_BS) - self.mean[:, None]) / self.std[:, None]

    def log_mel(self, samples_BS: Tensor) -> Tensor:
        """(B, F, T), as they are."""
        constants = self._as_exported() if torch.onnx.is_in_onnx_export() else dict(self.named_buffers())
        lacking = torch.sym_max(0, self.n_fft - samples_BS.shape[1])
        if not isinstance(lacking, int) or lacking:  # in a graph for any length it is no number
            samples_BS = functional.pad(samples_BS, (0, lacking))  # type: ignore[arg-type]
        across, half = self.across, self.along // 2 + 1
        whole = samples_BS.shape[1] // across * across
        if not isinstance(whole, int) or whole < samples_BS.shape[1]:
            samples_BS = samples_BS[:, :whole]
        phases_BRS = samples_BS.reshape(-1, whole // across, across).transpose(1, 2)
        parts_BCT = functional.conv1d(phases_BRS, constants["along_filters"], stride=self.hop // across, groups=across)
        frames = parts_BCT.shape[2]
        parts_BCUT = parts_BCT.reshape(-1, 2 * across, half, frames)  # real, then imaginary, of each of R
        spectrum_BCUT = functional.conv2d(parts_BCUT, constants["across_filters"])
        squares_BCUT = spectrum_BCUT * spectrum_BCUT
        power_BKT = (squares_BCUT[:, :across] + squares_BCUT[:, across:]).reshape(-1, across * half, frames)
        return torch.log(functional.conv1d(power_BKT, constants["bank"]) + FLOOR)

    @property
    def filter_bytes(self) -> int:
        """What its filters weigh in float32, in a file that holds them."""
        return sum(4 * buffer.numel() for name, buffer in self.named_buffers() if name not in ("mean", "std"))

    def frames_of(self, lengths_B: Tensor) -> Tensor:
        """How many frames sounds of so many samples have (B,); one at least."""
        return ((lengths_B - self.n_fft) // self.hop + 1).clamp(min=1)

    def _as_exported(self) -> dict[str, Tensor]:
        """The constants worked out within an ONNX graph: some hundred bytes instead of tens of thousands. ONNX Runtime computes them once, when
        it loads the file. The exporter would do that too, were it not for an operator that it leaves as it is."""
        zero = torch.onnx.ops.symbolic(
            "ConstantOfShape", [torch.ones(1, dtype=torch.int64)], dtype=torch.float32, shape=[1]
        )
        return self._constants(zero.to(torch.float64))

    def _constants(self, zero: Tensor) -> dict[str, Tensor]:
        """``along_filters`` (R 2 U, 1, M), ``across_filters`` (2 R, 2 R, 1, 1) and ``bank`` (F, R U, 1), float32; all follow from ``zero``."""
        n_fft, across, along, half = self.n_fft, self.across, self.along, self.along // 2 + 1
        turn = 2 * math.pi
        zero = zero.reshape(1)
        phase_R = torch.arange(across, dtype=torch.float64) + zero
        place_M = torch.arange(along, dtype=torch.float64) + zero
        bin_U = torch.arange(half, dtype=torch.float64) + zero
        sample_RM = place_M * across + phase_R[:, None]
        window_RM = 0.5 - 0.5 * torch.cos(sample_RM * (turn / n_fft))
        # a whole product is a whole number of samples of a turn, of which the remainder alone counts
        angle_RUM = _remainder(sample_RM[:, None] * bin_U[:, None], n_fft) * (turn / n_fft)
        windowed_R2UM = torch.stack([torch.cos(angle_RUM), -torch.sin(angle_RUM)], 1) * window_RM[:, None, None]
        angle_RR = _remainder(phase_R[:, None] * phase_R, across) * (turn / across)
        cosine_RR, sine_RR = torch.cos(angle_RR), torch.sin(angle_RR)
        real_R2R = torch.stack([cosine_RR, sine_RR], 2)
        imaginary_R2R = torch.stack([-sine_RR, cosine_RR], 2)
        return {
            "along_filters": windowed_R2UM.reshape(-1, 1, along).float(),
            "across_filters": torch.cat([real_R2R, imaginary_R2R]).reshape(2 * across, 2 * across, 1, 1).float(),
            "bank": self._bank(bin_U + phase_R[:, None] * along).float(),
        }

    def _bank(self, bin_RU: Tensor) -> Tensor:
        """Triangles (F, R U, 1) over the bins in the order in which the transform gives them, each once: of a bin and its mirror image, which
        has the same energy, the lower where both are there."""
        n_fft, along = self.n_fft, self.along
        edges = [_hz(mel) for mel in _even(_mel(LOWEST_HZ), _mel(self.rate / 2), self.mels + 2)]
        low_F, centre_F, high_F = (
            torch.tensor(edges[at : at + self.mels], dtype=torch.float64)[:, None] for at in range(3)
        )
        hz_K = (n_fft / 2 - (bin_RU - n_fft / 2).abs()).reshape(1, -1) * (self.rate / n_fft)
        weights_FK = torch.minimum((hz_K - low_F) / (centre_F - low_F), (high_F - hz_K) / (high_F - centre_F))
        upper_RU = [
            [u + along * v > n_fft // 2 and (u == 0 or 2 * u == along) for u in range(along // 2 + 1)]
            for v in range(self.across)
        ]
        once_K = 1 - torch.tensor(upper_RU, dtype=torch.float64).reshape(1, -1)
        return (weights_FK.clamp(min=0) * once_K)[:, :, None]


@torch.no_grad()
def fit(front: LogMel, parts: Iterable[Tensor]) -> None:
    """Sets a front end's mean and deviation to those of the log-mel frames of sounds, which come in parts (B, S)."""
    frames_NF = torch.cat([front.log_mel(part).transpose(1, 2).flatten(0, 1).double() for part in parts])
    front.mean.copy_(frames_NF.mean(0))
    front.std.copy_(frames_NF.std(0, correction=0).clamp(min=_LEAST_DEVIATION))


def _parted(n_fft: int, hop: int) -> int:
    """By which R, a divisor of both, the transform takes the fewest multiplications."""
    possible = [across for across in range(1, 129) if n_fft % across == 0 and hop % across == 0]
    return min(possible, key=lambda across: (n_fft // across // 2 + 1) * (2 * n_fft + 4 * across**2))


def _remainder(whole: Tensor, by: int) -> Tensor:
    return whole - by * torch.floor(whole / by)


def _even(first: float, last: float, count: int) -> list[float]:
    return [first + (last - first) * at / (count - 1) for at in range(count)]


def _mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def _hz(mel: float) -> float:
    return 700 * (10 ** (mel / 2595) - 1)
