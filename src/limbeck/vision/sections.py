"""How a recipe says that images are varied. No torch."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ..sections.section import AnyViews, Deviations, Means, Names, NotNegative, Pixel, Section, Side, Sides

BUILT_IN = ("digits", "digits_turned")
"""Data sets that come with scikit-learn."""


class Affine(Section):
    """Rotation, scale and shear drawn uniformly around the image's centre."""

    degrees: float = Field(default=0.0, ge=0, le=180)
    """Rotation up to so many degrees either way."""
    scale: float = Field(default=0.0, ge=0, lt=1)
    """Scale between 1 - s and 1 + s."""
    shear: float = Field(default=0.0, ge=0, le=60)
    """Shear up to so many degrees either way."""


class ColorJitter(Section):
    """Brightness, contrast and saturation, each multiplied by a factor between 1 - x and 1 + x."""

    brightness: float = Field(default=0.0, ge=0, lt=1)
    """Spread of the brightness factor."""
    contrast: float = Field(default=0.0, ge=0, lt=1)
    """Spread of the contrast factor."""
    saturation: float = Field(default=0.0, ge=0, lt=1)
    """Spread of the saturation factor (colour images)."""


class ResizedCrop(Section):
    """A crop of random area and shape, scaled back to the image's size."""

    scale: tuple[NotNegative, NotNegative] = (0.35, 1.0)
    """Smallest and largest share of the area."""
    ratio: tuple[NotNegative, NotNegative] = (0.75, 1.3333333333333333)
    """Narrowest and widest shape."""

    @model_validator(mode="after")
    def _ordered(self) -> ResizedCrop:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError("scale must be two shares of the area, 0 < smallest <= largest <= 1")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError("ratio must be two positive numbers, narrowest first")
        return self


class Views(AnyViews):
    """How an example is varied. View 0 of an empty section is the image as it is.

    Whatever is random is computed from (seed, view, example id), so a stored soft target belongs to the very pixels
    that the student sees.
    """

    pad_crop: int = Field(default=0, ge=0, le=8_192)
    """Pad by so many pixels and crop back at a random place."""
    shift: float = Field(default=0.0, ge=0, lt=1)
    """Shift by up to this share of the side, to a fraction of a pixel."""
    flip: bool = False
    """Mirror left and right, half of the time."""
    flip_turns: Names | None = None
    """Of a regression: the numbers whose sign a mirror image turns (``steering``); ``[]`` where it changes none."""
    resized_crop: ResizedCrop | None = None
    """A random crop scaled back to full size."""
    affine: Affine | None = None
    """Rotation, scale, shear."""
    color: ColorJitter | None = None
    """Brightness, contrast, saturation."""
    erase: float = Field(default=0.0, ge=0, le=1)
    """Probability that a random rectangle (2 % to 33 % of the area) is replaced by grey noise."""
    cutout: int = Field(default=0, ge=0, le=8_192)
    """Side in pixels of a square blanked at a random place; 0: none."""
    mixup: NotNegative = 0.0
    """Beta(a, a) of mixup; 0: none. Teacher and student see the same mix."""
    cutmix: NotNegative = 0.0
    """Beta(a, a) of CutMix; 0: none. With mixup too, each example takes one of the two."""

    @property
    def mixes(self) -> tuple[str, ...]:
        """Mixup and CutMix, where they are on."""
        return tuple(name for name in ("mixup", "cutmix") if getattr(self, name) > 0)

    @model_validator(mode="after")
    def _each_turned_once(self) -> Views:
        names = (self.flip_turns,) if isinstance(self.flip_turns, str) else self.flip_turns or ()
        if not all(name.strip() for name in names):
            raise ValueError(
                "flip_turns holds an empty name: name the numbers, or give [] where a mirror image turns none"
            )
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"flip_turns names '{twice[0]}' twice: name each number once")
        return self

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """``flip_turns`` is left out where it is not given, so that what goes by these values stays as it was."""
        values = handler(self)
        if self.flip_turns is None:
            values.pop("flip_turns", None)
        return values

    @property
    def turned(self) -> tuple[str, ...]:
        """The numbers whose sign a mirror image turns."""
        names = self.flip_turns or ()
        return (names,) if isinstance(names, str) else tuple(names)


class Crop(Section):
    """The part of each picture that is kept, in its own pixels, before it is brought to a size."""

    rows: tuple[Pixel, Side] | None = None
    """The first row that is kept and the first below that is not: ``[60, 140]``; all where not given."""
    columns: tuple[Pixel, Side] | None = None
    """Likewise from left to right."""

    @model_validator(mode="after")
    def _ordered(self) -> Crop:
        for name, kept in (("rows", self.rows), ("columns", self.columns)):
            if kept is not None and not kept[0] < kept[1]:
                raise ValueError(
                    f"{name} must be the first that is kept and the first after them that is not, such as [60, 140]"
                )
        if self.rows is None and self.columns is None:
            raise ValueError("give rows, columns or both")
        return self


class Preprocess(Section):
    """What a teacher from elsewhere wants done to its input."""

    mean: Means | None = None
    """Mean of each channel on a 0-1 scale, subtracted."""
    std: Deviations | None = None
    """Standard deviation of each channel on a 0-1 scale, divided by."""
    size: Sides | None = None
    """Side in pixels that the image is scaled to, or its height and width: ``[48, 160]``."""
