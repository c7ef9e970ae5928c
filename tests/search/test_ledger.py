"""The table of measured costs: owned by one, whole after whatever stopped the process that wrote it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.errors import BadInput, LimbeckError
from limbeck.searching.ledger import Key, Ledger

ONE = Key("a" * 16, "onnxruntime 1.31.0, CPU", "float32", 1, None)
OTHER = Key("a" * 16, "onnxruntime 1.31.0, CPU", "float32", 1, 32)


def filled(path: Path) -> Path:
    with Ledger(path) as ledger:
        ledger.put(ONE, {"figures": {"latency_ms": {"value": 0.1, "low": 0.09}}})
        ledger.put(OTHER, {"problem": "cannot be exported"})
        ledger.put(ONE, {"figures": {"size_kb": {"value": 7.013}, "latency_ms": {"value": 0.11}}})
    return path


def test_a_later_record_adds_to_an_earlier_one_and_both_are_there_when_it_is_opened_again(tmp_path):
    with Ledger(filled(tmp_path / "deep" / "costs.jsonl")) as ledger:
        assert ledger.get(ONE) == {"figures": {"latency_ms": {"value": 0.11}, "size_kb": {"value": 7.013}}}
        assert ledger.get(OTHER) == {"problem": "cannot be exported"}
        assert ledger.get(Key("b" * 16, "", "float32", 1, None)) == {}


@pytest.mark.parametrize("torn", [1, 20, 150])
def test_a_line_that_was_cut_short_is_cut_off_and_what_follows_is_kept(tmp_path, torn):
    path = filled(tmp_path / "costs.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[:-torn])
    with Ledger(path) as ledger:
        assert ledger.get(ONE) == {"figures": {"latency_ms": {"value": 0.1, "low": 0.09}}}
        ledger.put(ONE, {"figures": {"size_kb": {"value": 7.013}, "latency_ms": {"value": 0.11}}})
    assert path.read_bytes() == whole


def test_a_changed_number_is_noticed(tmp_path):
    path = filled(tmp_path / "costs.jsonl")
    path.write_bytes(path.read_bytes().replace(b"0.09", b"0.01"))
    with pytest.raises(BadInput, match=r"costs\.jsonl, line 1: it is damaged\. Take the line out"):
        Ledger(path)
    path.write_bytes(filled(tmp_path / "other.jsonl").read_bytes().replace(b"7.013", b"7.000"))
    with Ledger(path) as ledger:  # the last line may be one that a crash left half on the disk
        assert ledger.get(ONE)["figures"]["latency_ms"] == {"value": 0.1, "low": 0.09}


@pytest.mark.parametrize("line", [b"3\n", b"null\n", b"[]\n", b"{}\n", b"\0\0\n", b"\xff\n"])
def test_a_line_of_anything_else_is_named_in_the_midst_and_cut_off_at_the_end(tmp_path, line):
    path = filled(tmp_path / "costs.jsonl")
    whole = path.read_bytes()
    path.write_bytes(line + whole)
    with pytest.raises(BadInput, match=r"costs\.jsonl, line 1: it is damaged"):
        Ledger(path)
    path.write_bytes(whole + line)
    Ledger(path).close()
    assert path.read_bytes() == whole


def test_a_full_disk_is_told_once(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    ledger = Ledger(tmp_path / "costs.jsonl")
    os.dup2(os.open(full, os.O_WRONLY), ledger._file.fileno())
    with pytest.raises(BadInput, match="is full"):
        ledger.put(ONE, {"problem": "cannot be exported"})
    ledger.close()


def test_two_processes_do_not_share_it(tmp_path):
    path = tmp_path / "costs.jsonl"
    other = f"from limbeck.searching.ledger import Ledger; from pathlib import Path; Ledger(Path({str(path)!r}))"
    with Ledger(path):
        done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
        assert "another search is at work with" in done.stderr
        with pytest.raises(LimbeckError, match="another search is at work"):
            Ledger(path)
    assert subprocess.run([sys.executable, "-c", other], check=False).returncode == 0
