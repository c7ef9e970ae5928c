"""A server, or a container, for an exported model of whatever modality; where a library is missing, what to install"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from ..deploy.metadata import task_of
from ..errors import BadInput, not_installed
from ..modalities import DEFAULT_TASK, TASKS, outline_of, part_of
from .settings import Settings


def launch(settings: Settings) -> None:
    """Serves until it is asked to stop. Raises :class:`BadInput` where a model cannot be used or the address cannot be had."""
    does = _modality_of(settings.model)
    try:
        from .server import serve
    except ModuleNotFoundError as missing:
        raise not_installed("servers", missing, "serve") from missing
    try:
        serve(does, settings)
    except ValueError as error:  # the server and the modalities' modules stand alone, so they know no errors of ours
        raise BadInput(str(error)) from None


def contain(settings: Settings, folder: Path) -> None:
    """Writes a container's files instead. Raises :class:`BadInput` likewise."""
    does = _modality_of(settings.model)
    try:
        from . import server  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the versions that it was tried with are written down
    except ModuleNotFoundError as missing:
        raise not_installed("containers", missing, "serve") from missing
    from .container import write_container

    write_container(does, settings, folder)


def _modality_of(model: Path) -> ModuleType:
    task = task_of(model)
    task = task if task in TASKS else DEFAULT_TASK  # which says what is wrong with any other
    try:
        return part_of(task, "serve")
    except ModuleNotFoundError as missing:
        if not str(missing.name).endswith(".serve"):
            raise
        raise BadInput(
            f"models of {outline_of(task).examples} cannot be served: ask them by limbeck predict."
        ) from None
