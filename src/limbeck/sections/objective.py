"""The recipe's ``objective`` section: what a student may be asked to match. No torch.

One section for each objective that the catalogue says recipes have (:mod:`limbeck.objectives.catalogue`), named as its
module, with its settings as fields.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model, model_validator

from ..objectives.catalogue import CATALOGUE, Entry
from ..objectives.catalogue.settings import REQUIRED, Kind, Number, OneOf, Setting
from . import section as kinds
from .section import ORDINARY, Section

_WRITTEN: dict[Kind, Any] = {
    Kind.WEIGHT: kinds.Weight,
    Kind.TEMPERATURE: kinds.Temperature,
    Kind.CLASS_WEIGHTS: kinds.ClassWeights,
    Kind.STUDENT_PATH: kinds.StudentPath,
    Kind.TEACHER_PATH: kinds.TeacherPath,
    Kind.STUDENT_PATHS: kinds.StudentPaths,
    Kind.TEACHER_PATHS: kinds.TeacherPaths,
    Kind.STUDENT_LAYERS: kinds.StudentLayers,
    Kind.TEACHER_LAYERS: kinds.TeacherLayers,
    Kind.LAYERS: kinds.Layers,
    Kind.LAYER_MAP: kinds.LayerMap,
    Kind.FOUND_LAYER_MAP: kinds.FoundLayerMap,
    Kind.PROJECTIONS: kinds.Projections,
    Kind.TWO_PATHS: tuple[str, str],
    Kind.NAMES: tuple[str, ...],
    Kind.COUNT: kinds.Count,
    Kind.WIDTH: kinds.Width,
    Kind.DEPTH: kinds.Depth,
    Kind.FRAMES: kinds.Frames,
}


class _Term(Section, use_attribute_docstrings=False):  # which would be looked for in this file
    """One objective's section."""


def _annotation(setting: Setting) -> Any:
    kind = setting.kind
    annotation: Any = Any
    if isinstance(kind, Number):
        most = ORDINARY if kind.at_most is None and kind.below is None else kind.at_most
        annotation = Annotated[float, Field(ge=kind.at_least, gt=kind.above, le=most, lt=kind.below)]
    elif isinstance(kind, OneOf):
        annotation = Literal[kind.words]
    elif kind is not None:
        annotation = _WRITTEN[kind]
    return annotation if setting.default is not None else annotation | None


def _field(setting: Setting) -> Any:
    facts: dict[str, Any] = {"description": setting.meaning} if setting.meaning else {}
    if setting.default is not REQUIRED:
        facts["default"] = setting.default
    return _annotation(setting), Field(**facts)


def _as_published(settings: tuple[Setting, ...], section: Section) -> Section:
    """The section, with the defaults that hold where another setting has the value it has."""
    found = {}
    for setting in settings:
        for other, defaults in setting.where.items():
            value = getattr(section, other)
            if setting.name not in section.model_fields_set and value in defaults:
                found[setting.name] = defaults[value]
    return section.model_copy(update=found) if found else section


def section_for(entry: Entry) -> type[Section]:
    """The recipe's section of one objective, named as its module."""
    assert entry.module is not None
    settings = tuple(setting for setting in entry.settings if setting.where)
    validators: dict[str, Any] = {}
    if settings:
        validators["as_published"] = model_validator(mode="after")(partial(_as_published, settings))
    fields: dict[str, Any] = {setting.name: _field(setting) for setting in entry.settings}
    return create_model(
        entry.module, __base__=_Term, __doc__=entry.about, __module__=__name__, __validators__=validators, **fields
    )


SECTIONS = {name: section_for(entry) for name, entry in CATALOGUE.items() if entry.in_recipes}
"""The section of every objective that recipes have, by the name of its field."""

if TYPE_CHECKING:
    _Terms = Section
else:
    _Terms = create_model(
        "_Terms",
        __base__=_Term,
        __module__=__name__,
        **{name: (section | None, Field(None, description=CATALOGUE[name].asks)) for name, section in SECTIONS.items()},
    )


class Objective(_Terms):
    """What the student is asked to match: a weighted sum of any of these. ``limbeck objectives`` compares them.

    The defaults of weights are the published ones, most of them beside ``cross_entropy`` with weight 1. Those on features
    ask the teacher at every step, for only its logits are stored.
    """

    @model_validator(mode="after")
    def _some(self) -> Objective:
        if not self.terms:
            names = ", ".join(Objective.model_fields)
            raise ValueError(f"an objective needs at least one term: {names}")
        for name, term in self.terms.items():
            layers = [_layers(getattr(term, model, ())) for model in ("student", "teacher")]
            if layers[0] != layers[1]:
                raise ValueError(
                    f"{name} compares layers in pairs, and names {layers[0]} of the student and {layers[1]} of the "
                    "teacher; name as many of each"
                )
        return self

    @property
    def terms(self) -> dict[str, Any]:
        """The sections that were given, by name, in the order of the fields; each has a weight."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: section for name, section in given.items() if section is not None}

    if TYPE_CHECKING:  # the fields are the catalogue's

        def __getattr__(self, name: str) -> Any: ...


def _layers(paths: str | tuple[str, ...]) -> int:
    return 1 if isinstance(paths, str) else len(paths)


def __getattr__(name: str) -> type[Section]:
    """A section by its module's name: a recipe's parts can be pickled."""
    for section in SECTIONS.values():
        if section.__name__ == name:
            return section
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
