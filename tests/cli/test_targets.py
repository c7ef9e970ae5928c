"""`limbeck targets` as a person meets it, on the smallest job; and what a run makes of targets that are there already."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

from limbeck.cli.main import app
from limbeck.errors import BadInput, LimbeckError
from limbeck.interfaces.task import Ask
from limbeck.modalities.image.load import load
from limbeck.pipeline import casting, stages
from limbeck.pipeline.job import Job, open_job
from limbeck.pipeline.stages import Stage
from limbeck.pipeline.targets import asker, given_store, manner_for, the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.recipe import read as recipe_file
from limbeck.targets.cast import cast
from limbeck.targets.convert import identity_of
from limbeck.targets.store.store import Store
from tests.helpers.tiny import RECIPE, environment, folder_of, job, recipe, snapshot, train


def limbeck(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    with pytest.raises(SystemExit) as end:
        app([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, and its teacher and targets cast into `run`; tests copy it."""
    folder = tmp_path_factory.mktemp("targets")
    (folder / "tiny.yaml").write_text(RECIPE)
    casting.cast_recipe(recipe_file.read(folder / "tiny.yaml"), folder / "run", threads=1)
    return folder


@pytest.fixture
def here(done: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done, tmp_path / "here"))


def store_of(run: Path) -> Path:
    return folder_of(run, "targets") / "store"


def shard_of(store: Path, view: int) -> Path:
    (shard,) = store.glob(f"ids-*/view-{view:04d}/block-00000.arrow")
    return shard


def ask_of(one: Job) -> Ask:
    """The teacher of a job, asked as its stage of soft targets asks it."""
    teacher = the_teacher(one)
    return asker(one, teacher, manner_for(one, teacher, "float32"), one.codecs.codecs[0])


def test_cast_makes_the_stages_of_a_run(here: Path) -> None:
    assert {path.name for path in (here / "run" / "stages").iterdir() if path.is_dir()} == {"teacher", "targets"}
    before = snapshot(here / "run" / "stages", "*.arrow")
    train(job(here / "run"))
    assert {name: now for name, now in snapshot(here / "run" / "stages", "*.arrow").items() if name in before} == before


def test_several_casts_at_once_make_one_store(done: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "limbeck", "targets", "cast", "tiny.yaml", "--out", "run", "--threads", "1"]
    options = {
        "cwd": tmp_path,
        "env": environment(),
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    both = [subprocess.Popen(command, **options) for _ in range(2)]
    told = [one.communicate(timeout=120) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    seals = [(store_of(folder / "run") / "seal.json").read_bytes() for folder in (done, tmp_path)]
    assert seals[0] == seals[1]


def test_more_views_keep_what_is_there(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    old = store_of(here / "run")
    before = snapshot(old)
    asked = []

    def counted(*arguments):
        ask = asker(*arguments)
        return lambda index_B, view: asked.append(view) or ask(index_B, view)

    monkeypatch.setattr("limbeck.pipeline.targets.asker", counted)
    code, out, err = limbeck(capsys, "targets", "extend", here / "run", "--views", 3, "--threads", 1)
    assert code == 0, err
    assert f"2 views are taken over from {old}; the teacher is asked for the other 1." in err
    (new,) = [path for path in (here / "run" / "stages" / "targets").glob("*/store") if path != old]
    assert str(new) in out
    assert asked.count(0) <= 1  # for the codec's error
    assert asked.count(1) == 0
    assert snapshot(old) == before
    assert shard_of(new, 1).samefile(shard_of(old, 1))
    done = json.loads((new.parent / "done.json").read_text())["facts"]
    assert done["seconds"] > json.loads((old.parent / "done.json").read_text())["facts"]["seconds"]
    # as if all had been asked at once
    one = job(here / "run", "targets.views=3")
    afresh = cast(here / "afresh", identity_of(Store.open(new)), one.task.pool.ids, 3, ask_of(one))
    assert shard_of(afresh.path, 2).read_bytes() == shard_of(new, 2).read_bytes()
    code, _, err = limbeck(capsys, "targets", "extend", here / "run", "--views", 1)
    assert (code, "has 3 views of each example already" in err) == (2, True)


def test_a_damaged_store_is_not_taken_over(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = shard_of(store_of(here / "run"), 0)
    content = bytearray(shard.read_bytes())
    content[-300] ^= 1
    shard.write_bytes(content)
    one = job(here / "run", "targets.views=3")
    the_targets(one, the_teacher(one))
    assert "taken over" not in capsys.readouterr().err


def test_a_store_on_its_own_grows_by_views_and_examples(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = job(here / "run")
    whole = Store.open(store_of(here / "run"))
    ids, ask = one.task.pool.ids, ask_of(one)
    few = cast(here / "few", identity_of(whole), ids[:40], 1, lambda index_B, view: ask(index_B, view))
    before = snapshot(few.path, "*.arrow")
    arguments = ("targets", "extend", few.path, "--views", 2, "--recipe", here / "run" / "recipe.yaml", "--threads", 1)
    code, _, err = limbeck(capsys, *arguments)
    assert code == 0, err
    grown = Store.open(few.path)
    assert len(grown) == len(whole)
    for view in range(2):
        view_N = torch.full_like(ids, view)
        a, b = (one.encoded(ids, view_N).columns["logits"].float() for one in (grown, whole))
        torch.testing.assert_close(a, b, atol=1e-2, rtol=0)
    assert before.items() <= snapshot(few.path, "*.arrow").items()
    sealed = (few.path / "seal.json").read_bytes()
    for wrong, sentence in (
        (("--set", "views.flip=true"), "the views differ"),
        (("--set", "teacher.width=8"), "its teacher is not finished"),
        (("--views", 1), "has 2 views of each example already"),
    ):
        code, _, err = limbeck(capsys, *arguments, *wrong)
        assert (code, sentence in err) == (2, True), err
    code, _, err = limbeck(capsys, "targets", "extend", few.path)
    assert (code, "name the recipe with --recipe" in err) == (2, True), err
    assert (few.path / "seal.json").read_bytes() == sealed


def test_merged_stores_of_one_teacher_are_the_store_of_both(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = job(here / "run")
    whole = Store.open(store_of(here / "run"))
    ids, ask = one.task.pool.ids, ask_of(one)
    parts = [here / "first", here / "second"]
    for part, chosen in zip(parts, (ids[:70], ids[50:]), strict=True):
        at = torch.searchsorted(ids.sort().values, chosen)
        index = ids.argsort()[at]
        cast(part, identity_of(whole), chosen, 2, lambda index_B, view, index=index: ask(index[index_B], view))
    code, out, err = limbeck(capsys, "targets", "merge", *parts, "--out", here / "all")
    assert code == 0, err
    assert str(here / "all") in out
    merged = Store.open(here / "all")
    assert merged.segments[0].entry == whole.segments[0].entry


def test_replay_says_how_far_the_teacher_is_from_what_it_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = here / "run"
    code, out, err = limbeck(capsys, "targets", "verify", run, "--replay", 20, "--seed", 5, "--threads", 1)
    assert code == 0, err
    assert "asked again about 20 of" in out
    assert "(seed 5)" in out
    # another's answers under this teacher's name
    one = job(run)
    known = identity_of(Store.open(store_of(run)))
    ask = ask_of(one)
    shutil.rmtree(store_of(run))

    def other(index_B, view):
        logits_BC = ask(index_B, view)
        assert isinstance(logits_BC, torch.Tensor)
        return logits_BC.roll(view, dims=1).detach()

    store = cast(store_of(run), known, one.task.pool.ids, 2, other)
    done = json.loads((store.path.parent / "done.json").read_text())
    Stage("targets", {}, store.path.parent).finish(done["facts"], ["store/seal.json"])
    code, _, err = limbeck(capsys, "targets", "verify", run, "--replay", 10_000, "--threads", 1)
    assert code == LimbeckError.exit_code
    assert f"{len(store)} of {2 * len(store)} answers are not what the teacher says now" in err
    assert ", view 1: " in err
    assert ", view 0: " not in err


def test_out_to_parquet_and_back_into_a_recipe(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.chdir(here)
    code, out, _ = limbeck(capsys, "targets", "export", "run", "--out", "all.parquet")
    assert (code, out) == (0, "all.parquet written.\n")
    # as another program would write it: no description, no float16
    table = pq.read_table("all.parquet").replace_schema_metadata(None)
    plain = table.set_column(2, "logits", table["logits"].combine_chunks().cast(pa.list_(pa.float32())))
    pq.write_table(plain, "plain.parquet")
    code, _, err = limbeck(capsys, "targets", "import", "plain.parquet", "--out", "mine")
    assert (code, "with --recipe" in err) == (2, True)
    code, _, err = limbeck(capsys, "targets", "import", "plain.parquet", "--out", "mine", "--set", "seed=7")
    assert (code, "--set seed=7: name the recipe" in err) == (2, True)
    given = ("targets", "import", "plain.parquet", "--recipe", "tiny.yaml")
    assert limbeck(capsys, *given, "--out", "other", "--set", "seed=7")[0] == 0
    assert json.loads(Path("other/manifest.json").read_text())["view_seed"] == 7
    code, out, err = limbeck(capsys, *given, "--out", "mine")
    assert code == 0, err
    assert "imported, SHA-256" in out

    _, store, trained = train(job(here / "run", "targets.store=mine"))
    assert store is not None
    assert store.path == Path("mine")
    _, _, own = train(job(here / "run"))
    assert trained["student"].fingerprint != own["student"].fingerprint
    assert trained["baseline"].fingerprint == own["baseline"].fingerprint
    # centred and rounded twice instead of once, so all but equal
    a, b = (one.identity["probe"] for one in (trained["student"], own["student"]))
    torch.testing.assert_close(torch.tensor(a), torch.tensor(b), atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("views.flip=true",), "the views differ: flip is False there, True here"),
        (("seed=1",), "the seed of the views: 0 there, 1 here"),
        (("data.limit=200",), "has no soft target for example id"),
        (("objective={fitnets: {student: blocks.0, teacher: blocks.0}}",), "targets.store"),
        (("targets.live=true",), "leave out one"),
    ],
)
def test_a_given_store_that_does_not_fit_is_refused_before_anything_is_made(
    here: Path, tmp_path: Path, overrides: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = store_of(here / "run"), tmp_path / "new"
    sets = [part for override in (f"targets.store={path}", *overrides) for part in ("--set", override)]
    code, _, err = limbeck(capsys, "run", here / "tiny.yaml", "--out", out, "--threads", 1, *sets)
    assert code == BadInput.exit_code
    assert sentence in err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("cast", "tiny.yaml", "--set", "targets.live=true"), "targets.live: the teacher is asked at every step"),
        (("cast", "tiny.yaml", "--set", "objective={cross_entropy: {}}"), "asks nothing of the teacher"),
        (("cast", "none.yaml"), "there is no such file"),
        (("extend", "run/stages"), "is not the folder of a run"),
        (("extend", "STORE", "--views", "9"), "belongs to a run"),
        (("merge", "run", "nowhere", "--out", "all"), "nowhere: there is no such folder"),
        (("verify", "STORE", "--replay", "3"), "is a store alone"),
        (("convert", "run", "--codec", "dens", "--out", "new"), "there is no codec 'dens'"),
        (("convert", "run", "--codec", "dense", "--set", "k", "--out", "new"), "--set k: it must look like"),
        (("convert", "run", "--codec", "topk", "--set", "k=999999", "--out", "new"), "give k of at most 10"),
        (
            ("convert", "run", "--codec", "topk", "--set", "k=1" + 30 * "0", "--out", "new"),
            "it must be at most 1,000,000",
        ),
        (("convert", "run", "--codec", "topk", "--set", "k=!!bool x", "--out", "new"), "'x' is no bool"),
        (("convert", "run", "--codec", "topk", "--set", "k=" + 5000 * "9", "--out", "new"), "is not a value"),
        (("convert", "run", "--codec", "topk", "--set", "q=3", "--out", "new"), "topk.q: no such field"),
        (("convert", "run", "--codec", "sample", "--set", "temperature=1e30", "--out", "new"), "at most 1,000,000"),
        (("convert", "STORE", "--codec", "dense", "--out", "STORE"), "name another folder"),
        (("export", "run", "--out", "tiny.yaml"), "tiny.yaml exists already"),
        (("import", "tiny.yaml", "--out", "new"), "cannot be read as Parquet"),
        (("import", "none.parquet", "--out", "new"), "there is no such file"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    done: Path, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.chdir(done)
    before = snapshot(done)
    store = str(store_of(done / "run").relative_to(done))
    code, out, err = limbeck(capsys, "targets", *(store if one == "STORE" else one for one in arguments))
    assert (code, out) == (2, "")
    assert sentence in err
    assert snapshot(done) == before


def test_a_recipe_with_a_store_reads_back_as_it_was() -> None:
    one = recipe("targets.store=elsewhere")
    assert recipe_file.from_dict(yaml.safe_load(recipe_file.resolved_yaml(one))) == one


def test_a_cast_waits_for_one_that_has_the_folder_for_itself_for_a_moment(tmp_path: Path) -> None:
    """One that looked for a finished teacher just before it was there holds the folder alone, and lets it go again."""
    entered = threading.Event()

    def enter() -> None:
        with casting._shared(tmp_path / "run"):
            entered.set()

    with stages.claimed(tmp_path / "run"):
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(1.2)
    assert entered.wait(10)
    thread.join()


def test_answers_made_elsewhere_find_their_examples_by_the_listed_ids(tmp_path: Path, capsys) -> None:
    """Ids are listed, another program answers by file, and the run learns from what it said."""
    pictures = tmp_path / "pictures"
    random = np.random.default_rng(0)
    for name in ("dark", "light"):
        (pictures / name).mkdir(parents=True)
        for k in range(20):
            pixels = random.integers(0, 100, (8, 8), np.uint8) + (100 if name == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(pictures / name / f"{k:02}.png")
    recipe = {
        "data": {"name": str(pictures), "validation_fraction": 0.3},
        "views": {"shift": 0.1},
        "teacher": {"model": "convnet", "width": 1, "train": {"epochs": 1}},
        "targets": {"views": 2, "store": str(tmp_path / "store")},
        "student": {"model": "convnet", "width": 1},
        "objective": {"kd": {}},
        "train": {"epochs": 1, "batch_size": 8},
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    code, out, err = limbeck(capsys, "targets", "ids", tmp_path / "r.yaml")
    assert code == 0, err
    assert out.splitlines()[0] == '"id","split","label","row","path"'
    assert limbeck(capsys, "targets", "ids", tmp_path / "r.yaml", "--out", tmp_path / "ids.parquet")[0] == 0
    listed = pq.read_table(tmp_path / "ids.parquet").to_pylist()
    assert {row["split"] for row in listed} == {"train", "validation"}
    assert len({row["path"] for row in listed}) == len(listed)
    for row in listed:
        assert Path(row["path"]).parent.name == row["label"]
    code, _, err = limbeck(capsys, "targets", "ids", tmp_path / "r.yaml", "--out", tmp_path / "ids.parquet")
    assert (code, "exists already" in err) == (2, True)

    # the other program looks at nothing but the files
    light = [float(np.asarray(Image.open(row["path"])).mean() / 255) for row in listed]
    answers = {"id": [row["id"] for row in listed], "probabilities": [[1 - share, share] for share in light]}
    pq.write_table(pa.table(answers), tmp_path / "answers.parquet")
    arguments = (
        "targets",
        "import",
        tmp_path / "answers.parquet",
        "--out",
        tmp_path / "store",
        "--recipe",
        tmp_path / "r.yaml",
    )
    code, _, err = limbeck(capsys, *arguments)  # answers to the pictures as they are, and the recipe moves them
    assert (code, "no column 'view'" in err, "--all-views" in err) == (2, True, True)
    assert not (tmp_path / "store").exists()
    assert limbeck(capsys, *arguments, "--all-views")[0] == 0
    read = recipe_file.read(tmp_path / "r.yaml")
    splits = load(read.data)
    mean_N = splits.train.images.double().mean((1, 2, 3)) / 255
    for view in (0, 1):
        stored_NC = Store.open(tmp_path / "store").gather(splits.train.ids, torch.full((len(mean_N),), view)).logits
        torch.testing.assert_close(stored_NC.double().softmax(1)[:, 1], mean_N, atol=1e-3, rtol=0)
    one = open_job(read, splits, out=tmp_path / "run", device="cpu")
    assert given_store(one).views == 2
    # an objective that cannot learn from certainty is refused before anything is trained
    answers["probabilities"][0] = [1.0, 0.0]
    pq.write_table(pa.table(answers), tmp_path / "certain.parquet")
    arguments = (
        "targets",
        "import",
        tmp_path / "certain.parquet",
        "--out",
        tmp_path / "certain",
        "--recipe",
        tmp_path / "r.yaml",
    )
    assert limbeck(capsys, *arguments, "--all-views")[0] == 0
    settings = (f"targets.store={tmp_path / 'certain'}", "objective={reverse_kl: {}}")
    wanted = recipe_file.read(tmp_path / "r.yaml", settings)
    one = open_job(wanted, splits, out=tmp_path / "run", device="cpu")
    with pytest.raises(BadInput, match=r"has -inf for class 1 .* and reverse_kl cannot learn from that"):
        given_store(one)
