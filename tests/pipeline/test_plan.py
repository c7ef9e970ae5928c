"""Claims about a plan made of notes: what it calls finished is finished, and what is finished it never calls to do."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.objectives.catalogue import CATALOGUE
from limbeck.pipeline import casting, known, plan, run
from limbeck.pipeline.check import check
from limbeck.pipeline.objective import objective_of
from limbeck.pipeline.stages import Stage
from limbeck.recipe import files
from limbeck.recipe import read as recipe_file
from limbeck.sections.objective import Objective
from limbeck.sections.recipe import Recipe
from tests.helpers.tiny import environment, recipe

HEAVY = ("torch", "datasets", "sklearn", "scipy", "accelerate", "onnxruntime", "pandas", "numpy", "optuna")
BEGINS = ("train.epochs=1", "export.agreement=0.5", "export.max_abs_difference=1")


def begins(*overrides: str) -> Recipe:
    return recipe(*BEGINS, *overrides)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    out = tmp_path_factory.mktemp("plan") / "run"
    run.run(begins(), out=out, threads=1)
    return out


@pytest.fixture
def copy(ran: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(ran, tmp_path / "run", copy_function=os.link))


def states(planned: list[plan.PlannedStage]) -> dict[str, str]:
    return {stage.name: stage.state for stage in planned}


# What stands in a stage's name as it stands in the recipe; one of them stands for all.
VERBATIM = (
    "batch_size",
    "clip_norm",
    "gamma",
    "momentum",
    "nesterov",
    "micro_batches",
    "learning_rate",
    "weight_decay",
)


def changed(value: Any) -> list[Any]:
    """Other values for a field that has this one."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [value / 2 + 0.01]
    return [1, 0.1, True] if value is None else []


def overrides_of(values: dict[str, Any], path: str = "") -> list[str]:
    """An override for every field of a recipe that one can be made for, whatever fields there come to be."""
    found = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += overrides_of(value, f"{path}{name}.")
        elif not (path.endswith("train.") and name in VERBATIM):
            found += [f"{path}{name}={json.dumps(other)}" for other in changed(value)]
    return [one for one in found if accepted(one)]


def accepted(*overrides: str) -> bool:
    try:
        return begins(*overrides) is not None
    except BadInput:
        return False


MORE = (
    "targets.codec=int8", "targets.codec={topk: {k: 3}}", "targets.codec={auto: {}}", "targets.precision=auto",
    "objective={kd: {temperature: 4, weight: 0.9}, cross_entropy: {weight: 0.1, class_weights: balanced}}",
    "objective={cross_entropy: {}}", "objective={sp: {student: stages, teacher: stages}}", "objective={dist: {}}",
    "objective={kd: {weight: 0}, cross_entropy: {}}", "student.depth=2", "teacher.views={flip: true}",
    "train.batch_size=49", "name=other", "data.transfer={name: digits, split: train}",
)  # fmt: skip
FIELDS = sorted({*overrides_of(begins().model_dump(mode="json")), *(one for one in MORE if accepted(one))})


def disagreement(out: Path, wanted: Recipe) -> str | None:
    """Where a plan and a check say different things, in words."""
    try:
        exact = states(check(wanted, out, threads=1))
    except BadInput:  # data or models refuse it, which no plan can know
        return None
    told = states(plan.plan(wanted, out))
    if list(told) != list(exact):
        return f"rows {list(told)} and {list(exact)}"
    for name, state in told.items():
        if (state == plan.FINISHED and exact[name] != "finished") or (
            state in (plan.TO_DO, plan.UNFINISHED) and exact[name] == "finished"
        ):
            return f"{name}: planned {state}, and is {exact[name]}"
    return None


def test_what_a_run_has_just_done_is_finished(ran: Path) -> None:
    assert set(states(plan.plan(begins(), ran)).values()) == {"finished"}
    assert set(states(check(begins(), ran, threads=1)).values()) == {"finished"}


@pytest.mark.parametrize("override", FIELDS)
def test_no_field_that_is_changed_makes_plan_and_check_disagree(ran: Path, override: str) -> None:
    assert disagreement(ran, begins(override)) is None


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(FIELDS), min_size=2, max_size=4, unique=True))
def test_nor_do_several(ran: Path, overrides: list[str]) -> None:
    if accepted(*overrides):
        assert disagreement(ran, begins(*overrides)) is None


def test_what_does_not_matter_to_a_stage_leaves_it_finished(ran: Path) -> None:
    told = states(plan.plan(begins("objective.kd.temperature=2"), ran))
    assert {name: told[name] for name in ("teacher", "targets", "baseline", "smoothed")} == dict.fromkeys(
        ("teacher", "targets", "baseline", "smoothed"), "finished"
    )
    assert told["student"] == "to do"
    told = states(plan.plan(begins("objective.cross_entropy.class_weights=balanced"), ran))
    assert told["student"] == "not known"  # only its module tells how these are written
    told = states(plan.plan(begins("student.width=3"), ran))
    assert (told["teacher"], told["targets"], told["student"], told["export"]) == (
        "finished",
        "finished",
        "to do",
        "to do",
    )
    assert states(plan.plan(begins("train.epochs=3"), ran))["baseline"] == "to do"
    more = plan.plan(begins("seeds=3"), ran)
    assert {stage.name: stage.state for stage in more}["student"] == "unfinished"
    (student,) = [stage for stage in more if stage.name == "student"]
    assert student.detail.endswith("3 seed(s), 1 finished")
    took = json.loads(next((ran / "stages" / "student").glob("*/done.json")).read_text())["facts"]["seconds"]
    assert student.seconds == pytest.approx(2 * took)


def test_what_was_cast_alone_is_finished_for_a_run(tmp_path: Path) -> None:
    casting.cast_recipe(begins(), tmp_path / "run", threads=1)
    told = states(plan.plan(begins(), tmp_path / "run"))
    assert (told["teacher"], told["targets"], told["student"]) == ("finished", "finished", "to do")
    assert disagreement(tmp_path / "run", begins()) is None


def test_what_nobody_has_noted_is_not_known(copy: Path) -> None:
    (copy / "stages" / known.NAME).unlink()
    told = states(plan.plan(begins(), copy))
    assert set(told.values()) == {"not known"}
    assert set(states(check(begins(), copy, threads=1)).values()) == {"finished"}
    assert set(states(plan.plan(begins(), copy.parent / "other")).values()) == {"to do"}


def test_a_stage_that_was_made_again_is_another_to_those_made_upon_it(copy: Path) -> None:
    (done,) = (copy / "stages" / "teacher").glob("*/done.json")
    text = done.read_text()
    done.unlink()
    assert set(states(plan.plan(begins(), copy)).values()) == {"unfinished", "to do"}
    done.write_text(text + "\n")
    told = states(plan.plan(begins(), copy))
    assert told.pop("teacher") == "finished"
    assert set(told.values()) == {"not known"}


def test_a_run_that_was_stopped_in_an_export_is_planned(copy: Path) -> None:
    (done,) = (copy / "stages" / "export").glob("*/done.json")
    done.unlink()
    told = states(plan.plan(begins(), copy))
    assert (told["evaluate"], told["export"], told["report"]) == ("finished", "unfinished", "not known")
    shutil.rmtree(done.parent)
    assert states(plan.plan(begins(), copy))["export"] == "to do"


def test_a_version_that_was_raised_makes_a_stage_to_do(ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known.STAGES, "export", known.STAGES["export"] + 1)
    told = states(plan.plan(begins(), ran))
    assert (told["evaluate"], told["export"]) == ("finished", "to do")
    monkeypatch.setattr(known, "versions", lambda names: {"torch": "another"})
    assert states(plan.plan(begins(), ran))["teacher"] == "not known"


def test_a_file_that_has_changed_is_another(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"some")
    wanted = begins(f"teacher={{model: convnet, weights: {weights}}}")
    before, again = files.seen(wanted), files.seen(wanted)
    assert before == again
    assert before is not None
    assert before[str(weights)]["bytes"] == 4
    os.utime(weights, ns=(1, 1))
    assert files.seen(wanted) != before
    folder = tmp_path / "data" / "deep"
    folder.mkdir(parents=True)
    wanted = begins(f"data.name={folder.parent}")
    before = files.seen(wanted)
    (folder / "a.png").write_bytes(b"")
    assert files.seen(wanted) != before
    assert files.seen(begins("teacher={model: 'own:model', train: {}}")) is None  # code tells nothing by its files
    notes = known.Known(wanted, tmp_path, None)
    notes.note(Stage("teacher", {}, tmp_path / "stages" / "teacher" / "0"), 0, (), "")
    assert not notes.path.exists()


def test_whether_answers_are_kept_is_what_the_modules_say() -> None:
    for name, entry in CATALOGUE.items():
        if not entry.in_recipes:
            continue
        terms = {name: {}, **{other: dict(values) for other, values in entry.beside.items()}}
        terms[name] = {**{one: 2 if one == "heads" else "stem" for one in entry.required}, **terms[name]}
        section = Objective.model_validate(terms)
        objective = objective_of(section)
        needs = objective.needs
        wanted = begins().model_copy(update={"objective": section})
        assert known.stored(wanted) == (
            bool(needs.target) and not needs.teacher_features and not objective.finds_layers  # of features too
        ), name


def test_what_a_search_would_vary_is_no_part_of_a_run(copy: Path) -> None:
    searching = begins("search.space={student.width: [4, 8]}", "search.budget.latency_ms=1")
    before = set((copy / "stages").glob("*/*"))
    assert set(states(plan.plan(searching, copy)).values()) == {plan.FINISHED}
    results = run.run(searching, out=copy, threads=1)
    assert set((copy / "stages").glob("*/*")) == before
    assert "search" not in results["recipe"]
    assert recipe_file.read(copy / "recipe.yaml").search == searching.search


def test_a_plan_reads_an_objective_as_its_module_is_written() -> None:
    seen = 0
    for name, entry in CATALOGUE.items():
        if not entry.in_recipes:
            continue
        terms: dict[str, Any] = {name: {}, **{other: dict(values) for other, values in entry.beside.items()}}
        terms[name] = {**{one: 2 if one == "heads" else "stem" for one in entry.required}, **terms[name]}
        first = Objective.model_validate(terms)
        numbers = {field: value for field, value in first.terms[name] if type(value) is float}
        changes = [{field: other} for field, value in numbers.items() for other in (value * 0.7 + 0.01, value * 1.3)]
        for change in changes:
            try:
                other = Objective.model_validate({**terms, name: {**terms[name], **change}})
                written = repr(objective_of(other))
            except (BadInput, ValueError):  # beyond its limits
                continue
            assert not plan.is_other_objective(other, written), (name, change)
            told = plan.is_other_objective(first, written)
            assert not told or repr(objective_of(first)) != written, (name, change)
            seen += told
        assert not plan.is_other_objective(first, repr(objective_of(first))), name
    assert seen > 50


def test_the_command_imports_nothing_that_reads_data_or_builds_models(ran: Path) -> None:
    (ran.parent / "tiny.yaml").write_text(recipe_file.resolved_yaml(begins()))
    code = (
        "import sys, limbeck.cli.main as cli\n"
        "try: cli.main()\n"
        f"finally: print([one for one in {HEAVY} if one in sys.modules], file=sys.stderr)"
    )
    ran_once = subprocess.run(
        [sys.executable, "-c", code, "run", "tiny.yaml", "--out", "run", "--plan"],
        cwd=ran.parent, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Everything is finished" in ran_once.stdout
    assert ran_once.stderr.strip() == "[]"


def test_pictures_that_lie_elsewhere_leave_a_plan_without_notes(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet
    from PIL import Image

    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["a", "b"]}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    for where, told in (("elsewhere", "not known"), ("table", "finished")):
        pictures, table = tmp_path / where, tmp_path / "table"
        for folder in (pictures, table):
            folder.mkdir(exist_ok=True)
        cells = [{"bytes": None, "path": str(pictures / f"{k}.png")} for k in range(40)]
        for k, cell in enumerate(cells):
            image = Image.new("L", (8, 8), k)
            image.putpixel((k % 8, k // 8), 250)
            image.save(str(cell["path"]))
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        rows = pa.table({"image": pa.array(cells, kind), "label": [k % 2 for k in range(40)]})
        parquet.write_table(rows.replace_schema_metadata(about), table / "train.parquet")
        wanted = begins(f"data={{name: {table}}}")
        casting.cast_recipe(wanted, tmp_path / "run", threads=1)
        assert states(plan.plan(wanted, tmp_path / "run"))["teacher"] == told
