"""What the teacher or the disk does wrong while answers are written."""

import multiprocessing
import os
import subprocess
from pathlib import Path

import pytest
import torch

from limbeck.errors import BadInput, LimbeckError
from limbeck.targets.store.store import verify
from tests.helpers.stores import contents, logits_of, make, shuffled_ids

# --- what the teacher or the disk does wrong


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_a_teacher_that_answers_nan_is_refused_with_the_example_named(tmp_path, poison):
    ids_N = shuffled_ids()

    def ask(index_B, view):
        logits_BC = logits_of(ids_N[index_B], view)
        logits_BC[(index_B == 11), 2] = poison if view == 1 else 0
        return logits_BC

    with pytest.raises(BadInput, match=rf"example id {int(ids_N[11])}, view 1.*diverged"):
        make(tmp_path / "store", ids_N=ids_N, ask=ask)


def test_a_teacher_with_other_classes_or_repeated_ids_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"shape \(3, 4\).*5 classes"):
        make(tmp_path / "a", ask=lambda index_B, view: torch.zeros(len(index_B), 4))
    with pytest.raises(BadInput, match="id 7 occurs twice"):
        make(tmp_path / "b", ids_N=torch.tensor([7, 1, 7]))
    assert not (tmp_path / "b").exists()


def test_a_full_disk_gives_a_sentence_and_loses_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        with pytest.raises(LimbeckError, match="is full"):
            make(disk / "store")
        kept = {name for name in contents(disk / "store") if "/view-" in name}
        assert kept
        subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
        make(disk / "store")
        assert verify(disk / "store") == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_read_only_folder_gives_a_sentence(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    os.chmod(tmp_path, 0o755)
    said, tell = multiprocessing.Pipe(duplex=False)

    def cast_without_rights():
        os.chdir(tmp_path)  # while the folders above may still be entered
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            make(Path("locked/store"))
        except LimbeckError as error:
            tell.send(str(error))

    process = multiprocessing.get_context("fork").Process(target=cast_without_rights)
    process.start()
    process.join()
    assert said.poll()
    assert "cannot be written to" in said.recv()
    assert list(locked.iterdir()) == []
