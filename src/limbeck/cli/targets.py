"""`limbeck targets`: soft targets cast, looked into, verified, changed and exchanged. Thin, as :mod:`limbeck.cli.main` is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput, LimbeckError
from .common import ComputeOn, Device, Group, RecipeFile, Threads, TrustCode, command, read_recipe, say

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    help="Ask the teacher once and keep what it said: cast, look into, verify, extend, merge, convert, exchange.",
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A store of soft targets, or a run's folder.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change a field, e.g. targets.views=8. May be repeated."),
]
NewStore = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder of the new store.")]


@command(app, "cast", example="limbeck targets cast recipes/digits.yaml")
def cast(
    recipe: RecipeFile,
    set_: Set = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's folder; runs/NAME where not given.")
    ] = None,
    trust_code: TrustCode = False,
    device: ComputeOn = Device.auto,
    threads: Threads = None,
) -> None:
    """Do the first two steps of a recipe alone: make the teacher, and keep what it says of every view.

    The run's folder and stages are those of `limbeck run`, which then finds them finished. The same command goes on where
    it was stopped; started several times at once, on machines that share the folder if you like, it shares the work.
    """
    read = read_recipe(recipe, set_)
    from ..pipeline import casting

    folder = out if out is not None else Path("runs") / str(read.name)
    store = casting.cast_recipe(read, folder, trust_code=trust_code, device=device.value, threads=threads)
    _print_store(store.path)


@command(app, "ids", example="limbeck targets ids recipes/digits.yaml --out ids.csv")
def ids(
    recipe: RecipeFile,
    set_: Set = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write: Parquet where it ends in .parquet, CSV otherwise."),
    ] = None,
) -> None:
    """List the examples by id, so that they can be answered elsewhere: id, split, label, and the row and file, or the text.

    Whoever answers writes Parquet with the columns id and logits, or probabilities, one number a class in the order that is
    said, or values, of a regression; `limbeck targets import` makes a store of it. Answers are needed for train and transfer. The test split stays
    shut. Without --out, the first rows are shown.
    """
    if out is not None and out.exists():
        raise BadInput(f"{out} exists already: name another file.")
    from ..pipeline import casting
    from ..recipe import read as recipe_file

    table = casting.example_ids(recipe_file.read(recipe, set_ or ()))
    if out is None:
        print("\n".join(casting.first_rows(table)))
        return
    casting.write_table(table, out)
    print(f"{out} written: {table.num_rows:,} examples.")


@command(app, "extend", example="limbeck targets extend runs/digits --views 16")
def extend(
    folder: Folder,
    views: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Views of each example that there shall be, old ones counted."),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="RECIPE", help="Whom to ask about what; a run's own recipe.yaml where not given."),
    ] = None,
    set_: Set = None,
    trust_code: TrustCode = False,
    device: ComputeOn = Device.auto,
    threads: Threads = None,
) -> None:
    """Ask the teacher about what a finished store lacks: more views, or examples that the data has gained.

    What is there is kept and not asked again. A run gets a new stage beside the old one, which `limbeck run` with
    `--set targets.views=N` finds finished; where its data has changed, all is asked anew. A store on its own grows in place,
    by views and by examples, and needs --recipe to know its teacher; one that is trained is taken from the run whose
    recipe.yaml is named, or from runs/NAME.
    """
    from ..pipeline import casting

    store = casting.extend(
        folder, views, recipe, tuple(set_ or ()), trust_code=trust_code, device=device.value, threads=threads
    )
    _print_store(store.path)


@command(app, "merge", example="limbeck targets merge runs/a runs/b --out targets/all")
def merge(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE", help="Stores of soft targets, or folders of runs.")],
    out: NewStore,
) -> None:
    """Put stores of the same teacher, views and codec together: the union of what they hold.

    They may hold other examples, other views, or the same ones twice where both say the same. The stores themselves stay
    as they are.
    """
    from ..targets.find_stores import one_store

    paths = [one_store(path) for path in stores]
    from ..targets.store.merge import merge as merged

    _print_store(merged(paths, out).path)


@command(app, "verify", example="limbeck targets verify runs/digits --replay 100")
def verify(
    folder: Folder,
    replay: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Also ask the run's teacher again about N random answers, and compare."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Which random answers; another choice each time otherwise.")
    ] = None,
    trust_code: TrustCode = False,
    device: ComputeOn = Device.auto,
    threads: Threads = None,
) -> None:
    """Read every byte of stored soft targets and compare it with its checksum; with --replay, ask the teacher again.

    Names each file that is missing, truncated or altered, and exits with 2 if there is one. Exits with 1 where the teacher
    now says something else than what is stored, by more than rounding.
    """
    from ..targets.find_stores import stores_in

    paths = stores_in(folder)
    from ..pipeline import casting
    from ..targets.store import store

    if replay is not None:
        casting.recipe_of(folder)  # refused before every byte is read
    problems: list[str] = []
    for path in paths:
        found = store.verify(path)
        if not found:
            say(f"{path}: every byte is as it was written.")
        problems += found
    if problems:
        raise BadInput(*problems)
    if replay is None:
        return
    told, differing = casting.replay_run(
        folder, replay, seed, trust_code=trust_code, device=device.value, threads=threads
    )
    say(told)
    if differing:
        raise LimbeckError(*differing)


@command(app, "inspect", example="limbeck targets inspect runs/digits")
def inspect(folder: Folder) -> None:
    """Say what stored soft targets hold: teacher, data, views, codec, size, measured error."""
    from ..targets.find_stores import stores_in

    for path in stores_in(folder):
        _print_store(path)


@command(app, "convert", example="limbeck targets convert runs/digits --codec int8 --out targets/digits-int8")
def convert(
    folder: Folder,
    out: NewStore,
    codec: Annotated[
        str,
        typer.Option(metavar="NAME", help="The codec of the new store, e.g. int8, topk, sample; float16 of numbers."),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A setting of the codec, e.g. k=16. May be repeated."),
    ] = None,
) -> None:
    """Put a store into another codec without asking the teacher again.

    Only a codec that keeps every class can be converted; the numbers of a regression go into float32 or float16. The new manifest says what it was made from, and its error is
    measured against that.
    """
    from ..targets.find_stores import one_store

    path = one_store(folder)
    from ..pipeline import exchange

    _print_store(exchange.convert(path, out, codec, tuple(set_ or ())).path)


@command(app, "export", example="limbeck targets export runs/digits --out digits.parquet")
def export(
    folder: Folder,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="A file that ends in .parquet; any other name: a folder, a file a view."),
    ],
) -> None:
    """Write a store as Parquet, which pandas, polars, DuckDB and Spark read: one row an answer.

    Columns are id, view, and those of the codec (logits, for a dense one; values, the numbers of a regression); position where an example is a sequence, with
    one row for each; segment where the store was extended. `limbeck targets import` makes the same store
    of it again, byte for byte.
    """
    from ..targets.find_stores import one_store

    path = one_store(folder)
    from .. import progress
    from ..targets.parquet import export as parquet
    from ..targets.store import store

    with progress.bar(store.Store.open(path).manifest["targets"], "export") as advance:
        files = parquet.export(path, out, advance)
    for file in files:
        say(f"{file} written.")


@command(app, "import", example="limbeck targets import answers.parquet --out targets/elsewhere")
def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A Parquet file, or a folder of them.")],
    out: NewStore,
    recipe: Annotated[
        Path | None, typer.Option(metavar="RECIPE", help="The recipe whose views and seed the answers were made with.")
    ] = None,
    set_: Set = None,
    all_views: Annotated[
        bool, typer.Option("--all-views", help="Take the one answer of each example for all views of the recipe.")
    ] = False,
) -> None:
    """Make a store of Parquet: of what `limbeck targets export` wrote, or of soft targets that were made elsewhere.

    From elsewhere there must be the columns id (the example's id, a whole number; `limbeck targets ids` lists them) and
    logits or probabilities (a list of numbers, one a class), and view (from 0) where there are several; then name the
    recipe that says how the views are made. The numbers of a regression stand in a column values (a number, or a list), their
    deviations, where they are known, in one called spread. A recipe learns from the store with `targets: {store: DIR}`.
    """
    from ..pipeline import exchange

    _print_store(exchange.import_file(source, out, recipe, tuple(set_ or ()), all_views=all_views).path)


def _print_store(path: Path) -> None:
    from ..targets.store import store

    say(str(path))
    for key, value in store.inspect(path).items():
        say(f"  {key:<20} {value}")
