"""Weights survive the way to the file and back, and files that are none are refused."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from limbeck.errors import BadInput
from limbeck.models.identity import digest
from limbeck.models.state_file import read_state
from limbeck.models.weights import load_weights, save_weights
from tests.helpers.networks import made

# Weights


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "pth", "th", "bin"])
def test_weights_survive_the_way_to_the_file_and_back(tmp_path: Path, suffix: str):
    model, path = made("convnet", seed=1).train(), tmp_path / f"weights.{suffix}"
    model(torch.rand(4, 1, 8, 8))
    if suffix == "safetensors":
        save_weights(model.to(memory_format=torch.channels_last), path)  # pyright: ignore[reportCallIssue]
    else:
        torch.save({"epoch": 3, "model": {f"module.{k}": v for k, v in model.state_dict().items()}}, path)
    other = made("convnet", seed=2, weights=str(path))
    assert digest(other) == digest(model)


def test_a_tensor_with_two_names_is_stored_once_and_found_under_both(tmp_path: Path):
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    model[1].weight = model[0].weight
    save_weights(model, tmp_path / "tied.safetensors")
    assert (tmp_path / "tied.safetensors").stat().st_size < 1.5 * 64 * 64 * 4
    assert set(read_state(tmp_path / "tied.safetensors")) == set(model.state_dict())
    other = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    load_weights(other, tmp_path / "tied.safetensors", "teacher")
    assert digest(other) == digest(model)


class Runs:
    """Unpickled, it would leave a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path, legacy: bool):
    path, mark = tmp_path / "teacher.pt", tmp_path / "ran"
    if legacy:
        path.write_bytes(pickle.dumps({"state_dict": Runs(mark)}))
    else:
        torch.save({"state_dict": Runs(mark)}, path)
    with pytest.raises(BadInput, match=r"not loaded.*safetensors"):
        read_state(path)
    assert not mark.exists()


def _fails(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read_state(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_files_that_are_not_whole_are_refused_in_a_sentence(tmp_path: Path):
    assert "does not exist" in _fails(tmp_path / "none.safetensors")
    assert "is a folder" in _fails(tmp_path)
    whole = safetensors.torch.save({"w": torch.zeros(100)})
    chance = random.Random(0)
    torch.save({"w": torch.zeros(100)}, tmp_path / "whole.pt")
    archive = (tmp_path / "whole.pt").read_bytes()
    for length in (0, 5, 40, len(whole) - 1):
        (tmp_path / "cut.safetensors").write_bytes(whole[:length])
        assert "not a whole safetensors file" in _fails(tmp_path / "cut.safetensors")
    for length in (0, 5, 200, len(archive) - 10):
        (tmp_path / "cut.pt").write_bytes(archive[:length])
        _fails(tmp_path / "cut.pt")
    (tmp_path / "noise.pt").write_bytes(chance.randbytes(300))
    _fails(tmp_path / "noise.pt")
    (tmp_path / "weights.onnx").write_bytes(b"")
    assert "neither" in _fails(tmp_path / "weights.onnx")


def test_a_file_that_holds_no_state_dict_is_refused(tmp_path: Path):
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    assert "not a state dict" in _fails(tmp_path / "tensor.pt")
    torch.save({"epoch": 3, "best": 0.5}, tmp_path / "facts.pt")
    assert "'epoch' is a int" in _fails(tmp_path / "facts.pt")


def test_weights_that_do_not_fit_are_named(tmp_path: Path):
    path = tmp_path / "w.safetensors"

    def said(state: dict[str, Tensor]) -> str:
        safetensors.torch.save_file(state, path)
        model = made("convnet", width=8)
        before = digest(model)
        with pytest.raises(BadInput) as caught:
            load_weights(model, path, "teacher")
        assert digest(model) == before
        return str(caught.value)

    state = {k: v.clone() for k, v in made("convnet", width=8).state_dict().items()}
    assert "lacks 'fc.bias'" in said({k: v for k, v in state.items() if k != "fc.bias"})
    assert "has no 'extra'" in said({**state, "extra": torch.zeros(1)})
    assert "(4, 1, 3, 3) in the file and (8, 1, 3, 3)" in said(
        {k: v.clone() for k, v in made("convnet", width=4).state_dict().items()}
    )
    many = SimpleNamespace(classes=100, channels=1, size=8)
    assert "it answers 100 classes where 10 are wanted" in said(
        {k: v.clone() for k, v in made("convnet", many, width=8).state_dict().items()}
    )


def test_weights_from_before_batches_were_counted_still_load(tmp_path: Path):
    model = made("resnet8", seed=1)
    old = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    safetensors.torch.save_file(old, tmp_path / "old.safetensors")
    other = made("resnet8", seed=2, weights=str(tmp_path / "old.safetensors"))
    assert digest(other) == digest(model)
