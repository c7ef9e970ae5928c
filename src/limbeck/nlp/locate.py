"""Where a Hugging Face model is: a folder, inside an installed package, or the hub. Nothing is loaded, and no torch."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import BadInput
from ..files import near
from ..models.places import inside_package

CONVERT = (
    "Pickled weights are not loaded, since that could run code. Where you trust them, convert them once: "
    "AutoModel.from_pretrained(folder, use_safetensors=False).save_pretrained(new_folder), with the class that they "
    "are of (such as AutoModelForSequenceClassification) in place of AutoModel; then copy the tokenizer's files."
)
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
TOKENIZER = "tokenizer.json"


def locate(name: str, *, role: str = "teacher") -> str:
    """Where the model called ``name`` is: the path of a folder, or the hub name as it was given.

    Raises:
        BadInput: no such folder or package, no model in it, or only pickled weights.
    """
    if name.startswith("package:"):
        folder = _inside_package(name, role)
    else:
        folder = Path(name).expanduser()
        if not folder.exists() and _HUB_NAME.fullmatch(name):
            return name
    if not folder.is_dir():
        raise BadInput(
            f"{role}: there is no folder {folder}; a model is a folder with config.json, or a hub name.{near(folder)}"
        )
    if not (folder / "config.json").is_file():
        raise BadInput(f"{role}: {folder} is not a model's folder: it has no config.json.")
    if not any((folder / file).is_file() for file in ("model.safetensors", "model.safetensors.index.json")):
        pickled = sorted(file.name for kind in ("*.bin", "*.pt", "*.pth", "*.ckpt") for file in folder.glob(kind))
        if pickled:
            raise BadInput(f"{role}: {folder} has only pickled weights ({', '.join(pickled)}). {CONVERT}")
        raise BadInput(f"{role}: {folder} has no model.safetensors.")
    return str(folder)


def locate_tokenizer(name: str | None, onnx: Path, *, role: str = "teacher") -> Path | str:
    """Where the tokenizer of an ONNX file is: a folder, a ``tokenizer.json``, or the hub name as it was given.

    ``name`` is one of these or ``package:NAME/FOLDER``; None: what lies beside the file.
    Raises :class:`BadInput` where there is none.
    """
    if name is None:
        if (onnx.parent / TOKENIZER).is_file():
            return onnx.parent
        raise BadInput(
            f"{role}: there is no {TOKENIZER} beside {onnx}, and nothing else says how its texts are cut up: copy the one that "
            "it was made with there, or name it (tokenizer: FOLDER)."
        )
    place = _inside_package(name, role) if name.startswith("package:") else Path(name).expanduser()
    if place.is_file() or any((place / file).is_file() for file in (TOKENIZER, "tokenizer_config.json")):
        return place
    if not place.exists() and _HUB_NAME.fullmatch(name):
        return name
    raise BadInput(
        f"{role}: there is no {place / TOKENIZER}: tokenizer names a {TOKENIZER}, its folder, or a hub name.{near(place)}"
    )


def _inside_package(name: str, role: str) -> Path:
    package, _, inside = name.removeprefix("package:").partition("/")
    place = inside_package(name)
    if place is None:
        raise BadInput(
            f"{role}: no package '{package}' is installed; a name such as package:some_package/model is right."
        )
    if ".." in Path(inside).parts or Path(inside).is_absolute():
        raise BadInput(f"{role}: '{inside}' leaves the package {package}; name a folder inside it.")
    return place
