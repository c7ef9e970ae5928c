"""What the system does to the command, and what names that come from files would do to the terminal."""

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from rich.console import Console

from limbeck import progress
from limbeck.cli import answers, console
from limbeck.cli import main as cli
from limbeck.cli.sentences import about_system
from limbeck.errors import BadInput, printable
from limbeck.modalities.image import predict
from limbeck.modalities.text import predict as predict_text
from limbeck.pipeline import run as pipeline
from limbeck.pipeline import stages
from tests.helpers.tiny import RECIPE, environment, job, recipe, train

LONG = "n" * 5000


@pytest.fixture
def limbeck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command in this process and a folder of its own: exit code and stderr."""
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["limbeck", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), capsys.readouterr().err

    return run


def test_a_word_that_an_option_does_not_know_is_told_without_the_name_of_an_exception(limbeck) -> None:
    code, said = limbeck("export", "run", "--format", "bogus")
    assert code == 2
    assert "Invalid value for '--format': 'bogus' is not one of" in " ".join(said.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", LONG), "cannot be read: File name too long"),
        (("run", "tiny.yaml", "--out", LONG), "cannot be made here (File name too long)"),
        (("run", "tiny.yaml", "--out", f"a/{LONG}/b"), "cannot be made here (File name too long)"),
        (("run", "tiny.yaml", "--out", "round/run"), "cannot be made here (Too many levels of symbolic links)"),
        (("run", "tiny.yaml", "--out", "tiny.yaml/run"), "cannot be a folder: a file of that name"),
        (("run", "tiny.yaml", "--plan", "--out", LONG), "File name too long"),
        (("run", "tiny.yaml", "--set", f"data.name={LONG}"), "cannot be used: File name too long"),
        (("run", "tiny.yaml", "--set", "k=999999"), "k: no such field"),
        (("run", "tiny.yaml", "--set", "student.width=999999"), "width is 999999; it must be a whole number from"),
        (
            ("run", "tiny.yaml", "--set", "teacher={model: wrn_999999_1, train: {}}"),
            "'wrn_999999_1' is not a wide ResNet",
        ),
        (("run", "tiny.yaml", "--set", "student={model: resnet" + "9" * 5000 + "}"), "has not 6n + 2 layers"),
        (("run", "tiny.yaml", "--set", "teacher.weights=" + LONG), "File name too long"),
        (("compare", LONG), "cannot be read: File name too long"),
        (("predict", LONG, "a.png"), "cannot be used: File name too long"),
        (("targets", "inspect", LONG), "cannot be used: File name too long"),
        (("init", "--teacher", "convnet", "--data", "digits", "--out", LONG), "File name too long"),
        (("init", "--teacher", LONG, "--data", "digits"), "n"),
        (("init", "--teacher", "convnet", "--data", LONG), "File name too long"),
    ],
    ids=lambda value: " ".join(part[:24] for part in value) if isinstance(value, tuple) else None,
)
def test_what_the_system_refuses_is_a_sentence(limbeck, arguments: tuple[str, ...], sentence: str) -> None:
    Path("round").symlink_to("round")
    before = sorted(Path(".").iterdir())
    code, err = limbeck(*arguments)
    assert code == 2, err
    (err,) = [line for line in err.splitlines() if line.startswith("limbeck: ")]
    assert sentence in err
    assert len(err) < 1000
    assert "Traceback" not in err
    assert sorted(Path(".").iterdir()) == before


def test_errors_of_the_system_are_told_from_those_of_the_network() -> None:
    assert about_system(BrokenPipeError(errno.EPIPE, "Broken pipe")) is None
    assert about_system(ConnectionResetError(errno.ECONNRESET, "reset", "host")) is None
    assert "is not there" in str(about_system(FileNotFoundError(errno.ENOENT, "No such file", "run/x\x1b[2J")))
    assert "\x1b" not in str(about_system(FileNotFoundError(errno.ENOENT, "No such file", "run/x\x1b[2J")))


def test_a_folder_that_is_deleted_under_the_run_is_said_at_its_next_step_or_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # whatever fails because of it: here a file that is missing
    out = tmp_path / "run"

    def fails(deleted: bool) -> None:
        with stages.claimed(out):
            if deleted:
                shutil.rmtree(out)
            raise RuntimeError("no such file")

    with pytest.raises(BadInput, match="was deleted or moved while the run was at work in it"):
        fails(deleted=True)
    # and where nothing fails: a step writes into a folder that it makes anew
    note, lost = progress.note, []

    def notes_and_deletes(text: str) -> None:
        if "baseline" in text and not lost:
            lost.append(shutil.rmtree(out))
        note(text)

    monkeypatch.setattr(progress, "note", notes_and_deletes)
    with pytest.raises(BadInput, match=f"{out} was deleted or moved"):
        pipeline.run(recipe(), out=out, threads=1)
    assert lost
    monkeypatch.undo()
    train(job(out))  # the same command goes on, with what is there
    # an error that has nothing to do with it stays what it is
    with pytest.raises(RuntimeError, match="no such file"):
        fails(deleted=False)


# Stops itself while it imports a module, at the moment that only luck would find from outside.
_STOPPING = """
import os, runpy, signal, sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Stop())
sys.argv = ["limbeck", "run", "tiny.yaml"]
runpy.run_module("limbeck", run_name="__main__")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "module", ["limbeck.cli.main", "typer", "rich.console", "limbeck.errors", "yaml", "limbeck.sections.recipe"]
)
def test_an_interrupt_in_the_first_tenth_of_a_second_is_answered_as_any_other(
    tmp_path: Path, module: str, number: signal.Signals
) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    code = _STOPPING.format(module=module, number=int(number))
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 130, ran.stderr
    assert ran.stderr == "limbeck: stopped. Run the same command again, and it goes on from where it was.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_an_interrupt_that_the_parent_has_had_ignored_stays_ignored(tmp_path: Path) -> None:
    code = _STOPPING.format(module="typer", number=int(signal.SIGINT)).replace('"run", "tiny.yaml"', '"--version"')
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + code
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("limbeck ")


# Interrupts where Python runs source text, as it does for each dataclass and each named tuple that is made.
_INTERRUPTING = """
import sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.meta_path.remove(self)
            exec("raise KeyboardInterrupt")
sys.meta_path.insert(0, Stop())
"""


def test_an_interrupt_within_source_text_is_answered_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    (tmp_path / "sitecustomize.py").write_text(_INTERRUPTING)
    ran = subprocess.run(
        [sys.executable, "-m", "limbeck", "run", "tiny.yaml"], cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.stderr == "limbeck: stopped. Run the same command again, and it goes on from where it was.\n"
    assert ran.returncode == 130


# --- names that come from files

# clears the screen, goes back, another line, C1's own escape, right to left, no width, a line of Unicode, half a pair
NASTY = "a\x1b[2J\x07\rb\nlimbeck: all is well\x9b31m\u202etxt.exe\u2066\u200b\u2028\udc80\x7f\ttab\ufeff"
SHOWN = (
    r"a\x1b[2J\x07\rb\nlimbeck: all is well\x9b31m\u202etxt.exe\u2066\u200b\u2028\udc80\x7f\ttab\ufeff"
)  # fmt: skip
HARMLESS = "Übergröße 鞋 👩\u200d💻 می\u200cخواهم a\xa0b [bold]"


def seen(text: str) -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text.replace("\n", ""))


@pytest.mark.parametrize("shows", [printable, predict.printable, predict_text.printable])
def test_what_cannot_be_seen_is_escaped_and_all_else_stays(shows) -> None:
    assert shows(NASTY) == SHOWN
    assert shows(HARMLESS) == HARMLESS


def test_every_sentence_note_and_table_shows_such_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert str(BadInput(f"no example of class '{NASTY}'.")) == f"no example of class '{SHOWN}'."
    assert str(BadInput("two problems:", f"  {NASTY}")).splitlines() == ["two problems:", f"  {SHOWN}"]
    progress.note(f"left out: {NASTY}")
    with progress.bar(1, NASTY) as advance:
        advance()
    assert capsys.readouterr().err == f"left out: {SHOWN}\n"

    class Planned:
        name, state, detail, seconds, bytes = "teacher", "to do", NASTY, None, None

    said = io.StringIO()
    console.print_plan([Planned()], Console(file=said, width=400))
    assert SHOWN in said.getvalue()
    assert seen(said.getvalue())


def test_json_that_predict_prints_is_seen_and_reads_back() -> None:
    value = {"class": NASTY.replace("\n", "") + HARMLESS}
    text = answers._seen(json.dumps(value, indent=2, ensure_ascii=False))
    assert json.loads(text) == value
    assert seen(text.replace("\u200d", "").replace("\u200c", ""))


def test_a_file_name_that_would_steer_the_terminal_is_quoted_harmlessly(limbeck) -> None:
    name = "x\x1b]0;title\x07\u202e.yaml"
    code, err = limbeck("run", name)
    assert code == 2
    assert seen(err)
    assert r"x\x1b]0;title\x07\u202e.yaml" in err
    Path(name).write_text("train: {epohcs: 1}\n")
    for arguments in (("run", name), ("recipe", "check", name), ("run", "tiny.yaml", "--out", name)):
        code, err = limbeck(*arguments)
        assert code == 2
        assert seen(err)
    os.rename(name, "tiny.yaml")
