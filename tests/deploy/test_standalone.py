"""Modules written as one script."""

from __future__ import annotations

import subprocess
import sys

import pytest

from limbeck.deploy.standalone import write_standalone


def package(folder, name: str, **modules: str) -> str:
    (folder / name).mkdir()
    for module, source in {"__init__": "", **modules}.items():
        (folder / name / f"{module}.py").write_text(source)
    return name


def test_what_is_imported_of_ours_stands_in_the_script_once_however_deep_and_does_nothing_by_itself(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    inner = (
        '"""Inner"""\nfrom __future__ import annotations\n\nONE = 1\n\nif __name__ == "__main__":\n    print("inner")\n'
    )
    middle = '"""Middle"""\nfrom .inner import ONE\n\n\ndef two() -> int:\n    return ONE + 1\n'
    outer = (
        '"""Outer"""\nfrom __future__ import annotations\n\nimport sys\n\nfrom .inner import (\n    ONE,\n)\n'
        'from .middle import two\n\nif __name__ == "__main__":\n    print(ONE, two(), *sys.argv[1:])\n'
    )
    name = package(tmp_path, "nested_pieces", inner=inner, middle=middle, outer=outer)
    write_standalone(f"{name}.outer", tmp_path / "alone.py")
    assert (tmp_path / "alone.py").read_text().count("ONE = 1") == 1
    done = subprocess.run(
        [sys.executable, "-I", tmp_path / "alone.py", "x"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 2 x\n"


def test_two_things_of_one_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    name = package(tmp_path, "clashing_pieces", inner="X = 1\nY = 2\n", outer="from .inner import X\n\nY = 3\n")
    with pytest.raises(ValueError, match=r"both have a Y"):
        write_standalone(f"{name}.outer", tmp_path / "alone.py")
