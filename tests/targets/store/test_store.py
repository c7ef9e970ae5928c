"""The store answers what the teacher said, whatever order it was asked in."""

import json

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.targets.codecs import Dense, Rows, codec_error
from limbeck.targets.store import store as store_module
from limbeck.targets.store.store import Store, inspect
from tests.helpers.stores import CLASSES, VIEWS, N, contents, logits_of, make, shard_file, shuffled_ids


def all_pairs():
    ids_N = shuffled_ids(1)
    return ids_N.repeat(VIEWS), torch.arange(VIEWS).repeat_interleave(N)


def expected_logits(ids_B, view_B):
    return torch.stack([logits_of(i[None], int(v))[0] for i, v in zip(ids_B, view_B)])


# --- what it answers


@pytest.mark.parametrize("held", [True, False], ids=["held in memory", "memory-mapped"])
def test_gather_is_what_the_teacher_said_up_to_a_constant_and_float16(whole, monkeypatch, held):
    if not held:
        monkeypatch.setattr(store_module, "HOLD_BELOW_BYTES", 0)
    ids_B, view_B = all_pairs()
    got_BC = Store.open(whole).gather(ids_B, view_B).logits
    said_BC = expected_logits(ids_B, view_B)
    assert got_BC.dtype == torch.float32
    # float16 keeps 11 bits: half a unit in the last place of the largest centred value, 12
    torch.testing.assert_close(got_BC, said_BC - said_BC.mean(1, keepdim=True), atol=2**-8, rtol=0)


def test_an_empty_gather_is_empty(whole, monkeypatch):
    none = torch.empty(0, dtype=torch.int64)
    assert Store.open(whole).gather(none, none).logits.shape == (0, CLASSES)
    monkeypatch.setattr(store_module, "HOLD_BELOW_BYTES", 0)
    assert Store.open(whole).gather(none, none).logits.shape == (0, CLASSES)


@pytest.mark.parametrize("held", [True, False])
def test_an_unknown_id_or_view_is_refused(whole, monkeypatch, held):
    if not held:
        monkeypatch.setattr(store_module, "HOLD_BELOW_BYTES", 0)
    store = Store.open(whole)
    known = shuffled_ids()[:1]
    for stranger in (-(10**12), -49_999, 10**12):
        with pytest.raises(BadInput, match=f"no soft target for example id {stranger}"):
            store.gather(torch.tensor([int(known), stranger]), torch.tensor([0, 0]))
    for view in (-1, VIEWS):
        with pytest.raises(BadInput, match=f"views 0 to 2 of example id {int(known)}, and view {view}"):
            store.gather(known, torch.tensor([view]))


def test_minus_infinity_survives_and_finite_logits_stay_finite():
    inf = torch.inf
    logits_BC = torch.tensor([[1.0, -inf, 3.0], [3e38, 3e38, 3e38], [1e6, 0.0, -1e6], [7.0, -inf, -inf]])
    rows = Rows(torch.arange(4), 0, torch.zeros(4, dtype=torch.int64))
    got_BC = Dense().decode(Dense().encode(logits_BC, rows), 3).logits
    assert got_BC.tolist() == [[-1, -inf, 1], [0, 0, 0], [65504, 0, -65504], [0, -inf, -inf]]
    assert codec_error(Dense(), logits_BC, rows)["mean_kl"] == 0


def test_the_manifest_states_the_codecs_measured_error(whole):
    codec = json.loads((whole / "manifest.json").read_text())["codec"]
    assert codec["name"] == "dense"
    assert codec["bytes_per_target"] == 2 * CLASSES
    sample_N = shuffled_ids().sort().values[:8]  # the first block
    p = logits_of(sample_N, 0).double().log_softmax(1)
    q = Store.open(whole).gather(sample_N, torch.zeros(8, dtype=torch.int64)).logits.double().log_softmax(1)
    kl = (p.exp() * (p - q)).sum(1)
    assert 0 < codec["error"]["mean_kl"] < 1e-5
    assert codec["error"]["mean_kl"] == pytest.approx(float(kl.mean()), rel=1e-6)
    assert codec["error"]["argmax_agreement"] == 1.0
    assert codec["error"]["n"] == 8


def test_mean_probabilities_are_the_mean_over_views(whole):
    store = Store.open(whole)
    ids_N = torch.from_numpy(store.ids)
    expected = sum(logits_of(ids_N, v).double().softmax(1) for v in range(VIEWS)) / VIEWS
    torch.testing.assert_close(store.mean_probabilities().double().exp(), expected, atol=2e-3, rtol=0)


def test_other_arrow_readers_see_a_plain_table(whole):
    with pa.memory_map(str(shard_file(whole, 1, 0))) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.schema.field("logits").type == pa.list_(pa.float16(), CLASSES)
    assert table.schema.metadata[b"view"] == b"1"
    assert table.num_rows == 8


def test_inspect_says_what_a_person_asks(whole):
    facts = inspect(whole)
    assert (facts["examples"], facts["views"], facts["classes"], facts["codec"]) == (
        N,
        VIEWS,
        CLASSES,
        "dense",
    )
    assert facts["bytes"] == sum(len(content) for content in contents(whole).values())
    assert facts["teacher"] == "a" * 64


# --- what it is made of


@settings(max_examples=8, deadline=None)
@given(order=st.integers(0, 10**6), batch_size=st.integers(1, 40))
def test_bytes_do_not_depend_on_storage_order_or_batch_size(whole, tmp_path_factory, order, batch_size):
    path = tmp_path_factory.mktemp("again") / "store"
    make(path, ids_N=shuffled_ids(order), batch_size=batch_size)
    assert contents(path) == contents(whole)


def test_a_finished_store_is_opened_without_asking(whole):
    def never(index_B, view):
        raise AssertionError("the teacher was asked again")

    before = contents(whole)
    make(whole, ask=never)
    assert contents(whole) == before
