"""A comparison from end to end: killed and resumed, its figures worked out again, its tables safe whatever rows are called."""

import csv
import io
import json
import math
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file

from limbeck.cli.console import print_comparison
from limbeck.compare import run as comparing
from limbeck.compare.page import write_page
from limbeck.compare.plan import plan
from limbeck.compare.tables import csv_columns, escape
from limbeck.errors import BadInput
from tests.helpers.comparisons import HOSTILE, read, written
from tests.helpers.tiny import digest, environment, folder_of, job, snapshot, train

ROWS = ["baseline", "smoothed", "kd", HOSTILE, "attention"]


@dataclass(frozen=True)
class Finished:
    """A comparison that was killed on the way and went on; tests that go further copy its folder."""

    folder: Path
    file: Path
    out: Path
    before: dict[str, tuple[int, str]]  # files of stages that were finished when it was killed
    results: dict[str, Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("compare")
    file, out = written(folder), folder / "run"
    students = out / "stages" / "student"
    process = subprocess.Popen(
        [sys.executable, "-m", "limbeck", "compare", file.name, "--threads", "1", "--out", "run"],
        env=environment() | {"LIMBECK_CHECKPOINT_SECONDS": "0"}, cwd=folder, stderr=subprocess.PIPE,
    )  # fmt: skip
    limit = time.monotonic() + 600
    try:
        while not list(students.glob("*/done.json")):
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < limit
            time.sleep(0.002)
    finally:
        process.kill()
    process.communicate()
    assert not (out / "stages" / "evaluate").exists()  # it was cut short
    done = [path.parent for path in (out / "stages").glob("*/*/done.json")]
    before = {str(one): entry for path in done for one, entry in absolute(path).items() if one.name != "checkpoint.pt"}
    results = comparing.compare(read(file), out=out, threads=1)
    return Finished(folder, file, out, before, results)


def absolute(folder: Path) -> dict[Path, tuple[int, str]]:
    return {folder / name: entry for name, entry in snapshot(folder).items()}


def lines(out: Path) -> list[dict[str, str]]:
    with open(out / "compare.csv", newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        results = json.loads((out / "compare.json").read_text(encoding="utf-8"))
        assert tuple(reader.fieldnames or ()) == csv_columns(results)
        assert {"accuracy", "nll", "temperature", "agreement", "validation_nll"} < set(csv_columns(results))
        return list(reader)


# --- the whole of it


def test_a_killed_comparison_goes_on_and_leaves_its_products(finished: Finished) -> None:
    assert {path.name for path in finished.out.iterdir()} == {
        "compare.csv", "compare.html", "compare.json", "compare.recipe.yaml", "compare.tex", "compare.yaml",
        "stages", "test_reads.json",
    }  # fmt: skip
    assert finished.before
    now = {str(path): entry for path, entry in absolute(finished.out / "stages").items()}
    assert finished.before.items() <= now.items()  # what was finished was not made again
    assert not [*finished.out.rglob("*.part"), *finished.out.rglob("checkpoint.pt")]
    assert [(line["row"], line["seed"]) for line in lines(finished.out)] == [(r, s) for r in ROWS for s in "01"]
    (read_once,) = json.loads((finished.out / "test_reads.json").read_text())
    assert read_once["purpose"] == "evaluation"


def test_its_students_are_those_of_a_run_bit_for_bit(finished: Finished, tmp_path: Path) -> None:
    one = job(tmp_path / "run", "seeds=2")  # the tiny recipe's own objective is that of the row kd
    train(one)
    fingerprints = {(line["row"], line["seed"]): line["fingerprint"] for line in lines(finished.out)}
    for arm, row in (("student", "kd"), ("baseline", "baseline"), ("smoothed", "smoothed")):
        for seed in "01":
            ours, theirs = (out / "stages" / arm / fingerprints[row, seed] for out in (finished.out, one.out))
            assert digest(ours / "model.safetensors") == digest(theirs / "model.safetensors")
    assert folder_of(finished.out, "targets").name == folder_of(one.out, "targets").name
    assert len(set(fingerprints.values())) == len(fingerprints)  # a weight alone makes another student


def test_only_features_make_the_teacher_live(finished: Finished) -> None:
    asked = {line["row"]: line["teacher"] for line in lines(finished.out)}
    assert asked == dict(zip(ROWS, ["none", "none", "stored", "stored", "live"]))


def test_figures_are_those_of_the_stored_answers(finished: Finished) -> None:
    answers = load_file(folder_of(finished.out, "evaluate") / "answers.safetensors")
    labels_N = answers["test/labels"]
    teacher_N = answers["test/teacher"].argmax(axis=1)
    for line in lines(finished.out):
        logits_NC = answers[f"test/{json.dumps(['convnet', line['row']])}-{line['seed']}"].astype(np.float64)
        loss = [
            math.log(sum(math.exp(z - max(row)) for z in row)) + max(row) - row[label]
            for row, label in zip(logits_NC.tolist(), labels_N.tolist(), strict=True)
        ]
        answer_N = logits_NC.argmax(axis=1)
        assert float(line["accuracy"]) == pytest.approx((answer_N == labels_N).mean(), abs=1e-12)
        assert float(line["nll"]) == pytest.approx(statistics.fmean(loss), rel=1e-9)
        assert float(line["agreement"]) == pytest.approx((answer_N == teacher_N).mean(), abs=1e-12)


def test_json_and_latex_hold_the_means_of_the_lines(finished: Finished) -> None:
    found = lines(finished.out)
    by_row = {name: [line for line in found if line["row"] == name] for name in ROWS}
    table = (finished.out / "compare.tex").read_text().splitlines()
    for row in finished.results["rows"]:
        ours = by_row[row["name"]]
        cells = next(line for line in table if line.startswith(f"{escape(row['title'])} & ")).split(" & ")
        for place, (figure, scale, digits) in enumerate(
            (("accuracy", 100, 2), ("nll", 1, 4), ("ece", 100, 2), ("agreement", 100, 2)), 1
        ):
            values = [float(line[figure]) for line in ours]
            mean, sd = sum(values) / 2, abs(values[0] - values[1]) / math.sqrt(2)
            assert row["metrics"][figure] == pytest.approx({"mean": mean, "sd": sd, "n": 2})
            bold = row["level_with_best"].get(figure, False)
            text = f"{scale * mean:.{digits}f} $\\pm$ {scale * sd:.{digits}f}"
            assert cells[place] == (f"\\textbf{{{text}}}" if bold else text)
        for role, other in (("baseline", "baseline"), ("against", "kd")):
            for figure in ("accuracy", "nll"):
                gain = row["comparison"][role][figure]
                theirs = [float(line[figure]) for line in by_row[other]]
                expected = sum(float(line[figure]) for line in ours) / 2 - sum(theirs) / 2
                assert gain["difference"] == pytest.approx(expected, abs=1e-12)
                assert gain["low"] - 1e-12 <= gain["difference"] <= gain["high"] + 1e-12
                assert gain["other"] == other
    best = max(finished.results["rows"], key=lambda row: row["metrics"]["accuracy"]["mean"])
    assert best["level_with_best"]["accuracy"]


def test_what_costs_alike_has_no_front_and_what_is_not_exported_is_said(finished: Finished, tmp_path: Path) -> None:
    page = (finished.out / "compare.html").read_text(encoding="utf-8")
    assert "Quality against size and speed" not in page  # one architecture: only its height would differ
    cost = {row["bytes"] for row in finished.results["rows"]}
    assert len(cost) == 1
    assert f"{min(cost) / 1000:.1f} KB" in page
    results = finished.results | {"rows": [dict(row) for row in finished.results["rows"]]}
    for row in results["rows"]:
        row |= {"cost": {"bytes": None, "ms": None}, "bytes": None, "latency_ms": None, "speedup": None}
    results["rows"][0]["problem"] = "it cannot be exported <b>"
    write_page(results | {"speed": {"disturbed": True, "note": "A busy <i>machine."}}, tmp_path / "page.html")
    texts = "".join(Page((tmp_path / "page.html").read_text(encoding="utf-8")).texts)
    assert "no teacher is not measured: it cannot be exported <b>" in texts
    assert "A busy <i>machine." in texts
    shown = texts[: texts.index("How it was made")]
    assert shown.count("None") == shown.count("None is corrected")


def test_the_same_command_again_does_nothing(finished: Finished) -> None:
    before = snapshot(finished.out / "stages")
    assert comparing.compare(read(finished.file), out=finished.out, threads=1) == finished.results
    assert snapshot(finished.out / "stages") == before
    again = read(finished.out / "compare.yaml")  # what it leaves can be run itself
    assert [row.recipe for row in again.rows] == [row.recipe for row in read(finished.file).rows]
    planned = plan(read(finished.file), finished.out, threads=1)
    assert {stage.state for stage in planned} == {"finished"}
    assert len(planned) == 2 + len(ROWS)


def test_force_makes_a_stage_of_all_rows_anew_once_and_the_tables_with_it(finished: Finished, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished.out, tmp_path / "run"))
    before = snapshot(out / "stages")
    results = comparing.compare(read(finished.file), out=out, force=("baseline",), threads=1)
    after = snapshot(out / "stages")
    gone = {name for name, entry in before.items() if after.get(name) != entry}
    assert {Path(name).parts[0] for name in gone} == {"baseline", "compare"}
    for stage, count in (("baseline", 2), ("compare", 1)):
        folders = {path.name for path in (out / "stages" / stage).iterdir()}
        made = {name for name in folders if "." not in name}
        assert len(made) == count
        assert sorted(name.partition(".")[0] for name in folders - made) == sorted(made)  # each set aside once
    assert [row["metrics"] for row in results["rows"]] == [row["metrics"] for row in finished.results["rows"]]
    with pytest.raises(BadInput, match=r"--force report: a comparison has no such stage\. Known: .*evaluate"):
        comparing.compare(read(finished.file), out=out, force=("report",), threads=1)


# --- what rows are called


class Page(HTMLParser):
    """Names of elements, of attributes, and what stands between."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_hostile_name_is_text_and_nothing_else(finished: Finished) -> None:
    page = Page((finished.out / "compare.html").read_text(encoding="utf-8"))
    assert HOSTILE in page.texts
    assert not page.elements & {"script", "iframe", "img", "link", "object"}
    assert not {name for name in page.attributes if name.startswith("on") or name in ("href", "src")}
    assert "prefers-color-scheme: dark" in (finished.out / "compare.html").read_text(encoding="utf-8")

    (line,) = [x for x in (finished.out / "compare.tex").read_text().splitlines() if x.startswith(escape("</title>"))]
    cell, *others = line.split(" & ")
    assert len(others) == 6
    for command in (r"\\text[a-z]+\{\}", r"\\symbol\{\d+\}", r"\\[{}$&#%_]"):
        cell = re.sub(command, "", cell)
    assert not set(cell) & set("\\{}$&#%_~^")


# --- settings chosen on validation


def test_a_sweep_takes_what_validation_likes_best(finished: Finished, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished.out, tmp_path / "run"))
    before = {path.parent for path in (out / "stages" / "measure").glob("*/done.json")}
    students = "students: {convnet: {model: convnet, width: 4}, '<b>': {model: convnet, width: 5}}\n"
    objectives = "objectives: {kd: {kd: {}, cross_entropy: {}}, hot: {kd: {temperature: 9}}}\n"
    sweep = "sweep: {weight_scale: [1, 0.1], epochs: 1, settings: {hot: [[], [kd.temperature=1, kd.weight=3]]}}\n"
    asked = "recipe: tiny.yaml\nset: [baseline.label_smoothing=0]\nagainst: hot\n" + objectives + students + sweep
    comparison = read(written(tmp_path, asked))
    results = comparing.compare(comparison, out=out, threads=1)
    assert [(row["student"], row["name"]) for row in results["rows"]] == [
        (student, name) for student in ("convnet", "<b>") for name in ("baseline", "kd", "hot")
    ]
    wanted = {
        "baseline": ["learning rate × 1", "learning rate × 0.5"],
        "kd": ["weight × 1", "weight × 0.1"],
        "hot": ["as given", "kd.temperature=1, kd.weight=3"],
    }
    for row, asked_for in zip(results["rows"], comparison.rows, strict=True):
        assert [", ".join(trial["settings"]) or "as given" for trial in row["trials"]] == wanted[row["name"]]
        ranks = [(trial["accuracy"], -trial["nll"]) for trial in row["trials"]]
        best = ranks.index(max(ranks))
        assert row["chosen"] == wanted[row["name"]][best]
        kept = asked_for.trials[best].recipe.objective.model_dump(mode="json", exclude_none=True)
        assert row["settings"] == kept
        assert asked_for.trials[best].short.train.epochs == 1
        assert asked_for.trials[best].recipe.train.epochs == 2
    assert "chosen on validation" in results["tuning"]
    assert [one["purpose"] for one in results["test_reads"]] == ["evaluation", "evaluation"]
    tried = [json.loads(path.read_text()) for path in (out / "stages" / "student").glob("*/history.json")]
    assert sum(len(history) == 1 for history in tried) == 8  # two trials of two objectives for two students
    histories = {history[-1]["validation_nll"] for history in tried if len(history) == 1}
    in_trials = {trial["nll"] for row in results["rows"] if row["name"] != "baseline" for trial in row["trials"]}
    assert in_trials == histories
    heading = r"\multicolumn{7}{l}{\textless{}b\textgreater{} (convnet, "
    assert heading in (out / "compare.tex").read_text()

    (measured,) = [
        path.parent for path in (out / "stages" / "measure").glob("*/done.json") if path.parent not in before
    ]
    assert len(json.loads((measured / "done.json").read_text())["facts"]["students"]) == 2  # of six rows
    by_student = {student: [r for r in results["rows"] if r["student"] == student] for student in ("convnet", "<b>")}
    small, large = ({r["bytes"] for r in rows} for rows in by_student.values())
    assert len(small) == len(large) == 1  # rows of one architecture share what was measured
    assert min(small) < min(large)
    for row in results["rows"]:
        assert row["parameters"] == results["students"][row["student"]]["parameters"]
        assert row["latency_ms"]["cpu_p50"] > 0
        assert row["speedup"]["low"] <= row["speedup"]["ratio"] <= row["speedup"]["high"]
        for measure, better in (("accuracy", 1), ("nll", -1)):
            for cost in ("bytes", "ms"):
                ours = row["cost"][cost], better * row["metrics"][measure]["mean"]
                beaten = [
                    other["cost"][cost] <= ours[0] and better * other["metrics"][measure]["mean"] >= ours[1]
                    for other in results["rows"]
                    if (other["cost"][cost], better * other["metrics"][measure]["mean"]) != ours
                ]
                assert row["front"][measure][cost] is not any(beaten)
    page = (out / "compare.html").read_text(encoding="utf-8")
    assert "Quality against size and speed" in page
    assert page.count('class="line front"') == 4
    told = io.StringIO()
    print_comparison(results, Console(file=told, width=160))
    assert f"{min(large) / 1000:.1f} KB" in told.getvalue()
    assert {line["bytes"] for line in lines(out)} == {str(size) for size in small | large}
