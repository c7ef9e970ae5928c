"""The student for the edge: a small depthwise-separable network (after MobileNet, Howard et al. 2017).

A dense stem, then stages of separable blocks; each further stage halves the resolution and doubles the width;
global average pooling and a linear layer. On a CPU most of the time of so small a network goes into moving
feature maps, so the stem halves the resolution of all but the smallest images, and the depth stands in the last
stage, where the maps are smallest and most of the parameters are.
"""

from __future__ import annotations

from torch import Tensor, nn

from .downscale import smaller
from .resnet import initialise


class ConvNet(nn.Module):
    """Images (B, channels, height, width), of which ``size`` is the shorter side, to logits (B, classes).

    ``width`` channels in the stem, ``depth`` blocks in the last stage and one in those before it, depthwise kernels of ``kernel`` by
    ``kernel``. ``downscale`` is as in :func:`limbeck.vision.downscale.smaller`.
    """

    def __init__(
        self,
        classes: int,
        channels: int,
        size: int,
        width: int = 8,
        depth: int = 3,
        kernel: int = 3,
        downscale: int = 1,
    ) -> None:
        super().__init__()
        self.smaller = smaller(downscale)
        stages = stages_for(size // downscale)
        self.stem = stem_for(channels, width, size // downscale, nn.ReLU())
        widths = [width * 2 ** (stage + 1) for stage in range(stages)]
        blocks = []
        for stage, (before, after) in enumerate(zip([width, *widths], widths)):
            first = SeparableBlock(before, after, kernel, stride=1 if stage == 0 else 2)
            more = depth - 1 if stage == stages - 1 else 0
            rest = (SeparableBlock(after, after, kernel, stride=1) for _ in range(more))
            blocks.append(nn.Sequential(first, *rest))
        self.stages = nn.Sequential(*blocks)
        self.fc = nn.Linear(widths[-1], classes)
        initialise(self)
        for block in self.modules():
            if isinstance(block, SeparableBlock):
                # A depthwise filter sees one channel; fan out counts them all and would start it near zero.
                nn.init.kaiming_normal_(block.depthwise.weight, mode="fan_in", nonlinearity="linear")

    def forward(self, images_BCHW: Tensor) -> Tensor:
        if self.smaller is not None:
            images_BCHW = self.smaller(images_BCHW)
        return self.fc(self.stages(self.stem(images_BCHW)).mean((2, 3)))


def stages_for(size: int) -> int:
    """Stages for images of that side: the last works on maps of about 4 to 8 pixels a side."""
    return 2 if size < 48 else 3 if size < 96 else 4


def stem_for(channels: int, width: int, size: int, activation: nn.Module) -> nn.Sequential:
    """The first convolution, which halves the resolution of images of a side from 16 on; its kernel then reads 5x5 pixels, so
    that no detail falls between its steps."""
    stride, kernel = (2, 5) if size >= 16 else (1, 3)
    convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), activation)


class SeparableBlock(nn.Module):
    """A depthwise and a pointwise convolution, with a shortcut where the shape stays.

    (B, in, H, W) to (B, out, H/stride, W/stride).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel, stride, kernel // 2, groups=in_channels, bias=False
        )
        # No BN between the two: the one behind them makes it redundant, and it cost 30 % of a training step.
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        inner = self.bn(self.pointwise(self.depthwise(maps_BCHW)))
        return self.relu(inner + maps_BCHW if self.residual else inner)
