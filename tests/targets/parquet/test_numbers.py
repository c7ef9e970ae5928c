"""The numbers of a regression that were made elsewhere, from Parquet to a run that learns from them; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from limbeck.errors import BadInput
from limbeck.interfaces import Values
from limbeck.pipeline.casting import example_ids
from limbeck.pipeline.exchange import import_file
from limbeck.pipeline.run import run
from limbeck.recipe.read import from_dict
from limbeck.targets.codecs import Numbers
from limbeck.targets.parquet.export import export
from limbeck.targets.parquet.load import import_parquet
from limbeck.targets.store.store import Store

IDS = [7, 3, 5]
RECIPE: dict[str, Any] = {
    "task": "image-regression",
    "data": {"name": "digits_turned", "limit": 300},
    "teacher": {"model": "convnet", "width": 1, "train": {"epochs": 1}},
    "student": {"model": "convnet", "width": 1},
    "objective": {"mse_values": {}},
    "train": {"epochs": 1},
}


def written(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table({"id": IDS, **columns}), path)
    return path


def said(store: Store) -> Values:
    answer = store.gather(torch.tensor(IDS), torch.zeros(3, dtype=torch.int64))
    assert isinstance(answer, Values)
    return answer


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1.5, -2.0, 0.25], [[1.5], [-2.0], [0.25]]),
        ([1, 2, 3], [[1.0], [2.0], [3.0]]),
        ([[1.5], [0.0], [9.0]], [[1.5], [0.0], [9.0]]),
        ([[1.0, 1000.0], [0.0, -3.0], [9.0, 0.5]], [[1.0, 1000.0], [0.0, -3.0], [9.0, 0.5]]),
    ],
    ids=["one", "whole", "lists of one", "two"],
)
def test_numbers_are_taken_as_they_are_and_go_round(tmp_path, values, wanted):
    store = import_parquet(written(tmp_path / "a.parquet", values=values), tmp_path / "store", views={})
    assert store.codec == Numbers()
    assert said(store).values.tolist() == wanted
    export(store.path, tmp_path / "b.parquet")
    assert said(import_parquet(tmp_path / "b.parquet", tmp_path / "again")).values.tolist() == wanted


def test_a_deviation_beside_them_is_kept(tmp_path):
    file = written(tmp_path / "a.parquet", values=[1.0, 2.0, 3.0], spread=[0.0, 0.5, 4.0])
    store = import_parquet(file, tmp_path / "store", views={})
    answer = said(store)
    assert answer.spread is not None
    assert (answer.values.tolist(), answer.spread.tolist()) == ([[1.0], [2.0], [3.0]], [[0.0], [0.5], [4.0]])
    export(store.path, tmp_path / "b.parquet")
    assert pq.read_table(tmp_path / "b.parquet").column_names == ["id", "view", "values", "spread"]
    assert torch.equal(said(import_parquet(tmp_path / "b.parquet", tmp_path / "again")).spread, answer.spread)  # pyright: ignore


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"values": [1.0, float("nan"), 2.0]}, "row 1, column 'values' holds nan at place 0: a regression's numbers must be"),
        ({"values": [1.0, 1e39, 2.0]}, "row 1, column 'values' holds inf at place 0"),
        ({"values": [1.0, 2.0, 3.0], "spread": [0.0, 1.0, -1.0]}, "row 2, column 'spread' holds -1 at place 0: a deviation is"),
        ({"values": [[1.0, 2.0]] * 3, "spread": [1.0] * 3}, "column 'spread' is of type double: it must be a list of 2"),
        ({"values": ["a", "b", "c"]}, "column 'values' holds values of type string: they must be numbers"),
        ({"logits": [[1.0]] * 3}, "holds one value a row.*Numbers of a regression stand in a column 'values'"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_by_row_and_column(tmp_path, columns, sentence):
    with pytest.raises(BadInput, match=sentence):
        import_parquet(written(tmp_path / "a.parquet", **columns), tmp_path / "store", views={})
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_run_learns_from_numbers_made_elsewhere_and_says_where_they_do_not_belong(tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(RECIPE))
    table = example_ids(from_dict(RECIPE, "a recipe")).filter(pc.field("split") == "train")
    values = [float(label) for label in table["label"].to_pylist()]
    pq.write_table(
        pa.table({"id": table["id"], "values": values, "spread": [1.0] * len(values)}), tmp_path / "a.parquet"
    )
    import_file(tmp_path / "a.parquet", tmp_path / "store", tmp_path / "r.yaml")
    given = {**RECIPE, "targets": {"store": str(tmp_path / "store")}, "objective": {"weighted_mse_values": {}}}
    results = run(from_dict(given, "a recipe"), out=tmp_path / "run", threads=1)
    assert (results["targets"]["codec"], results["targets"]["source"]) == ("numbers", "given")
    classes = {"task": "image-classification", "data": {"name": "digits", "limit": 300}, "objective": {"kd": {}}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**RECIPE, **classes}))
    with pytest.raises(
        BadInput, match=r"holds numbers \(column 'values'\), and the recipe, of task image-classification, learns"
    ):
        import_file(tmp_path / "a.parquet", tmp_path / "other", tmp_path / "c.yaml")
    with pytest.raises(
        BadInput, match=r"targets\.store: .*: targets\.codec: numbers keeps the numbers of a regression, and"
    ):
        run(from_dict({**given, **classes}, "a recipe"), out=tmp_path / "classes", threads=1)
    logits = pa.table({"id": table["id"], "logits": [[0.0, 1.0]] * len(values)})
    pq.write_table(logits, tmp_path / "l.parquet")
    with pytest.raises(
        BadInput, match=r"holds answers over classes \(column 'logits'\), and the recipe, of task image-regression"
    ):
        import_file(tmp_path / "l.parquet", tmp_path / "other", tmp_path / "r.yaml")
