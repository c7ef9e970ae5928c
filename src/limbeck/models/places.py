"""Where the file of a model is. Nothing is opened, and no torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import BadInput


def check_weights(asked: str | Path) -> Path:
    """The file of weights; ``file.pt#student`` asks for one of the sets in it. Raises ``BadInput`` where it is not there."""
    path, _ = split_name(asked)
    if not path.is_file():
        what = "is a folder, not a file of weights" if path.is_dir() else "does not exist"
        raise BadInput(f"weights: {path} {what}.")
    return path


def check_onnx(path: Path, role: str | None = None) -> Path:
    """The ONNX file. Raises ``BadInput`` where it is not there; ``role`` is how the message speaks of the model."""
    if not path.is_file():
        what = "is a folder, not an ONNX file" if path.is_dir() else "does not exist"
        raise BadInput(f"{f'{role}: ' if role else ''}{path} {what}.")
    return path


def split_name(asked: str | Path) -> tuple[Path, str | None]:
    """The file, and which of the sets of weights in it is asked for; a file may have ``#`` in its own name."""
    path = Path(asked)
    name, mark, wanted = str(asked).rpartition("#")
    if not mark or not name or path.exists():
        return path, None
    return Path(name), wanted


def inside_package(name: str) -> Path | None:
    """The folder that ``package:NAME/FOLDER`` names, whether it is there or not; None where no such package is installed."""
    package, _, inside = name.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    roots = list(spec.submodule_search_locations or []) if spec is not None else []
    if not roots:
        return None
    return next((place for root in roots if (place := Path(root) / inside).is_dir()), Path(roots[0]) / inside)
