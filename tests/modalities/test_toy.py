"""A modality is a folder and one line in the table: points in the plane, from a recipe to a report."""

import json
from pathlib import Path

import pytest

from limbeck import modalities
from limbeck.cli.main import app
from limbeck.recipe import draft
from limbeck.recipe import reference as recipe_reference


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for task in ("point-classification", "point-regression"):
        monkeypatch.setitem(modalities.TASKS, task, "tests.modalities.toy")
    monkeypatch.chdir(tmp_path)


def test_a_folder_and_a_line_in_the_table_run_from_a_recipe_to_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    drafted = draft.write(teacher="net", data="corners", student=None, out=Path("points.yaml"))
    assert drafted.text.startswith("task: point-classification\n")
    sets = ("train.epochs=1", "views.width=0.1", "targets.views=2", "baseline.label_smoothing=0")
    run = ["run", "points.yaml", *(part for one in sets for part in ("--set", one))]
    app(run, standalone_mode=False)
    results = json.loads(Path("runs/points/results.json").read_text())
    assert (results["task"], results["data"]["test"]) == ("point-classification", 100)
    assert results["measured"]["student"]["farthest"] > 0
    report = Path("runs/points/report.html").read_text()
    assert "points of two coordinates" in report
    assert "100 test points" in report
    capsys.readouterr()
    app([*run, "--plan"], standalone_mode=False)
    assert "Everything is finished" in capsys.readouterr().out
    app(["predict", "runs/points", "1.5,0"], standalone_mode=False)
    assert capsys.readouterr().out.split()[0] == "1.5,0"


def test_a_regression_runs_through_the_same_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    smallest = modalities.outline_of("point-regression").smallest
    Path("turned.yaml").write_text(json.dumps({"task": "point-regression", **smallest}))
    app(["run", "turned.yaml", "--set", "train.epochs=4", "--set", "targets.views=1"], standalone_mode=False)
    results = json.loads(Path("runs/turned/results.json").read_text())
    assert results["answers"] == {"kind": "values", "width": 2, "names": ["x", "y"]}
    assert [row["number"] for row in results["student"]["per_number"]] == ["x", "y"]
    assert set(results["comparison"]["baseline"]) == {"rmse", "mae", "correlation"}
    assert results["smoothed"] is None  # there is nothing to smooth in a number
    assert results["targets"]["codec"] == "numbers"
    assert results["export"]["parity"]["agreement"] == 1.0
    history = json.loads(next(Path("runs/turned/stages/student").glob("*/history.json")).read_text())
    assert {"validation_rmse", "validation_mse"} <= set(history[0])
    said = capsys.readouterr().out
    assert "x its RMSE (" in " ".join(said.split())
    for text in (said, Path("runs/turned/report.html").read_text()):
        assert "RMSE" in text
        assert "accuracy" not in text.lower()


def test_it_is_in_the_reference_the_schema_and_the_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\n# Points\n" in recipe_reference.page()
    assert "PointRecipe" in recipe_reference.schema()["$defs"]
    Path("points.yaml").write_text("{task: point-classification, data: {nmae: corners}, student: {model: shrunk}}")
    with pytest.raises(SystemExit) as end:
        app(["recipe", "check", "points.yaml"])
    assert end.value.code == 2
    assert "data.nmae: no such field. Did you mean 'name'?" in capsys.readouterr().err
