"""Our networks of sounds: samples in, classes of a clip or symbols of its frames out.

Each has ``front``, the log-mel front end, and ``net``, what learns. Shapes: B clips, S samples, C classes, V symbols, T frames of the front end, L frames of
answers, F bands, H channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import BadInput
from ...models.seeding import seeded
from ...vision.resnet import BasicBlock, initialise
from .families import DEFAULTS, DS_CNN_CAUSAL, DS_CTC, ENCODERS, SPEECH_RESNET, check
from .frames import Conformer, FrameBlocks
from .frontend import LogMel

STEPS = 2
"""Frames of the spectrogram to a frame of the maps of a :class:`DSCNN`."""


def build(
    name: str, knobs: Mapping[str, Any], *, rate: int, samples: int | None, classes: int, seed: int
) -> Classifier | Encoder:
    """The network of that name, initialised from ``seed`` alone, for sound at ``rate`` Hz: of ``classes`` classes, or symbols with the blank as
    class 0. ``samples`` is the length of a clip where all have one. Its front end does not normalise yet: :func:`limbeck.modalities.speech.frontend.fit`.

    Raises :class:`BadInput` where there is no such network, a knob is unknown or out of range, or a clip is shorter than a frame.
    """
    check(name, knobs)
    given: dict[str, Any] = {**DEFAULTS[name], **knobs}
    front = LogMel(rate, given.pop("mels"), given.pop("hop_ms"))
    if samples is not None and samples < front.n_fft:
        raise BadInput(
            f"data: a clip of {samples} samples is shorter than a frame of {front.n_fft} ({1000 * front.n_fft / rate:.0f} ms): "
            "give longer data.seconds."
        )
    with seeded(seed):
        if name in ENCODERS:
            made = FrameBlocks if name == DS_CTC else Conformer
            return Encoder(front, made(front.mels, classes, **given))
        if name == SPEECH_RESNET:
            return Classifier(front, ResNet(classes, **given))
        return Classifier(front, DSCNN(classes, causal=name == DS_CNN_CAUSAL, **given))


class Classifier(nn.Module):
    """Samples (B, S) to logits (B, C)."""

    def __init__(self, front: LogMel, net: nn.Module) -> None:
        super().__init__()
        self.front, self.net = front, net

    @property
    def causal(self) -> bool:
        """Whether its answer is the mean over frames of answers that depend on the sound before each alone."""
        return getattr(self.net, "causal", False)

    def forward(self, samples_BS: Tensor) -> Tensor:
        return self.net(self.front(samples_BS))


class Encoder(nn.Module):
    """Samples (B, S), of which ``lengths_B`` are a clip's own (None: all), to logits (B, L, V).

    What stands beyond a clip's own samples, or frames, changes nothing of its answers; :meth:`frames_of` says which are its own.
    """

    def __init__(self, front: LogMel, net: FrameBlocks | Conformer) -> None:
        super().__init__()
        self.front, self.net = front, net

    @property
    def causal(self) -> bool:
        """Whether a frame's answer depends on the sound before it alone."""
        return getattr(self.net, "causal", False)

    def forward(self, samples_BS: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if lengths_B is None:
            return self.net(self.front(samples_BS), None)
        lengths_B = lengths_B.to(samples_BS.device)
        # the one frame of a clip that is shorter than it reaches beyond the clip
        own_BS = torch.arange(samples_BS.shape[1], device=samples_BS.device) < lengths_B[:, None]
        frames_BFT = self.front(samples_BS * own_BS)
        counted_B = self.front.frames_of(lengths_B)
        own_BT = torch.arange(frames_BFT.shape[2], device=frames_BFT.device) < counted_B[:, None]
        return self.net(frames_BFT, own_BT)

    def frames_of(self, lengths_B: Tensor) -> Tensor:
        """How many frames of answers (B,) clips of so many samples have; one at least."""
        return (self.front.frames_of(lengths_B) + self.net.stride - 1) // self.net.stride


class ResNet(nn.Module):
    """A residual network over the spectrogram (B, F, T) as a picture, three stages of ``depth`` blocks, each at half the resolution."""

    def __init__(self, classes: int, width: int = 32, depth: int = 1) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        widths = (width, width, 2 * width, 3 * width)
        blocks = [
            BasicBlock(before if first else after, after, 2 if first and stage else 1)
            for stage, (before, after) in enumerate(pairwise(widths))
            for first in (True, *[False] * (depth - 1))
        ]
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(widths[-1], classes)
        initialise(self)

    def forward(self, frames_BFT: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(frames_BFT[:, None])).mean((2, 3)))


class DSCNN(nn.Module):
    """Depthwise-separable convolutions over the spectrogram (B, F, T), for keywords on small devices (Zhang et al. 2017, "Hello Edge").

    The stem reads 8 bands by 5 frames and goes on by 4 and 2, since a frame of maps costs all that follows, and steps of four frames in time, which
    are as cheap, learnt far more slowly; the blocks are residual.
    ``causal``: padded at the side of the past alone, so that a frame of maps depends on the sound before it.
    """

    def __init__(self, classes: int, width: int = 24, depth: int = 4, kernel: int = 3, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.stem = nn.Sequential(
            _PaddedConv(1, width, (8, 5), (4, STEPS), causal), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(*(_Separable(width, kernel, causal) for _ in range(depth)))
        self.fc = nn.Linear(width, classes)
        initialise(self)
        for block in self.blocks:
            # A depthwise filter sees one channel; fan out counts them all and would start it near zero.
            nn.init.kaiming_normal_(block.depthwise.weight, mode="fan_in", nonlinearity="linear")  # type: ignore[arg-type, union-attr]

    @property
    def sees(self) -> int:
        """How many frames of the spectrogram a frame of the last maps depends on, of a causal one."""
        kernels = (block.depthwise.kernel_size[1] for block in self.blocks)  # type: ignore[index, union-attr]
        return 5 + STEPS * sum(kernel - 1 for kernel in kernels)  # type: ignore[operator, misc]

    def forward(self, frames_BFT: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(frames_BFT[:, None])).mean((2, 3)))


class _PaddedConv(nn.Conv2d):
    """A convolution with as many maps as steps begin in its input, padded evenly, or over time at the side of the past alone."""

    def __init__(
        self, before: int, after: int, kernel: tuple[int, int], stride: tuple[int, int], causal: bool, groups: int = 1
    ) -> None:
        over_time = 0 if causal else kernel[1] // 2
        super().__init__(before, after, kernel, stride, (kernel[0] // 2, over_time), groups=groups, bias=False)
        self.past = kernel[1] - 1 if causal else 0

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(functional.pad(input, (self.past, 0)) if self.past else input)


class _Separable(nn.Module):
    """A depthwise and a pointwise convolution beside a shortcut; (B, H, F, T) to the same shape."""

    def __init__(self, width: int, kernel: int, causal: bool) -> None:
        super().__init__()
        self.depthwise = _PaddedConv(width, width, (kernel, kernel), (1, 1), causal, groups=width)
        self.pointwise = nn.Conv2d(width, width, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()

    def forward(self, maps_BHFT: Tensor) -> Tensor:
        return self.relu(self.bn(self.pointwise(self.depthwise(maps_BHFT))) + maps_BHFT)
