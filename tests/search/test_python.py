"""Claims about a search from Python: over a person's own function and teacher, resumed, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

import limbeck

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


class Big(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def small(width: int, depth: int = 1) -> nn.Module:
    layers = [nn.Linear(64, width), *(nn.Linear(width, width) for _ in range(depth - 1))]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(width, 10))


def digits(count: int = 500) -> tuple[Tensor, Tensor]:
    given: Any = load_digits()
    images = torch.from_numpy(given.images[:count]).float()[:, None] / 16
    return images, torch.from_numpy(given.target[:count])


def taught() -> nn.Module:
    images, labels = digits()
    torch.manual_seed(0)
    model = Big()
    seen = (images - images.mean()) / images.std()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(model(seen), labels).backward()
        optimizer.step()
    return model.eval()


def test_the_very_lines_of_the_page_find_a_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer trials and finalists; called again it finds all of it done."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (code for code in blocks if "limbeck.search(" in code)
    assert code.count("trials=20,") == 1
    code = code.replace("trials=20,", "trials=2, finalists=1,")
    images, labels = digits()
    names: dict[str, Any] = {"limbeck": limbeck, "nn": nn, "my_big_model": taught(), "__name__": "mine"}
    names |= {"images": images, "labels": labels}
    exec(code, names)
    found, results = names["found"], names["found"].results
    tried = results["trials"]["student"]
    assert len(results["trials"]["baseline"]) >= 2
    assert {type(one["values"]["student.depth"]) for one in tried} == {int}
    assert all(one["cost"]["size_kb"] <= 20 for one in tried if one["fate"] == "finished")
    assert set(found.knobs) >= {"width", "depth", "act", "train.learning_rate", "objective"}
    # the module is that of the knobs, with the weights of the run: its answers are those of the exported file
    sizes = [one.out_channels for one in found.student.modules() if isinstance(one, nn.Conv2d)]
    assert sizes == [found.knobs["width"]] * found.knobs["depth"]
    exported = onnxruntime.InferenceSession(found.folder / results["finalists"][0]["folder"] / "student" / "model.onnx")
    seen = found.student.preprocess
    with torch.inference_mode():
        ours = found.student(images[:5])
    said: Any = exported.run(
        None, {exported.get_inputs()[0].name: ((images[:5] - seen.mean[0]) / seen.std[0]).numpy()}
    )[0]
    np.testing.assert_allclose(ours.numpy(), said, atol=1e-4)
    best = found.front[-1]
    assert best["trial"] == results["chosen"]
    assert best["knobs"] == found.knobs
    assert found.page.is_file()
    assert results["finalists"][0]["student"]["metrics"]["accuracy"]["n"] == 1
    written = (found.folder / "search.json").read_bytes()
    exec(code, names)
    assert (found.folder / "search.json").read_bytes() == written
    assert json.loads(written)["command"] is None
    with pytest.raises(limbeck.BadInput, match="another"):  # whose teacher is another: the trials are not of it
        exec(code, names | {"my_big_model": Big()})


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"space": {"widht": [1, 2], "width": 3}}, r"^space: 'widht' is no knob of small, .*Did you mean 'width'\?$"),
        ({"space": {"depth": [1, 2]}}, r"^space: small needs width; give values"),
        ({"space": {"width": [nn.ReLU, nn.SiLU]}}, r"^space: the values of 'width' must be numbers, texts"),
        ({"space": {"width": 4, "teacher": [1, 2]}}, r"^space: 'teacher' is no knob of small"),
        ({"space": {"width": [0.5, 1.5]}}, r"^student: small makes nothing of \{'width': 1.5"),
        ({"student": Big()}, r"^student is of type Big: a search makes many, so give a function"),
        ({"objective": limbeck.KD()}, r"^objective is KD: a search varies its settings, so give them as a recipe does"),
        ({"task": "text-classification"}, r"^task: text-classification is not searched from Python"),
        ({"keep": 1.5}, r"^keep: 1.5 was given; it should be less than or equal to 1"),
        ({"rungs": [0.5, 0.2]}, r"^rungs: rungs must rise"),
        ({"space": {"width": {"low": 8, "high": 4}}}, r"^space: width: low is 8 and high 4: low comes first\.$"),
        ({"budget": {"size_kb": 0}}, r"^budget.size_kb: 0 was given"),
        ({"space": ["width"]}, r"^space is \[\"width\"\]: give it as in space="),
        ({"budget": 40}, r"^budget is 40: give it as in budget="),
        ({"rungs": 0.5}, r"^rungs is 0.5: give it as in rungs="),
        ({"sampler": "grid"}, r"^sampler: 'grid' was given; it should be 'tpe' or 'random'"),
        ({"budget": {"latency": 1}}, r"no cost is called 'latency'.*Did you mean 'latency_ms'\?$"),
    ],
)
def test_what_cannot_be_searched_is_refused(tmp_path: Path, changed: dict[str, Any], sentence: str) -> None:
    given = {"teacher": Big(), "student": small, "space": {"width": [4, 8]}, "train": digits(), "out": tmp_path / "s"}
    with pytest.raises(limbeck.BadInput, match=sentence):
        limbeck.search(**{**given, **changed})
    assert not (tmp_path / "s").exists()
