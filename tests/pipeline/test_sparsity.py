"""A student most of whose weights are zero: which, that they stay so in all that comes after, and what its files take compressed."""

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import load_file
from torch import nn

from limbeck.deploy import costs
from limbeck.deploy.formats import cost
from limbeck.deploy.latency import compare_latency, in_turns
from limbeck.errors import BadInput, LimbeckError
from limbeck.models.fake_quantization import fake_quantised
from limbeck.models.sparsity import set_to_zero, zeros_held, zeros_in
from limbeck.pipeline import plan, sparse
from limbeck.pipeline import run as pipeline
from limbeck.searching.space import space_of
from tests.helpers.runs import killed
from tests.helpers.tiny import digest, job, recipe, snapshot, train, train_and_die

DENSE = ("baseline.label_smoothing=0", "export.agreement=0.5", "train.ema=0.5", "train.keep=best")
SHARE = 0.75
SPARSE = (*DENSE, f"sparsity.share={SHARE}", "sparsity.epochs=2")
FORMATS = "export.formats=[onnx, onnx-int8]"


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that is trained, without a zero."""
    out = tmp_path_factory.mktemp("dense") / "run"
    train(job(out, *DENSE))
    return out


@pytest.fixture(scope="module")
def ran(dense: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it that went on to the end; how long a measurement takes is no claim here."""
    out = Path(shutil.copytree(dense, tmp_path_factory.mktemp("sparse") / "run"))
    with pytest.MonkeyPatch.context() as patch:
        for module in (costs, sparse):
            patch.setattr(module, "compare_latency", functools.partial(compare_latency, seconds=0.1))
        patch.setattr(cost, "in_turns", functools.partial(in_turns, seconds=0.1))
        pipeline.run(recipe(*SPARSE, FORMATS), out=out, threads=1)
    return out


def stages_of(out: Path, name: str) -> dict[bool, Path]:
    """The two stages of an arm, by whether they are sparse."""
    found = list((out / "stages" / name).iterdir())
    return {"sparsity" in json.loads((one / "ingredients.json").read_text()): one for one in found}


def weights_in(folder: Path) -> torch.Tensor:
    state = load_file(folder / "model.safetensors")
    return torch.cat([value.flatten() for value in state.values() if value.ndim > 1])


def weights_of_file(path: Path) -> np.ndarray:
    kept = [one for one in onnx.load(str(path)).graph.initializer if len(one.dims) > 1]
    return np.concatenate([numpy_helper.to_array(one).ravel() for one in kept])


def test_what_was_asked_is_zero_in_the_weights_and_in_every_file(dense: Path, ran: Path) -> None:
    for name in ("student", "baseline"):
        before, after = (weights_in(stages_of(ran, name)[is_sparse]) for is_sparse in (False, True))
        assert (before == 0).sum() == 0
        assert int((after == 0).sum()) == round(SHARE * len(after))
        kept = after != 0
        assert (after[kept] != before[kept]).float().mean() > 0.9  # they went on learning
    told = snapshot(dense / "stages" / "student")
    assert {name: value for name, value in snapshot(ran / "stages" / "student").items() if name in told} == told
    found = json.loads((ran / "results.json").read_text())["sparsity"]
    assert (found["zeros"], found["weights"]) == (int((after == 0).sum()), len(after))
    assert found["reached"] is True
    files = {"onnx": ran / "student.onnx", "onnx-int8": ran / "student.int8.onnx"}
    for name, path in files.items():
        share = float((weights_of_file(path) == 0).mean())
        assert share >= SHARE - 1e-3
        assert found["files"][name]["zeros"] == pytest.approx(share)
        assert found["files"][name]["bytes"] == path.stat().st_size
    assert found["dense"]["zeros"] == 0
    for by in ("gzip", "zstd"):
        assert found["files"]["onnx"][by] < 0.8 * found["dense"][by]
        assert found["files"]["onnx-int8"][by] < 0.8 * found["files"]["onnx-int8"]["bytes"]
    assert 0.5 < found["time_over_dense"]["ratio"] < 2
    documented = (Path(__file__).parents[2] / "docs" / "results-schema.md").read_text()
    assert all(f"`{field}`" in documented for field in (*found, *found["files"]["onnx"]))
    page = (ran / "report.html").read_text()
    assert "What do its zeros save?" in page
    assert "then went on for 2 epochs" in page
    rows = {one.name: one.state for one in plan.plan(recipe(*SPARSE, FORMATS), ran)}
    assert set(rows.values()) == {"finished"}
    other = plan.plan(recipe(*SPARSE, FORMATS, "sparsity.share=0.5"), ran)
    assert {one.name: one.state for one in other} == rows | dict.fromkeys(
        ("student", "baseline", "evaluate", "export", "formats", "report"), "to do"
    )


def test_killed_with_its_zeros_it_ends_the_same(dense: Path, ran: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(dense, tmp_path / "run"))
    assert killed(train_and_die, out, SPARSE, "student")
    here = stages_of(out, "student")[True]
    assert (here / "checkpoint.pt").exists()
    assert not (here / "done.json").exists()
    train(job(out, *SPARSE))
    assert digest(here / "model.safetensors") == digest(stages_of(ran, "student")[True] / "model.safetensors")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 5), nn.Embedding(4, 2))


def test_the_weights_that_go_are_those_of_the_smallest_score_by_a_plain_loop() -> None:
    model, share = network(), 0.6
    scores: list[tuple[float, str, int]] = []
    for name, one in network().named_parameters():
        if one.ndim > 1:
            squares = [float(value) ** 2 for value in one.detach().flatten()]
            for place, value in enumerate(squares):
                scores.append((value / sum(other for other in squares if other >= value), name, place))
    gone = {(name, place) for _, name, place in sorted(scores)[: round(share * len(scores))]}
    set_to_zero(model, share)
    found = {
        (name, place)
        for name, one in model.named_parameters()
        for place, value in enumerate(one.flatten())
        if one.ndim > 1 and value == 0
    }
    assert found == gone


def test_zeros_stay_while_weights_are_rounded_and_a_weight_that_moves_is_told() -> None:
    model = set_to_zero(network()[:3], 0.5)  # type: ignore[index]
    before = {name: value == 0 for name, value in model.state_dict().items() if value.ndim > 1}
    images = torch.rand(8, 1, 4, 4)
    with (
        fake_quantised(model, levels=7, activations="dynamic", calibrate=lambda: None),
        zeros_held(model),
    ):
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(images).square().sum().backward()
            optimizer.step()
    assert {name: value == 0 for name, value in model.state_dict().items() if value.ndim > 1}.keys() == before.keys()
    assert all(bool((model.state_dict()[name][zero] == 0).all()) for name, zero in before.items())
    assert zeros_in(model)[0] == sum(int(zero.sum()) for zero in before.values())
    with pytest.raises(LimbeckError, match="were to stay zero"), zeros_held(model):
        nn.init.ones_(model[0].weight)  # type: ignore[index]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("sparsity.share=1", "sparsity.share: 1 was given; it must be less than 1"),
        ("sparsity.share=0", "sparsity.share: 0 was given; it must be greater than 0"),
        ("sparsity.epochs=0", "sparsity.epochs: 0 was given; it must be greater than 0"),
        ("sparsity=0.8", "sparsity"),
    ],
)
def test_what_cannot_be_is_said(given: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        recipe(given)


def test_layers_are_not_left_without_a_weight_and_a_search_says_that_it_cannot_tell(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"sparsity.share: 0.9999 of the student's"):  # before anything is trained
        job(tmp_path / "run", "sparsity.share=0.9999")
    with pytest.raises(BadInput, match=r"each of its 3 layers needs one that is not: give 0.968 at most"):
        set_to_zero(network(), 0.99)
    set_to_zero(made := network(), 0.96)
    assert all(bool((one != 0).any()) for one in made.parameters())
    with pytest.raises(BadInput, match="--set sparsity=null"):
        space_of(recipe(*SPARSE))


def test_a_recipe_without_it_is_as_it_was() -> None:
    plain: dict[str, Any] = recipe().model_dump(mode="json")
    assert "sparsity" not in plain
    assert recipe("sparsity={}").model_dump(mode="json")["sparsity"] == {"share": 0.5, "epochs": 5}
