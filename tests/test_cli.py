"""The command as a person meets it: help, sentences, exit codes; and what it prints."""

import dataclasses
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import save_file

from limbeck import __version__, draft, progress, recipe_file
from limbeck.cli import app
from limbeck.console import bytes_text, print_plan, print_results
from limbeck.errors import BadInput
from limbeck.objectives.catalogue import CATALOGUE

HEAVY = ("torch", "datasets", "onnxruntime", "onnx", "accelerate", "timm", "sklearn", "numpy")
COMMANDS = (
    (), ("run",), ("init",), ("predict",), ("recipe",), ("recipe", "schema"), ("recipe", "check"),
    ("targets",), ("objectives",), ("compare",),
    *(("targets", name) for name in ("cast", "extend", "merge", "verify", "inspect", "convert", "export", "import")),
)  # fmt: skip

GOOD = """\
data: {name: digits}
teacher: {model: resnet20, train: {epochs: 2}}
student: {model: convnet, width: 8}
"""


def limbeck(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "limbeck.cli", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def helps() -> dict[str, dict]:
    """Every command's help, from one process, with the heavy modules that were imported by then."""
    code = f"""
import contextlib, io, json, sys
from limbeck.cli import app
told = {{}}
for command in {COMMANDS!r}:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            app([*command, "--help"])
        except SystemExit as end:
            code = end.code
    heavy = [module for module in {HEAVY!r} if module in sys.modules]
    told[" ".join(command)] = dict(text=out.getvalue(), code=code, heavy=heavy)
print(json.dumps(told))
"""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


@pytest.mark.parametrize("command", [" ".join(command) for command in COMMANDS])
def test_help_has_an_example_and_imports_nothing_heavy(helps: dict[str, dict], command: str) -> None:
    told = helps[command]
    assert told["code"] == 0
    assert told["heavy"] == []
    assert "Usage:" in told["text"]
    example = "Start with: limbeck run" if command == "" else f"Example: limbeck {command}"
    assert example in told["text"]


def test_the_version_is_printed(tmp_path: Path) -> None:
    ran = limbeck("--version", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, f"limbeck {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "wrong.yaml"), "train.epohcs: no such field. Did you mean 'epochs'?"),
        (("run", "missing.yaml"), "limbeck: missing.yaml: there is no such file."),
        (("run", "good.yaml", "--plan", "--set", "train.epochs=0"), "0 was given; it must be greater than 0"),
        (("recipe", "check", "wrong.yaml"), "limbeck: wrong.yaml: train.epohcs"),
        (
            ("init", "--teacher", "resnet20", "--data", "digits", "--out", "good.yaml"),
            "good.yaml exists and is not",
        ),
        (("predict", "none.onnx", "a.png"), "limbeck: none.onnx: there is no such file"),
        (("targets", "verify", "."), "holds no soft targets"),
        (("targets", "inspect", "nowhere"), "there is no such folder"),
        (("objectives", "dkdd"), "limbeck: dkdd: no such objective. Did you mean 'dkd'?"),
        (("run", "good.yaml", "--force", "techer"), "techer"),
        (("compare", "good.yaml", "--force", "report"), "report"),
        (
            ("run", "good.yaml", "--set", "objective=dist"),
            "write objective={dist: {}} (in a file, objective: {dist: {}})",
        ),
        (("run", "good.yaml", "--set", "objective=fitnet"), "write objective={fitnets: {student: ..., teacher: ...}}"),
        (("run",), "Missing argument"),
    ],
)
def test_bad_input_gets_a_sentence_and_exit_code_2_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "wrong.yaml").write_text(GOOD + "train: {epohcs: 3}\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*")}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        app(list(arguments))
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert sentence in err
    assert out == ""
    assert {path: path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_the_process_itself_ends_with_2_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(GOOD + "train: {epohcs: 3}\n")
    ran = limbeck("run", "wrong.yaml", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr == "limbeck: wrong.yaml: train.epohcs: no such field. Did you mean 'epochs'?\n"
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.yaml"]


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe_file, "read", interrupted)
    with pytest.raises(SystemExit) as end:
        app(["run", "any.yaml"])
    assert end.value.code == 130
    assert "Run the same command again" in capsys.readouterr().err


def test_what_nobody_foresaw_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(recipe_file, "read", broken)
    with pytest.raises(ZeroDivisionError):
        app(["recipe", "check", "any.yaml"])


@pytest.mark.parametrize(
    ("holds", "sentence"),
    [("recipe.yaml", "is a run that is not finished"), ("compare.yaml", "is a comparison, which exports no model")],
)
def test_predicting_with_a_run_that_has_no_student_yet_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], holds: str, sentence: str
) -> None:
    (tmp_path / "run" / "stages").mkdir(parents=True)
    (tmp_path / "run" / holds).write_text("")
    with pytest.raises(SystemExit) as end:
        app(["predict", str(tmp_path / "run"), "a.png"])
    assert end.value.code == 2
    assert f"{tmp_path / 'run'} {sentence}" in capsys.readouterr().err


def test_a_good_recipe_is_printed_with_what_was_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    with pytest.raises(SystemExit) as end:
        app(["recipe", "check", str(tmp_path / "good.yaml"), "--set", "seeds=3", "--resolved"])
    assert end.value.code == 0
    assert yaml.safe_load(capsys.readouterr().out)["seeds"] == 3


def test_objectives_are_listed_and_explained_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            app(["objectives", *arguments])
        assert end.value.code == 0
        return capsys.readouterr().out

    listed = {line.split()[0]: line for line in told().splitlines() if line}
    assert all({name, f"{name}†", f"{name}‡"} & listed.keys() for name in CATALOGUE)
    assert listed["dkd"].split()[1:5] == ["Zhao", "et", "al.", "2022"]
    assert "beta 8" in listed["dkd"]
    explained = " ".join(told("standardized_kd").split())
    assert '"Logit Standardization in Knowledge Distillation", 2024' in explained
    assert "beware" in explained
    assert "NLL" in explained
    assert "T, which divides both models' logits." in explained
    code = (
        "import sys; from limbeck import objectives_reference as o; o.print_table(); o.print_entry(o.find('dkd')); "
        f"sys.exit(any(name in sys.modules for name in {HEAVY!r}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -m limbeck.cli recipe schema | head -n 1"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stdout == "{\n"
    assert ran.stderr == ""


# What `init` writes.

DIGITS = draft.Found("digits", examples=1461, classes=10, channels=1, size=8)
FASHION = draft.Found("zalando-datasets/fashion_mnist", examples=54000, classes=10, channels=1, size=28)
PHOTOS = draft.Found("./my photos", examples=3000, classes=37, channels=3, size=224)


@pytest.mark.parametrize("found", [DIGITS, FASHION, PHOTOS], ids=lambda found: found.name)
def test_a_draft_is_a_right_recipe_and_commented(found: draft.Found) -> None:
    text = draft.draft("resnet20", found).text
    recipe = recipe_file.from_dict(yaml.safe_load(text))
    assert recipe.data.name == found.name
    assert recipe.teacher.train is not None
    assert text.count("#") >= 6


def test_a_draft_warns_of_few_examples_in_the_recipe_and_beside_it() -> None:
    few = dataclasses.replace(PHOTOS, examples=999, validation=199, test=40)
    text = draft.draft("resnet20", few).text
    assert recipe_file.from_dict(yaml.safe_load(text)).data.name == few.name
    assert [line.removeprefix("# Beware: ") for line in text.splitlines() if "Beware" in line] == few.warnings
    assert [warning.split()[0] for warning in few.warnings] == ["999", "199", "40"]
    assert "2.5 points of accuracy" in few.warnings[2]
    assert dataclasses.replace(few, examples=1000, validation=200, test=None).warnings == []


def test_a_draft_mirrors_photographs_and_clothes_but_no_digits() -> None:
    flips = [yaml.safe_load(draft.draft("resnet20", f).text)["views"]["flip"] for f in (DIGITS, FASHION, PHOTOS)]
    assert flips == [False, True, True]


def test_a_draft_recognises_the_model_that_weights_belong_to(tmp_path: Path) -> None:
    from limbeck.models.build import build
    from limbeck.recipe import Model

    model = build(Model(model="resnet8x4"), classes=10, channels=1, size=8, trust_code=False, seed=0)
    path = tmp_path / "teacher.safetensors"
    save_file(model.state_dict(), path)
    teacher = yaml.safe_load(draft.draft(str(path), DIGITS).text)["teacher"]
    assert teacher == {"model": "resnet8x4", "weights": str(path)}


def test_a_draft_refuses_a_teacher_of_other_classes(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    save_file({"features.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.zeros(100, 4)}, path)
    with pytest.raises(BadInput, match=r"answers 100 classes, and digits has 10"):
        draft.draft(str(path), DIGITS)


def test_a_draft_asks_for_the_name_of_a_model_it_cannot_recognise(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    save_file({"features.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.zeros(10, 4)}, path)
    assert "does not name the model" in draft.draft(str(path), DIGITS).text


def test_a_draft_names_the_option_of_a_model_that_is_not_known() -> None:
    with pytest.raises(BadInput, match=r"--teacher resnt20: .*Did you mean 'resnet20'"):
        draft.draft("resnt20", DIGITS)
    with pytest.raises(BadInput, match=r"--student convnt: .*Did you mean 'convnet'"):
        draft.draft("resnet20", DIGITS, "convnt")


# What a person sees of a run.


def test_progress_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar(3, "training") as advance:
        advance(2, loss=0.5)
        advance(loss=0.25)
    assert capsys.readouterr() == ("", "")
    progress.note("a plain line")
    assert capsys.readouterr() == ("", "a plain line\n")


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 61.0, 62.0, 122.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.bar(100, "training") as advance:
        advance(40)  # what an earlier run had finished, which says nothing of the pace
        advance(10, loss=0.5)
        advance(1)
        advance(9)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "training: 50 of 100, about 5 min 5 s left loss=0.5"
    assert second == "training: 60 of 100, about 4 min 4 s left loss=0.5"


def test_a_log_says_which_stage_it_is_at_and_a_terminal_does_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 200.0, 0.0, 0.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    steps = progress.Steps(2)
    steps.next("teacher: wrn_10_2")
    steps.next("report")
    steps.end()
    assert capsys.readouterr().err.splitlines() == [
        "1 of 2, teacher: wrn_10_2", "2 of 2, report", "all done in 3 min 20 s",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "stderr", Terminal())
    steps = progress.Steps(1)
    steps.next("report")
    steps.end()
    assert sys.stderr.getvalue() == ""  # pyright: ignore[reportAttributeAccessIssue]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_count_and_latest_figures_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with progress.bar(3, "training") as advance:
        advance(2, loss=0.12345, acc="93.1 [x]")
        advance()
    shown = terminal.getvalue()
    assert "training" in shown
    assert "3/3" in shown
    assert "loss=0.1235 acc=93.1 [x]" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (59.4, "59 s"), (59.9, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert progress.seconds_text(seconds) == text


def test_sizes_are_said_as_people_say_them() -> None:
    assert [bytes_text(n) for n in (812, 36_100, 2_400_000)] == ["812 B", "36.1 KB", "2.4 MB"]


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
        "teacher": model(0.99, 1, 4_000_000, 2.0),
        "student": model(0.975, 3, 40_000, 0.05),
        "baseline": model(0.97, 3, 40_000, 0.05),
        "smoothed": None,
        "fidelity": {"agreement": {"mean": 0.98, "sd": 0.0, "n": 3}, "kl": {"mean": 0.03, "sd": 0.0, "n": 3}},
        "ratios": {"parameters": 100.0, "bytes": 100.0, "latency": 40.0, "accuracy_kept": 0.975 / 0.99},
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
    results = {"name": "x", "data": {"commonest": {"labels": ["fine"], "share": 0.9}}}
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
    results = {"name": "x", "data": {"commonest": {"labels": ["fine"], "share": 0.9}}}
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


@pytest.mark.parametrize(
    ("task", "several", "said"),
    [
        ("image-classification", None, "names the teacher's class on 98.00 % of test images"),
        ("text-classification", False, "names the teacher's class on 98.00 % of test texts"),
        ("text-classification", True, "tells the same labels as the teacher on 98.00 % of test texts"),
    ],
)
def test_the_results_speak_of_what_the_task_is_about(
    tmp_path: Path, task: str, several: bool | None, said: str
) -> None:
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "model.onnx").write_text("")
    text = printed(
        {
            "name": "x",
            "task": task,
            "data": {} if several is None else {"multi_label": several},
            "out": str(tmp_path),
            **{role: model(0.9, 1, 1000, 1.0) for role in ("teacher", "student", "baseline")},
            "fidelity": {"agreement": {"mean": 0.98, "sd": None, "n": 1}, "kl": {"mean": 0.03, "sd": None, "n": 1}},
        }
    )
    assert said in text
    assert str(Path("student") / "model.onnx") in text


def test_the_table_of_results_does_without_what_was_not_measured() -> None:
    bare = {"model": "m", "metrics": {"accuracy": {"mean": 0.5, "sd": None, "n": 1}}}
    text = printed({"name": "x", "teacher": bare, "student": bare, "baseline": bare, "smoothed": None})
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
