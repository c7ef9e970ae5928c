"""A store that is not held answers from its files, whichever they are, in whatever order, from any thread or process."""

import copy
import gc
import multiprocessing
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.interfaces import RaggedLogits
from limbeck.targets.cast import cast, extend
from limbeck.targets.codecs import Dense, Int8, TopKCodec
from limbeck.targets.store import mapped_files as mapped
from limbeck.targets.store import store as store_module
from limbeck.targets.store.store import Store

CLASSES = 6
IDS_N = torch.arange(40).flip(0) * 577 - 999
IDENTITY = {
    "classes": CLASSES,
    "data": "d",
    "teacher": {"weights": "w", "probe": [1.0]},
    "preprocess": None,
    "precision": "float32",
    "views": {},
    "view_seed": 0,
}
MAPS = Path("/proc/self/maps")


def teacher(ids_N, ragged):
    def ask(index_B, view):
        length_B = (ids_N[index_B] * 7 + view * 3) % 5 if ragged else torch.ones_like(index_B)  # some are empty
        seed_P = (ids_N[index_B] + 1000 * view).repeat_interleave(length_B)
        place_P = torch.cat([torch.arange(int(n)) for n in length_B]) if len(length_B) else length_B
        logits_PC = torch.sin(seed_P[:, None] + (place_P[:, None] + 1.7) * torch.arange(1, CLASSES + 1)).float() * 3
        return RaggedLogits(logits_PC, length_B) if ragged else logits_PC

    return ask


def make(path, examples=40, views=3, ragged=False, codec=None, block_size=4):
    ids_N = IDS_N[:examples]
    options = {"codec": codec, "block_size": block_size, "ragged": ragged}
    return cast(path, IDENTITY, ids_N, views, teacher(ids_N, ragged), **options)


def everything(store):
    """{(id, view): {column: rows}}, from every file of the store, one by one."""
    found = {}
    for segment in store.segments:
        for view in segment.views:
            files = sorted(store.path.glob(f"ids-{segment.digest[:16]}/view-{view:04d}/*.arrow"))
            rows = [row for file in files for row in pa.ipc.open_file(file.read_bytes()).read_all().to_pylist()]
            found |= {(int(i), view): row for i, row in zip(segment.ids, rows, strict=True)}
    return found


def told(store, pairs):
    """The same of some answers, as the store gives them."""
    ids_B, view_B = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    answers = store.encoded(ids_B, view_B)
    columns = {name: column.numpy().tolist() for name, column in answers.columns.items()}
    if answers.length_B is None:
        return [{name: rows[i] for name, rows in columns.items()} for i in range(len(pairs))]
    ends = [slice(s, s + n) for s, n in zip(answers.start_B.tolist(), answers.length_B.tolist(), strict=True)]
    assert store.lengths(ids_B, view_B).tolist() == answers.length_B.tolist()
    return [{name: rows[here] for name, rows in columns.items()} for here in ends]


@pytest.fixture
def not_held(monkeypatch):
    monkeypatch.setattr(store_module, "HOLD_BELOW_BYTES", 0)


@settings(max_examples=25, deadline=None)
@given(
    ragged=st.booleans(),
    codec=st.sampled_from([Dense(), Int8(), TopKCodec(k=3)]),
    block_size=st.sampled_from([1, 3, 4, 64]),
    first=st.tuples(st.integers(1, 20), st.integers(1, 3)),
    grown=st.lists(st.tuples(st.sets(st.integers(0, 39), min_size=1), st.integers(1, 4)), max_size=2),
    at_most=st.sampled_from([1, 5, mapped.OPEN_AT_MOST]),
    data=st.data(),
)
def test_any_batch_is_what_the_files_say(tmp_path_factory, ragged, codec, block_size, first, grown, at_most, data):
    path = tmp_path_factory.mktemp("mapped") / "store"
    make(path, *first, ragged=ragged, codec=codec, block_size=block_size)
    for places, views in grown:
        ids_N = IDS_N[sorted(places)]
        extend(path, ids_N, views, teacher(ids_N, ragged))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "HOLD_BELOW_BYTES", 0)
        patch.setattr(mapped, "OPEN_AT_MOST", at_most)
        store = Store.open(path)
        said = everything(store)
        for _ in range(3):
            pairs = data.draw(st.lists(st.sampled_from(sorted(said)), max_size=30))
            assert told(store, pairs) == [said[pair] for pair in pairs]
        assert told(store, sorted(said)) == [said[pair] for pair in sorted(said)]


@pytest.mark.usefixtures("not_held")
@pytest.mark.parametrize("at_most", [7, mapped.OPEN_AT_MOST])
@pytest.mark.parametrize("ragged", [False, True])
def test_threads_that_touch_the_same_files_first_all_read_what_they_say(tmp_path, monkeypatch, ragged, at_most):
    monkeypatch.setattr(mapped, "OPEN_AT_MOST", at_most)
    make(tmp_path / "store", ragged=ragged, block_size=1)
    said = everything(Store.open(tmp_path / "store"))
    pairs = sorted(said)
    for turn in range(4):
        store, start = Store.open(tmp_path / "store"), threading.Barrier(4)

        def read(seed, store=store, start=start):
            order = np.random.default_rng(seed).permutation(len(pairs))
            start.wait()
            return all(
                told(store, [pairs[i] for i in part]) == [said[pairs[i]] for i in part] for part in np.split(order, 20)
            )

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(read, range(4 * turn, 4 * turn + 4)))


@pytest.mark.usefixtures("not_held")
def test_a_file_damaged_after_opening_is_named_when_it_is_asked_and_read_once_it_is_repaired(tmp_path):
    make(tmp_path / "store")
    store = Store.open(tmp_path / "store")
    said, ids = everything(store), store.ids.tolist()
    (file,) = store.path.glob("ids-*/view-0001/block-00002.arrow")
    whole = file.read_bytes()
    for damage in (b"", whole[:-20], b"\xff" * len(whole), whole * 500):
        file.unlink()  # what others have mapped stays
        file.write_bytes(damage)
        assert told(store, [(ids[0], 1), (ids[8], 0)]) == [said[ids[0], 1], said[ids[8], 0]]
        with pytest.raises(BadInput, match=f"{file} cannot be read as soft targets"):
            told(store, [(ids[20], 2), (ids[8], 1)])
    file.unlink()
    with pytest.raises(BadInput, match=f"{file} cannot be read as soft targets: .*No such file"):
        told(store, [(ids[8], 1)])
    file.write_bytes(whole)
    assert told(store, list(said)) == list(said.values())


@pytest.mark.usefixtures("not_held")
def test_a_file_that_must_be_unpacked_is_refused(tmp_path):
    make(tmp_path / "store", block_size=64)
    store = Store.open(tmp_path / "store")
    (file,) = store.path.glob("ids-*/view-0000/*.arrow")
    table = pa.ipc.open_file(file.read_bytes()).read_all()
    with pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    with pytest.raises(BadInput, match="its values do not lie in it"):
        told(store, [(int(store.ids[0]), 0)])


@pytest.mark.usefixtures("not_held")
def test_a_copy_and_another_process_read_for_themselves(tmp_path):
    store = make(tmp_path / "store")
    said = everything(store)
    pairs = sorted(said)
    assert told(store, pairs[:50]) == [said[pair] for pair in pairs[:50]]
    for other in (copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        assert told(other, pairs) == [said[pair] for pair in pairs]

    def ask(queue):
        queue.put(told(store, pairs) == [said[pair] for pair in pairs])

    fork = multiprocessing.get_context("fork")
    stop = threading.Event()

    def go_on_mapping():
        while not stop.is_set():
            told(Store.open(store.path), pairs)

    busy = threading.Thread(target=go_on_mapping)
    busy.start()
    try:
        for _ in range(5):
            queue = fork.SimpleQueue()
            child = fork.Process(target=ask, args=(queue,))
            child.start()
            child.join(20)
            assert child.exitcode == 0
            assert queue.get()
    finally:
        stop.set()
        busy.join()


@pytest.mark.skipif(not MAPS.exists(), reason="asks Linux what is mapped")
@pytest.mark.usefixtures("not_held")
def test_files_are_mapped_when_first_asked_for_and_let_go_with_the_store(tmp_path):
    make(tmp_path / "store")
    gc.collect()
    store = Store.open(tmp_path / "store")

    def mapped_files():
        return {Path(line.split()[-1]).name for line in MAPS.read_text().splitlines() if "/view-0001/" in line}

    assert mapped_files() == set()
    answers = store.encoded(torch.from_numpy(store.ids[[0, 1, 39]]), torch.ones(3, dtype=torch.int64))
    assert mapped_files() == {"block-00000.arrow", "block-00009.arrow"}
    del store
    gc.collect()
    assert mapped_files() == set()
    assert answers.columns["logits"].isfinite().all()  # they are copies
