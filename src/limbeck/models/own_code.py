"""A person's own code, ``module:callable``, where it is trusted."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import BadInput, did_you_mean, short
from ..sections.teacher import Model


def from_code(section: Model, trust_code: bool, facts: Mapping[str, Any]) -> nn.Module:
    """A model made by a person's callable, given those of the ``facts`` that it has parameters for and the section's knobs.

    Raises :class:`BadInput` where the code is not trusted, not there, or makes no module.
    """
    found = named(section.model, trust_code)
    accepted = _parameter_names(found)
    arguments = {key: value for key, value in facts.items() if key in accepted} | section.knobs
    try:
        model = found(**arguments)
    except Exception as error:
        raise BadInput(
            f"model: {section.model} failed when called with {arguments}: {type(error).__name__}: {short(error)}"
        ) from error
    if not isinstance(model, nn.Module):
        raise BadInput(f"model: {section.model} returned a {type(model).__name__}; a torch.nn.Module is wanted.")
    return model


def named(name: str, trust_code: bool) -> Callable[..., Any]:
    """A person's callable by its name, ``module:callable``.

    Raises :class:`BadInput` where the code is not trusted or not there.
    """
    module_name, _, attribute = name.partition(":")
    if not trust_code:
        raise BadInput(
            f"model: '{name}' runs code that did not come with Limbeck; where you trust it, pass --trust-code."
        )
    if not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        raise BadInput(f"model: '{name}' should be module:callable, such as my_models.nets:small_net.")
    found: Any = _imported(module_name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [one for one in vars(found) if not one.startswith("_")] if hasattr(found, "__dict__") else []
            raise BadInput(f"model: {module_name} has no '{attribute}'.{did_you_mean(part, known)}")
        found = getattr(found, part)
    if not callable(found):
        raise BadInput(f"model: {name} is a {type(found).__name__} and cannot be called to make a model.")
    return found


def _imported(module_name: str) -> Any:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        importlib.invalidate_caches()
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise BadInput(
                f"model: there is no module '{module_name}' in {folder} or among the installed packages."
            ) from error
        raise BadInput(f"model: importing {module_name} needs '{error.name}', which is not installed.") from error
    except Exception as error:
        raise BadInput(f"model: importing {module_name} failed: {type(error).__name__}: {short(error)}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _parameter_names(function: Any) -> set[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a callable without a signature
        return set()
    return {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
