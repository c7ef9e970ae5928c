"""A server for an exported model of whatever modality; where a library is missing, what to install"""

from __future__ import annotations

from ..deploy.metadata import task_of
from ..errors import BadInput, not_installed
from ..modalities import DEFAULT_TASK, TASKS, outline_of, part_of
from .settings import Settings


def launch(settings: Settings) -> None:
    """Serves until it is asked to stop. Raises :class:`BadInput` where a model cannot be used or the address cannot be had."""
    task = task_of(settings.model)
    task = task if task in TASKS else DEFAULT_TASK  # which says what is wrong with any other
    try:
        does = part_of(task, "serve")
    except ModuleNotFoundError as missing:
        if not str(missing.name).endswith(".serve"):
            raise
        raise BadInput(
            f"models of {outline_of(task).examples} cannot be served: ask them by limbeck predict."
        ) from None
    try:
        from .server import serve
    except ModuleNotFoundError as missing:
        raise not_installed("servers", missing, "serve") from missing
    try:
        serve(does, settings)
    except ValueError as error:  # the server and the modalities' modules stand alone, so they know no errors of ours
        raise BadInput(str(error)) from None
