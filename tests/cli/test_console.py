"""What a person sees of results and plans."""

import io
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from limbeck import progress
from limbeck.cli.console import print_plan, print_results
from limbeck.evaluation import classes, values
from limbeck.evaluation.figure import plain
from limbeck.progress import bytes_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (59.4, "59 s"), (59.9, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert progress.seconds_text(seconds) == text


def test_sizes_are_said_as_people_say_them() -> None:
    assert [bytes_text(n) for n in (812, 36_100, 2_400_000)] == ["812 B", "36.1 KB", "2.4 MB"]


NAMED = {
    "figures": plain(classes.FIGURES),
    "fidelity_figures": plain(classes.FIDELITY),
}


def model(accuracy: float, n: int, size: int, latency: float) -> dict:
    figures = {"accuracy": accuracy, "nll": 0.25, "ece": 0.02}
    return {
        "model": "convnet",
        "metrics": {name: {"mean": mean, "sd": 0.001 if n > 1 else None, "n": n} for name, mean in figures.items()},
        "parameters": size // 4,
        "macs": 1000,
        "bytes": size,
        "latency_ms": {"p50": latency, "p95": latency * 2},
    }


def printed(results: dict) -> str:
    console = Console(file=io.StringIO(), width=160)
    print_results(results, console)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_the_table_of_results_says_smaller_faster_and_at_what_cost(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("")
    gain = {"difference": 0.005, "low": 0.001, "high": 0.009, "level": 0.95, "seeds": 3}
    results = {
        "name": "[bold]mine[/]",
        **NAMED,
        "teacher": model(0.99, 1, 4_000_000, 2.0),
        "student": model(0.975, 3, 40_000, 0.05),
        "baseline": model(0.97, 3, 40_000, 0.05),
        "smoothed": None,
        "fidelity": {"agreement": {"mean": 0.98, "sd": 0.0, "n": 3}, "kl": {"mean": 0.03, "sd": 0.0, "n": 3}},
        "ratios": {
            "parameters": 100.0,
            "bytes": 100.0,
            "latency": 40.0,
            "student_over_teacher": {"figure": "accuracy", "ratio": 0.975 / 0.99},
        },
        "comparison": {"baseline": {"accuracy": gain}},
        "speed": {"note": None},
        "student_over_teacher_seconds": 0.31,
        "out": str(tmp_path),
    }
    text = printed(results)
    student = next(line for line in text.splitlines() if line.startswith("student (convnet)"))
    assert student.split()[2:5] == ["97.50", "±", "0.10"]
    assert student.split()[-7:] == ["10,000", "(1/100)", "40.0", "KB", "0.05", "ms", "40×"]
    assert "[bold]mine[/]" in text  # names from data are text, not markup
    said = " ".join(text.split())
    assert (
        "The student has 1/100 of the teacher's parameters, answers 40x faster and keeps 98.5 % of its accuracy" in said
    )
    assert (
        "(95 % intervals over 3 seeds): better by more than the noise in accuracy +0.50 points (+0.10 to +0.90)."
        in said
    )
    assert "smoothed labels" not in text
    assert "report.html" in text
    assert "student.onnx" not in text  # it is not there

    note = "Latency was measured on a busy machine: the clock [ran] 13 times as long as the models were at work."
    busy = printed(results | {"ratios": results["ratios"] | {"latency": None}, "speed": {"note": note}})
    student = next(line for line in busy.splitlines() if line.startswith("student (convnet)"))
    assert student.split()[-3:] == ["0.05", "ms", "–"]
    assert "faster and" not in " ".join(busy.split())
    assert note in busy


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_name_gives_way_to_the_figures(width: int) -> None:
    compared = dict.fromkeys(("accuracy", "nll", "balanced_accuracy", "ece"))
    results = {"name": "x", "data": {"commonest": {"labels": ["fine"], "share": 0.9}}, **NAMED}
    results["comparison"] = {"baseline": compared}
    for role in ("teacher", "student", "baseline", "smoothed"):
        results[role] = model(0.9, 5, 4 * 108_310_272, 123.0)
        results[role]["model"] = "organisation/a-very-long-name-of-a-model-" + 5 * "of-many-parts-" + "v2"
        results[role]["metrics"]["balanced_accuracy"] = {"mean": 0.7, "sd": 0.02, "n": 5}
    out = io.StringIO()
    print_results(results, Console(width=width, file=out))
    table = out.getvalue().split("\n\n")[0].splitlines()
    assert len(table) == 6  # nothing is wrapped: title, headings, four models
    for line in table[2:]:
        assert "108,310,272" in line
        assert "90.00 ± 0.10" in line
        assert "70.00" in line
        assert "123 ms" in line
        assert len(line) <= width
    assert "…" not in "".join(line[30:] for line in table)
    assert "latency" in table[1]
    assert "parameters" in table[1]


def test_where_one_class_has_most_of_the_split_every_class_is_told_the_rarest_first() -> None:
    compared = dict.fromkeys(("accuracy", "nll", "balanced_accuracy", "ece"))
    results = {"name": "x", "data": {"commonest": {"labels": ["fine"], "share": 0.9}}, **NAMED}
    results["comparison"] = {"baseline": compared}
    for role, (rare, common) in {"teacher": (0.8, 1.0), "student": (0.1, 0.99), "baseline": (0.2, 0.98)}.items():
        results[role] = model(0.9, 1, 1000, 1.0)
        results[role]["metrics"]["balanced_accuracy"] = {"mean": (rare + common) / 2, "sd": None, "n": 1}
        results[role]["per_class"] = [
            {"class": "fine", "accuracy": common, "support": 90},
            {"class": "[red]broken", "accuracy": rare, "support": 10},
        ]
    lines = [line.split() for line in printed(results).splitlines()]
    assert "balanced" in lines[1]
    rows = [line for line in lines if line and line[0] in ("fine", "[red]broken")]
    assert rows == [["[red]broken", "10", "80.0", "10.0", "20.0"], ["fine", "90", "100.0", "99.0", "98.0"]]


@pytest.mark.parametrize(("task", "examples"), [("image-classification", "images"), ("text-classification", "texts")])
def test_the_results_speak_of_what_the_task_is_about(tmp_path: Path, task: str, examples: str) -> None:
    for name in ("student.onnx", "student/model.onnx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    text = printed(
        {
            "name": "x",
            "task": task,
            "out": str(tmp_path),
            **NAMED,
            **{role: model(0.9, 1, 1000, 1.0) for role in ("teacher", "student", "baseline")},
            "fidelity": {
                "agreement": {"mean": 0.98, "sd": 0.002, "n": 3},
                "kl": {"mean": 0.03, "sd": None, "n": 1},
                "agreement_where_teacher_wrong": None,
            },
        }
    )
    said = f"The student on test {examples}: agreement with the teacher 98.00 ± 0.20 % and KL from the teacher 0.0300 nats."
    assert said in text
    models = [line for line in text.splitlines() if line.startswith("model ")]
    assert len(models) == 1  # the file that this task leaves
    assert models[0].endswith({"images": "student.onnx", "texts": str(Path("student") / "model.onnx")}[examples])


def test_numbers_are_told_in_their_own_figures_and_units() -> None:
    figures = plain(values.FIGURES, ["°"])
    results = {
        "name": "x",
        "figures": figures,
        "comparison": {"baseline": dict.fromkeys(("rmse", "mae", "correlation"))},
    }
    for role, rmse in {"teacher": 2.0, "student": 12.345, "baseline": 120.9}.items():
        found = {"rmse": rmse, "mse": rmse**2, "mae": rmse / 2, "r2": 0.9, "correlation": 0.95}
        metrics = {name: {"mean": mean, "sd": 0.25, "n": 3} for name, mean in found.items()}
        results[role] = model(0.9, 1, 1000, 1.0) | {"metrics": metrics}
    _, heading, *rows = (" ".join(line.split()) for line in printed(results).splitlines() if line.strip())
    assert heading.startswith("RMSE, ° mean absolute error, ° correlation parameters")
    assert rows[1].startswith("student (convnet) 12.3 ± 0.2 6.17 ± 0.25 0.950 ± 0.250")  # three digits of the mean
    assert rows[2].startswith("student, no teacher 121 ± 0 60.5 ± 0.2")
    assert "accuracy" not in printed(results)


def test_the_table_of_results_does_without_what_was_not_measured() -> None:
    bare = {"model": "m", "metrics": {"accuracy": {"mean": 0.5, "sd": None, "n": 1}}}
    roles = {"teacher": bare, "student": bare, "baseline": bare, "smoothed": None}
    text = printed({"name": "x", "figures": NAMED["figures"][:1], **roles})
    assert "50.00" in text
    assert "±" not in text


@dataclass
class Planned:
    name: str
    state: str
    detail: str
    seconds: float | None = None
    bytes: int | None = None


def test_the_plan_adds_up_what_is_still_to_do() -> None:
    console = Console(file=io.StringIO(), width=120)
    print_plan(
        [
            Planned("teacher", "finished", "resnet20", 100.0, 1_000_000),
            Planned("targets", "to do", "[8 views]", 30.0, 2_000_000),
            Planned("student", "unfinished", "3 seeds", None, 500_000),
        ],
        console,
    )
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "2 of 3 stages to run, at least about 30 s, 2.5 MB of disk. Nothing was run." in " ".join(text.split())
    assert "[8 views]" in text
