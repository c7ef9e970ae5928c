"""`limbeck predict`: examples given to an exported model, without torch"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput, printable


def predict(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="An exported .onnx file, a student's folder, or a run's.")
    ],
    examples: Annotated[
        list[str], typer.Argument(metavar="EXAMPLE", help="Image files, or texts in quotes; of a model of pairs two.")
    ],
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Show the N likeliest classes.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Classify images or texts with an exported model, in onnxruntime (torch is not needed).

    The model file carries its class names and says what it takes; a model of texts has its tokenizer.json beside it. A
    run's folder stands for the student that it exported. A model of pairs of texts takes the two sides of one.
    """
    from ..modalities.image import predict as of_images
    from ..modalities.text import predict as of_texts

    file = _model_file(model)
    try:
        if of_images.task_of(file) == "text-classification":
            answers = of_texts.predict(file, of_texts.arranged(file, examples), top=top)
            said, key = of_texts.table(answers), "text"
            for one in filter(_is_file, examples):
                name = of_texts.printable(one)
                print(f"{name} is a file; its name was classified, since this model takes texts.", file=sys.stderr)
        else:
            if lost := next((one for one in examples if not _is_file(one)), None):
                shown = of_images.printable(lost)
                if os.path.isdir(lost):
                    raise BadInput(
                        f"{shown} is a folder: give the image files themselves, such as {shown.rstrip('/')}/*.png."
                    )
                raise BadInput(f"{shown}: there is no such file; this is a model of images.")
            answers = of_images.predict(file, [Path(one) for one in examples], top=top)
            said, key = of_images.table(answers), "image"
    except ValueError as error:  # the modules stand alone, so they know no errors of ours
        raise BadInput(str(error)) from None
    if not as_json:
        print(said)
        return
    plain = [
        {
            key: answer[0] if isinstance(answer[0], tuple) else str(answer[0]),
            "top": [{"class": name, "probability": probability} for name, probability in answer.classes],
        }
        for answer in answers
    ]
    print(_seen(json.dumps(plain, indent=2, ensure_ascii=False)))


def _seen(text: str) -> str:
    """JSON whose strings hold nothing that cannot be seen; what is below 32 is escaped in JSON anyway."""
    return "".join(c if c < "\x7f" or printable(c) == c else json.dumps(c)[1:-1] for c in text)


def _is_file(example: str) -> bool:
    try:
        return Path(example).is_file()
    except (OSError, ValueError):  # too long for a name, or a null character in it
        return False


def _model_file(model: Path) -> Path:
    """The exported model that a file or a folder stands for."""
    if not model.is_dir():
        if not model.is_file():
            raise BadInput(f"{model}: there is no such file; give an exported .onnx file or a finished run.")
        return model
    inside = [model / "student.onnx", model / "model.onnx", model / "student" / "model.onnx"]
    file = next((one for one in inside if one.is_file()), None)
    if file is not None:
        return file
    if (model / "compare.yaml").exists():
        raise BadInput(f"{model} is a comparison, which exports no model: give the folder of a limbeck run.")
    if (model / "stages").is_dir():
        raise BadInput(
            f"{model} is a run that is not finished, so its student is not exported yet: repeat the limbeck run that made "
            "it, and it goes on from where it was."
        )
    raise BadInput(f"{inside[0]}: there is no such file; give an exported .onnx file or a finished run.")
