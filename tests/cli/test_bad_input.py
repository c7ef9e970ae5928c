"""What a person can do wrong, through the command itself: exit code 2, a sentence that names the thing, nothing lost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from limbeck.cli.main import main
from limbeck.pipeline import stages
from tests.helpers.tiny import RECIPE, digest, folder_of, job, snapshot, train

STAGES = ("teacher", "targets", "student", "baseline", "smoothed", "evaluate")


@pytest.fixture
def limbeck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the tiny recipe by the command, in this process and in a folder of its own; gives exit code and stderr."""
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, out: Path | None = None) -> tuple[int, str]:
        folder = () if out is None else ("--out", str(out))
        monkeypatch.setattr(sys, "argv", ["limbeck", "run", "tiny.yaml", "--threads", "1", *folder, *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        assert said.out == ""
        return int(end.value.code or 0), said.err

    return run


def sets(**fields: object) -> list[str]:
    """``--set`` arguments; a double underscore stands for the dot."""
    pairs = (f"{name.replace('__', '.')}={yaml.safe_dump(value).strip()}" for name, value in fields.items())
    return [argument for pair in pairs for argument in ("--set", pair.removesuffix("\n..."))]


def is_one_sentence(err: str, *names: str) -> None:
    """The last thing said is one line of ours that names these, and there is no traceback."""
    assert "Traceback" not in err
    last = err.rstrip("\n").splitlines()[-1]
    assert last.startswith("limbeck: ")
    for name in names:
        assert name in last


def wrong_and_nothing_written(limbeck, arguments: list[str], *names: str) -> None:
    """Exit code 2, a sentence that names these, and the folder is as it was."""
    before = snapshot(Path.cwd())
    code, err = limbeck(*arguments)
    assert code == 2, err
    is_one_sentence(err, *names)
    assert {name: file for name, file in snapshot(Path.cwd()).items() if "__pycache__" not in name} == before
    assert not Path("runs").exists()


# --- the recipe


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("train.epohcs=3", ("epohcs", "Did you mean 'epochs'")),
        ("train.epochs=none", ("train.epochs", "'none'", "whole number")),
        ("targets.codec=sparse", ("targets.codec", "'sparse'", "dense")),
        ("student.model=convnett", ("convnett", "Did you mean 'convnet'")),
        ("student.widht=9", ("convnet", "widht", "width")),
        ("data.validation=test", ("data.validation", "test split", "selection")),
        ("data.transfer={name: digits, split: test}", ("data.transfer.split", "test split")),
        ("data.name=./nowhere", ("data.name", "there is no folder ./nowhere")),
        ("data.limit=9", ("train", "classes", "data.limit: 9")),
        ("teacher.weights=gone.safetensors", ("gone.safetensors", "does not exist")),
    ],
)
def test_a_field_or_value_that_is_wrong(limbeck, field: str, names: tuple[str, ...]) -> None:
    wrong_and_nothing_written(limbeck, ["--set", field], *names)


def test_a_recipe_that_is_not_there(limbeck) -> None:
    Path("tiny.yaml").rename("tinny.yaml")
    wrong_and_nothing_written(limbeck, [], "tiny.yaml: there is no such file", "Did you mean 'tinny.yaml'")


# --- the data


def image_folder(root: Path, *, classes: int = 3, each: int = 12) -> Path:
    """``root/train/c0/00.png`` ..., and a test split."""
    pixels = np.random.default_rng(1)
    for split, count in (("train", each), ("test", 4)):
        for label in range(classes):
            folder = root / split / f"c{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                image = pixels.integers(0, 256, (8, 8), dtype=np.uint8)
                Image.fromarray(image).save(folder / f"{number:02d}.png")
    return root


def stored(root: Path, labels: list[int]) -> None:
    """A split of a data set on disk, whose labels need not be right."""
    pixels = np.random.default_rng(2)
    images = [Image.fromarray(pixels.integers(0, 256, (8, 8), dtype=np.uint8)) for _ in labels]
    table = datasets.Dataset.from_dict({"image": images, "label": labels}).cast_column("image", datasets.Image())
    root.mkdir(exist_ok=True)
    table.to_parquet(root / "train-00000-of-00001.parquet")


def of_data(name: str, **more: object) -> list[str]:
    return sets(data__name=name, data__limit=None, **more)


def test_a_data_set_that_is_empty(limbeck) -> None:
    Path("empty").mkdir()
    wrong_and_nothing_written(limbeck, of_data("./empty"), "data.name", "empty holds neither images nor data files")


def test_a_data_set_that_cannot_be_read(limbeck) -> None:
    Path("bad").mkdir()
    Path("bad/train-00000-of-00001.parquet").write_bytes(b"PAR1 and nothing more")
    wrong_and_nothing_written(limbeck, of_data("./bad"), "data.name", "bad", "cannot be read")


def test_a_corrupt_image_is_named_and_skipped_only_if_the_recipe_says_so(limbeck) -> None:
    root = image_folder(Path("images"))
    bad = root / "train" / "c1" / "03.png"
    bad.write_bytes(bad.read_bytes()[:40])
    wrong_and_nothing_written(limbeck, of_data("./images"), "03.png", "cannot be read", "data.on_corrupt: skip")
    # with leave to skip it the run goes on, here to a student that cannot be
    code, err = limbeck(*of_data("./images", data__on_corrupt="skip", student__width=0))
    assert code == 2
    is_one_sentence(err, "width is 0")


def test_a_corrupt_image_is_left_out_and_said_so(limbeck, capsys: pytest.CaptureFixture[str]) -> None:
    root = image_folder(Path("images"))
    bad = root / "train" / "c1" / "03.png"
    bad.write_bytes(b"not an image")
    # another run in the folder stops this one once the data have been read and spoken of
    with stages.claimed(Path("taken")):
        code, err = limbeck(*of_data("./images", data__on_corrupt="skip"), out=Path("taken"))
    assert code == 2
    assert "1 of 36 images cannot be read and are left out" in err
    assert "03.png" in err


def test_labels_out_of_range(limbeck) -> None:
    stored(Path("labels"), [0, 1, 2, -1] * 8)
    wrong_and_nothing_written(limbeck, of_data("./labels"), "split 'train'", "row 3", "label -1 is out of range")


def test_a_class_missing_from_train(limbeck) -> None:
    stored(Path("gap"), [0, 1, 3] * 8)
    wrong_and_nothing_written(limbeck, of_data("./gap"), "train", "1 of 4 classes", "'2'")


# --- the models


MINE = """\
import torch
open("ran", "w").close()

def seven(channels, size):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(channels * size * size, 7))
"""


def test_a_teachers_own_code_needs_trust(limbeck) -> None:
    Path("mine.py").write_text(MINE)
    arguments = sets(teacher={"model": "mine:seven"})
    wrong_and_nothing_written(limbeck, arguments, "mine:seven", "--trust-code")
    assert not Path("ran").exists()


def test_a_teacher_of_another_number_of_classes(limbeck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    Path("mine.py").write_text(MINE.replace('open("ran", "w").close()', ""))
    arguments = ["--trust-code", *sets(teacher={"model": "mine:seven"})]
    wrong_and_nothing_written(limbeck, arguments, "teacher", "7 classes", "10")
    monkeypatch.delitem(sys.modules, "mine", raising=False)


def test_weights_of_another_number_of_classes_and_weights_that_do_not_fit(limbeck) -> None:
    weights = job(Path("unused")).student(0).state_dict()
    save_file(weights | {"fc.weight": weights["fc.weight"][:7].clone(), "fc.bias": weights["fc.bias"][:7].clone()}, "seven.safetensors")  # fmt: skip
    save_file({"other": torch.zeros(2)}, "other.safetensors")
    Path("torn.safetensors").write_bytes(Path("seven.safetensors").read_bytes()[:-100])
    torch.save({"model": Path("x")}, "object.pt")
    teacher = {"model": "convnet", "width": 4}
    for file, names in (
        ("seven.safetensors", ("7 classes", "10")),
        ("other.safetensors", ("do not fit", "lacks", "'other'")),
        ("torn.safetensors", ("not a whole safetensors file",)),
        ("object.pt", ("not loaded", "Python object")),
    ):
        wrong_and_nothing_written(limbeck, sets(teacher=teacher | {"weights": file}), file, *names)


# --- what an earlier run left, and somebody changed


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with teacher, targets and students finished."""
    out = tmp_path_factory.mktemp("bad-input") / "run"
    train(job(out))
    return out


@pytest.fixture
def out(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def refused_and_nothing_lost(limbeck, out: Path, *names: str, arguments: tuple[str, ...] = ()) -> None:
    """Exit code 2, a sentence, and no file of the run is changed, but for the recipe's own copy."""
    before = snapshot(out / "stages")
    code, err = limbeck(*arguments, out=out)
    assert code == 2, err
    is_one_sentence(err, *names)
    assert snapshot(out / "stages") == before


@pytest.mark.parametrize("damage", ["truncated", "flipped", "deleted"])
def test_a_damaged_shard_is_named_and_mended_as_the_sentence_says(
    limbeck, trained: Path, out: Path, damage: str
) -> None:
    (shard,) = (folder_of(out, "targets") / "store").glob("ids-*/view-0001/*.arrow")
    if damage == "truncated":
        os.truncate(shard, shard.stat().st_size - 8)
    elif damage == "flipped":
        flip(shard, shard.stat().st_size // 2)
    if damage != "deleted":
        refused_and_nothing_lost(limbeck, out, str(shard.relative_to(out)), "is damaged", "Delete that file")
    shard.unlink()
    # the same command goes on: what is missing is asked again, and nothing else. Here it stops at a student
    # whose weights were changed, so that the test need not export.
    flip(folder_of(out, "student") / "model.safetensors", -1)
    code, err = limbeck(out=out)
    assert code == 2
    is_one_sentence(err, "student", "model.safetensors", "has changed")
    seal = Path("store") / "seal.json"
    assert digest(folder_of(out, "targets") / seal) == digest(folder_of(trained, "targets") / seal)
    assert digest(shard) == digest(trained / shard.relative_to(out))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (("teacher.train.epochs=2",), ("the teacher's weights",)),
        (("data.limit=140",), ("the data",)),
        (("views.shift=0.2", "teacher.views={shift: 0.1}"), ("the views differ", "shift is 0.1 there, 0.2 here")),
        (("views.flip=true", "teacher.views={shift: 0.1}"), ("the views differ", "flip is False there, True here")),
    ],
)
def test_a_store_of_another_teacher_other_data_or_other_views(
    limbeck, out: Path, tmp_path: Path, change: tuple[str, ...], names: tuple[str, ...]
) -> None:
    from limbeck.pipeline.targets import targets_stage
    from limbeck.pipeline.teacher import the_teacher

    ours = folder_of(out, "targets")
    # a store put by hand where that of another recipe belongs
    other = job(out, *change)
    theirs = targets_stage(other, the_teacher(other)).folder
    assert theirs != ours
    shutil.copytree(ours, theirs)
    stages.Stage("targets", {}, theirs).finish(stages.Stage("targets", {}, ours).facts(), ["store/seal.json"])
    arguments = tuple(argument for one in change for argument in ("--set", one))
    refused_and_nothing_lost(limbeck, out, "do not belong to this run", *names, arguments=arguments)


@pytest.mark.parametrize("stage", ["teacher", "student", "baseline"])
def test_weights_changed_after_their_stage_was_finished(limbeck, out: Path, stage: str) -> None:
    path = folder_of(out, stage) / "model.safetensors"
    weights = load_file(path)
    save_file({name: value + 1 for name, value in weights.items()}, path)
    refused_and_nothing_lost(limbeck, out, str(path), "has changed", f"--force {stage}")


def test_a_damaged_checkpoint_is_named(limbeck, out: Path) -> None:
    student = folder_of(out, "student")
    (student / "done.json").unlink()
    (student / "checkpoint.pt").write_bytes(b"PK\x03\x04 torn")
    refused_and_nothing_lost(limbeck, out, str(student / "checkpoint.pt"), "is damaged", "delete it")


# --- the output folder


def test_an_output_folder_that_holds_something_else(limbeck) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("years of work")
    said = ("mine holds something that is not a limbeck run", "--out")
    wrong_and_nothing_written(limbeck, ["--out", "mine"], *said)
    # and that before the data is read
    Path("empty").mkdir()
    wrong_and_nothing_written(limbeck, ["--out", "mine", "--set", "data.name=empty"], *said)


def test_a_file_where_the_output_folder_should_be(limbeck) -> None:
    Path("mine").write_text("years of work")
    wrong_and_nothing_written(limbeck, ["--out", "mine"], "mine is a file", "--out")
    wrong_and_nothing_written(limbeck, ["--out", "mine/run"], "mine", "file")


def test_two_runs_at_once_in_one_folder(limbeck, out: Path) -> None:
    with stages.claimed(out):
        refused_and_nothing_lost(limbeck, out, "another run is at work in", str(out))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)], capture_output=True)
    if made.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def test_a_read_only_output_folder(limbeck, trained: Path, disk: Path) -> None:
    begun = Path(shutil.copytree(trained, disk / "begun"))
    remount(disk, "ro")
    for out in (disk / "new", begun):
        before = snapshot(disk)
        code, err = limbeck(out=out)
        assert code == 2, err
        is_one_sentence(err, str(out), "cannot be written to", "--out")
        assert snapshot(disk) == before


def test_a_full_disk_whenever_it_fills_loses_nothing_and_the_run_goes_on(limbeck, trained: Path, disk: Path) -> None:
    """The disk has room for a little more each time, so that it is full in one stage after another."""
    out, filler = disk / "run", disk / "filler"
    stopped_in: list[str] = []
    pages = 1
    while "evaluate" not in stopped_in:
        assert pages < 60, stopped_in
        fill(disk, filler, leave=4096 * pages)
        finished = snapshot(out / "stages", "model.safetensors")
        code, err = limbeck(out=out)
        assert code == 2, err
        is_one_sentence(err, "the disk that holds", "is full", "run the same command")
        words = err.rstrip().splitlines()[-1].split(" is full")[0].split("/")
        stopped_in += [stage for stage in STAGES if stage in words]
        assert finished.items() <= snapshot(out / "stages", "model.safetensors").items()
        assert not list(out.rglob("*.part"))
        pages += 1 if len(set(stopped_in)) < 3 else 2
    assert len(set(stopped_in)) >= 3
    filler.unlink()
    # with room again, the same job ends with the weights of a run that was never short of it
    train(job(out))
    for stage in ("teacher", "student"):
        weights = [folder_of(run, stage) / "model.safetensors" for run in (out, trained)]
        assert digest(weights[0]) == digest(weights[1])


def fill(disk: Path, filler: Path, leave: int) -> None:
    """Makes ``filler`` so large that ``leave`` bytes are free on the disk."""
    filler.write_bytes(b"")
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler.write_bytes(bytes(max(0, free - leave)))
