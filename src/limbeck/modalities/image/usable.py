"""A trained model of images as a person calls it: images in as they are, logits or numbers out.

Shapes: B images, C channels, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import BadInput
from ...vision.inputs import Normalisation


class Classifier(nn.Module):
    """The trained student with what it wants done to its input: images as they are in, logits out.

    ``model`` is the bare module, ``preprocess`` the normalisation that it was trained behind, ``classes`` their names in
    the order of the logits. Where it answers numbers, these take the place of the logits, and ``classes`` are their names.
    """

    def __init__(self, model: nn.Module, preprocess: Normalisation, classes: Sequence[str] = ()) -> None:
        super().__init__()
        self.model, self.preprocess, self.classes = model, preprocess, tuple(classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W), whole numbers 0 to 255 or floats in [0, 1].

        Raises :class:`BadInput` for floats that reach beyond, which have been normalised already.
        """
        if not images_BCHW.is_floating_point():
            images_BCHW = images_BCHW.float() / 255
        elif not torch.compiler.is_compiling() and images_BCHW.numel():
            low, high = (float(end) for end in images_BCHW.detach().aminmax())
            if low < 0 or high > 1:
                raise BadInput(
                    f"the images run from {low:g} to {high:g}: floats must lie in 0 to 1. The student normalises its input "
                    "itself; its bare module, which takes normalised images, is student.model."
                )
        return self.model(self.preprocess(images_BCHW))
