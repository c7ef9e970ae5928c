"""A network for the images of a run, by its section in the recipe: of classes, or of numbers in their units."""

from __future__ import annotations

from torch import nn

from ...data.numbers import statistics_of
from ...models.state_file import read_sets
from ...models.weights import load_weights
from ...sections.teacher import Model
from ...vision.build import build
from ...vision.pixels import Size
from ...vision.units import DEVIATION, in_units
from .examples import Splits, shape_of


def network(
    section: Model,
    splits: Splits,
    *,
    trust_code: bool,
    seed: int,
    size: Size | None = None,
    trained: bool = True,
    notes: list[str] | None = None,
) -> nn.Module:
    """As :func:`limbeck.vision.build.build`, for images of ``size``; that of the data where it is None.

    One of numbers that is ``trained`` here answers in their units from the first step on: about the mean of the training
    labels, and as far from it as they are. Weights that come from elsewhere are taken as they are; a file that one was saved
    to says its units itself.
    """
    channels, own = shape_of(splits)

    def built(section: Model) -> nn.Module:
        return build(
            section,
            classes=splits.answers.width,
            channels=channels,
            size=size or own,
            trust_code=trust_code,
            seed=seed,
            notes=notes,
        )

    if splits.answers.kind != "values":
        return built(section)
    if section.weights is None:
        return in_units(built(section), *_statistics(splits)) if trained else built(section)
    if not any(DEVIATION in state for state in read_sets(section.weights).values()):
        return built(section)
    model = in_units(built(section.model_copy(update={"weights": None})), *_statistics(splits))
    said = load_weights(model, section.weights, section.model)
    if notes is not None:
        notes += said
    return model


def _statistics(splits: Splits) -> tuple[tuple[float, ...], tuple[float, ...]]:
    assert splits.train.labels is not None
    return statistics_of(splits.train.labels)
