"""Candidates measured elsewhere: the script stands alone, its profile is checked, what is not in it is not eligible."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from limbeck.deploy.profile import figures_of
from limbeck.errors import BadInput
from limbeck.pipeline.job import Job
from limbeck.recipe.read import from_dict
from limbeck.searching.candidates import recipe_with
from limbeck.searching.costs import candidate_of, cost_of
from limbeck.searching.device import Profile, read_profile, require_attained
from limbeck.searching.ledger import Ledger
from limbeck.searching.precision import formats_in
from limbeck.searching.space import space_of
from limbeck.searching.to_device import among_written, for_device, sampled, told_of, write_candidates
from limbeck.sections.recipe import Recipe
from tests.helpers import tiny

FILES = ("latency_ms", "size_kb", "memory_mb")


def searched(search: dict[str, Any]) -> Recipe:
    return from_dict(yaml.safe_load(tiny.RECIPE) | {"search": search})


PINNED = {one.name: None for one in space_of(searched({})).of_student.dimensions}
WIDTHS = searched({"space": {**PINNED, "student.width": [3, 20]}, "budget": {"latency_ms": 1000}})


@pytest.fixture(scope="module")
def jobs(tmp_path_factory) -> list[Job]:
    out = tmp_path_factory.mktemp("jobs")
    return [tiny.job(out, f"student.width={width}") for width in (3, 20, 5)]


@pytest.fixture(scope="module")
def measured(jobs, tmp_path_factory) -> Path:
    """A folder of two candidates that a fresh process measured, which knows nothing of Limbeck."""
    folder = tmp_path_factory.mktemp("device") / "candidates"
    write_candidates(WIDTHS, folder)
    done = subprocess.run(
        [sys.executable, "-I", folder / "measure.py"], capture_output=True, text=True, check=False, cwd=folder.parent
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"2 measured: {folder / 'profile.json'}"
    return folder


def test_the_script_imports_onnxruntime_numpy_and_the_standard_library_alone(measured):
    tree = ast.parse((measured / "measure.py").read_text(encoding="utf-8"))
    # candidates are ONNX files: what runs those of LiteRT is imported where one is given
    tree.body = [one for one in tree.body if not (isinstance(one, ast.FunctionDef) and one.name == "_in_litert")]
    named = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or "."])
    }
    assert named - set(sys.stdlib_module_names) == {"onnxruntime", "numpy"}


def test_each_candidate_is_written_once_named_by_its_architecture(jobs, measured):
    told = json.loads((measured / "candidates.json").read_text())
    assert [one["what"] for one in told["candidates"].values()] == ["convnet, width 3", "convnet, width 20"]
    assert {path.name for path in measured.glob("*.onnx")} == {f"{name}.onnx" for name in told["candidates"]}


def test_its_figures_are_those_that_a_search_measures_itself(jobs, measured, tmp_path):
    profile = read_profile(measured / "profile.json", FILES)
    with Ledger(tmp_path / "costs.jsonl") as ledger:
        for job in jobs[:2]:
            ours = cost_of(job, candidate_of(job), ledger, FILES)
            theirs = profile.figures_of(ours.architecture, FILES)
            assert theirs["size_kb"] == ours.figures["size_kb"]
            assert set(theirs["latency_ms"]) == set(ours.figures["latency_ms"])
            # of a clock on a busy machine: the same unit and no other order, which is all that a test can hold it to
            assert 0.1 < theirs["latency_ms"]["value"] / ours.cost["latency_ms"] < 10
            assert theirs["memory_mb"]["value"] == pytest.approx(ours.cost["memory_mb"], abs=3.0)


def test_a_second_call_measures_nothing_again(measured):
    before = (measured / "profile.json").read_bytes()
    done = subprocess.run([sys.executable, "-I", measured / "measure.py"], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert (measured / "profile.json").read_bytes() == before


def test_a_profile_stands_for_what_is_measured_on_files_and_what_is_not_in_it_is_not_eligible(jobs, measured, tmp_path):
    profile = read_profile(measured / "profile.json", FILES)
    known = json.loads((measured / "profile.json").read_text())["figures"]
    with Ledger(tmp_path / "costs.jsonl") as ledger:
        for job, figures in zip(jobs, known.values()):
            found = cost_of(job, candidate_of(job), ledger, (*FILES, "parameters"), {"latency_ms": 0.0001}, profile)
            assert found.problem is None
            assert {name: found.cost[name] for name in FILES} == {name: figures[name]["value"] for name in FILES}
            assert found.cost["parameters"] == sum(one.numel() for one in candidate_of(job).parameters())
            assert found.figures["latency_ms"]["decided"]
        other = cost_of(jobs[2], candidate_of(jobs[2]), ledger, FILES, {}, profile)
        assert other.cost == {}
        assert other.problem == "it is not in profile.json, and was not measured on the device"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"runtime": "tflite, CPU"},
            "it was measured with 'tflite, CPU', and students are exported for onnxruntime, CPU",
        ),
        ({"exports": 1}, "it is of exports in an older format than this version of Limbeck writes"),
        ({"exports": 99}, "a newer format"),
        ({"profile_version": 0}, "it is of exports in an older format"),
        ({"emulated": True}, "it was measured on a machine that is emulated"),
        ({"of": "files"}, "it is of files that are trained, which limbeck report --device takes"),
        ({"precision": "int8"}, "it is of 'int8' models"),
        ({"figures": []}, "it is not a profile"),
        ({"figures": {"a": {"latency_ms": {"value": -1, "low": 0, "high": 0}}}}, "latency_ms of 'a' is not a number"),
        ({"figures": {"a": {"size_kb": {"value": 3.0}}}}, "it does not say latency_ms"),
    ],
)
def test_a_profile_of_something_else_is_refused(measured, tmp_path, change, said):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(json.loads((measured / "profile.json").read_text()) | change))
    with pytest.raises(BadInput) as refused:
        read_profile(path, ("latency_ms",))
    assert said in str(refused.value)


def test_a_budget_that_nothing_on_the_device_meets_is_refused_by_its_profile_alone(measured):
    profile = read_profile(measured / "profile.json", FILES)
    require_attained(profile, {"size_kb": 1000, "parameters": 1})  # numbers are not measured there
    smallest = min(one["size_kb"]["value"] for one in profile.figures.values())
    with pytest.raises(BadInput, match=rf"--device .*smallest size_kb is {smallest:.3g} \(convnet, width 3\)"):
        require_attained(profile, {"size_kb": 1, "latency_ms": 1000})
    nameless = replace(profile, what={})  # of an earlier measure.py
    with pytest.raises(BadInput, match=r"\([0-9a-f]{16}\.onnx\)"):
        require_attained(nameless, {"size_kb": 1})


def test_what_is_no_profile_at_all_is_refused(measured, tmp_path):
    with pytest.raises(BadInput, match=r"there is no such file\. Did you mean"):
        read_profile(measured / "profil.json", ())
    (tmp_path / "text").write_text("0.05 ms")
    with pytest.raises(BadInput, match="it is not a profile"):
        read_profile(tmp_path / "text", ())
    with pytest.raises(BadInput, match="energy_mj"):  # which no estimate stands for
        read_profile(measured / "profile.json", ("energy_mj",))


def test_a_folder_of_other_things_is_not_written_to(jobs, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(BadInput, match="holds something else already"):
        write_candidates(WIDTHS, tmp_path)


def test_what_was_written_is_not_written_again(jobs, measured):
    before = {path.name: path.stat().st_mtime_ns for path in measured.glob("*.onnx")}
    told = write_candidates(WIDTHS, measured)
    assert len(told["candidates"]) == 2
    assert {path.name: path.stat().st_mtime_ns for path in measured.glob("*.onnx")} == before


def test_precisions_have_files_of_their_own_and_a_profile_of_float32_serves_a_search_of_float32(tmp_path):
    recipe = searched({"space": {**PINNED, "student.width": [3, 20]}, "budget": {"size_kb": 1000}})
    told = write_candidates(recipe, tmp_path / "both", most=1)["candidates"]
    (exact, small), files = told, {name: tmp_path / "both" / one["file"] for name, one in told.items()}
    assert small == f"{exact}.onnx-int8"
    assert told[small]["what"] == f"{told[exact]['what']}, onnx-int8"
    assert files[small].stat().st_size < files[exact].stat().st_size
    figures = {name: figures_of(path, ("size_kb",)) for name, path in files.items()}
    profile = Profile(tmp_path / "profile.json", {}, figures, {}, {})
    assert formats_in(for_device(recipe, profile)) == ("onnx", "onnx-int8")
    assert profile.problem_of(small, ("size_kb",)) is None
    alone = replace(profile, figures={exact: figures[exact]})
    assert formats_in(for_device(recipe, alone)) == ("onnx",)
    assert "export.prefer" not in [one.name for one in space_of(for_device(recipe, alone)).dimensions]
    asked = searched({"space": {"export.prefer": ["onnx", "onnx-int8"]}})
    with pytest.raises(BadInput, match=r"it has no candidate in onnx-int8, which this search has in its space"):
        for_device(asked, alone)


def test_a_space_is_written_out_in_full_or_by_chance_without_the_same_student_twice():
    recipe = searched({})
    few = [told_of(one) for one in sampled(recipe, 8)]
    assert len(set(few)) == len(few) == 8
    assert few == [told_of(one) for one in sampled(recipe, 8)]
    assert [told_of(one) for one in sampled(WIDTHS, 2)] == ["convnet, width 3", "convnet, width 20"]


def test_a_space_of_more_than_was_written_is_searched_among_what_was():
    recipe = searched({"space": {"train.epochs": [1, 2]}})
    narrowed = among_written(recipe, 8)
    (students,) = [one for one in space_of(narrowed).dimensions if one.name.startswith("student")]
    made = [told_of(recipe_with(narrowed, {"student": one})) for one in students.knob.choices]
    assert made == [told_of(one) for one in sampled(recipe, 8)]
    assert "train.epochs" in [one.name for one in space_of(narrowed).dimensions]
    assert among_written(narrowed, 8) == narrowed, "so that its own resolved recipe is the same search"
    assert among_written(WIDTHS, 8) == WIDTHS
