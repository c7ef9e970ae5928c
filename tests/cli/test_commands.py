"""The command as a person meets it: help, sentences, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from limbeck.cli.main import app
from limbeck.objectives.catalogue import CATALOGUE
from limbeck.recipe import read as recipe_file
from limbeck.version import __version__

HEAVY = ("torch", "datasets", "onnxruntime", "onnx", "accelerate", "timm", "sklearn", "numpy", "optuna")


COMMANDS = (
    (), ("run",), ("init",), ("predict",), ("recipe",), ("recipe", "schema"), ("recipe", "check"),
    ("targets",), ("objectives",), ("compare",), ("search",), ("diagnose",),
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
        [sys.executable, "-m", "limbeck", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def helps() -> dict[str, dict]:
    """Every command's help, from one process, with the heavy modules that were imported by then."""
    code = f"""
import contextlib, io, json, sys
from limbeck.cli.main import app
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
        (("search", "good.yaml", "--budget", "latncy_ms=0.05"), "Did you mean 'latency_ms'?"),
        (("search", "good.yaml", "--time", "soon"), "--time: 'soon' is no time; write 2h, 90m, 1h30m or 45s."),
        (("search", "good.yaml", "--device", "cdua"), "--device cdua: there is no such profile. Did you mean 'cuda'?"),
        (("search", "good.yaml", "--plan", "--candidates", "there"), "give one of them"),
        (("search", "good.yaml", "--set", "search.space.student.widht=[4, 8]"), "Did you mean 'width'?"),
        (("recipe", "check", "good.yaml", "--set", "search.space.train.epochs=[1, 0]"), "must be greater than 0"),
        (
            ("search", "good.yaml", "--keep", "1.5"),
            "limbeck: --keep: 1.5 was given; it should be less than or equal to 1.",
        ),
        (("search", "good.yaml", "--keep", "0"), "limbeck: --keep: 0.0 was given; it should be greater than 0."),
        (("search", "good.yaml", "--trials", "0"), "Invalid value for '--trials'"),
        (
            ("search", "good.yaml", "--trials", "2000000"),
            "limbeck: --trials: 2000000 was given; it should be less than",
        ),
        (("search", "good.yaml", "--time", "0"), "--time: '0' is no time; write 2h, 90m, 1h30m or 45s."),
        (("search", "good.yaml", "--time", "0h"), "--time: '0h' is no time; write"),
        (("search", "good.yaml", "--jobs", "0"), "Invalid value for '--jobs'"),
        (("search", "good.yaml", "--budget", "latency=1"), "no cost is called 'latency'. Did you mean 'latency_ms'?"),
        (("search", "good.yaml", "--budget", "latency_ms=0"), "--budget 'latency_ms=0': '0' is no number above 0."),
        (("search", "good.yaml", "--set", "search.space.student.hiden=[4, 8]"), "search.space.student.hiden: "),
        (
            ("search", "good.yaml", "--set", "search.space.student.width={low: 4, high: 4}"),
            "so there is one point: give 4 alone",
        ),
        (
            ("search", "good.yaml", "--set", "search.space.student.width=[4]"),
            "a list of one value is one point: give 4 alone",
        ),
        (("search", "good.yaml", "--device", "good.yaml"), "--device good.yaml: it is not a profile."),
        (("search", "good.yaml", "--out", "wrong.yaml"), "wrong.yaml is a file: choose a folder with --out."),
        (("search", "good.yaml", "--plan", "--out", "wrong.yaml"), "wrong.yaml is a file: choose a folder with --out."),
        (
            ("search", "good.yaml", "--out", "a" * 300),
            "cannot be made here (File name too long): choose another folder",
        ),
        (("search", "good.yaml", "--out", "run"), "run is the folder of a run, and a search has a folder of its own"),
        (("search", "good.yaml", "--out", "."), "holds something that is not a limbeck run: choose another folder"),
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
    (tmp_path / "run" / "stages").mkdir(parents=True)
    (tmp_path / "run" / "recipe.yaml").write_text(GOOD)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        app(list(arguments))
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert sentence in err
    assert out == ""
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


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


def test_predicting_with_a_search_names_the_runs_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("stages", "search", "front/trial-7"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "front/trial-7/recipe.yaml").write_text("")
    with pytest.raises(SystemExit) as end:
        app(["predict", str(tmp_path), "a.png"])
    assert end.value.code == 2
    assert f"give one of {tmp_path / 'front' / 'trial-7'}." in capsys.readouterr().err


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
        "import sys; from limbeck.recipe import objectives_reference as o; o.print_table(); o.print_entry(o.find('dkd')); "
        f"sys.exit(any(name in sys.modules for name in {HEAVY!r}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -m limbeck recipe schema | head -n 1"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stdout == "{\n"
    assert ran.stderr == ""
