"""The store answers what the teacher said, and whatever is wrong with it is found and named."""

import json
import multiprocessing
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from limbeck.errors import BadInput, LimbeckError
from limbeck.interfaces import Batch, DenseLogits, Needs
from limbeck.targets import store as store_module
from limbeck.targets.cast import cast
from limbeck.targets.codecs import Dense, Rows, codec_error
from limbeck.targets.live import LiveTeacher
from limbeck.targets.manifest import Seal, read_seal, write_seal
from limbeck.targets.store import Store, inspect, verify
from limbeck.targets.stored import StoredTeacher

CLASSES, VIEWS, N = 5, 3, 23


def identity(**changes):
    return {
        "classes": CLASSES,
        "data": "d" * 16,
        "teacher": {"weights": "a" * 64, "probe": [1.0, -2.0, 3.0]},
        "preprocess": None,
        "precision": "float32",
        "views": {"flip": True, "pad_crop": 4},
        "view_seed": 0,
        **changes,
    }


def logits_of(ids_B, view):
    """A teacher that is a pure function of (id, view), row by row, to the bit."""
    column_C = torch.arange(CLASSES, dtype=torch.float64)
    mixed_BC = (ids_B[:, None].double() * 0.37 + view * 1.7) * (column_C + 1)
    return (torch.sin(mixed_BC) * 6 + 100).float()


def shuffled_ids(seed=0):
    numbers = np.random.default_rng(seed)
    return torch.from_numpy(numbers.permutation(np.arange(N) * 7919 - 50_000))


def make(path, ids_N=None, ask=None, **options):
    ids_N = shuffled_ids() if ids_N is None else ids_N
    ask = ask or (lambda index_B, view: logits_of(ids_N[index_B], view))
    options = {"block_size": 8, "batch_size": 3, **options}
    return cast(path, options.pop("identity", identity()), ids_N, options.pop("views", VIEWS), ask, **options)


def contents(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def shard_file(path, view, block):
    (file,) = path.glob(f"ids-*/view-{view:04d}/block-{block:05d}.arrow")
    return file


def all_pairs():
    ids_N = shuffled_ids(1)
    return ids_N.repeat(VIEWS), torch.arange(VIEWS).repeat_interleave(N)


def expected_logits(ids_B, view_B):
    return torch.stack([logits_of(i[None], int(v))[0] for i, v in zip(ids_B, view_B)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "whole"
    make(path)
    return path


@pytest.fixture
def copy(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "copy"))


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


# --- what is wrong with it


def damaged(path):
    """Problems found by verify; opening and recasting must refuse too, with a sentence."""
    problems = verify(path)
    with pytest.raises(BadInput):
        Store.open(path)
    return problems


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_byte_of_any_file_is_found_and_named(copy, data):
    name = data.draw(st.sampled_from(sorted(n for n, content in contents(copy).items() if content)))
    original = (copy / name).read_bytes()
    offset = data.draw(st.integers(0, len(original) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = bytearray(original)
    changed[offset] ^= flip
    (copy / name).write_bytes(changed)
    assert any(str(copy / name) in problem for problem in damaged(copy))
    (copy / name).write_bytes(original)
    assert verify(copy) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_truncation_or_deletion_is_found_and_named(copy, data):
    name = data.draw(st.sampled_from(sorted(n for n, content in contents(copy).items() if content)))
    original = (copy / name).read_bytes()
    length = data.draw(st.none() | st.integers(0, len(original) - 1))
    if length is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(original[:length])
    assert any(str(copy / name) in problem for problem in damaged(copy))
    (copy / name).write_bytes(original)


def test_swapped_shards_are_found_even_with_their_digests(copy):
    a, b = shard_file(copy, 0, 0).parent, shard_file(copy, 1, 0).parent
    a.rename(copy / "aside")
    b.rename(a)
    (copy / "aside").rename(b)
    problems = damaged(copy)
    assert any("view-0000/block-00000.arrow" in p for p in problems)
    assert any("view-0001/block-00002.arrow" in p for p in problems)


def test_an_edited_manifest_is_found(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["teacher"]["weights"] = "b" * 64
    (copy / "manifest.json").write_text(json.dumps(manifest, indent=2))
    assert any("manifest.json" in problem for problem in damaged(copy))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_reading_a_corrupt_shard_gives_a_sentence_not_a_crash(copy, data):
    """As in a store too large to be verified when it is opened: nothing has checked the shard before."""
    store = Store.open(copy)
    shard = shard_file(copy, 1, 1)
    original = shard.read_bytes()
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(0, 4))):
        changed[data.draw(st.integers(0, len(original) - 1))] = data.draw(st.integers(0, 255))
    changed = changed[: data.draw(st.just(len(original)) | st.integers(0, len(original)))]
    shard.write_bytes(changed)
    ids_B = torch.from_numpy(store.ids)[8:16]
    try:
        said = str(tuple(store.gather(ids_B, torch.ones(8, dtype=torch.int64)).logits.shape))
    except BadInput as error:
        said = str(error)
    assert said == "(8, 5)" or str(shard) in said
    shard.write_bytes(original)


def test_a_damaged_shard_is_asked_again_once_deleted(whole, copy):
    shard = shard_file(copy, 2, 1)
    shard.write_bytes(b"nonsense")
    with pytest.raises(BadInput, match=r"block-00001\.arrow is damaged"):
        make(copy)
    shard.unlink()
    asked = []

    def ask(index_B, view):
        asked.append((view, len(index_B)))
        return logits_of(shuffled_ids()[index_B], view)

    make(copy, ask=ask)
    assert contents(copy) == contents(whole)
    assert asked == [(2, 3), (2, 3), (2, 2), (0, 3), (0, 3), (0, 2)]  # the shard, and the codec's sample


# --- whose it is


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"teacher": {"weights": "b" * 64, "probe": [1.0, -2.0, 3.0]}}, "teacher's weights"),
        ({"teacher": {"weights": "a" * 64, "probe": [1.0, -2.0, 3.5]}}, "answers a probe otherwise"),
        ({"data": "e" * 16}, "the data"),
        ({"views": {"flip": False, "pad_crop": 4}}, "flip is True there, False here"),
        ({"view_seed": 1}, "seed of the views"),
        ({"precision": "bfloat16"}, "precision"),
        ({"preprocess": {"mean": [0.5]}}, "preprocessing"),
        ({"classes": 6}, "number of classes: 5 there, 6 here"),
    ],
)
def test_a_store_of_another_kind_is_refused_and_what_differs_named(whole, changes, named):
    before = contents(whole)
    with pytest.raises(BadInput, match=named):
        Store.open(whole, expect=identity(**changes))
    with pytest.raises(BadInput, match=named):
        make(whole, identity=identity(**changes))
    assert contents(whole) == before


def test_other_examples_views_or_codec_are_refused(whole):
    with pytest.raises(BadInput, match="ids"):
        make(whole, ids_N=shuffled_ids() + 1)
    with pytest.raises(BadInput, match="number of views: 3 there, 4 here"):
        make(whole, views=4)
    with pytest.raises(BadInput, match="codec: dense there, topk here"):
        Store.open(whole, expect={"codec": "topk"})


def test_a_probe_may_differ_by_rounding(whole):
    Store.open(whole, expect=identity(teacher={"weights": "a" * 64, "probe": [1.0001, -2.0, 3.0]}))


def test_no_store_and_an_unfinished_store_say_so(tmp_path):
    with pytest.raises(BadInput, match="no soft targets at"):
        Store.open(tmp_path / "nowhere")

    def stops(index_B, view):
        if view == 1:
            raise KeyboardInterrupt
        return logits_of(shuffled_ids()[index_B], view)

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "store", ask=stops)
    with pytest.raises(BadInput, match="casting has not finished"):
        Store.open(tmp_path / "store")
    with pytest.raises(BadInput, match="teacher's weights"):
        make(tmp_path / "store", identity=identity(teacher={"weights": "b" * 64, "probe": []}))


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


# --- the two teachers


class Task:
    def answer(self, model, batch):
        return model(batch.inputs)


def batch_of(ids_B, view_B, inputs=None):
    return Batch(ids=ids_B, view=view_B, inputs=inputs)


def test_a_stored_teacher_answers_the_view_that_the_epoch_shows(whole):
    teacher = StoredTeacher(Store.open(whole))
    ids_N = shuffled_ids()
    seen = torch.stack([teacher.view_of(ids_N, epoch) for epoch in range(2 * VIEWS)])
    assert torch.equal(seen[:VIEWS].sort(0).values, torch.arange(VIEWS)[:, None].expand(VIEWS, N))
    assert torch.equal(seen[:VIEWS], seen[VIEWS:])
    assert len(seen[0].unique()) == VIEWS  # not all examples show the same view at once
    assert torch.equal(teacher.view_of(ids_N[:4], 1), seen[1, :4])
    answer_BC = teacher(batch_of(ids_N, seen[1]), Needs()).get(DenseLogits).logits
    assert torch.equal(answer_BC, Store.open(whole).gather(ids_N, seen[1]).logits)


def test_an_averaging_teacher_answers_any_view_with_the_mean(whole):
    store = Store.open(whole)
    teacher = StoredTeacher(store, average=True)
    ids_N = shuffled_ids()
    assert teacher.view_of(ids_N, 1000).tolist() == [1000] * N
    answer_BC = teacher(batch_of(ids_N, torch.full((N,), 1000)), Needs()).get(DenseLogits).logits
    mean_BC = sum(logits_of(ids_N, v).softmax(1) for v in range(VIEWS)) / VIEWS
    torch.testing.assert_close(answer_BC.softmax(1), mean_BC, atol=2e-3, rtol=0)
    with pytest.raises(BadInput, match="no soft target for example id 3"):
        teacher(batch_of(torch.tensor([3]), torch.tensor([0])), Needs())


def test_a_live_teacher_never_changes_even_when_set_to_train():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(5))
    images_BCHW = torch.randn(8, 1, 6, 6)
    model.eval()(images_BCHW)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    teacher = LiveTeacher(model, Task())
    ids_B = torch.arange(8)
    first = teacher(batch_of(ids_B, ids_B * 0, images_BCHW), Needs()).get(DenseLogits).logits
    model.train()
    second = teacher(batch_of(ids_B, ids_B * 0, images_BCHW), Needs()).get(DenseLogits).logits
    model[1].train()
    third = teacher(batch_of(ids_B, ids_B * 0, images_BCHW), Needs()).get(DenseLogits).logits
    assert torch.equal(first, second)
    assert torch.equal(first, third)
    assert not first.requires_grad
    student = torch.zeros(8, 5, requires_grad=True)
    (student * first).sum().backward()  # an answer can take part in the student's backward pass
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert teacher.view_of(ids_B, 7).tolist() == [7] * 8


def test_a_seal_that_leaves_a_file_out_is_refused_by_its_name(tmp_path):
    path = make(tmp_path / "store").path
    for name, entry in sorted(read_seal(path).files.items()):
        whole = read_seal(path)
        write_seal(path, Seal({other: one for other, one in whole.files.items() if other != name}))
        with pytest.raises(BadInput, match=re.escape(name)):
            Store.open(path)
        write_seal(path, whole)
        assert read_seal(path).files[name] == entry
    Store.open(path)
