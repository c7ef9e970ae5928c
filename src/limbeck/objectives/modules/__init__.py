"""The objectives as modules for the training loop, each a thin form of a function in :mod:`limbeck.objectives.functional`.

All that the catalogue lists: those that have state or shape of their own are written here, a class each; the others are
made from their entries. `python -m limbeck.objectives.stub` writes ``__init__.pyi``, which editors and type checkers read.
"""

from ..catalogue import CATALOGUE
from . import binary, crd, ctc, features, kl, logits, review, taid, transformer_layers, transformer_methods
from .base import Objective, Sum
from .derived import made

WRITTEN: dict[str, type[Objective]] = {
    name: kind
    for file in (binary, crd, ctc, features, kl, logits, review, taid, transformer_layers, transformer_methods)
    for name, kind in vars(file).items()
    if isinstance(kind, type) and issubclass(kind, Objective) and kind.__module__ == file.__name__
}
"""Classes that are written here, by name."""

MODULES: dict[str, type[Objective]] = {
    entry.module: WRITTEN.get(entry.module) or made(entry, __name__)
    for entry in CATALOGUE.values()
    if entry.module is not None
}
"""The class of every entry that has one, by name."""

globals().update(MODULES)

__all__ = ["Objective", "Sum", *MODULES]  # pyright: ignore[reportUnsupportedDunderAll]
