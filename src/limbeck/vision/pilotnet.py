"""A stack of convolutions whose last maps are read place by place: for numbers that say where something is.

After PilotNet (Bojarski et al. 2016, "End to End Learning for Self-Driving Cars"), smaller. Networks that average their last
maps forget where in the picture something was; of a road that is what the steering angle follows from.
"""

from __future__ import annotations

from torch import Tensor, nn

from .resnet import initialise

_STRIDES = (2, 2, 2, 1)


class PilotNet(nn.Module):
    """Images (B, channels, height, width) of the ``size`` (height, width) to numbers or logits (B, classes).

    Four 3x3 convolutions, the first of ``width`` channels and the last of 8/3 as many, and ``hidden`` units behind them.
    """

    def __init__(self, classes: int, channels: int, size: tuple[int, int], width: int = 24, hidden: int = 64) -> None:
        super().__init__()
        widths = [width, width * 3 // 2, width * 2, width * 8 // 3]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
                for before, after, stride in zip([channels, *widths], widths, _STRIDES)
            )
        )
        height, across = (-(-side // 8) for side in size)  # each halving rounds up
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1] * height * across, hidden), nn.ELU())
        self.fc = nn.Linear(hidden, classes)
        initialise(self)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.fc(self.hidden(self.layers(images_BCHW)))
