"""`limbeck search`: the student that fits a budget, or what searching for it would do"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BadInput, near
from .common import Device, Jobs, RecipeFile, Threads, TrustCode, read_recipe, say

if TYPE_CHECKING:
    from ..searching.device import Profile
    from ..searching.plan import Plan
    from ..sections.recipe import Recipe
    from ..sections.search import Search


def search(
    recipe: RecipeFile,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field, e.g. search.finalists=2. May be repeated."),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COST=MOST",
            help="What the exported student may cost at most: latency_ms, size_kb, memory_mb, energy_mj, macs or "
            "parameters, e.g. latency_ms=0.05. May be repeated.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Try so many students, and as many without a teacher; 40 otherwise."),
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin no student after so long: 2h, 90m, 1h30m.")
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Say how small a student may be that keeps this share of the teacher's quality: 0.98."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The search's folder; runs/NAME-search where not given.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what varies, how many students are trained and what is known; run nothing."),
    ] = False,
    candidates: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write untrained exports of candidates, and a measure.py that measures them on another device; run nothing.",
        ),
    ] = None,
    trust_code: TrustCode = False,
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHERE",
            help="Where to compute (auto, cpu, cuda), or the profile.json that measure.py wrote on the device that the "
            "student is for. May be given once for each.",
        ),
    ] = None,
    threads: Threads = None,
    jobs: Jobs = 1,
) -> None:
    """Search for the student that a device can afford, and for the settings that teach it best.

    What varies stands in the recipe's section search, and what is not named there as --plan shows: the student's family and
    sizes, the objective and its settings, the learning rate. Each candidate is exported and measured before it is trained,
    one over the budget never is, and the weak stop early. The same student without a teacher is searched for as long.

    The best by validation are then trained anew with the recipe's seeds and tested. The same command goes on where it was
    stopped. Results land in the folder: search.html, search.json, and each finalist as a run's folder in front.
    """
    read = searched(read_recipe(recipe, set_), budget or (), trials, time, keep)
    folder = out if out is not None else Path("runs") / f"{read.name}-search"
    where, profile = _device(device or ())
    if plan and candidates is not None:
        raise BadInput("--plan and --candidates do different things: give one of them.")
    if plan:
        from ..searching.plan import plan as planned

        if profile is not None:
            from ..searching.to_device import for_device

            read = for_device(read, _measured(read, profile))
        print_plan(planned(read, folder))
        return
    if candidates is not None:
        from ..searching.to_device import write_candidates

        written = write_candidates(read, candidates, trust_code=trust_code, threads=threads)
        say(
            f"{candidates}: {len(written['candidates'])} architectures, and measure.py, which needs onnxruntime and NumPy alone. "
            "Run it there on the device, and give the profile.json that it writes with --device."
        )
        return
    from ..progress import note
    from ..searching import results
    from ..searching.page import summary
    from ..sections.search import Search

    settings = read.search or Search()
    if (short := _too_few(settings)) is not None:
        note(short)
    found = results.search(
        read,
        out=folder,
        trust_code=trust_code,
        device=where.value,
        threads=threads,
        jobs=jobs,
        profile=None if profile is None else _measured(read, profile),
    )
    for line in summary(found):
        say(line)


def searched(
    recipe: Recipe, budget: list[str] | tuple[str, ...], trials: int | None, time: str | None, keep: float | None
) -> Recipe:
    """The recipe with what the command line says of its search. Raises `BadInput`."""
    from ..searching.budget import budget_of
    from ..sections.search import Search, seconds_of

    said = {"trials": trials, "time": time, "keep": keep}
    if time is not None:
        try:
            seconds_of(time)
        except ValueError as error:
            raise BadInput(f"--time: {error}.") from None
    section = recipe.search or Search()
    values = {name: getattr(section, name) for name in type(section).model_fields}
    values |= {name: value for name, value in said.items() if value is not None}
    values["budget"] = {**section.budget, **budget_of(budget)}
    try:
        return recipe.model_copy(update={"search": Search(**values)})
    except BadInput as error:
        raise BadInput(re.sub(r"^Search\((\w+)=\.\.\.\)", r"--\1", str(error))) from None


def _device(given: list[str] | tuple[str, ...]) -> tuple[Device, Path | None]:
    """Where to compute, and a profile of the device that the student is for."""
    named = [one for one in given if one in Device.__members__]
    files = [one for one in given if one not in Device.__members__]
    if len(named) > 1 or len(files) > 1:
        raise BadInput(f"--device {' --device '.join(given)}: give where to compute once, and one profile.")
    if files and not Path(files[0]).exists():
        hint = (
            near(files[0], Device.__members__) or f" It is neither one of {', '.join(Device.__members__)} nor a file."
        )
        raise BadInput(f"--device {files[0]}: there is no such profile.{hint}")
    return Device(named[0]) if named else Device.auto, Path(files[0]) if files else None


def _measured(recipe: Recipe, profile: Path) -> Profile:
    """What the device measured. Raises `BadInput`."""
    from ..searching.attempt import weighed
    from ..searching.device import read_profile
    from ..sections.search import Search

    return read_profile(profile, weighed(recipe.search or Search()))


def print_plan(plan: Plan) -> None:
    """What varies, in a table; then what that comes to."""
    from rich.console import Console
    from rich.table import Table

    from .console import quoted

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("field", "values", "where"):
        table.add_column(heading, overflow="fold")
    for one in plan.space.dimensions:
        where = "" if one.when is None else f"{one.when[0]} is {' or '.join(map(str, one.when[1]))}"
        table.add_row(quoted(one.name), quoted(one.about), quoted(where))
    console = Console()
    console.print(table)
    console.print()
    for line in told(plan):
        console.print(quoted(line), soft_wrap=True)


def _too_few(search: Search) -> str | None:
    """Where nothing can come of ``keep``, a sentence that says so before anything is trained."""
    if search.keep is None:
        return None
    from ..searching.forecast import LEAST_STUDENTS

    if search.trials >= LEAST_STUDENTS:
        return None
    return (
        f"How small a student may be that keeps {search.keep:g} of the teacher's quality will not be said: a forecast takes at "
        f"least {LEAST_STUDENTS} trials, and {search.trials} {'is' if search.trials == 1 else 'are'} asked for. Give more with --trials."
    )


def told(plan: Plan) -> list[str]:
    """A plan in sentences."""
    from ..evaluation.wording import counted, listed
    from ..progress import seconds_text
    from ..searching.budget import cost_text
    from ..searching.plan import ARMS

    search, points, shapes = plan.search, plan.space.points, plan.space.of_student.points
    kinds = "any number of candidates" if points is None else counted(points, "candidate")
    shaped = "" if shapes is None else f", {counted(shapes, 'architecture')}"
    few, most = plan.epochs
    epochs = f"{most}" if few == most else f"{few} to {most}"
    stops = (
        f"the weak stop after epoch {listed(list(map(str, plan.rungs)))} of {most}"
        if plan.rungs
        else "none stops early"
    )
    lines = [
        f"The space has {kinds}{shaped}.",
        f"{counted(search.trials, 'student')} with a teacher and {search.trials} without one, of {epochs} epochs each; {stops}.",
    ]
    if (short := _too_few(search)) is not None:
        lines.append(short)
    if plan.stores > 1:
        lines.append(
            f"The choices of teacher, assistant and views come to {plan.stores} sets of soft targets, each asked for once."
        )
    if len(plan.formats) > 1:
        lines.append(f"Each is measured, and judged by validation, as it is deployed: in {listed(plan.formats)}.")
    limits = [cost_text(name, most) for name, most in search.budget.items()]
    lines.append(
        f"The budget is {listed(limits)}." if limits else "There is no budget: quality is weighed against latency."
    )
    if plan.measured:
        fit = f", {plan.within} of them within the budget" if limits else ""
        lines.append(f"{counted(len(plan.measured), 'architecture')} measured so far{fit}.")
    lines.append(
        f"{counted(search.finalists, 'finalist')} of the front trained anew: at most {plan.trained} students, controls among "
        "them."
    )
    if there := [counted(number, f"{name} stage") for name, number in plan.there.items()]:
        lines.append(f"Finished already: {listed(there)}.")
    for arm, trials in plan.tried.items():
        if trials:
            fates = Counter(one.fate for one in trials)
            lines.append(f"Tried already {ARMS[arm]}: {listed([f'{count} {fate}' for fate, count in fates.items()])}.")
    limit = "" if search.time is None else f"; none is begun after {search.time}"
    known = (
        "how long is not known before some are trained"
        if plan.seconds is None
        else f"about {seconds_text(plan.seconds)}"
    )
    lines.append(f"Trials that are left: {known}{limit}. Nothing was run.")
    return lines
