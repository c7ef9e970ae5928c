"""Limbeck: knowledge distillation as a finished tool.

``import limbeck`` is quick: torch is imported when something that needs it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import functional as functional
    from .api import Distilled as Distilled
    from .api import distill as distill
    from .api import load as load
    from .errors import BadInput as BadInput
    from .errors import LimbeckError as LimbeckError
    from .objectives.modules import *  # noqa: F403
    from .objectives.schedules import Cosine as Cosine
    from .objectives.schedules import Linear as Linear
    from .objectives.schedules import Progress as Progress
    from .objectives.schedules import Step as Step
    from .searching.python import Found as Found
    from .searching.python import search as search
    from .sections.targets import Targets as Targets
    from .sections.train import Train as Train
    from .trainer.trainer import DistillationTrainer as DistillationTrainer
    from .vision.sections import Preprocess as Preprocess
    from .vision.sections import Views as Views

_ROOMS = {
    "api": ("distill", "Distilled", "load"),
    "errors": ("BadInput", "LimbeckError"),
    "functional": ("functional",),
    "objectives.modules": ("Objective", "Sum"),  # and every objective of the catalogue
    "objectives.schedules": ("Cosine", "Linear", "Progress", "Step"),
    "searching.python": ("Found", "search"),
    "sections.targets": ("Targets",),
    "sections.train": ("Train",),
    "vision.sections": ("Preprocess", "Views"),
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names}
_WITH_EXTRAS = {"DistillationTrainer": "trainer", "trainer": "trainer"}  # not in __all__: they need the extra `text`


def _objectives() -> list[str]:
    from .objectives.catalogue import CATALOGUE

    return [entry.module for entry in CATALOGUE.values() if entry.module is not None]


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted([*_HOMES, *_objectives()])
    home = _HOMES.get(name) or _WITH_EXTRAS.get(name)
    if home is None and name in _objectives():
        home = "objectives.modules"
    if home is None:
        raise AttributeError(f"module 'limbeck' has no attribute '{name}'")
    module = import_module(f".{home}", __name__)
    return module if home == name else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_WITH_EXTRAS, *_objectives()})
