"""Claims about what is said before anything is run: a plan has the notes of a run, and a drafted recipe the data's own splits."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from limbeck.modalities.image import draft
from limbeck.pipeline.check import check
from limbeck.pipeline.run import run
from tests.helpers.tiny import recipe


def pictures(root: Path, *splits: str, count: int = 40) -> str:
    draw = np.random.default_rng(0)
    for split in splits:
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"{number}.png")
    return str(root)


def test_a_plan_says_what_a_run_says_of_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = recipe(f"data.name={pictures(tmp_path / 'pets', 'Train', 'val')}", "data.validation=dev", "data.limit=null")
    check(asked, tmp_path / "planned", threads=1)
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    run(asked, out=tmp_path / "run", threads=1)
    notes = capsys.readouterr().err.splitlines()
    data = [line for line in notes if "splits" in line or line.startswith(("in all", "the test split"))]
    assert len(data) >= 3
    assert [line for line in said if line in data] == data
    total = next(line for line in data if line.startswith("in all: "))
    train, validation, test = (int(word) for word in total.replace(",", "").split() if word.isdigit())
    assert (train + test, validation) == (80, 80)
    assert not (tmp_path / "planned").exists()


def test_a_drafted_recipe_takes_the_data_s_own_validation_split(tmp_path: Path) -> None:
    name = pictures(tmp_path / "pets", "train", "val")
    found = draft.look_at_data(name)
    assert found.validation == 80
    written = yaml.safe_load(draft.recipe("wrn_16_2", found).text)
    assert written["data"] == {"name": name, "validation": "validation"}
    assert "validation" not in draft.look_at_data(name, {"validation": None}).given.values()
    assert draft.look_at_data("digits").given == {}
