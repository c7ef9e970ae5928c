"""A store of sequences answers each position as the teacher did, whatever the codec, held or memory-mapped."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.interfaces import Batch, DenseLogits, Needs, RaggedLogits, TopK
from limbeck.targets.cast import cast
from limbeck.targets.codecs import Column, Dense
from limbeck.targets.store import store as store_module
from limbeck.targets.store.merge import merge
from limbeck.targets.store.store import Store, verify
from limbeck.targets.stored_teacher import StoredTeacher

CLASSES, VIEWS, N = 6, 2, 17
IDS_N = torch.arange(N).flip(0) * 1009 - 300
IDENTITY = {
    "classes": CLASSES,
    "data": "d",
    "teacher": {"weights": "w", "probe": [1.0]},
    "preprocess": None,
    "precision": "float32",
    "views": {},
    "view_seed": 0,
}


class Best:
    """The two largest logits, and which example and position each row says it answers: two kinds of column."""

    name, kind, settings = "best", TopK, {"k": 2}

    def layout(self, classes):
        return (
            Column("ids", np.dtype(np.int32), 2),
            Column("logits", np.dtype(np.float32), 2),
            Column("row", np.dtype(np.int64), None),
        )

    def encode(self, logits_NC, rows):
        best = logits_NC.topk(2)
        said_N = rows.ids_N * 1000 + rows.view * 100 + rows.position_N
        return {"ids": best.indices.int(), "logits": best.values, "row": said_N}

    def decode(self, columns, classes):
        return TopK(columns["ids"].long(), columns["logits"], columns["row"][..., None], (1.0,))


@pytest.fixture
def know_best(monkeypatch):
    monkeypatch.setattr(store_module, "codec_from", lambda name, said: Best())
    # the dense answers that it compares are not what this codec gives
    monkeypatch.setattr("limbeck.targets.teacher_pass.codec_error", lambda codec, logits, rows: {"mean_kl": 0.0})


def length_of(example_id, view):
    return (int(example_id) * 7 + view * 3) % 5  # some are empty


def logits_of(example_id, view):
    place_L1 = torch.arange(length_of(example_id, view))[:, None]
    return torch.sin(int(example_id) * 0.3 + view + (place_L1 + 1) * torch.arange(1, CLASSES + 1) * 1.7).float() * 3


def ask(index_B, view):
    said = [logits_of(i, view) for i in IDS_N[index_B]]
    return RaggedLogits(torch.cat(said), torch.tensor([len(one) for one in said]))


def make(path, codec=None, **options):
    options = {"block_size": 4, "batch_size": 3, "ragged": True, **options}
    return cast(path, IDENTITY, IDS_N, VIEWS, ask, codec=codec, **options)


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    path = tmp_path_factory.mktemp("ragged") / "dense"
    make(path)
    return path


@pytest.fixture(params=["held", "memory-mapped"])
def way(request, monkeypatch):
    if request.param == "memory-mapped":
        monkeypatch.setattr(store_module, "HOLD_BELOW_BYTES", 0)
    return request.param


@settings(max_examples=25, deadline=None)
@given(picks=st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, VIEWS - 1)), max_size=9), spare=st.integers(0, 2))
@pytest.mark.parametrize("held", [True, False])
def test_every_position_is_what_the_teacher_said(dense, held, picks, spare):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "HOLD_BELOW_BYTES", (1 << 30) if held else 0)
        store = Store.open(dense)
        ids_B = IDS_N[[place for place, _ in picks]]
        view_B = torch.tensor([view for _, view in picks], dtype=torch.int64)
        lengths = [length_of(i, int(v)) for i, v in zip(ids_B, view_B)]
        assert store.lengths(ids_B, view_B).tolist() == lengths
        longest = max(lengths, default=0)
        for length in (None, longest + spare):
            got_BLC = store.gather(ids_B, view_B, length).logits
            assert got_BLC.shape == (len(picks), longest if length is None else length, CLASSES)
            assert got_BLC.isfinite().all()
            for got_LC, i, v in zip(got_BLC, ids_B, view_B):
                said_LC = logits_of(i, int(v))
                centred_LC = said_LC - said_LC.mean(1, keepdim=True)
                torch.testing.assert_close(got_LC[: len(said_LC)], centred_LC, atol=2**-9, rtol=0)


@pytest.mark.usefixtures("know_best")
def test_a_codec_of_several_columns_is_told_each_row_and_keeps_its_kind(tmp_path, way):
    store = make(tmp_path / "store", Best())
    ids_B, view_B = IDS_N[[3, 0, 9]], torch.tensor([1, 0, 1])
    answer = store.gather(ids_B, view_B)
    assert isinstance(answer, TopK)
    for b, (example_id, view) in enumerate(zip(ids_B.tolist(), view_B.tolist())):
        said_LC = logits_of(example_id, view)
        length = len(said_LC)
        assert torch.equal(answer.logits[b, :length], said_LC.topk(2).values)
        assert torch.equal(answer.ids[b, :length], said_LC.topk(2).indices)
        assert answer.log_rest[b, :length, 0].tolist() == [example_id * 1000 + view * 100 + p for p in range(length)]
    with pytest.raises(BadInput, match="the codec: best there, dense here"):
        make(tmp_path / "store", Dense())
    with pytest.raises(BadInput, match="cannot be averaged"):
        StoredTeacher(store, average=True)


def test_a_shard_has_one_row_an_example_and_offsets_inside(dense):
    (file,) = dense.glob("ids-*/view-0001/block-00000.arrow")
    with pa.memory_map(str(file)) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.schema.field("logits").type == pa.large_list(pa.list_(pa.float16(), CLASSES))
    assert [len(row) for row in table["logits"].to_pylist()] == [length_of(i, 1) for i in sorted(IDS_N.tolist())[:4]]
    assert verify(dense) == []


def test_bytes_do_not_depend_on_batches_or_on_merging(dense, tmp_path):
    def contents(path):
        return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}

    make(tmp_path / "other", batch_size=100)
    merge([dense, tmp_path / "other"], tmp_path / "merged")
    assert contents(tmp_path / "other") == contents(dense) == contents(tmp_path / "merged")


@pytest.mark.parametrize("rows", [1, 3, 4, 7, 100])
@pytest.mark.parametrize("block_size", [4, 9])
def test_the_codec_is_measured_on_the_way_as_it_is_afterwards(tmp_path, monkeypatch, rows, block_size):
    monkeypatch.setattr("limbeck.targets.teacher_pass.ERROR_SAMPLE", rows)
    asked = []

    def counting(index_B, view):
        asked.extend((i, view) for i in index_B.tolist())
        return ask(index_B, view)

    path, batch = tmp_path / "store", {"block_size": block_size, "batch_size": 2, "ragged": True}
    cast(path, IDENTITY, IDS_N, VIEWS, counting, **batch)
    assert sorted(asked) == [(i, view) for i in range(N) for view in range(VIEWS)]  # nothing twice
    uninterrupted = (path / "manifest.json").read_bytes()
    in_block = [length_of(i, 0) for i in IDS_N.sort().values[:block_size]]
    assert json.loads(uninterrupted)["codec"]["error"]["n"] == min(rows, sum(in_block))
    for name in ("seal.json", "manifest.json"):
        (path / name).unlink()
    asked.clear()
    cast(path, IDENTITY, IDS_N, VIEWS, counting, **batch)
    assert 0 < len(asked) <= min(block_size, rows + 1)  # the sample again, and no more of it than is needed
    assert (path / "manifest.json").read_bytes() == uninterrupted


def test_a_stored_teacher_pads_to_the_mask(dense, way):
    store = Store.open(dense)
    ids_B, view_B = IDS_N[:4], torch.zeros(4, dtype=torch.int64)
    longest = int(store.lengths(ids_B, view_B).max())
    for width in (longest, longest + 3):
        mask_BL = torch.arange(width) < store.lengths(ids_B, view_B)[:, None]
        answer = StoredTeacher(store)(Batch(ids_B, view_B, None, mask=mask_BL), Needs()).get(DenseLogits)
        assert answer.logits.shape == (4, width, CLASSES)
    with pytest.raises(BadInput, match=f"up to {longest} positions, and the batch has {longest - 1}"):
        store.gather(ids_B, view_B, longest - 1)


def test_an_answer_of_the_wrong_shape_is_refused(tmp_path):
    with pytest.raises(BadInput, match="one answer for each example, where a sequence of them belongs"):
        cast(tmp_path / "a", IDENTITY, IDS_N, 1, lambda index_B, view: torch.zeros(len(index_B), CLASSES), ragged=True)
    with pytest.raises(BadInput, match="a sequence of answers for each example, where one answer belongs"):
        cast(tmp_path / "b", IDENTITY, IDS_N, 1, ask)

    def short(index_B, view):
        return RaggedLogits(torch.zeros(5, CLASSES), torch.ones(len(index_B), dtype=torch.int64))

    with pytest.raises(BadInput, match=r"17 positions in all, with a tensor of shape \(5, 6\)"):
        cast(tmp_path / "c", IDENTITY, IDS_N, 1, short, ragged=True)
