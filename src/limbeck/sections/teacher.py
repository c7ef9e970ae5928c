"""How a recipe names a model, an ONNX file, or several teachers that answer as one. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, Literal

from pydantic import ConfigDict, model_validator

from ..errors import shown
from .section import ENSEMBLE, MODEL, ONNX, Number, Section
from .train import Train


class Model(Section):
    """A model by name; further fields are its knobs (``width: 8``)."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, defer_build=True)

    model: str
    """A family of ours (``convnet``, ``mobile``, ``pilotnet``, ``resnet20``, ``wrn_16_2``), ``timm/NAME``, or ``module:callable``."""
    weights: str | None = None
    """A ``.safetensors`` file (or ``.pt``/``.th`` holding a plain state dict) to start from."""

    @property
    def knobs(self) -> dict[str, Any]:
        """The further fields: keyword arguments of the model."""
        return dict(self.__pydantic_extra__ or {})


class OnnxTeacher(Section):
    """An ONNX file, run by ONNX Runtime on the CPU as it is. What it is given beside that is its modality's own."""

    onnx: str
    """The file. Its batch may be dynamic or fixed."""
    license: str | None = None
    """Under which licence it was published, as the hub calls it (``apache-2.0``); what its card says where not given."""

    @property
    def comes_from(self) -> str | None:
        """Where it was published: the folder that it lies in."""
        return str(PurePath(self.onnx).parent)

    @property
    def title(self) -> str:
        """How a person sees it."""
        return PurePath(self.onnx).name

    @property
    def train(self) -> Train | None:
        """None: it comes ready-made."""
        return None

    @property
    def opaque(self) -> str | None:
        """Why its inner modules cannot be looked at."""
        return "an ONNX file gives its logits alone"


class Ensemble(Section):
    """Several teachers that answer as one. Those that are trained here are stages of their own.

    Their answers are put together at temperature 1, whatever temperature the student is trained at. What a member may be
    is its modality's own.
    """

    ensemble: tuple[Any, ...]
    """The teachers, each as if it were the only one; a model that is listed again is trained from another seed."""
    combine: Literal["probabilities", "logits", "confidence"] = "probabilities"
    """The mean of their probabilities or of their logits; or of probabilities, the surest weighing most."""
    weights: tuple[Number, ...] | None = None
    """A weight for each, in their order; equal where not given."""

    @property
    def title(self) -> str:
        """How a person sees it."""
        return f"ensemble of {', '.join(member.title for member in self.ensemble)}"

    @property
    def opaque(self) -> str | None:
        """Why its inner modules cannot be looked at."""
        return "an ensemble gives its logits alone"

    @model_validator(mode="after")
    def _consistent(self) -> Ensemble:
        if len(self.ensemble) < 2:
            raise ValueError("an ensemble is made of two teachers or more")
        if self.weights is None:
            return self
        if self.combine == "confidence":
            raise ValueError("confidence weighs the teachers itself: leave out weights")
        if len(self.weights) != len(self.ensemble):
            raise ValueError(f"weights has {len(self.weights)} value(s) for {len(self.ensemble)} teachers")
        if min(self.weights) < 0 or not sum(self.weights) > 0:
            raise ValueError("weights must not be negative, nor all 0")
        return self


def kind_of_member(value: Any) -> str:
    """The tag of a member's kind: an ONNX file, or a model by name."""
    return ONNX if isinstance(value, OnnxTeacher) or (isinstance(value, dict) and "onnx" in value) else MODEL


def kind_of_teacher(value: Any) -> str:
    """The tag of a teacher's kind: several that answer as one, or what a member may be."""
    several = isinstance(value, Ensemble) or (isinstance(value, dict) and "ensemble" in value)
    return ENSEMBLE if several else kind_of_member(value)


def kind_of_section(section: type) -> str:
    """The tag of the kind of teacher that a section describes."""
    if kind := getattr(section, "KIND", None):
        return kind
    return ONNX if issubclass(section, OnnxTeacher) else ENSEMBLE if issubclass(section, Ensemble) else MODEL


def members_of(section: Any) -> list[tuple[str, Any]]:
    """Each teacher of a recipe's section with its path: ``teacher`` itself, or the members of an ensemble."""
    if isinstance(section, Ensemble):
        return [(f"teacher.ensemble.{k}", member) for k, member in enumerate(section.ensemble)]
    return [("teacher", section)]


def precision_problems(recipe: Any) -> Iterator[str]:
    """Sentences on how an ONNX file among a recipe's teachers cannot be asked."""
    if not any(isinstance(member, OnnxTeacher) for _, member in members_of(recipe.teacher)):
        return
    if recipe.targets.precision in ("bfloat16", "float16"):
        yield (
            f"targets.precision: {shown(recipe.targets.precision)} was given, and an ONNX file has its precision "
            "inside; leave it out"
        )
    if recipe.targets.compile:
        yield "targets.compile: an ONNX file is not compiled; leave it out"


def seeds_of(section: Ensemble, seed: int) -> list[int]:
    """The seed of each member: one that is listed again starts from the next, or it would be the same teacher twice."""
    return [seed + section.ensemble[:k].count(one) for k, one in enumerate(section.ensemble)]
