"""Sections of the recipe's ``objective`` for the inside of transformers, as :mod:`limbeck.recipe_objectives` has them. No torch.

The default paths are those of the modules, within a Hugging Face BERT; a vision transformer of timm has ``blocks.{}``.
The last three find the layers of BERT, RoBERTa and DistilBERT themselves.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from .recipe_section import (
    Depth,
    FoundLayerMap,
    LayerMap,
    Layers,
    Projections,
    Section,
    StudentLayers,
    TeacherLayers,
    Weight,
)


class HiddenStates(Section):
    """Hidden states of transformers, layer against layer (Jiao et al. 2020; Sun et al. 2019)."""

    student: StudentLayers = "encoder.layer.{}"
    teacher: TeacherLayers = "encoder.layer.{}"
    layers: Layers | None = None
    """How many layers student and teacher have; needed where paths have a ``{}``."""
    layer_map: LayerMap = "uniform"
    match: Literal["mse", "cls", "cosine"] = "mse"
    """By squared difference, by that of the first (class) position at length 1, or by the cosine."""
    embeddings: tuple[str, str] | None = None
    """Modules of the embeddings in student and teacher, to be matched too."""
    weight: Weight = 1.0

    @model_validator(mode="after")
    def _published(self) -> HiddenStates:
        if self.match == "cls" and "weight" not in self.model_fields_set:
            return self.model_copy(update={"weight": 500.0})
        return self


class AttentionMaps(Section):
    """Attention of transformers, head against head (Jiao et al. 2020; Sun et al. 2020)."""

    student: StudentLayers = "encoder.layer.{}.attention.self"
    teacher: TeacherLayers = "encoder.layer.{}.attention.self"
    heads: Depth
    """Attention heads of both models."""
    layers: Layers | None = None
    """How many layers student and teacher have; needed where paths have a ``{}``."""
    layer_map: LayerMap = "uniform"
    match: Literal["mse", "kl"] = "mse"
    """The scores before the softmax, or what comes after it."""
    parts: Projections = ("query", "key", "value")
    teacher_parts: Projections | None = None
    """Those of the teacher, where they have other names."""
    weight: Weight = 1.0


class ValueRelations(Section):
    """How positions relate to one another in self-attention (Wang et al. 2021)."""

    student: StudentLayers = "encoder.layer.{}.attention.self"
    teacher: TeacherLayers = "encoder.layer.{}.attention.self"
    heads: Depth
    """Relation heads; must divide the width of both models."""
    layers: Layers | None = None
    """How many layers student and teacher have; needed where paths have a ``{}``."""
    layer_map: LayerMap = "last"
    relations: tuple[str, ...] = ("qq", "kk", "vv")
    """Each two letters of q, k and v."""
    parts: Projections = ("query", "key", "value")
    teacher_parts: Projections | None = None
    """Those of the teacher, where they have other names."""
    weight: Weight = 1.0


class TinyBERT(Section):
    """Embeddings, hidden states and attention of every layer of the student (Jiao et al. 2020).

    The layers are found in the models. Both must have as many attention heads.
    """

    layer_map: FoundLayerMap = "uniform"
    weight: Weight = 1.0


class PKD(Section):
    """The first position's states, at length 1, of every layer of the student but the last (Sun et al. 2019).

    The layers are found in the models.
    """

    layer_map: FoundLayerMap = "uniform"
    weight: Weight = 500.0


class MiniLM(Section):
    """How positions relate in the last layer's self-attention (Wang et al. 2021).

    The layers are found in the models, whose widths and numbers of heads may differ.
    """

    relations: tuple[str, ...] = ("qq", "kk", "vv")
    """Each two letters of q, k and v; ``[qk, vv]`` is the first MiniLM."""
    heads: Depth | None = None
    """Relation heads, which must divide both widths; where not given, as many as the teacher has attention heads."""
    layer_map: FoundLayerMap = "last"
    weight: Weight = 1.0
