"""The exported file: dynamic, folded, whole; its metadata; and what cannot be exported."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from limbeck.errors import BadInput, LimbeckError
from limbeck.modalities.image import predict as predicting
from tests.helpers.exported import COLOUR, HOSTILE, export, small_network

# Export


def test_the_batch_is_dynamic_and_batch_norm_is_folded(colour):
    _, path = colour
    session = onnxruntime.InferenceSession(str(path))
    assert [i.name for i in session.get_inputs()] == ["image"]
    assert [o.name for o in session.get_outputs()] == ["logits"]
    for batch in (1, 3, 7):
        answer = session.run(None, {"image": np.zeros((batch, 3, 12, 12), np.float32)})[0]
        assert np.shape(answer) == (batch, len(HOSTILE))
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert "Conv" in operators
    assert not operators & {"BatchNormalization", "Dropout"}


def test_the_file_is_whole_and_tells_nothing_of_this_machine(colour):
    _, path = colour
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # no external data, nothing temporary
    content = path.read_bytes()
    for secret in (b"site-packages", b".py", str(Path.home()).encode() + b"/", b"stack_trace"):
        assert secret not in content


def test_metadata_comes_back_hostile_names_and_all(colour):
    _, path = colour
    metadata = predicting.read_metadata(predicting.open_model(path), path)
    assert metadata == predicting.Metadata(name="tiny", classes=HOSTILE, **COLOUR)
    (entry,) = onnx.load(path).metadata_props
    assert entry.key == "limbeck"
    assert json.loads(entry.value)["limbeck_version"]


def test_a_model_that_cannot_be_exported_is_refused_in_a_sentence(tmp_path):
    class Fickle(nn.Module):
        def forward(self, images_BCHW):
            return images_BCHW.flatten(1)[:, :4] * (1 if images_BCHW.sum() > 0 else 2)

    with pytest.raises(BadInput, match=r"^Fickle cannot be exported to ONNX: .*torch\.export"):
        export(Fickle(), tmp_path, COLOUR)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_export_leaves_no_file_no_noise_and_the_model_as_it_was(tmp_path, capfd):
    model = small_network(3, classes=7).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    with pytest.raises(LimbeckError, match=r"answers 1 image\(s\) with shape \(1, 7\) where \(1, 4\) is right"):
        export(model, tmp_path, COLOUR)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Interrupted(nn.Module):
    """Cannot be exported, for want of what an interrupt kept from being imported."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 12 * 12, len(HOSTILE))

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_exporting():
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                raise AttributeError("module 'torch._dynamo' has no attribute 'exc'") from None
        return self.fc(images_BCHW.flatten(1))


def test_an_interrupt_that_the_exporter_makes_something_else_of_is_one_all_the_same(tmp_path):
    """Else a search would note that the student cannot be, and never try it again."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        export(Interrupted(), tmp_path, COLOUR, "a.onnx")
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "a.onnx").exists()
