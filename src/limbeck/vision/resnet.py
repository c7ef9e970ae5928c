"""CIFAR-style residual networks (He et al. 2016, section 4.2), as the distillation literature names them.

Three stages at full, half and quarter resolution; projection shortcuts (1x1 convolution and BN) where the
shape changes. ``resnet20`` has widths 16, 16, 32, 64; the ``x4`` variants 32, 64, 128, 256. Module names are
those of the published CRD checkpoints (``conv1``, ``layer2.0.bn1``, ``fc``), so that their weights load.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .networks import resnet_blocks


def resnet(name: str, *, classes: int, channels: int) -> ResNet:
    """The network of that name, such as ``resnet20`` or ``resnet32x4``; depth is 6n + 2.

    Raises:
        BadInput: the name is not ``resnetD`` or ``resnetDx4``, or D is not 6n + 2.
    """
    blocks, wide = resnet_blocks(name)
    widths = (32, 64, 128, 256) if wide else (16, 16, 32, 64)
    return ResNet(blocks, widths, classes=classes, channels=channels)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BN, and a shortcut; (B, in, H, W) to (B, out, H/stride, W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        shortcut = maps_BCHW if self.downsample is None else self.downsample(maps_BCHW)
        inner = self.relu(self.bn1(self.conv1(maps_BCHW)))
        return self.relu(self.bn2(self.conv2(inner)) + shortcut)


class ResNet(nn.Module):
    """Images (B, channels, H, W) to logits (B, classes), for any H and W."""

    def __init__(self, blocks: int, widths: tuple[int, int, int, int], *, classes: int, channels: int) -> None:
        """``blocks`` in each of the three stages; ``widths`` of the stem and the stages."""
        super().__init__()
        stem, first, second, third = widths
        self.conv1 = nn.Conv2d(channels, stem, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU()
        self.layer1 = _stage(blocks, stem, first, stride=1)
        self.layer2 = _stage(blocks, first, second, stride=2)
        self.layer3 = _stage(blocks, second, third, stride=2)
        self.fc = nn.Linear(third, classes)
        initialise(self)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        maps = self.relu(self.bn1(self.conv1(images_BCHW)))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        return self.fc(maps.mean((2, 3)))


def _stage(blocks: int, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1)))


@torch.no_grad()
def initialise(model: nn.Module) -> None:
    """He initialisation (normal, fan out) of the convolutions, a zero bias for the classifier; in place."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
