"""Wide residual networks ``wrn_D_W`` (Zagoruyko and Komodakis 2016): depth D = 6n + 4, widths 16W, 32W, 64W.

Pre-activation blocks, no dropout. Module names are those of the published CRD checkpoints (``conv1``,
``block2.layer.0.convShortcut``, ``fc``), so their weights load as they are.
"""

from __future__ import annotations

from torch import Tensor, nn

from .networks import wide_resnet_blocks
from .resnet import initialise


def wide_resnet(name: str, *, classes: int, channels: int) -> WideResNet:
    """The network of that name, such as ``wrn_16_2``.

    Raises:
        BadInput: the name is not ``wrn_D_W`` with D = 6n + 4 and W from 1.
    """
    blocks, width = wide_resnet_blocks(name)
    return WideResNet(blocks, width, classes=classes, channels=channels)


class WideBlock(nn.Module):
    """BN, ReLU, 3x3 convolution, twice, and a shortcut; (B, in, H, W) to (B, out, H/stride, W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.convShortcut = (
            None if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        )

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        activated = self.relu1(self.bn1(maps_BCHW))
        # A projection sees the activated maps, an identity the raw ones: the original's choice.
        shortcut = maps_BCHW if self.convShortcut is None else self.convShortcut(activated)
        return self.conv2(self.relu2(self.bn2(self.conv1(activated)))) + shortcut


class WideStage(nn.Module):
    """``blocks`` blocks in a row, the first of which changes width and resolution."""

    def __init__(self, blocks: int, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        first = WideBlock(in_channels, out_channels, stride)
        rest = (WideBlock(out_channels, out_channels, 1) for _ in range(blocks - 1))
        self.layer = nn.Sequential(first, *rest)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        return self.layer(maps_BCHW)


class WideResNet(nn.Module):
    """Images (B, channels, H, W) to logits (B, classes), for any H and W."""

    def __init__(self, blocks: int, width: int, *, classes: int, channels: int) -> None:
        """``blocks`` in each of the three stages, whose widths are ``width`` times 16, 32 and 64."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.block1 = WideStage(blocks, 16, 16 * width, stride=1)
        self.block2 = WideStage(blocks, 16 * width, 32 * width, stride=2)
        self.block3 = WideStage(blocks, 32 * width, 64 * width, stride=2)
        self.bn1 = nn.BatchNorm2d(64 * width)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(64 * width, classes)
        initialise(self)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        maps = self.block3(self.block2(self.block1(self.conv1(images_BCHW))))
        return self.fc(self.relu(self.bn1(maps)).mean((2, 3)))
