"""Under which licence something was published that a model was made from: what its card says, and nothing else."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import DatasetCard, ModelCard

from .. import hub
from ..models.places import inside_package

CARD = "README.md"
_LONGEST = 100


def licence_of(place: str | Path, *, data: bool = False) -> str | None:
    """The identifier that the card of a model, or of ``data``, names; None where nothing is known.

    ``place`` is a folder or a file in it, ``package:NAME/FOLDER``, or a name on the hub, owner/name. The card is the
    ``README.md`` there, whose first lines are YAML. The hub is asked where it is a name there; where it cannot be reached,
    what was downloaded before is all there is.
    """
    folder = _folder(str(place))
    kind = DatasetCard if data else ModelCard
    try:
        if folder is not None:
            card = kind.load(folder / CARD)
        elif "/" in str(place) and hub.could_be_name(str(place)):
            with hub.asked():
                card = kind.load(str(place))
        else:
            return None
        said = getattr(card.data, "license", None)
    except Exception:  # no card, no network, YAML of any kind: nothing is known
        return None
    named = said if isinstance(said, list) else [said]
    names = [name for name in named if isinstance(name, str) and name.isprintable() and 0 < len(name) <= _LONGEST]
    return ", ".join(names) if names and len(names) == len(named) else None


def _folder(place: str) -> Path | None:
    """The folder of something on this machine; None where it is not here."""
    if place.startswith("package:"):
        return inside_package(place)
    path = Path(place).expanduser()
    return path if path.is_dir() else path.parent if path.is_file() else None
