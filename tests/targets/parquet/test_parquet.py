"""A store as Parquet and back, and stores of Parquet that was made elsewhere."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from limbeck.errors import BadInput
from limbeck.objectives.modules import KD, ReverseKL
from limbeck.targets.codecs import Dense, Int8, SampleCodec, TopKCodec
from limbeck.targets.convert import convert
from limbeck.targets.impossible import cannot_learn_from_minus_infinity, first_impossible
from limbeck.targets.parquet import rows as parquet_read
from limbeck.targets.parquet.export import export
from limbeck.targets.parquet.load import import_parquet
from limbeck.targets.store.as_logits import gathered
from limbeck.targets.store.merge import merge
from limbeck.targets.store.store import Store, verify
from limbeck.vision.sections import Views
from tests.helpers.answers_of_digits import CLASSES, VIEWS, Digits, N, contents

DIGITS = Digits()
MANY = Digits(classes=1000)  # ids of 10 bits, and more classes than a sample has room for


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("parquet") / "store"
    DIGITS.cast(path)
    return path


def elsewhere(path, *, rows=None, **changes):
    """What another program would write: ids and float64 logits in lists, the rows in some order."""
    logits = DIGITS.ask(torch.arange(N), 0).double().numpy()
    columns = {"id": pa.array(DIGITS.ids.numpy()), "logits": pa.array(list(logits)), **changes}
    table = pa.table({name: column for name, column in columns.items() if column is not None})
    pq.write_table(table if rows is None else table.take(rows), path, row_group_size=40)
    return path


def logits_in(store, view=0):
    return gathered(store, DIGITS.ids, view).logits


@pytest.mark.parametrize("out", ["one.parquet", "several"])
def test_a_round_trip_gives_the_same_bytes(whole, tmp_path, out):
    files = export(whole, tmp_path / out)
    assert len(files) == (1 if out == "one.parquet" else VIEWS)
    again = import_parquet(tmp_path / out, tmp_path / "again")
    assert contents(again.path) == contents(whole)


@pytest.mark.parametrize("out", ["one.parquet", "several"])
@pytest.mark.parametrize("ragged", [False, True], ids=["single", "sequences"])
@pytest.mark.parametrize(
    ("codec", "asked"),
    [
        (Dense(), DIGITS),
        (Int8(), DIGITS),
        (TopKCodec(3), DIGITS),
        (TopKCodec(3), MANY),
        (SampleCodec(width=4), DIGITS),
        (SampleCodec(proposal=2.0), DIGITS),
        (SampleCodec(proposal=2.0), MANY),
    ],
    ids=lambda one: one.classes if isinstance(one, Digits) else one.name,
)
def test_every_codec_comes_back_from_a_store_that_grew(tmp_path, codec, asked, ragged, out):
    store = asked.grown(tmp_path / "store", ragged=ragged, codec=codec)
    export(store.path, tmp_path / out)
    assert contents(import_parquet(tmp_path / out, tmp_path / "again").path) == contents(store.path)


@pytest.mark.parametrize("by", [1 << 10, -(1 << 10), 1])
def test_ids_that_were_changed_are_refused_even_where_their_bits_are_the_same(tmp_path, by):
    export(MANY.cast(tmp_path / "store", codec=TopKCodec(3)).path, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    ids = table["ids"].to_pylist()
    ids[5][1] += by
    at = table.schema.get_field_index("ids")
    table = table.set_column(at, table.schema.field(at), pa.array(ids, table.schema.field(at).type))
    pq.write_table(table, tmp_path / "b.parquet")
    with pytest.raises(BadInput, match="not those that were exported"):
        import_parquet(tmp_path / "b.parquet", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_an_export_of_another_versions_layout_is_refused(whole, tmp_path):
    export(whole, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    metadata = dict(table.schema.metadata)
    plan = json.loads(metadata[b"limbeck.plan"])
    metadata[b"limbeck.plan"] = json.dumps({**plan, "targets_version": 1}).encode()
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "b.parquet")
    with pytest.raises(BadInput, match="targets_version 1, and this version of limbeck reads 2"):
        import_parquet(tmp_path / "b.parquet", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_sequence_is_a_row_for_each_position(tmp_path):
    store = DIGITS.grown(tmp_path / "store", ragged=True, codec=TopKCodec(3))
    export(store.path, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["id", "view", "position", "segment", "ids", "logits", "log_rest"]
    index = 7  # of three positions and more
    id_ = int(DIGITS.ids[index])
    of = table.filter((pc.field("id") == id_) & (pc.field("view") == 1))
    wanted = DIGITS.ask_sequences(torch.tensor([index]), 1).logits.topk(3)
    assert of["position"].to_pylist() == [0, 1, 2]
    assert of["ids"].to_pylist() == wanted.indices.tolist()
    below = wanted.values - wanted.values[:, :1]
    torch.testing.assert_close(torch.tensor(of["logits"].to_pylist()), below, atol=0.03, rtol=0)


def test_sequences_from_elsewhere_are_refused(tmp_path):
    export(DIGITS.grown(tmp_path / "store", ragged=True).path, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    pq.write_table(table.replace_schema_metadata(None), tmp_path / "b.parquet")
    with pytest.raises(BadInput, match="answers for each position of a sequence can be imported only"):
        import_parquet(tmp_path / "b.parquet", tmp_path / "b")
    pq.write_table(table.slice(1), tmp_path / "c.parquet")
    with pytest.raises(BadInput, match="not those that were exported"):
        import_parquet(tmp_path / "c.parquet", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_an_export_is_plain_parquet(whole, tmp_path):
    export(whole, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.field("logits").type == pa.list_(pa.field("element", pa.float16(), nullable=False), CLASSES)
    row = {name: table[name][200].as_py() for name in table.column_names}
    expected = gathered(Store.open(whole), torch.tensor([row["id"]]), row["view"]).logits[0]
    assert row["view"] == 1
    np.testing.assert_array_equal(np.array(row["logits"], np.float32), expected.numpy())


def test_rows_in_another_order_and_other_row_groups_are_the_same_store(whole, tmp_path, monkeypatch):
    export(whole, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    pq.write_table(shuffled, tmp_path / "b.parquet", row_group_size=7)
    monkeypatch.setattr(parquet_read, "_VALUES_AT_ONCE", 50)  # five rows at a time
    assert contents(import_parquet(tmp_path / "b.parquet", tmp_path / "b").path) == contents(whole)


def test_an_export_that_was_changed_is_refused_unless_its_description_is_taken_off(whole, tmp_path):
    export(whole, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    logits = np.array(table["logits"].to_pylist(), np.float16)
    logits[3, 4] += 1
    array = pa.FixedSizeListArray.from_arrays(pa.array(logits.reshape(-1)), type=table.schema.field("logits").type)
    changed = table.set_column(2, table.schema.field("logits"), array)
    pq.write_table(changed, tmp_path / "b.parquet")
    with pytest.raises(BadInput, match="not those that were exported"):
        import_parquet(tmp_path / "b.parquet", tmp_path / "b")
    assert not (tmp_path / "b").exists()
    pq.write_table(changed.replace_schema_metadata(None), tmp_path / "c.parquet")
    views = Views(shift=0.1).model_dump(mode="json")
    assert import_parquet(tmp_path / "c.parquet", tmp_path / "c", views=views).views == VIEWS


def test_an_interrupted_import_is_finished_by_the_same_call(whole, tmp_path):
    export(whole, tmp_path / "a.parquet")

    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_parquet(tmp_path / "a.parquet", tmp_path / "b", progress=stop)
    assert verify(tmp_path / "b")
    assert contents(import_parquet(tmp_path / "a.parquet", tmp_path / "b").path) == contents(whole)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), CLASSES)], ids=str
)
def test_targets_made_elsewhere_are_answered(tmp_path, kind):
    order = np.random.default_rng(1).permutation(N)
    logits = DIGITS.ask(torch.arange(N), 0)
    file = elsewhere(tmp_path / "a.parquet", rows=order, logits=pa.array(list(logits.double().numpy())).cast(kind))
    unvaried = Views().model_dump(mode="json")
    store = import_parquet(file, tmp_path / "store", unvaried=unvaried)
    # float16 of centred logits of at most 16: half a unit in the last place is 2**-7
    torch.testing.assert_close(logits_in(store), logits - logits.mean(1, keepdim=True), atol=2**-7, rtol=0)
    assert store.manifest["teacher"]["weights"].startswith("imported, SHA-256")
    assert store.manifest["views"] == unvaried
    again = import_parquet(file, tmp_path / "store", unvaried=unvaried)
    assert contents(again.path) == contents(store.path)


def views_of(values):
    return pa.array(values, pa.int32())


def lists(change):
    rows = DIGITS.ask(torch.arange(N), 0).tolist()
    change(rows)
    return pa.array(rows)


TWICE = DIGITS.ids.numpy().copy()
TWICE[9] = TWICE[4]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"logits": lists(lambda rows: rows[77].__setitem__(3, float("nan")))}, "row 77, column 'logits' holds nan at place 3"),
        ({"logits": lists(lambda rows: rows[77].__setitem__(3, float("inf")))}, "row 77, column 'logits' holds inf at place 3"),
        ({"logits": lists(lambda rows: rows.__setitem__(5, [-float("inf")] * 10))}, "row 5, column 'logits' holds no finite"),
        ({"logits": lists(lambda rows: rows[61].pop())}, "row 61, column 'logits' holds 9 values, where the first row holds 10"),
        ({"logits": lists(lambda rows: rows.__setitem__(8, None))}, "row 8, column 'logits' is null"),
        ({"logits": lists(lambda rows: rows[8].__setitem__(2, None))}, "row 8, column 'logits' holds a null at place 2"),
        ({"logits": pa.array(["x"] * N)}, "column 'logits' is of type string"),
        ({"logits": None, "scores": pa.array([0.0] * N)}, "no column 'logits', but id, scores"),
        ({"id": pa.array(TWICE)}, "stands in .*row 4 already"),
        ({"id": pa.array([1.5] * N)}, "column 'id' is of type double"),
        ({"view": views_of([0] * (N - 1) + [-1])}, "row 149, column 'view': -1"),
        ({"view": views_of([0] * (N - 1) + [2])}, "has no row for example id"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_by_row_and_column(tmp_path, changes, sentence):
    file = elsewhere(tmp_path / "a.parquet", **changes)
    with pytest.raises(BadInput, match=sentence) as raised:
        import_parquet(file, tmp_path / "store", views=Views().model_dump(mode="json"))
    assert str(file) in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_several_views_need_a_recipe_that_says_how_they_were_made(tmp_path):
    logits = np.concatenate([DIGITS.ask(torch.arange(N), view).numpy() for view in range(2)])
    file = elsewhere(
        tmp_path / "a.parquet",
        id=pa.array(np.tile(DIGITS.ids.numpy(), 2)),
        view=views_of(np.repeat([0, 1], N)),
        logits=pa.array(list(logits)),
    )
    with pytest.raises(BadInput, match="--recipe"):
        import_parquet(file, tmp_path / "store")
    store = import_parquet(file, tmp_path / "store", views=Views(shift=0.1).model_dump(mode="json"), view_seed=7)
    assert (store.views, store.view_seed) == (2, 7)


def test_what_is_no_parquet_or_there_already_is_refused(whole, tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"not at all")
    for source, sentence in ((tmp_path / "a.parquet", "cannot be read as Parquet"), (tmp_path / "b", "no such file")):
        with pytest.raises(BadInput, match=sentence):
            import_parquet(source, tmp_path / "store")
    with pytest.raises(BadInput, match="exists already"):
        export(whole, tmp_path / "a.parquet")
    export(whole, tmp_path / "c.parquet")
    content = (tmp_path / "c.parquet").read_bytes()
    (tmp_path / "d.parquet").write_bytes(content[:4] + bytes(40) + content[44:])  # ids: the first column
    with pytest.raises(BadInput, match=r"d\.parquet, column 'id' cannot be read as int64"):
        import_parquet(tmp_path / "d.parquet", tmp_path / "store")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(BadInput, match="exists already and is not this store"):
        import_parquet(tmp_path / "c.parquet", tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]


# ------------------------------------------------------------------------- what others make of the ids


def softmax64(logits_NC):
    shifted = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def test_probabilities_are_as_good_as_logits(tmp_path):
    shares_NC = softmax64(DIGITS.ask(torch.arange(N), 0).double().numpy())
    shares_NC[0] = np.eye(CLASSES)[3]  # certain: the others are classes that cannot be
    elsewhere(tmp_path / "p.parquet", logits=None, probabilities=pa.array(list(shares_NC)))
    store = import_parquet(tmp_path / "p.parquet", tmp_path / "store")
    found_NC = logits_in(store).double().softmax(1)
    torch.testing.assert_close(found_NC, torch.from_numpy(shares_NC), atol=2e-3, rtol=0)  # float16


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ([0.5, 0.6, *[0.0] * (CLASSES - 2)], "row 2, column 'probabilities': they sum to 1.1"),
        ([-0.5, 1.5, *[0.0] * (CLASSES - 2)], "row 2, column 'probabilities' holds -0.5 at place 0: .* logits"),
        ([np.nan, 1.0, *[0.0] * (CLASSES - 2)], "row 2, column 'probabilities' holds nan at place 0"),
    ],
)
def test_what_are_no_probabilities_is_refused(tmp_path, row, sentence):
    shares_NC = softmax64(DIGITS.ask(torch.arange(N), 0).double().numpy())
    shares_NC[2] = row
    elsewhere(tmp_path / "p.parquet", logits=None, probabilities=pa.array(list(shares_NC)))
    with pytest.raises(BadInput, match=sentence):
        import_parquet(tmp_path / "p.parquet", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_one_answer_may_stand_for_all_views(tmp_path):
    elsewhere(tmp_path / "one.parquet")
    views = Views(shift=0.1).model_dump(mode="json")
    store = import_parquet(tmp_path / "one.parquet", tmp_path / "store", views=views, alike=3)
    assert store.views == 3
    for view in (1, 2):
        assert torch.equal(logits_in(store, view), logits_in(store, 0))


def test_a_folder_that_holds_something_else_is_left_alone(whole, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    elsewhere(tmp_path / "one.parquet")
    for make in (
        lambda out: import_parquet(tmp_path / "one.parquet", out),
        lambda out: convert(whole, out, Int8()),
        lambda out: merge([whole], out),
    ):
        with pytest.raises(BadInput, match=r"no store of soft targets \('thesis.txt'\)"):
            make(tmp_path / "taken")
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(("objective", "able"), [(KD(temperature=2), True), (0.5 * ReverseKL() + KD(), False)])
def test_minus_infinity_is_told_of_objectives_that_cannot_take_it(tmp_path, objective, able):
    logits_NC = DIGITS.ask(torch.arange(N), 0).double().numpy()
    logits_NC[5, 7] = -np.inf
    elsewhere(tmp_path / "one.parquet", logits=pa.array(list(logits_NC)))
    store = import_parquet(tmp_path / "one.parquet", tmp_path / "store")
    assert cannot_learn_from_minus_infinity(objective) == (None if able else "reverse_kl")
    assert first_impossible(store) == (int(DIGITS.ids[5]), 7)
