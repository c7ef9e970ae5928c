"""Finding the stores that a folder stands for. No torch: the command asks this before it loads anything."""

from __future__ import annotations

from pathlib import Path

from ..errors import BadInput

_FILES = ("plan.json", "manifest.json", "seal.json")


def is_store(folder: Path) -> bool:
    """Whether a folder is a store of soft targets, finished or begun."""
    return any((folder / name).exists() for name in _FILES)


def stores_in(folder: Path) -> list[Path]:
    """The stores that a folder stands for: itself, or those of a run. Raises :class:`BadInput` where there is none."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: there is no such folder; give a store of soft targets or a run's folder.")
    if is_store(folder):
        return [folder]
    inside = folder / "stages" / "targets"
    # a stage that was set aside by --force keeps its store under a name with a point, and is none of the run's
    found = sorted(
        {path.parent for name in _FILES for path in inside.rglob(name) if "." not in path.relative_to(inside).parts[0]}
    )
    if not found:
        raise BadInput(
            f"{folder} holds no soft targets: give a store, or the folder of a run "
            "(a run with targets.live stores none)."
        )
    return found


def one_store(folder: Path) -> Path:
    """The one store that a folder stands for. Raises :class:`BadInput` where there is none, or there are several."""
    found = stores_in(folder)
    if len(found) > 1:
        listed = (f"  {path}" for path in found)
        raise BadInput(f"{folder} holds {len(found)} stores of soft targets; name one of them:", *listed)
    return found[0]
