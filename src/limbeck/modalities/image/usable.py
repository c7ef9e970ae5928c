"""A trained model of images as a person calls it: images in as they are, logits or numbers out.

Shapes: B images, C channels, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ...errors import BadInput
from ...vision.inputs import Normalisation
from ...vision.pixels import AS_USUAL, Preparation, pixels


class Classifier(nn.Module):
    """The trained student with what it wants done to its input: images as they are in, logits out.

    ``model`` is the bare module, ``preprocess`` the normalisation that it was trained behind, ``classes`` their names in
    the order of the logits. Where it answers numbers, these take the place of the logits, and ``classes`` are their names.
    ``takes`` is what the bare module takes, (channels, height, width), and ``how`` says which part of a picture that is.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: Normalisation,
        classes: Sequence[str],
        takes: tuple[int, int, int],
        how: Preparation = AS_USUAL,
    ) -> None:
        super().__init__()
        self.model, self.preprocess, self.classes = model, preprocess, tuple(classes)
        self.takes, self.how = takes, how

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W), whole numbers 0 to 255 or floats in [0, 1].

        Pictures are cropped, recoloured and brought to size as ``limbeck predict`` does it, which needs whole numbers.
        Raises :class:`BadInput` for what is no tensor, for values that reach beyond (floats that were normalised already), for pictures smaller
        than the part that is seen, and for floats of another size or number of channels than the model takes.
        """
        if not isinstance(images_BCHW, Tensor):
            raise BadInput(
                f"the images are {type(images_BCHW).__module__}.{type(images_BCHW).__name__}: a torch.Tensor "
                "(batch, channels, height, width) is right, which torch.from_numpy makes of an array."
            )
        if images_BCHW.ndim != 4:
            raise BadInput(
                f"the images have shape {tuple(images_BCHW.shape)}: (batch, channels, height, width) is right."
            )
        whole = not images_BCHW.is_floating_point()
        if not torch.compiler.is_compiling() and images_BCHW.numel() and images_BCHW.dtype != torch.uint8:
            _check_range(images_BCHW, whole)
        images_BCHW = self._seen_of(images_BCHW)
        if tuple(images_BCHW.shape[1:]) != self.takes:
            if not whole:
                raise BadInput(self._other_size(images_BCHW))
            images_BCHW = self._brought_to_size(images_BCHW)
        return self.model(self.preprocess(images_BCHW.float() / 255 if whole else images_BCHW))

    def _seen_of(self, images_BCHW: Tensor) -> Tensor:
        """The rows and columns that the model sees."""
        height, width = images_BCHW.shape[2:]
        (top, bottom), (left, right) = self.how.rows or (0, height), self.how.columns or (0, width)
        if bottom > height or right > width:
            raise BadInput(
                f"the images are {height} high and {width} wide, and the student sees a part of a picture (data.crop of its "
                f"recipe) that reaches to row {bottom} and column {right}: give whole pictures, as the recipe's data has them."
            )
        return images_BCHW[:, :, top:bottom, left:right]

    def _brought_to_size(self, images_BCHW: Tensor) -> Tensor:
        """Whole pictures as uint8 in the shape that the model takes."""
        channels, *size = self.takes
        if images_BCHW.shape[1] not in (1, 3) or 0 in images_BCHW.shape[2:]:
            raise BadInput(
                f"the images have shape {tuple(images_BCHW.shape)}: pictures have 1 channel, grey, or 3, red, green, blue."
            )
        made = [
            pixels(
                Image.fromarray(one_HWC[:, :, 0] if one_HWC.shape[2] == 1 else one_HWC),
                channels,
                (size[0], size[1]),
            )
            for one_HWC in np.ascontiguousarray(images_BCHW.permute(0, 2, 3, 1).to("cpu", torch.uint8).numpy())
        ]
        made_BCHW = np.stack(made) if made else np.empty((0, *self.takes), np.uint8)
        return torch.from_numpy(made_BCHW).to(images_BCHW.device)

    def _other_size(self, seen_BCHW: Tensor) -> str:
        given, takes = ("x".join(map(str, shape)) for shape in (seen_BCHW.shape[1:], self.takes))
        part = (
            " in the part that the student sees (data.crop of its recipe)" if self.how.rows or self.how.columns else ""
        )
        return (
            f"the images are {given} (channels, height, width){part}, and the student takes {takes}. Give pictures as whole "
            "numbers, 0 to 255 (torch.uint8): they are brought to that size as in training, which floats cannot be."
        )


def _check_range(images_BCHW: Tensor, whole: bool) -> None:
    """Raises :class:`BadInput` for values that are no picture's."""
    low, high = (float(end) for end in images_BCHW.detach().aminmax())
    if whole and not 0 <= low <= high <= 255:
        raise BadInput(f"the images run from {low:g} to {high:g}: whole numbers must lie in 0 to 255.")
    if not whole and not (low >= 0 and high <= 1):
        raise BadInput(
            f"the images run from {low:g} to {high:g}: floats must lie in 0 to 1. The student normalises its input "
            "itself; its bare module, which takes normalised images, is student.model."
        )
