"""What a stage says of itself: believed only as it was written; and the record of test reads, which is not lost with its file."""

import json
import shutil
from pathlib import Path

import pytest

from limbeck.errors import BadInput
from limbeck.evaluation import test_reads as record
from limbeck.pipeline import stages
from limbeck.pipeline.stages import Stage, stage

FACTS = {"seconds": 12.5, "latency_ms": {"p50": 0.0412}, "name": "größer", "none": None, "runs": 3}


def finished(run: Path) -> Stage:
    here = stage(run, "export", {"version": 1})
    here.prepare()
    (here.folder / "student.onnx").write_bytes(b"weights")
    here.finish(FACTS, ["student.onnx"])
    return here


def older(here: Stage) -> Path:
    """The stage as the versions before the seal wrote it."""
    path = here.folder / "done.json"
    done = json.loads(path.read_text())
    del done["digest"]
    path.write_text(json.dumps({**done, "schema_version": 1}, indent=2, ensure_ascii=False) + "\n")
    return path


def refused(here: Stage) -> str:
    with pytest.raises(BadInput) as caught:
        here.facts()
    assert "done.json" in str(caught.value)
    assert "--force export" in str(caught.value)
    return str(caught.value)


def test_no_flipped_bit_no_other_byte_and_no_truncation_of_what_a_stage_says_is_believed(tmp_path: Path) -> None:
    here = finished(tmp_path)
    assert here.facts() == FACTS
    path = here.folder / "done.json"
    whole = path.read_bytes()
    for place, byte in enumerate(whole):
        for other in {*(byte ^ 1 << bit for bit in range(8)), *b'01" \n{x'} - {byte}:
            path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
            refused(here)
        path.write_bytes(whole[:place] + whole[place + 1 :])
        refused(here)
        path.write_bytes(whole[:place])
        refused(here)
    path.write_bytes(whole + b"\n")
    refused(here)
    path.write_bytes(whole)
    assert here.facts() == FACTS


def test_a_figure_edited_by_hand_and_a_seal_that_was_lost_are_refused(tmp_path: Path) -> None:
    here = finished(tmp_path)
    path = here.folder / "done.json"
    whole = path.read_text()
    path.write_text(whole.replace("0.0412", "0.0012"))
    assert "digest does not fit" in refused(here)
    done = json.loads(whole)
    del done["digest"]
    path.write_text(json.dumps(done, indent=2, ensure_ascii=False) + "\n")
    refused(here)
    path.write_text("[" * 100_000)
    assert "nests too deeply" in refused(here)
    # what is whole, but was put here from another stage
    other = stage(tmp_path, "export", {"version": 2})
    shutil.copytree(here.folder, other.folder)
    (other.folder / "done.json").write_text(whole)
    assert here.fingerprint in refused(other)


def test_a_stage_of_an_earlier_version_is_sealed_at_its_first_reading_and_held_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = finished(tmp_path)
    path = older(here)
    assert here.facts() == FACTS
    note = capsys.readouterr().err
    assert f"{path} was written by an earlier version" in note
    assert "sealed as it is now" in note
    assert here.facts() == FACTS
    assert capsys.readouterr().err == ""  # once
    path.write_text(path.read_text().replace("0.0412", "0.0012"))
    refused(here)
    # one whose files have changed is not sealed
    path = older(finished(tmp_path / "other"))
    before = path.read_bytes()
    (path.parent / "student.onnx").write_bytes(b"others")
    with pytest.raises(BadInput, match=r"student\.onnx has changed"):
        Stage("export", {}, path.parent).facts()
    assert path.read_bytes() == before


FIRST, SECOND = (
    {"when": "2026-01-01T10:00:00+00:00", "purpose": "evaluation"},
    {"when": "2026-02-01T10:00:00+00:00", "purpose": "parity of the export"},
)


def test_the_record_is_the_union_of_its_file_and_of_what_stages_vouch_for(tmp_path: Path) -> None:
    path = tmp_path / "test_reads.json"
    assert record.known(path, [], evaluated=False) == ([], None)
    record.write(path, [FIRST, SECOND])
    assert record.known(path, [[FIRST]], evaluated=True) == ([FIRST, SECOND], None)
    # twice at the same second and for the same purpose is twice
    assert record.known(path, [[FIRST, FIRST]], evaluated=True).readings == [FIRST, FIRST, SECOND]
    path.unlink()
    readings, problem = record.known(path, [[SECOND], [FIRST]], evaluated=True)
    assert readings == [FIRST, SECOND]
    assert "lacks 2 reading(s)" in str(problem)
    # of a time before there were digests
    path.write_text(json.dumps([FIRST]))
    assert record.known(path, [], evaluated=True) == ([FIRST], None)
    # nothing left, though the test split must have been read
    path.unlink()
    readings, problem = record.known(path, [], evaluated=True)
    assert readings == [record.LOST]
    assert "no record is left" in str(problem)


def test_no_damage_to_the_record_adds_a_reading_loses_one_or_ends_in_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "test_reads.json"
    record.write(path, [FIRST, SECOND])
    whole = path.read_bytes()
    noticed = 0
    for place in range(len(whole)):
        for damaged in (
            whole[:place],
            whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
            whole[:place] + bytes([whole[place] ^ 128]) + whole[place + 1 :],
        ):
            path.write_bytes(damaged)
            readings, problem = record.known(path, [[FIRST, SECOND]], evaluated=True)
            assert readings == [FIRST, SECOND]
            noticed += problem is not None
    assert noticed > 2.5 * len(whole)  # the rest are spaces between the entries
    for content in (b"null", b"{}", b"[1, null, []]", b'[{"when": 3, "purpose": "x"}]', b"[" * 100_000):
        path.write_bytes(content)
        assert record.known(path, [[FIRST]], evaluated=True).readings == [FIRST]


def test_stages_that_were_set_aside_still_vouch_and_damaged_ones_do_not(tmp_path: Path) -> None:
    here = finished(tmp_path)
    stages.redo(tmp_path, here)
    again = finished(tmp_path)
    assert [done["facts"] for _, done in stages.finished_in(tmp_path)] == [FACTS, FACTS]
    path = again.folder / "done.json"
    path.write_text(path.read_text().replace("12.5", "13.5"))
    assert [folder.name.startswith(f"{here.fingerprint}.before-") for folder, _ in stages.finished_in(tmp_path)] == [
        True
    ]
