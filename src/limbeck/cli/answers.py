"""What an exported model says of examples, printed; a plain `limbeck predict` gets here without waiting for typer"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..deploy.metadata import task_of
from ..errors import BadInput, printable
from ..modalities import DEFAULT_TASK, TASKS, outline_of, part_of

TOP = 3


def plainly_asked(arguments: Sequence[str]) -> tuple[Path, list[str], int, bool] | None:
    """MODEL, EXAMPLEs, how many answers and whether as JSON, of the command's arguments behind `predict`.

    None for anything but names, `--top N` and `--json`: that the command itself reads, or says what is wrong with it.
    """
    names: list[str] = []
    top, as_json = TOP, False
    left = iter(arguments)
    for one in left:
        option, equals, number = one.partition("=")
        if option == "--top":
            number = number if equals else next(left, "")
            if not (number.isascii() and number.isdigit() and int(number[:9]) > 0 and len(number) < 10):
                return None
            top = int(number)
        elif one == "--json":
            as_json = True
        elif one.startswith("-"):
            return None
        else:
            names.append(one)
    return (Path(names[0]), names[1:], top, as_json) if len(names) > 1 else None


def show(model: Path, examples: list[str], top: int = TOP, as_json: bool = False) -> None:
    """Prints what the model says of each example. Raises `BadInput` in sentences."""
    file = model_file(model)
    task = task_of(file)
    does = part_of(task if task in TASKS else DEFAULT_TASK, "predict")  # which says what is wrong with any other
    if task in TASKS:
        _check_names(task, examples, files=does.FILES)
    try:
        answers = does.predict(file, examples, top=top)
    except ValueError as error:  # the modules stand alone, so they know no errors of ours
        raise BadInput(str(error)) from None
    print(_seen(json.dumps(does.plain(answers), indent=2, ensure_ascii=False)) if as_json else does.table(answers))


def _check_names(task: str, examples: list[str], *, files: bool) -> None:
    """Raises `BadInput` where an example should be a file and is none; says so where it is one and should not be."""
    takes = outline_of(task).examples
    if not files:
        for one in filter(_is_file, examples):
            name = printable(one)
            print(f"{name} is a file; its name was classified, since this model takes {takes}.", file=sys.stderr)
    elif lost := next((one for one in examples if not _is_file(one)), None):
        if os.path.isdir(lost):
            folder = lost.rstrip("/")
            inside = (Path(name).suffix for name in sorted(os.listdir(lost)))
            ending = printable(next(filter(None, inside), ".png"))
            raise BadInput(
                f"{lost} is a folder: give the files of {takes} in it themselves, such as {folder}/*{ending}."
            )
        raise BadInput(f"{lost}: there is no such file; this is a model of {takes}.")


def _seen(text: str) -> str:
    """JSON whose strings hold nothing that cannot be seen; what is below 32 is escaped in JSON anyway."""
    return "".join(c if c < "\x7f" or printable(c) == c else json.dumps(c)[1:-1] for c in text)


def _is_file(example: str) -> bool:
    try:
        return Path(example).is_file()
    except (OSError, ValueError):  # too long for a name, or a null character in it
        return False


def model_file(model: Path) -> Path:
    """The exported model that a file or a folder stands for."""
    if not model.is_dir():
        if not model.is_file():
            raise BadInput(f"{model}: there is no such file; give an exported .onnx file or a finished run.")
        return model
    if (preferred := _preferred(model)) is not None:
        return preferred
    # of a run, or of the folder that a run's student is
    files = [Path(outline_of(task).student_file) for task in TASKS]
    inside = [model / name for name in dict.fromkeys([*files, *(Path(file.name) for file in files)])]
    file = next((one for one in inside if one.is_file()), None)
    if file is not None:
        return file
    if (model / "compare.yaml").exists():
        raise BadInput(f"{model} is a comparison, which exports no model: give the folder of a limbeck run.")
    if (model / "search").is_dir():  # which has stages as a run has
        from ..pipeline.stages import no_run

        raise BadInput(no_run(model))
    if (model / "stages").is_dir():
        raise BadInput(
            f"{model} is a run that is not finished, so its student is not exported yet: repeat the limbeck run that made "
            "it, and it goes on from where it was."
        )
    raise BadInput(f"{inside[0]}: there is no such file; give an exported .onnx file or a finished run.")


def _preferred(run: Path) -> Path | None:
    """The file that a run of several formats prefers; None where the folder is no such run."""
    try:
        file = run / json.loads((run / "results.json").read_text(encoding="utf-8"))["formats"]["path"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return file if file.is_file() else None
