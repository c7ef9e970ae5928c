"""Encoders from frames of a spectrogram to logits of symbols, frame by frame, that padding does not reach.

Frames that are not a clip's own are zero wherever frames meet: what a convolution reads beyond a clip's end is then what it reads
beyond a clip that stands alone, and batch normalisation takes its figures of a clip's own frames.

Shapes: B clips, T frames in, L frames out, F bands, H channels, V symbols, A heads, D channels of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_DROPOUT = 0.1


class FrameConv(nn.Conv1d):
    """A convolution over time (B, in, T) to (B, out, ceil(T / stride)), padded evenly, or at the side of the past alone."""

    def __init__(
        self, before: int, after: int, kernel: int, stride: int = 1, causal: bool = False, groups: int = 1
    ) -> None:
        super().__init__(before, after, kernel, stride, 0 if causal else kernel // 2, groups=groups, bias=False)
        self.past = kernel - 1 if causal else 0

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(functional.pad(input, (self.past, 0)) if self.past else input)


class FrameNorm(nn.BatchNorm1d):
    """Batch normalisation (B, H, L) whose figures are of clips' own frames ``own_BL`` (None: all)."""

    def forward(self, input: Tensor, own_BL: Tensor | None = None) -> Tensor:
        if own_BL is None or not self.training:
            return super().forward(input)
        frames_BLH = input.transpose(1, 2)
        normalised_BLH = torch.zeros_like(frames_BLH)
        normalised_BLH[own_BL] = super().forward(frames_BLH[own_BL])
        return normalised_BLH.transpose(1, 2)


class _Stem(nn.Module):
    """(B, F, T) to (B, H, ceil(T / stride))."""

    def __init__(self, mels: int, width: int, stride: int, causal: bool) -> None:
        super().__init__()
        self.stride = stride
        self.conv = FrameConv(mels, width, 5, stride, causal)
        self.norm = FrameNorm(width)

    def forward(self, frames_BFT: Tensor, own_BT: Tensor | None) -> tuple[Tensor, Tensor | None]:
        frames_BFT = _kept(frames_BFT, own_BT)
        own_BL = None if own_BT is None else own_BT[:, :: self.stride]
        maps_BHL = functional.relu(self.norm(self.conv(frames_BFT), own_BL))
        return _kept(maps_BHL, own_BL), own_BL


class FrameBlocks(nn.Module):
    """Residual depthwise-separable convolutions over time, as in QuartzNet (Kriman et al. 2020), widened within a block.

    (B, F, T) of which ``own_BT`` are a clip's own (None: all), to logits (B, L, V). ``causal``: padded at the side of the past alone.
    """

    def __init__(
        self,
        mels: int,
        classes: int,
        width: int = 160,
        depth: int = 6,
        kernel: int = 11,
        expand: int = 2,
        stride: int = 3,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.causal, self.stride = causal, stride
        self.stem = _Stem(mels, width, stride, causal)
        self.blocks = nn.ModuleList(_FrameBlock(width, kernel, expand, causal) for _ in range(depth))
        self.fc = nn.Linear(width, classes)
        _initialise(self)

    @property
    def sees(self) -> int:
        """How many frames of the spectrogram an answer depends on, of a causal one."""
        return 5 + self.stride * sum(block.depthwise.kernel_size[0] - 1 for block in self.blocks)  # type: ignore[index, union-attr, operator, misc]

    def forward(self, frames_BFT: Tensor, own_BT: Tensor | None = None) -> Tensor:
        maps_BHL, own_BL = self.stem(frames_BFT, own_BT)
        for block in self.blocks:
            maps_BHL = block(maps_BHL, own_BL)
        return self.fc(maps_BHL.transpose(1, 2))


class _FrameBlock(nn.Module):
    """Depthwise over time, wider, and back, beside a shortcut; (B, H, L) to the same shape."""

    def __init__(self, width: int, kernel: int, expand: int, causal: bool) -> None:
        super().__init__()
        self.depthwise = FrameConv(width, width, kernel, 1, causal, groups=width)
        self.wider = nn.Conv1d(width, width * expand, 1, bias=False)
        self.norm = FrameNorm(width * expand)
        self.back = nn.Conv1d(width * expand, width, 1, bias=False)
        self.norm_back = FrameNorm(width)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, maps_BHL: Tensor, own_BL: Tensor | None) -> Tensor:
        inner = functional.relu(self.norm(self.wider(self.depthwise(maps_BHL)), own_BL))
        return _kept(maps_BHL + self.dropout(self.norm_back(self.back(inner), own_BL)), own_BL)


class Conformer(nn.Module):
    """Conformer blocks (Gulati et al. 2020): half a feed-forward layer, attention, convolution, half a feed-forward layer.

    (B, F, T) of which ``own_BT`` are a clip's own (None: all), to logits (B, L, V). Attention knows positions by rotation (Su et al. 2021).
    """

    def __init__(
        self, mels: int, classes: int, width: int = 96, depth: int = 4, kernel: int = 15, stride: int = 3
    ) -> None:
        super().__init__()
        self.stride = stride
        self.stem = _Stem(mels, width, stride, causal=False)
        self.blocks = nn.ModuleList(_ConformerBlock(width, kernel) for _ in range(depth))
        self.fc = nn.Linear(width, classes)
        nn.init.zeros_(self.fc.bias)

    def forward(self, frames_BFT: Tensor, own_BT: Tensor | None = None) -> Tensor:
        maps_BHL, own_BL = self.stem(frames_BFT, own_BT)
        states_BLH = maps_BHL.transpose(1, 2)
        for block in self.blocks:
            states_BLH = block(states_BLH, own_BL)
        return self.fc(states_BLH)


class _ConformerBlock(nn.Module):
    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.first, self.second = _feed_forward(width), _feed_forward(width)
        self.attention = _Attention(width)
        self.norm = nn.LayerNorm(width)
        self.gated = nn.Linear(width, 2 * width)
        self.depthwise = FrameConv(width, width, kernel, groups=width)
        self.norm_inside = nn.LayerNorm(width)
        self.back = nn.Linear(width, width)
        self.dropout = nn.Dropout(_DROPOUT)
        self.last = nn.LayerNorm(width)

    def forward(self, states_BLH: Tensor, own_BL: Tensor | None) -> Tensor:
        states_BLH = states_BLH + 0.5 * self.first(states_BLH)
        states_BLH = states_BLH + self.attention(states_BLH, own_BL)
        gated_BHL = _kept(functional.glu(self.gated(self.norm(states_BLH))).transpose(1, 2), own_BL)
        seen_BLH = functional.silu(self.norm_inside(self.depthwise(gated_BHL).transpose(1, 2)))
        states_BLH = states_BLH + self.dropout(self.back(seen_BLH))
        return self.last(states_BLH + 0.5 * self.second(states_BLH))


class _Attention(nn.Module):
    """Attention among a clip's own frames; (B, L, H) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // (32 if width % 32 == 0 else 16)
        self.norm = nn.LayerNorm(width)
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, states_BLH: Tensor, own_BL: Tensor | None) -> Tensor:
        query, key, value = self.inward(self.norm(states_BLH)).unflatten(2, (3, self.heads, -1)).unbind(2)
        query_BALD, key_BALD, value_BALD = _turned(query), _turned(key), value.transpose(1, 2)
        scores_BALL = query_BALD @ key_BALD.transpose(2, 3) * query_BALD.shape[3] ** -0.5
        if own_BL is not None:
            scores_BALL = scores_BALL.masked_fill(~own_BL[:, None, None], float("-inf"))
        seen_BALD = scores_BALL.softmax(3) @ value_BALD
        return self.dropout(self.outward(seen_BALD.transpose(1, 2).flatten(2)))


def _turned(heads_BLAD: Tensor) -> Tensor:
    """(B, A, L, D), each pair of channels turned by an angle that grows with the position."""
    length, half = heads_BLAD.shape[1], heads_BLAD.shape[3] // 2
    device = heads_BLAD.device
    pace_D = 10_000 ** (-torch.arange(half, device=device, dtype=torch.float32) / half)
    angle_LD = torch.arange(length, device=device, dtype=torch.float32)[:, None] * pace_D
    first_BALD, second_BALD = heads_BLAD.transpose(1, 2).split(half, 3)
    cosine_LD, sine_LD = angle_LD.cos().to(heads_BLAD.dtype), angle_LD.sin().to(heads_BLAD.dtype)
    return torch.cat(
        [first_BALD * cosine_LD - second_BALD * sine_LD, first_BALD * sine_LD + second_BALD * cosine_LD], 3
    )


def _feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width), nn.Dropout(_DROPOUT)
    )


def _kept(maps_BHL: Tensor, own_BL: Tensor | None) -> Tensor:
    """The frames that are a clip's own; zeros in the place of the others."""
    return maps_BHL if own_BL is None else maps_BHL * own_BL[:, None]


@torch.no_grad()
def _initialise(model: nn.Module) -> None:
    """He's initialisation (normal, fan in) of the convolutions, a zero bias for the last layer, and blocks that begin as their shortcuts."""
    for module in model.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
        elif isinstance(module, _FrameBlock):
            nn.init.zeros_(module.norm_back.weight)
