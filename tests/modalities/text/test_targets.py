"""`limbeck targets` and `limbeck compare` on a recipe of texts, as a person meets them."""

import contextlib
import json
import pickle
import shutil
from pathlib import Path

import pytest

from limbeck.compare.bench import members_of
from limbeck.compare.file import read
from limbeck.compare.run import Asked
from limbeck.compare.run import _share_of_members as share_of_members
from tests.helpers import text_runs
from tests.helpers.text_runs import COUNTS, limbeck
from tests.helpers.tiny import digest, folder_of, snapshot

COMPARISON = """\
recipe: tiny.yaml
set: [train.epochs=1, teacher.train.epochs=1]
objectives:
  kd: {kd: {temperature: 2}}
  softer: {kd: {temperature: 4}, cross_entropy: {}}
students:
  half: {model: shrunk, layers: 1}
  bag: {model: bag, hidden: 8, vocabulary: used}
"""


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the targets of four views in ``run``; tests copy it."""
    folder = text_runs.write(tmp_path_factory.mktemp("targets") / "here")
    with (folder / "tiny.yaml").open("a") as file:
        file.write("views: {replace: 0.2, drop: 0.1}\ntargets: {views: 4}\n")
    code, said, err = limbeck(folder, "targets", "cast", "tiny.yaml", "--out", "run", "--threads", 1)
    assert code == 0, err
    assert str(4 * COUNTS["train"]) in said.replace(",", "")
    return folder


@pytest.fixture
def here(cast: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(cast, tmp_path / "here"))


def test_targets_of_texts_are_verified_replayed_and_looked_into(here: Path) -> None:
    code, said, err = limbeck(here, "targets", "verify", "run", "--replay", 200, "--seed", 1, "--threads", 1)
    assert code == 0, err
    assert "every byte is as it was written" in said
    assert "asked again about 200 of 960 answers" in said
    code, said, err = limbeck(here, "targets", "inspect", "run")
    assert code == 0, err
    assert all(word in said for word in ("replace", "dense", "240"))
    code, _, err = limbeck(here, "targets", "extend", "run", "--views", 5, "--threads", 1)
    assert code == 0, err
    assert "4 views are taken over" in err
    # a teacher that says something else is found out
    shard = next((here / "run").rglob("view-0002/*.arrow"))
    other = next((here / "run").rglob("view-0003/*.arrow"))
    shard.write_bytes(other.read_bytes())
    code, _, err = limbeck(here, "targets", "verify", "run")
    assert (code, "view-0002" in err) == (2, True), err


def test_targets_of_texts_go_out_to_parquet_and_back_into_a_recipe(here: Path) -> None:
    code, _, err = limbeck(here, "targets", "export", "run", "--out", "answers.parquet")
    assert code == 0, err
    code, _, err = limbeck(here, "targets", "import", "answers.parquet", "--out", "again")
    assert code == 0, err
    store = folder_of(here / "run", "targets") / "store"
    shards = sorted(path.relative_to(store) for path in store.rglob("*.arrow"))
    assert len(shards) == 5
    assert [digest(here / "again" / shard) for shard in shards] == [digest(store / shard) for shard in shards]
    asked = ("--set", "targets.store=again", "--threads", 1, "--plan")
    code, said, err = limbeck(here, "run", "tiny.yaml", "--out", "other", *asked)
    assert (code, "as given" in said) == (0, True), err
    wrong = ("--set", "targets.store=again", "--set", "views.drop=0.3")
    code, _, err = limbeck(here, "run", "tiny.yaml", "--out", "other", *wrong)
    assert (code, "views differ" in err) == (2, True), err
    assert not (here / "other").exists()


def test_a_comparison_over_students_and_objectives_of_texts(here: Path) -> None:
    (here / "compare.yaml").write_text(COMPARISON)
    code, _, err = limbeck(here, "compare", "compare.yaml", "--out", "comparison", "--threads", 1)
    assert code == 0, err
    out = here / "comparison"
    results = json.loads((out / "compare.json").read_text())
    assert {(row["student"], row["name"]) for row in results["rows"]} == {
        (student, name) for student in ("half", "bag") for name in ("baseline", "smoothed", "kd", "softer")
    }
    assert results["students"]["half"] != results["students"]["bag"]
    assert "<script" not in (out / "compare.html").read_text(encoding="utf-8").lower()
    assert len(list((out / "stages" / "targets").iterdir())) == 1
    # another process, which builds everything anew, means the same stages
    before = snapshot(out / "stages")
    with contextlib.chdir(here):
        comparison = read(here / "compare.yaml")
        waiting = [member for row in comparison.rows for member in members_of(row, row.recipe)]
        asked = Asked(comparison, waiting, out, trust_code=False, device="cpu", threads=1)
        share_of_members(pickle.loads(pickle.dumps(asked)), 0, 1, lambda: None)
    assert snapshot(out / "stages") == before
