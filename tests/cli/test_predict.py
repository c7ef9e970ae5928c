"""Claims about how `limbeck predict` reads its arguments: the short way reads what it takes as the command itself does."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limbeck.cli import predict as command
from limbeck.cli.answers import plainly_asked
from limbeck.cli.main import app
from tests.helpers.tiny import environment

TOKENS = ("student.onnx", "a.png", "", "--top", "3", "0", "x", "--top=2", "--top=", "--json", "--", "-x", "--help", "٣")


@given(st.lists(st.sampled_from(TOKENS), max_size=6))
@example(["m.onnx", "a.png", "--top", "2", "--json"])
@example(["--json", "m.onnx", "--top=2", "a", "b", "--top", "1"])
def test_what_is_plainly_asked_is_read_as_typer_reads_it(arguments: list[str]) -> None:
    plain = plainly_asked(arguments)
    if plain is None:
        return
    read = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "show", lambda *asked: read.append(asked))
        with pytest.raises(SystemExit) as end:
            app(["predict", *arguments])
    assert (end.value.code, read) == (0, [plain])


def test_plain_arguments_are_taken_and_others_left_to_the_command() -> None:
    assert plainly_asked(["m", "a", "b", "--top", "2", "--json"]) == (Path("m"), ["a", "b"], 2, True)
    for other in (["m"], ["m", "a", "--top"], ["m", "a", "--top", "0"], ["m", "a", "-h"], ["m", "a", "--jsn"]):
        assert plainly_asked(other) is None


def test_it_waits_for_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    code = (
        "import sys, limbeck.__main__ as command\n"
        "try: command.main()\n"
        "finally: print([one for one in ('typer', 'pydantic', 'rich', 'torch') if one in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "predict", "nowhere.onnx", "a.png"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [
        "limbeck: nowhere.onnx: there is no such file; give an exported .onnx file or a finished run.",
        "[]",
    ]
