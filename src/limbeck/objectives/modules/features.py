"""Objectives on features of both models, with the adapters between them.

Features are captured by module path: ``stages.1`` for what a module gives, ``fc:in`` for what it is given.
Where a paper trains an adapter between the two, it is made in :meth:`build` from the shapes of one dry run: its
parameters are the objective's own, trained and saved with it and left behind at export. Initial weights are drawn on
the CPU, so that they are the same on every device.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...interfaces import Batch, Features, Needs, Output, Target, Term
from .. import functional
from ..functional.common import at_least_float32
from ..functional.features import check_map, common_size, pooled
from ..schedules import Scheduled
from .base import Objective, examples, not_negative, number, try_settings

Paths = str | Sequence[str]


class OnFeatures(Objective):
    """One value of a batch from pairs of features, a layer of the student beside one of the teacher.

    Args:
        name: of the term.
        student: module path, or several.
        teacher: as many module paths of the teacher.
        weight: factor of the term.
    """

    def __init__(self, name: str, student: Paths, teacher: Paths, weight: Scheduled) -> None:
        super().__init__(float(weight) if isinstance(weight, int | float) else weight)
        self.name = name
        self.student, self.teacher = _paths(student), _paths(teacher)
        if len(self.student) != len(self.teacher) or not self.student:
            raise ValueError(
                f"{name} compares the student's layers with the teacher's one by one, but {len(self.student)} and "
                f"{len(self.teacher)} were given: name as many of each, and at least one"
            )
        self.needs = Needs(target=(Features,), features=self.student, teacher_features=self.teacher)

    def value(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Mean over the examples; pairs in the order of the paths, nothing of the teacher's with a gradient."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it asks of the features")

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        return {self.name: self.term(self.value(self.pairs(student, target)), batch)}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        return {self.name: examples(batch)}

    def pairs(self, student: Output, target: Target) -> list[tuple[Tensor, Tensor]]:
        """The features, at least float32, layer by layer. Raises ``KeyError`` where one was not captured."""
        said = target.get(Features).values
        return [
            (_at(student.features, ours, "student"), _at(said, theirs, "teacher").detach())
            for ours, theirs in zip(self.student, self.teacher, strict=True)
        ]

    def term(self, mean: Tensor, batch: Batch) -> Term:
        """A mean over the examples as a term: so that one batch gives the mean itself."""
        return Term(self.scheduled(self.weight) * mean * len(batch.ids), examples(batch))

    def extra_repr(self) -> str:
        # all that the constructor was told: it enters the names of finished stages
        told = (name for name in inspect.signature(type(self)).parameters if hasattr(self, name))
        return ", ".join(f"{name}={getattr(self, name)}" for name in told)


class OnPairs(OnFeatures):
    """One function of a layer of the student and one of the teacher, summed over the pairs of layers.

    Args:
        name: of the term.
        value_of: the function: the features of as many examples, and its settings, to a scalar.
        student: module path, or several.
        teacher: as many module paths of the teacher.
        weight: factor of the term.
        settings: its hyper-parameters: numbers, or schedules.

    Raises:
        ValueError: a setting that ``value_of`` refuses, at the start or the end of its schedule.
    """

    def __init__(
        self,
        name: str,
        value_of: Callable[..., Tensor],
        *,
        student: Paths,
        teacher: Paths,
        weight: Scheduled,
        **settings: Scheduled,
    ) -> None:
        super().__init__(name, student, teacher, weight)
        self.value_of = value_of
        self.settings = {setting: number(value) for setting, value in settings.items()}
        maps = torch.zeros(2, 1, 1, 1)
        try_settings(value_of, self.settings, maps, maps)

    def value(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        now = {setting: self.scheduled(value) for setting, value in self.settings.items()}
        return sum_of([self.value_of(ours, theirs, **now) for ours, theirs in pairs])

    def _get_name(self) -> str:  # for repr, which names stages: two functions are two objectives
        return self.name if type(self) is OnPairs else super()._get_name()

    def extra_repr(self) -> str:
        told = {"student": self.student, "teacher": self.teacher, "weight": self.weight, **self.settings}
        return ", ".join(f"{name}={value}" for name, value in told.items())

    def __getattr__(self, name: str) -> Any:
        settings = self.__dict__.get("settings", {})
        return settings[name] if name in settings else super().__getattr__(name)


class FitNets(OnFeatures):
    """A hint: the student's layer, through a regressor, equals the teacher's (Romero et al. 2015).

    See :func:`limbeck.objectives.functional.hint`. The regressor is a convolution (``kernel`` x ``kernel``, same size),
    batch norm, and ReLU where the teacher's features are never negative: the paper wants the same non-linearity on both
    sides, and batch norm is that of Tian et al. 2020. Vectors (B, D) pass as maps of one place. Where H or W differ, the
    larger map is averaged to the smaller; the paper's regressor instead shrinks the student's by a large kernel.
    """

    def __init__(self, student: Paths, teacher: Paths, weight: Scheduled = 100.0, kernel: int = 1) -> None:
        super().__init__("fitnets", student, teacher, weight)
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel must be odd (1, 3, ...), so that a map keeps its size, not {kernel}")
        self.kernel = kernel
        self.regressors = nn.ModuleList()

    def build(self, student: Output, target: Target, batch: Batch, ids_N: Tensor) -> None:
        self.regressors = nn.ModuleList()
        for ours, theirs in self.pairs(student, target):
            ours, theirs = as_map(ours), as_map(theirs)
            layers = [*convolution(ours.shape[1], theirs.shape[1], self.kernel), *_as_the_teachers(theirs)]
            self.regressors.append(nn.Sequential(*layers).to(ours.device, ours.dtype))

    def value(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        check_built(self, self.regressors)
        values = []
        for (ours, theirs), regressor in zip(pairs, self.regressors, strict=True):
            ours, theirs = same_size(as_map(ours), as_map(theirs))
            values.append(functional.hint(regressor(ours), theirs))
        return sum_of(values)


class RKD(OnFeatures):
    """Distances and angles between the examples of the batch (Park et al. 2019); batch-relational.

    Two terms, ``rkd_distance`` and ``rkd_angle``: see the functions of these names in
    :mod:`limbeck.objectives.functional`. Maps are averaged over their places; give the last features, such as ``fc:in``.
    No adapter. Defaults of Tian et al. 2020 for image classification.

    Args:
        student: module path.
        teacher: module path.
        weight: factor of both terms.
        distance: factor of the distances.
        angle: factor of the angles; at 0 they are not worked out, which saves memory for B³ numbers.
    """

    relational = True

    def __init__(
        self, student: str, teacher: str, weight: Scheduled = 1.0, distance: float = 25.0, angle: float = 50.0
    ) -> None:
        super().__init__("rkd", student, teacher, weight)
        parts = {"rkd_distance": not_negative(distance), "rkd_angle": not_negative(angle)}
        self.factors = {name: factor for name, factor in parts.items() if factor}
        if not self.factors:
            raise ValueError("rkd without distances and without angles asks nothing: give one of them a factor above 0")

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        ((ours, theirs),) = self.pairs(student, target)
        ours, theirs = as_vectors(ours), as_vectors(theirs)
        of = {"rkd_distance": functional.rkd_distance, "rkd_angle": functional.rkd_angle}
        return {name: self.term(factor * of[name](ours, theirs), batch) for name, factor in self.factors.items()}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        return {name: examples(batch) for name in self.factors}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {', '.join(f'{name}={factor}' for name, factor in self.factors.items())}"


class SimKD(OnFeatures):
    """The student's last map, through a projector, equals the teacher's, so that the teacher's classifier fits it.

    Chen et al. 2022: the mean squared difference (:func:`limbeck.objectives.functional.hint`). The projector is 1x1, 3x3
    and 1x1 convolutions with batch norm and ReLU, narrow in the middle; the last ReLU is left out where the teacher's
    map has negative values. Where H or W differ, the larger map is averaged to the smaller, as in the paper.

    **The deployed model of the paper is not the student alone** but its body, the projector and the teacher's
    classifier: :meth:`deployed` puts them together. It has more parameters than the student, so compare it with models
    of its own size. A recipe trains that model as a whole (:mod:`limbeck.pipeline.simkd`); in a loop, the student's own
    classifier learns nothing from this objective.

    Args:
        student: path of a module that gives the last map (B, C, H, W).
        teacher: path of the teacher's last map, the one whose mean over the places its classifier takes.
        weight: factor of the term.
        factor: how much narrower than the teacher's map the projector's middle is.
    """

    def __init__(self, student: str, teacher: str, weight: Scheduled = 1.0, factor: int = 2) -> None:
        super().__init__("simkd", student, teacher, weight)
        if factor < 1:
            raise ValueError(f"factor must be at least 1, not {factor}")
        self.factor = factor
        self.projector = nn.Sequential()
        self.size = (1, 1)

    def build(self, student: Output, target: Target, batch: Batch, ids_N: Tensor) -> None:
        ((ours, theirs),) = self.pairs(student, target)
        check_map(ours)
        check_map(theirs)
        channels = theirs.shape[1]
        middle = max(1, channels // self.factor)
        self.size = common_size(ours, theirs)
        self.projector = nn.Sequential(
            *(*convolution(ours.shape[1], middle, 1), nn.ReLU()),
            *(*convolution(middle, middle, 3), nn.ReLU()),
            *(*convolution(middle, channels, 1), *_as_the_teachers(theirs)),
        ).to(ours.device, ours.dtype)

    def value(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        check_built(self, self.projector)
        ((ours, theirs),) = pairs
        ours, theirs = same_size(ours, theirs)
        return functional.hint(self.projector(ours), theirs)

    def deployed(self, body: nn.Module, classifier: nn.Module) -> nn.Sequential:
        """The model to deploy, in eval mode: images to the classifier's logits; plain modules, so it exports.

        It holds the given modules and the projector themselves, not copies.

        Args:
            body: the student up to the path given here; images to the map (B, C, H, W), of the dry run's size.
            classifier: the teacher's from the mean of its map over the places, (B, C) to logits.
        """
        check_built(self, self.projector)
        parts = [body, Pooling(self.size), self.projector, nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier]
        return nn.Sequential(*parts).eval()


# ------------------------------------------------------------------------------------------------------ adapters


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that takes its running statistics where a channel has one value only.

    One value has no variance, and torch refuses it; the last micro-batch of an epoch may have one example.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input[:, 0].numel() < 2:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(input)


class Pooling(nn.Module):
    """Averages maps to a size; see :func:`pooled`."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        return pooled(maps_BCHW, self.size)


def convolution(in_channels: int, out_channels: int, kernel: int) -> tuple[nn.Module, nn.Module]:
    """A convolution that keeps a map's size, and batch norm."""
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False), BatchNorm(out_channels)


def _as_the_teachers(maps_BCHW: Tensor) -> tuple[nn.Module, ...]:
    """The non-linearity behind the teacher's features: ReLU, or none where some are negative."""
    return () if bool((maps_BCHW < 0).any()) else (nn.ReLU(),)


def as_map(features: Tensor) -> Tensor:
    """Maps (B, C, H, W) themselves, vectors (B, D) as maps of one place. Raises ``ValueError`` for anything else."""
    if features.dim() not in (2, 4):
        raise ValueError(
            f"features of shape {tuple(features.shape)} are neither maps (B, C, H, W) nor vectors (B, D), which this "
            "objective compares"
        )
    return features if features.dim() == 4 else features[:, :, None, None]


def as_vectors(features: Tensor) -> Tensor:
    """Maps (B, C, H, W) averaged over their places, vectors (B, D) themselves."""
    return as_map(features).mean((2, 3))


def same_size(student_BCHW: Tensor, teacher_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps at the smaller height and width of the two."""
    check_map(student_BCHW)
    check_map(teacher_BCHW)
    size = common_size(student_BCHW, teacher_BCHW)
    return pooled(student_BCHW, size), pooled(teacher_BCHW, size)


def check_built(objective: Objective, adapters: nn.ModuleList | nn.Sequential) -> None:
    """Raises ``ValueError`` where :meth:`Objective.build` was not called."""
    if not len(adapters):
        raise ValueError(
            f"{type(objective).__name__} has parameters of its own, made from the models' shapes: call its build(...) once "
            "with the answers to one batch, before the optimiser is made"
        )


def sum_of(values: Sequence[Tensor]) -> Tensor:
    """The sum of scalars, at least one."""
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _at(values: Mapping[str, Tensor], path: str, whose: str) -> Tensor:
    if path not in values:
        there = ", ".join(f"'{known}'" for known in values) or "none"
        raise KeyError(f"the {whose}'s features hold none of '{path}'; what was captured: {there}")
    return at_least_float32(values[path])


def _paths(given: Paths) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
