"""Formats of deployment in ONNX: what is quantised, and how far what is kept is from what was there."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from limbeck.deploy.formats import FORMATS, onnx_int8, require
from limbeck.deploy.formats.onnx_int8 import tables_by_row
from limbeck.deploy.metadata import said_by
from limbeck.errors import BadInput
from limbeck.interfaces import Exportable, Input
from limbeck.interfaces.exportable import BATCH, LENGTH


def looked_up(table_VH: np.ndarray, *, used_elsewhere: bool = False) -> onnx.ModelProto:
    """A file that looks up rows of a table; ``used_elsewhere``: and adds the table's first row to them."""
    nodes = [helper.make_node("Gather", ["table", "ids"], ["rows"])]
    last = "rows"
    if used_elsewhere:
        nodes.append(helper.make_node("ReduceMax", ["table"], ["most"], keepdims=0))
        nodes.append(helper.make_node("Add", ["rows", "most"], ["out"]))
        last = "out"
    graph = helper.make_graph(
        nodes,
        "looked_up",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", "length", table_VH.shape[1]])],
        [numpy_helper.from_array(table_VH, "table")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def rows_of(proto: onnx.ModelProto, ids_BL: np.ndarray, tmp_path: Path) -> np.ndarray:
    onnx.checker.check_model(proto, full_check=True)
    path = tmp_path / "table.onnx"
    onnx.save(proto, path)
    return FORMATS["onnx"].ask(path)({"ids": ids_BL})[0]


def test_each_row_of_a_table_keeps_its_own_scale(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    table_VH = (random.standard_normal((50, 16)) * np.logspace(-4, 2, 50)[:, None]).astype(np.float32)
    table_VH[7] = 0
    proto = looked_up(table_VH)
    tables_by_row(proto)
    ids_BL = np.arange(50).reshape(5, 10)
    rows_VH = rows_of(proto, ids_BL, tmp_path).reshape(50, 16)
    # half a step of the row's own grid of 255 values, whatever the largest row of the table is
    step_V1 = np.abs(table_VH).max(axis=1, keepdims=True) / 127
    assert (np.abs(rows_VH - table_VH) <= step_V1 / 2 * (1 + 1e-3)).all()
    assert (rows_VH[7] == 0).all()
    assert {one.data_type for one in proto.graph.initializer} == {TensorProto.INT8, TensorProto.FLOAT}
    assert sum(len(one.raw_data) for one in proto.graph.initializer) == 50 * 16 + 50 * 4


def test_a_table_that_something_else_reads_stays_as_it_is(tmp_path: Path) -> None:
    table_VH = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    proto = looked_up(table_VH, used_elsewhere=True)
    tables_by_row(proto)
    rows_BLH = rows_of(proto, np.array([[2, 4]]), tmp_path)
    np.testing.assert_array_equal(rows_BLH, table_VH[[[2, 4]]] + table_VH.max())


def test_a_table_of_few_rows_which_every_token_has_stays_as_it_is(tmp_path: Path) -> None:
    table_VH = np.random.default_rng(0).standard_normal((2, 16)).astype(np.float32)
    proto = looked_up(table_VH)
    tables_by_row(proto)
    np.testing.assert_array_equal(rows_of(proto, np.array([[0, 1]]), tmp_path), table_VH[[[0, 1]]])


class Bag(nn.Module):
    """Words whose vectors differ a thousandfold, averaged and classified."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(300, 32), nn.Linear(32, 3)
        with torch.no_grad():
            self.table.weight *= torch.logspace(-2, 1, 300)[:, None]

    def forward(self, ids_BL: torch.Tensor) -> torch.Tensor:
        return self.head(self.table(ids_BL).mean(1))


class Small(nn.Module):
    """Two convolutions, one of them depthwise, an addition and a product."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.head = nn.Linear(16, 3)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        maps_BCHW = self.first(images_BCHW).relu()
        return self.head((self.second(maps_BCHW) + maps_BCHW).relu().mean((2, 3)))


class InUnits(Small):
    """The same, whose answers are in a unit of their own."""

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        return super().forward(images_BCHW) * torch.tensor([1000.0, 1.0, 0.01]) + torch.tensor([0.0, 50.0, 7.0])


def words() -> Exportable:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Bag().eval()
    ids = Input(torch.zeros(2, 9, dtype=torch.int64), (BATCH, LENGTH), (0, 300))
    return Exportable("Bag", module, {"ids": ids}, (BATCH, 3), {"task": "none"}, int8=("MatMul", "Gather"))


def pictures(kind: type[Small] = Small) -> Exportable:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = kind().eval()
    image = Input(torch.zeros(2, 1, 8, 8), (BATCH, 1, 8, 8))
    return Exportable("Small", module, {"image": image}, (BATCH, 3), {"task": "none"})


def test_convolutions_are_computed_in_8_bits_and_answer_nearly_alike(tmp_path: Path) -> None:
    graph, path = pictures(), tmp_path / "small.int8.onnx"
    images_BCHW = np.random.default_rng(1).standard_normal((200, 1, 8, 8)).astype(np.float32)
    FORMATS["onnx-int8"].write(graph, path, [{"image": images_BCHW[:100]}, {"image": images_BCHW[100:]}])
    exact_BC = graph.module(torch.from_numpy(images_BCHW)).detach().numpy()
    (ours_BC,) = FORMATS["onnx-int8"].ask(path)({"image": images_BCHW})
    assert 0 < np.abs(ours_BC - exact_BC).max() < 0.03 * np.ptp(exact_BC)
    found = onnx_int8.kernels(path)["kernels"]
    assert (found["int8"]["QLinearConv"], found["int8"]["QGemm"], found["float32"]) == (2, 1, {})
    assert said_by(path)["inputs"]["image"]["shape"] == ["batch", 1, 8, 8]


def test_answers_in_units_of_their_own_are_not_rounded_to_a_common_grid(tmp_path: Path) -> None:
    graph, path = pictures(InUnits), tmp_path / "units.int8.onnx"
    images_BCHW = np.random.default_rng(1).standard_normal((400, 1, 8, 8)).astype(np.float32)
    FORMATS["onnx-int8"].write(graph, path, [{"image": images_BCHW}])
    exact_BD = graph.module(torch.from_numpy(images_BCHW)).detach().numpy()
    (ours_BD,) = FORMATS["onnx-int8"].ask(path)({"image": images_BCHW})
    assert (np.abs(ours_BD - exact_BD).max(axis=0) < 0.05 * np.ptp(exact_BD, axis=0)).all()


def test_words_keep_their_vectors_and_products_are_computed_in_8_bits(tmp_path: Path) -> None:
    graph, path = words(), tmp_path / "bag.int8.onnx"
    FORMATS["onnx-int8"].write(graph, path, ())
    ids_BL = np.random.default_rng(1).integers(
        0, 40, (64, 7)
    )  # the small vectors, which one scale for all would round to 0
    exact_BC = graph.module(torch.from_numpy(ids_BL)).detach().numpy()
    (ours_BC,) = FORMATS["onnx-int8"].ask(path)({"ids": ids_BL})
    spread = np.ptp(exact_BC, axis=0).max()
    assert np.abs(ours_BC - exact_BC).max() < 0.05 * spread
    assert onnx_int8.kernels(path)["kernels"]["float32"] == {}
    assert path.stat().st_size < 300 * 32 * 1.6


def test_what_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no examples to calibrate"):
        FORMATS["onnx-int8"].write(pictures(), tmp_path / "x.onnx", ())
    assert not list(tmp_path.iterdir())
    require(["onnx", "onnx-int8"])
    with pytest.raises(BadInput, match="cannot be written yet"):
        require(["onnx", "stone"])
