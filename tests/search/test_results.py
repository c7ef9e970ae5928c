"""A whole search with its finalists: what is done once, what is tested, what is said of it."""

import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from limbeck.pipeline.run import run
from limbeck.pipeline.stages import ARMS, Stage
from limbeck.recipe import read as recipe_file
from limbeck.searching import front, trials
from limbeck.searching.finalists import control_for, link
from limbeck.searching.results import CHOSEN, search
from limbeck.searching.trials import Trial
from tests.helpers import searches
from tests.helpers.tiny import snapshot

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    out = tmp_path_factory.mktemp("search") / "out"
    # students that have learnt next to nothing are far apart by chance, and all of the front are to be finalists
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(front, "KEPT", 0.0)
        yield search(searches.recipe("search.finalists=2"), out=out, threads=1)


@pytest.mark.slow
def test_a_finalist_is_trained_anew_and_nothing_of_the_teacher_twice(searched: dict[str, Any]) -> None:
    out, (first, *_) = Path(searched["out"]), searched["finalists"]
    best = max(one["quality"] for one in searched["trials"]["student"] if one["fate"] == trials.FINISHED)
    assert first["trial"] == searched["chosen"]
    assert first["searched"]["quality"] == best
    (taught,), (asked,) = out.glob("stages/teacher/*"), out.glob("stages/targets/*")
    for one in searched["finalists"]:
        folder = out / one["folder"]
        for made in (taught, asked):
            there = folder / made.relative_to(out)
            assert [path.name for path in there.parent.iterdir()] == [made.name]
            for file in made.rglob("*"):
                if file.is_file() and not file.name.startswith("."):
                    assert os.path.samestat(file.stat(), (there / file.relative_to(made)).stat())
        for arm in ("student", "baseline", "smoothed"):
            made = [json.loads(path.read_text()) for path in folder.glob(f"stages/{arm}/*/ingredients.json")]
            assert [ingredients["seed"] for ingredients in made] == [0]
        results = json.loads((folder / "results.json").read_text())
        assert one["student"]["metrics"] == results["student"]["metrics"]
        fell = one["searched"]["quality"] - results["student"]["metrics"]["accuracy"]["mean"]
        assert math.isclose(one["fell"]["on_test"], fell)
        assert len(results["test_reads"]) == 1
        assert (folder / "report.html").exists()


@pytest.mark.slow
def test_each_stands_beside_the_best_without_a_teacher_that_costs_no_more(searched: dict[str, Any]) -> None:
    out = Path(searched["out"])
    found = {one["number"]: one for one in searched["trials"]["baseline"]}
    for one in searched["finalists"]:
        cheap = [
            control
            for control in found.values()
            if control["fate"] == trials.FINISHED
            and control["cost"]["parameters"] <= one["searched"]["cost"]["parameters"]
        ]
        if not cheap:
            assert one["control"] is None
            continue
        control = one["control"]
        assert found[control["trial"]]["quality"] == max(other["quality"] for other in cheap)
        gain = control["comparison"]["accuracy"]
        difference = one["student"]["metrics"]["accuracy"]["mean"] - control["metrics"]["accuracy"]["mean"]
        assert math.isclose(gain["difference"], difference, abs_tol=1e-6)
        assert gain["low"] <= gain["difference"] <= gain["high"]
    if any(one["control"] for one in searched["finalists"]):
        assert len(searched["test_reads"]) == 1  # all controls together
        assert len([*out.glob("stages/evaluate/*")]) == 1


@pytest.mark.slow
def test_the_same_command_and_the_chosen_recipe_do_nothing_twice(searched: dict[str, Any]) -> None:
    out = Path(searched["out"])
    before = made(out)
    again = search(searches.recipe("search.finalists=2"), out=out, threads=1)
    assert again == searched
    found = re.fullmatch(r"limbeck run (.*) --out (.*)", searched["command"])
    assert found is not None
    assert Path(found[1]) == out / CHOSEN
    run(recipe_file.read(Path(found[1])), out=Path(found[2]), threads=1)
    assert made(out) == before


def made(out: Path) -> dict[str, tuple[int, str]]:
    """All that stages hold, and when it was written; what a run publishes beside them is copied each time."""
    return {name: found for name, found in snapshot(out).items() if "stages/" in name and "known.json" not in name}


@pytest.mark.slow
def test_what_of_the_finalists_is_missing_is_made_alike(searched: dict[str, Any], tmp_path: Path) -> None:
    """A search that was killed before they were done: one was not begun, of another the export was to come. Now two at a time."""
    out, cut = Path(searched["out"]), tmp_path / "cut"
    shutil.copytree(out, cut)
    first, last = searched["finalists"][0], searched["finalists"][-1]
    assert first != last
    shutil.rmtree(cut / last["folder"])
    for left in ("stages/export", "stages/report"):
        shutil.rmtree(cut / first["folder"] / left)
    for path in cut.glob("stages/*/*/ingredients.json"):
        if path.parts[-3] in ARMS and json.loads(path.read_text())["seed"] == 0:  # a control
            shutil.rmtree(path.parent)
    for path in (cut / "search.json", cut / CHOSEN, cut / first["folder"] / "results.json"):
        path.unlink()
    again = search(searches.recipe("search.finalists=2"), out=cut, threads=1, jobs=2)
    assert again["command"] == searched["command"].replace(str(out), str(cut))
    for one, other in zip(again["finalists"], searched["finalists"], strict=True):
        for part in ("trial", "folder", "searched", "fell"):
            assert one[part] == other[part]
        assert untimed(one["control"]) == untimed(other["control"])
        assert one["student"]["metrics"] == other["student"]["metrics"]
    beside, ours = weights(cut), weights(out)
    assert {name: beside[name] for name in ours} == ours
    # the finalist that was missing was trained where the search's students were, and is there too
    where = f"{last['folder']}/"
    anew = {path.removeprefix(where) for path in ours if path.startswith(f"{where}stages/")}
    assert beside.keys() - ours.keys() == anew - ours.keys()


def untimed(control: dict[str, Any] | None) -> dict[str, Any] | None:
    return control and {name: value for name, value in control.items() if name != "seconds"}


def weights(out: Path) -> dict[str, str]:
    """Digests of everything that was trained, by where it lies."""
    return {str(name): found[1] for name, found in snapshot(out).items() if str(name).endswith("model.safetensors")}


@pytest.mark.slow
def test_search_json_is_what_is_returned_and_its_fields_are_documented(searched: dict[str, Any]) -> None:
    out = Path(searched["out"])
    written = json.loads((out / "search.json").read_text())
    assert written == {key: value for key, value in searched.items() if key != "out"}
    documented = (ROOT / "docs" / "search.md").read_text()
    fields = {*written, *written["finalists"][0], *written["seconds"], *written["trials"]["student"][0]}
    assert [name for name in sorted(fields) if f"`{name}`" not in documented] == []
    page = (out / "search.html").read_text()
    assert f"trial {searched['chosen']}, chosen" in page
    for one in written["trials"]["student"] + written["trials"]["baseline"]:
        assert one["fate"] in page
    seconds = written["seconds"]
    assert seconds["students"] <= seconds["students_in_full"] < seconds["students_live_in_full"]


def trial(number: int, quality: float, cost: float) -> Trial:
    return Trial(number, "baseline", {}, trials.FINISHED, "", quality=quality, cost={"size_kb": cost})


def test_the_control_is_the_best_that_costs_no_more() -> None:
    controls = [trial(1, 0.5, 1), trial(2, 0.75, 2), trial(3, 0.75, 1.5), trial(4, 0.875, 3)]
    budget = {"size_kb": 10.0}
    assert control_for(trial(9, 0.9, 2), controls, budget, 1) == controls[1]  # of equals the first
    assert control_for(trial(9, 0.9, 2), controls, budget, -1) == controls[0]
    assert control_for(trial(9, 0.9, 0.5), controls, budget, 1) is None


def test_where_there_can_be_no_links_stages_are_copied(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    there = elsewhere / f"limbeck-{os.getpid()}"
    stage = Stage("teacher", {}, tmp_path / "stages" / "teacher" / "aa")
    (stage.folder / "store").mkdir(parents=True)
    (stage.folder / "store" / "part").write_bytes(b"answers")
    (stage.folder / "store" / ".lock").touch()
    try:
        link([stage], tmp_path, there)
        assert not there.exists()  # it is not finished
        (stage.folder / "done.json").write_text("{}")
        link([stage], tmp_path, there)
        link([stage], tmp_path, there)
        made = there / "stages" / "teacher" / "aa"
        assert sorted(path.name for path in made.rglob("*")) == ["done.json", "part", "store"]
        assert (made / "store" / "part").read_bytes() == b"answers"
    finally:
        for path in sorted(there.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        if there.exists():
            there.rmdir()
