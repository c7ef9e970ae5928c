"""A student for the edge with inverted residuals and linear bottlenecks (MobileNetV2, Sandler et al. 2018).

A block widens its few channels, filters each of them, and narrows them again without a non-linearity, so that what is passed
on stays small; the shortcut joins the narrow ends. Laid out as :mod:`limbeck.vision.convnet` is: the stem halves the
resolution of all but the smallest images, each further stage does so again, and the depth stands in the last stage.
"""

from __future__ import annotations

from torch import Tensor, nn

from .convnet import stages_for, stem_for
from .downscale import smaller
from .resnet import initialise

_HEAD = 4  # times as wide as the last stage: 320 channels to 1280 in the paper


class MobileNet(nn.Module):
    """Images (B, channels, height, width), of which ``size`` is the shorter side, to logits (B, classes).

    ``width`` channels in the stem and the first stage, half as many again in each further one; ``depth`` blocks in the last
    stage and one in those before it; within a block ``expand`` times its channels, and depthwise kernels of ``kernel`` by
    ``kernel``. ``downscale`` is as in :func:`limbeck.vision.downscale.smaller`.
    """

    def __init__(
        self,
        classes: int,
        channels: int,
        size: int,
        width: int = 8,
        depth: int = 3,
        expand: int = 4,
        kernel: int = 3,
        downscale: int = 1,
    ) -> None:
        super().__init__()
        self.smaller = smaller(downscale)
        stages = stages_for(size // downscale)
        self.stem = stem_for(channels, width, size // downscale, nn.ReLU6())
        widths = [width * 3**stage // 2**stage for stage in range(stages)]
        blocks = []
        for stage, (before, after) in enumerate(zip([width, *widths], widths)):
            first = InvertedResidual(before, after, expand, kernel, stride=1 if stage == 0 else 2)
            more = depth - 1 if stage == stages - 1 else 0
            rest = (InvertedResidual(after, after, expand, kernel, stride=1) for _ in range(more))
            blocks.append(nn.Sequential(first, *rest))
        self.stages = nn.Sequential(*blocks)
        wide = _HEAD * widths[-1]
        self.head = nn.Sequential(nn.Conv2d(widths[-1], wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6())
        self.fc = nn.Linear(wide, classes)
        initialise(self)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                # a depthwise filter sees one channel; fan out counts them all and would start it near zero
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, images_BCHW: Tensor) -> Tensor:
        if self.smaller is not None:
            images_BCHW = self.smaller(images_BCHW)
        return self.fc(self.head(self.stages(self.stem(images_BCHW))).mean((2, 3)))


class InvertedResidual(nn.Module):
    """Wide within, narrow at both ends, with a shortcut where the shape stays (section 3.3).

    (B, in, H, W) to (B, out, H/stride, W/stride). With ``expand`` 1 there is no widening, as in the paper's first block.
    """

    def __init__(self, in_channels: int, out_channels: int, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = expand * in_channels
        self.expand: nn.Module | None = None
        if expand > 1:
            self.expand = nn.Sequential(nn.Conv2d(in_channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6())
        filters = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
        self.depthwise = nn.Sequential(filters, nn.BatchNorm2d(wide), nn.ReLU6())
        self.project = nn.Sequential(nn.Conv2d(wide, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        inner = maps_BCHW if self.expand is None else self.expand(maps_BCHW)
        inner = self.project(self.depthwise(inner))
        return inner + maps_BCHW if self.residual else inner
