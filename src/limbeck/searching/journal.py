"""The journal in which Optuna keeps a study, read without writing to it. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from ..errors import BadInput
from .trials import Trial, trials_of


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Says in a sentence what Optuna stumbles over in a journal."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        raise BadInput(
            f"{path} cannot be read as a study of trials ({' '.join(str(error).split())}): it was changed by something "
            "else. Put it back as it was, or choose another folder with --out."
        ) from error


def trials_in(path: Path, arm: str) -> list[Trial]:
    """The trials of a journal whose fate is known; none where it is not there, or nothing was begun. Nothing is written.

    Raises :class:`limbeck.errors.BadInput` for a journal that cannot be read.
    """
    if not path.is_file() or not path.stat().st_size:
        return []
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with readable(path):
        storage = JournalStorage(JournalFileBackend(str(path)))
        if not optuna.get_all_study_names(storage):
            return []
        return trials_of(optuna.load_study(storage=storage, study_name=arm), arm)
