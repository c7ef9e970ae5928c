"""The command. Thin: a sub-command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import json
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput, printable
from ..version import __version__
from . import targets as cli_targets
from .common import Device, Group, command, say

app = typer.Typer(
    name="limbeck",
    cls=Group,
    help="Distil a large classifier of images or texts into a small one: teacher, soft targets, student, evidence.",
    epilog="Start with: [bold]limbeck run recipes/digits.yaml[/], or for your own data "
    "[bold]limbeck init --teacher wrn_16_2 --data FOLDER[/], or with texts "
    "[bold]limbeck init --teacher OWNER/MODEL --data FILE.csv[/]",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
recipe_app = typer.Typer(
    cls=Group, no_args_is_help=True, help="Check a recipe, or print the schema that editors complete from."
)
app.add_typer(recipe_app, name="recipe", epilog="Example: [bold]limbeck recipe check recipes/digits.yaml[/]")
app.add_typer(cli_targets.app, name="targets", epilog="Example: [bold]limbeck targets inspect runs/digits[/]")


class Task(StrEnum):
    """What `init` writes a recipe for."""

    images = "image-classification"
    texts = "text-classification"


class Stage(StrEnum):
    """A stage of a run, as `--force` names it."""

    teacher = "teacher"
    targets = "targets"
    student = "student"
    baseline = "baseline"
    smoothed = "smoothed"
    evaluate = "evaluate"
    export = "export"
    report = "report"


CompareStage = StrEnum(
    "CompareStage", ["teacher", "targets", "student", "baseline", "smoothed", "evaluate", "measure", "compare"]
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"limbeck {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    del version


@command(app, "run", example="limbeck run recipes/digits.yaml --set student.width=12 --set seeds=3")
def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field, e.g. train.epochs=3. May be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's folder; runs/NAME where not given.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what would run, how long and how much disk it takes; run nothing."),
    ] = False,
    force: Annotated[
        list[Stage] | None, typer.Option(metavar="STAGE", help="Do a finished stage again. May be repeated.")
    ] = None,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Let the recipe run code that it names (module:callable).")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="CPU threads; torch decides otherwise.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Train so many students at a time, the threads shared out.")
    ] = 1,
) -> None:
    """Run a recipe: train the teacher, keep its soft targets, train the student, measure, report.

    Finished stages are skipped and an unfinished one goes on from its last checkpoint, so the same command
    resumes a run that was stopped. Results land in the run's folder: report.html, results.json, and the exported
    student: student.onnx, or of texts the folder student.
    """
    from ..recipe import read as recipe_file
    from . import console

    read = recipe_file.read(recipe, set_ or ())
    folder = out if out is not None else Path("runs") / str(read.name)
    if plan:
        from ..pipeline import plan as planning

        console.print_plan(planning.plan(read, folder, trust_code=trust_code, device=device.value, threads=threads))
        return
    from ..pipeline import run as pipeline

    results = pipeline.run(
        read,
        out=folder,
        trust_code=trust_code,
        force=tuple(stage.value for stage in force or ()),
        device=device.value,
        threads=threads,
        jobs=jobs,
    )
    console.print_results(results)


@command(app, "compare", example="limbeck compare recipes/compare_fashion_mnist.yaml --jobs 2")
def compare(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The comparison file, a YAML file.")],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Change a field of its recipe, e.g. seeds=5. May be repeated."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The comparison's folder; runs/NAME where not given.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what would run, how long and how much disk it takes; run nothing."),
    ] = False,
    force: Annotated[
        list[CompareStage] | None,
        typer.Option(metavar="STAGE", help="Do a finished stage of all rows again. May be repeated."),
    ] = None,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Let the recipe run code that it names (module:callable).")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="CPU threads; torch decides otherwise.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Train so many students at a time, the threads shared out.")
    ] = 1,
) -> None:
    """Compare objectives (and students) over seeds: one teacher, one store of soft targets, the same budget for all.

    Finished students are never trained again, so the same command resumes a comparison that was stopped, and a row more
    costs that row alone. Results land in the folder: compare.html, compare.csv, compare.tex, compare.json.
    """
    from ..compare import file as comparison_file
    from . import console

    read = comparison_file.read(file, set_ or ())
    folder = out if out is not None else Path("runs") / read.name
    if plan:
        from ..compare import plan as comparison_plan

        console.print_plan(
            comparison_plan.plan(read, folder, trust_code=trust_code, device=device.value, threads=threads, jobs=jobs)
        )
        return
    from ..compare import run as comparing

    results = comparing.compare(
        read,
        out=folder,
        trust_code=trust_code,
        force=tuple(str(stage) for stage in force or ()),
        device=device.value,
        threads=threads,
        jobs=jobs,
    )
    console.print_comparison(results)


@command(app, "init", example="limbeck init --teacher wrn_16_2 --data zalando-datasets/fashion_mnist")
def init(
    teacher: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="Of images: a name (wrn_16_2), timm/NAME, module:callable, a file of weights, or an ONNX file. Of texts: a "
            "name on the Hugging Face hub, a folder, or package:NAME/FOLDER.",
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="digits, a Hugging Face data set, a folder (of images, or a data set), or a CSV or JSONL file of texts.",
        ),
    ],
    student: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The small model; convnet for images, shrunk for texts where not given."),
    ] = None,
    task: Annotated[
        Task | None, typer.Option(help="Images or texts; found by teacher and data where that is plain.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="A field of data, e.g. data.text=review, 'data.text=[premise, hypothesis]' or 'data.label=[billing, delivery]'. May be repeated.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The recipe to write.")] = Path("recipe.yaml"),
) -> None:
    """Look at a teacher and at data, and write a recipe to start from.

    The recipe is commented, and sized by what was found: image size or length of the texts, number of classes and of
    examples. A teacher whose classes do not fit the data is refused. An existing file is never overwritten.
    """
    from ..recipe import draft

    named = None if task is None else task.value
    drafted = draft.write(teacher=teacher, data=data, student=student, out=out, task=named, overrides=set_ or ())
    say(*drafted.said, *(f"Beware: {warning}" for warning in drafted.warnings))
    say(f"{out} written. Look it over, then:", "", f"  limbeck run {out} --plan", f"  limbeck run {out}")


@command(
    app, "predict", example="limbeck predict runs/fashion_mnist shoe.png --top 3; limbeck predict runs/sst2 'a text'"
)
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


@command(app, "objectives", example="limbeck objectives dkd")
def objectives(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One objective, to be explained.")] = None,
) -> None:
    """List what a student can be asked to match, with papers and defaults; or explain one objective.

    Any of them can stand in a recipe's objective section, unless marked otherwise.
    """
    from ..recipe import objectives_reference

    if name is None:
        objectives_reference.print_table()
    else:
        objectives_reference.print_entry(objectives_reference.find(name))


@command(recipe_app, "schema", example="limbeck recipe schema > recipe.schema.json")
def recipe_schema() -> None:
    """Print the recipe's JSON schema.

    An editor with a YAML language server completes and checks a recipe whose first line is
    # yaml-language-server: $schema=recipe.schema.json
    """
    from ..recipe.reference import schema

    print(json.dumps(schema(), indent=2, ensure_ascii=False))


@command(recipe_app, "check", example="limbeck recipe check recipes/digits.yaml --set seeds=3")
def recipe_check(
    file: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field first. May be repeated."),
    ] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Print it with every default written out.")] = False,
) -> None:
    """Say whether a recipe is right, and what is wrong with it where it is not (exit code 2).

    Only the recipe itself is checked: neither data nor models are opened.
    """
    from ..recipe import read as recipe_file

    recipe = recipe_file.read(file, set_ or ())
    if resolved:
        print(recipe_file.resolved_yaml(recipe))
    else:
        say(f"{file} is a good recipe.")


def main() -> None:
    """The `limbeck` command."""
    # what ends a job politely (a scheduler, a closing session) is answered as Ctrl-C is, outside training too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except BrokenPipeError:
        # The reader (head, less) has gone; point stdout elsewhere so that the last flush stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
