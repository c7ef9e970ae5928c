"""Whatever is wrong with a store is found and named."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.targets.store.manifest import Seal, read_seal, write_seal
from limbeck.targets.store.store import Store, verify
from tests.helpers.stores import contents, logits_of, make, shard_file, shuffled_ids


@pytest.fixture
def copy(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "copy"))


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
