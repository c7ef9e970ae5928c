"""A finished store grows by examples and views, stores become one, and a batch may be read ahead: nothing else changes."""

import multiprocessing
import os
import shutil
import signal
import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.interfaces import Batch, DenseLogits, Needs
from limbeck.targets.cast import cast, extend
from limbeck.targets.codecs import TopKCodec
from limbeck.targets.store import shard
from limbeck.targets.store import store as store_module
from limbeck.targets.store.merge import merge
from limbeck.targets.store.store import Store, verify
from limbeck.targets.stored_teacher import StoredTeacher

CLASSES, BLOCK = 4, 4
IDS_N = torch.arange(22).flip(0) * 577 - 999
FORK = multiprocessing.get_context("fork")


def identity(**changes):
    return {
        "classes": CLASSES,
        "data": "d",
        "teacher": {"weights": "w", "probe": [1.0]},
        "preprocess": None,
        "precision": "float32",
        "views": {},
        "view_seed": 0,
        **changes,
    }


def said(ids_B, view):
    return torch.sin((ids_B[:, None] + 100 * view) * (torch.arange(CLASSES) + 1).double()).float() * 4


class Teacher:
    """Says what it was asked."""

    def __init__(self, ids_N):
        self.ids_N, self.asked = ids_N, []

    def __call__(self, index_B, view):
        ids_B = self.ids_N[index_B]
        self.asked += [(i, view) for i in ids_B.tolist()]
        return said(ids_B, view)


def make(path, ids_N=IDS_N, views=2, teacher=None, **options):
    options = {"block_size": BLOCK, "batch_size": 3, **options}
    known = options.pop("identity", identity())
    return cast(path, known, ids_N, views, teacher or Teacher(ids_N), **options)


def contents(path, pattern="*"):
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob(pattern)) if p.is_file()}


def shards(path):
    return contents(path, "*.arrow")


def holds(store, pairs):
    """Whether a store answers exactly these (id, view), each as the teacher did."""
    ids_B, view_B = torch.tensor(sorted(pairs)).T
    got_BC = store.gather(ids_B, view_B).logits
    said_BC = torch.cat([said(i[None], int(v)) for i, v in zip(ids_B, view_B)])
    torch.testing.assert_close(got_BC, said_BC - said_BC.mean(1, keepdim=True), atol=2**-9, rtol=0)
    return store.manifest["targets"] == len(pairs) and verify(store.path) == []


@settings(max_examples=6, deadline=None)
@given(
    grown=st.lists(st.tuples(st.sets(st.integers(0, 21), min_size=1), st.integers(1, 4)), min_size=1, max_size=3),
    held=st.booleans(),
)
def test_growing_asks_what_is_lacking_and_touches_nothing(tmp_path_factory, grown, held):
    path = tmp_path_factory.mktemp("grown") / "store"
    first = IDS_N[:9]
    make(path, first)
    pairs = {(i, v) for i in first.tolist() for v in range(2)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "HOLD_BELOW_BYTES", (1 << 30) if held else 0)
        for places, views in grown:
            ids_N, before, done = IDS_N[sorted(places)], shards(path), []
            teacher = Teacher(ids_N)
            store = extend(path, ids_N, views, teacher, expect=identity(), batch_size=3, progress=done.append)
            wanted = {(i, v) for i in ids_N.tolist() for v in range(views)}
            assert sorted(teacher.asked) == sorted(wanted - pairs)
            assert sum(done) == len(wanted)
            pairs |= wanted
            assert before.items() <= shards(path).items()
            assert holds(store, pairs)
        compact = merge([path], path.with_name("compact"))
        assert holds(compact, pairs)
        for one in (store, compact):
            with pytest.raises(BadInput, match="no soft target for example id 5"):
                one.gather(torch.tensor([5]), torch.tensor([0]))
            example_id, view = max(pairs)
            with pytest.raises(BadInput, match=f"of example id {example_id}, and view {view + 1} was asked for"):
                one.gather(torch.tensor([example_id]), torch.tensor([view + 1]))


def test_more_views_give_the_store_that_was_cast_with_more_views(tmp_path):
    make(tmp_path / "two", views=2)
    make(tmp_path / "five", views=5)
    extend(tmp_path / "two", IDS_N, 5, Teacher(IDS_N))
    assert contents(tmp_path / "two") == contents(tmp_path / "five")


def test_each_example_shows_the_views_that_it_has_and_the_average_is_over_them(tmp_path):
    make(tmp_path / "store", IDS_N[:9], views=2)
    store = extend(tmp_path / "store", IDS_N[9:], 3, Teacher(IDS_N[9:]))
    teacher = StoredTeacher(store)
    seen_VN = torch.stack([teacher.view_of(IDS_N, epoch) for epoch in range(6)])
    assert torch.equal(seen_VN[:2, :9].sort(0).values, torch.arange(2)[:, None].expand(2, 9))
    assert torch.equal(seen_VN[:3, 9:].sort(0).values, torch.arange(3)[:, None].expand(3, 13))
    assert torch.equal(seen_VN[2:4, :9], seen_VN[:2, :9])
    assert len({tuple(column) for column in seen_VN.T.tolist()}) == 5  # every offset occurs
    averaged = StoredTeacher(store, average=True)
    got_NC = averaged(Batch(IDS_N, IDS_N * 0 + 77, None), Needs()).get(DenseLogits).logits.softmax(1)
    for place, views in ((0, 2), (21, 3)):
        mean_C = sum(said(IDS_N[[place]], v).softmax(1)[0] for v in range(views)) / views
        torch.testing.assert_close(got_NC[place], mean_C, atol=2e-3, rtol=0)


def extend_and_die_before_rename(path, number):
    replace, renamed = os.replace, []

    def dying(source, target):
        if len(renamed) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        renamed.append(target)
        replace(source, target)

    os.replace = dying
    extend(path, IDS_N, 2, Teacher(IDS_N))


# ids, then a shard and its digest for each of 2 x 2 blocks, then a seal for both manifests, manifest and seal
@pytest.mark.parametrize("number", [0, 1, 2, 8, 9, 10, 11])
def test_killed_while_it_grows_a_store_is_the_old_or_the_new_one(tmp_path, number):
    path, first = tmp_path / "store", IDS_N[:15]
    make(path, first)
    shutil.copytree(path, tmp_path / "undisturbed")
    extend(tmp_path / "undisturbed", IDS_N, 2, Teacher(IDS_N))
    process = FORK.Process(target=extend_and_die_before_rename, args=(path, number))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert verify(path) == []
    assert len(Store.open(path)) == (22 if number == 11 else 15)
    make(path, IDS_N if number == 11 else first, teacher=None)  # the cast that it came from still finds it finished
    extend(path, IDS_N, 2, Teacher(IDS_N))
    assert contents(path) == contents(tmp_path / "undisturbed")


def test_two_that_extend_at_once_both_get_what_they_want(tmp_path):
    path = tmp_path / "store"
    make(path, IDS_N[:3])

    def slowly(ids_N):
        def ask(index_B, view):
            time.sleep(0.01)
            return said(ids_N[index_B], view)

        return ask

    wanted = [(IDS_N[2:14], 3), (IDS_N[8:], 2), (IDS_N[8:], 2)]
    processes = [FORK.Process(target=extend, args=(path, ids_N, views, slowly(ids_N))) for ids_N, views in wanted]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    pairs = {(i, v) for ids_N, views in [(IDS_N[:3], 2), *wanted] for i in ids_N.tolist() for v in range(views)}
    assert holds(Store.open(path), pairs)


def test_two_writers_share_the_work(tmp_path):
    said_by = multiprocessing.get_context("fork").SimpleQueue()

    def write():
        asked = []

        def ask(index_B, view):
            asked.extend((i, view) for i in IDS_N[index_B].tolist())
            time.sleep(0.02)
            return said(IDS_N[index_B], view)

        make(tmp_path / "store", views=6, teacher=ask, batch_size=BLOCK)
        said_by.put(asked)

    writers = [FORK.Process(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    one, other = said_by.get(), said_by.get()
    sample = [(i, 0) for i in IDS_N.sort().values[:BLOCK].tolist()]  # whoever found it asks again
    assert sorted(one + other) == sorted([(i, v) for i in IDS_N.tolist() for v in range(6)] + sample)
    assert min(len(one), len(other)) > len(sample)
    make(tmp_path / "alone", views=6)
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")


@settings(max_examples=6, deadline=None)
@given(parts=st.lists(st.tuples(st.sets(st.integers(0, 21), min_size=1), st.integers(1, 3)), min_size=2, max_size=3))
def test_a_merged_store_holds_the_union(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("merged")
    pairs, paths = set(), []
    for number, (places, views) in enumerate(parts):
        ids_N = IDS_N[sorted(places)]
        paths.append(make(folder / str(number), ids_N, views, block_size=number + 2).path)
        pairs |= {(i, v) for i in ids_N.tolist() for v in range(views)}
    before = [contents(path) for path in paths]
    assert holds(merge(paths, folder / "merged"), pairs)
    assert [contents(path) for path in paths] == before


def test_merging_halves_gives_the_shards_of_the_whole(tmp_path):
    make(tmp_path / "a", IDS_N[::2])
    make(tmp_path / "b", IDS_N[1:])
    make(tmp_path / "whole")
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")
    assert shards(tmp_path / "merged") == shards(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"teacher": {"weights": "v", "probe": [1.0]}}, "teacher's weights"),
        ({"data": "e"}, "the data"),
        ({"views": {"flip": True}}, "the views differ: flip"),
    ],
)
def test_unlike_stores_are_neither_merged_nor_extended(tmp_path, changes, named):
    make(tmp_path / "a")
    make(tmp_path / "b", identity=identity(**changes))
    with pytest.raises(BadInput, match=named):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    with pytest.raises(BadInput, match=named):
        extend(tmp_path / "a", IDS_N, 3, Teacher(IDS_N), expect=identity(**changes))


def test_stores_that_disagree_are_not_merged_and_the_first_place_is_named(tmp_path):
    odd = int(IDS_N.sort().values[13])

    def otherwise(index_B, view):
        logits_BC = said(IDS_N[index_B], view)
        logits_BC[(IDS_N[index_B] >= odd) & (view == 1), 0] += 0.5
        return logits_BC

    make(tmp_path / "a")
    make(tmp_path / "b", teacher=otherwise)
    with pytest.raises(BadInput, match=rf"/b and .*/a disagree about example id {odd}, view 1"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")


# --- read ahead


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "HOLD_BELOW_BYTES", 0)
    return make(tmp_path / "store", views=3)


def test_reading_ahead_changes_no_answer_and_reads_in_another_thread(mapped, monkeypatch):
    teacher = StoredTeacher(mapped)
    assert teacher.upcoming is not None
    batches = [(IDS_N[k::5], (IDS_N[k::5] + k) % 3) for k in range(5)]
    expected = [mapped.gather(*batch).logits for batch in batches]
    for ahead in (batches, batches[1:], [batches[0], batches[0], *batches[3:]]):  # also stale and doubled ones
        for batch in ahead:
            mapped.prefetch(*batch)
        for batch, logits_BC in zip(batches, expected):
            assert torch.equal(mapped.gather(*batch).logits, logits_BC)
    # what was announced is not read again by who asks
    mapped.prefetch(*batches[0])
    mapped._ahead._thread.submit(int).result()
    monkeypatch.setattr(mapped, "_mapped", None)
    assert torch.equal(mapped.gather(*batches[0]).logits, expected[0])


def test_what_goes_wrong_ahead_is_raised_where_it_is_asked_for(mapped):
    stranger = torch.tensor([5])
    mapped.prefetch(stranger, stranger * 0)
    mapped.prefetch(IDS_N[:2], IDS_N[:2] * 0)
    with pytest.raises(BadInput, match="no soft target for example id 5"):
        mapped.gather(stranger, stranger * 0)
    assert mapped.gather(IDS_N[:2], IDS_N[:2] * 0).logits.shape == (2, CLASSES)


def test_a_held_store_reads_nothing_ahead(tmp_path):
    assert StoredTeacher(make(tmp_path / "store")).upcoming is None


def test_another_codec_setting_is_named(tmp_path):
    make(tmp_path / "store", codec=TopKCodec(2))
    with pytest.raises(BadInput, match="k is 2 there, 3 here"):
        make(tmp_path / "store", codec=TopKCodec(3))


def test_what_goes_wrong_while_a_shard_is_written_ends_the_cast_and_what_is_whole_is_kept(tmp_path, monkeypatch):
    """Shards are written in a thread: its error is the cast's, and nothing stays claimed."""
    write, threads = shard.write_with_digest, set()

    def full(path, content, about):
        threads.add(threading.current_thread().name)
        if path.name == "block-00001.arrow":
            raise BadInput("the disk is full")
        write(path, content, about)

    monkeypatch.setattr(shard, "write_with_digest", full)
    with pytest.raises(BadInput, match="the disk is full"):
        make(tmp_path / "store", views=2)
    assert threads == {"limbeck-writing_0"}
    assert not (tmp_path / "store" / "seal.json").exists()
    assert list((tmp_path / "store").rglob("view-0000/block-00000.arrow"))
    monkeypatch.undo()
    make(tmp_path / "store", views=2)
    make(tmp_path / "alone", views=2)
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")
