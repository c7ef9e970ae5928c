"""Files of ExecuTorch: they answer as PyTorch does, in one delegate, refuse what the runtime would not, and say what they are."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from limbeck.deploy.formats import FORMATS, executorch, xnnpack_constants
from limbeck.deploy.formats.xnnpack import MOST_EXAMPLES, rewritten
from limbeck.deploy.graphs import of_module
from limbeck.errors import BadInput
from limbeck.interfaces import Exportable, Input
from limbeck.interfaces.exportable import BATCH, LENGTH
from limbeck.modalities.image.export import exportable, image_metadata
from limbeck.vision.convnet import ConvNet

pytest.importorskip("executorch")

DIGITS = {"channels": 1, "height": 8, "width": 8, "mean": (0.0,), "std": (1.0,)}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """All images (1797, 1, 8, 8) and their classes."""
    images_N64, labels_N = map(np.asarray, load_digits(return_X_y=True))
    return (images_N64.astype(np.float32) / 8 - 1).reshape(-1, 1, 8, 8), labels_N


@pytest.fixture(scope="module")
def trained() -> Exportable:
    """The digits' student, trained for a moment on half of them."""
    images_NCHW, labels_N = (torch.from_numpy(one[::2]) for one in digits())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ConvNet(10, 1, 8, width=8)
        steps = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(120):
            batch_B = torch.randint(len(images_NCHW), (64,))
            steps.zero_grad()
            nn.functional.cross_entropy(model(images_NCHW[batch_B]), labels_N[batch_B]).backward()
            steps.step()
    return exportable(model.eval(), image_metadata(name="digits", classes=[*"0123456789"], **DIGITS))


@pytest.fixture(scope="module")
def exact(trained: Exportable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("executorch") / "student.pte"
    FORMATS["executorch"].write(trained, path, ())
    return path


def test_a_file_in_float32_answers_as_the_network_does_in_one_delegate(trained: Exportable, exact: Path) -> None:
    images_NCHW, labels_N = digits()
    answer = FORMATS["executorch"].ask(exact)
    for batch in (1, 7, MOST_EXAMPLES):
        (ours_BC,), (theirs_BC,) = (ask({"image": images_NCHW[:batch]}) for ask in (answer, of_module(trained)))
        np.testing.assert_allclose(ours_BC, theirs_BC, rtol=1e-5, atol=1e-4)
    assert (theirs_BC.argmax(1) == labels_N[:MOST_EXAMPLES]).mean() > 0.8  # so that the answers say something
    assert executorch.facts(exact) == {"most_examples": MOST_EXAMPLES, "delegates": 1, "outside": {}}
    assert [one.name for one in exact.parent.iterdir()] == [exact.name]


def test_a_file_in_8_bits_answers_nearly_alike_in_one_delegate(
    trained: Exportable,
    exact: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images_NCHW, _ = digits()
    path = tmp_path / "student.int8.pte"
    FORMATS["executorch-int8"].write(trained, path, [{"image": images_NCHW[:256]}, {"image": images_NCHW[256:512]}])
    (ours_NC,), (theirs_NC,) = (
        ask({"image": images_NCHW[-256:]}) for ask in (FORMATS["executorch-int8"].ask(path), of_module(trained))
    )
    assert (ours_NC.argmax(1) == theirs_NC.argmax(1)).mean() > 0.97
    assert 0 < np.abs(ours_NC - theirs_NC).max() < 0.1 * np.ptp(theirs_NC)
    assert executorch.facts(path) == {"most_examples": MOST_EXAMPLES, "delegates": 1, "outside": {}}
    assert path.stat().st_size < exact.stat().st_size
    memory = FORMATS["executorch-int8"].memory
    assert memory is not None
    assert 0 < (memory(path, {"image": images_NCHW[:1]})["peak_memory_mb"] or 0) < 5
    # with its constants under names of their own it is larger, and answers the same to the bit
    monkeypatch.setattr(xnnpack_constants, "LARGEST", 0)
    named = tmp_path / "named.int8.pte"
    FORMATS["executorch-int8"].write(trained, named, [{"image": images_NCHW[:256]}, {"image": images_NCHW[256:512]}])
    (named_NC,) = FORMATS["executorch-int8"].ask(named)({"image": images_NCHW[-256:]})
    np.testing.assert_array_equal(ours_NC, named_NC)
    assert named.stat().st_size - path.stat().st_size > 5000
    assert capfd.readouterr() == ("", "")


def test_what_the_runtime_would_answer_wrongly_or_with_a_number_is_refused_in_a_sentence(exact: Path) -> None:
    answer, (images_NCHW, _) = FORMATS["executorch"].ask(exact), digits()
    for given, why in (
        (images_NCHW[: MOST_EXAMPLES + 1], r"a batch of 1 to 256, which it was made for; it was given one of 257\.$"),
        (images_NCHW[:0], r"it was given one of 0\.$"),
        (images_NCHW[:, :, ::2, ::2], r"of shape \(batch, 1, 8, 8\), and was given \(1797, 1, 4, 4\)\.$"),
        (images_NCHW[0], r"was given \(1, 8, 8\)\.$"),
        (images_NCHW[:1].astype(np.float64), r"as float32, and was given float64\.$"),
    ):
        with pytest.raises(BadInput, match=why):
            answer({"image": given})
    with pytest.raises(BadInput, match=r"takes image, and was given picture\.$"):
        answer({"picture": images_NCHW[:1]})
    # what lies scattered in memory is put in order
    (scattered_BC,), (ordered_BC,) = (answer({"image": one}) for one in (images_NCHW[9::-2], images_NCHW[9::-2].copy()))
    np.testing.assert_array_equal(scattered_BC, ordered_BC)


def test_a_damaged_or_foreign_file_is_refused_in_a_sentence(exact: Path, tmp_path: Path) -> None:
    whole, path = exact.read_bytes(), tmp_path / "student.pte"
    for content in (b"", b"{}", whole[:3000], whole[:1000] + b"\xff" * 200 + whole[1200:]):
        path.write_bytes(content)
        with pytest.raises(
            BadInput, match=r"student\.pte is no ExecuTorch program that Limbeck wrote, or it is damaged"
        ):
            executorch.ask(path)


class Words(nn.Module):
    """Words looked up, averaged over those that are there, and classified."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.wide, self.head = nn.Embedding(300, 32), nn.Linear(32, 64), nn.Linear(64, 3)

    def forward(self, ids_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        there_BL1 = mask_BL.float().unsqueeze(-1)
        return self.head(self.wide((self.table(ids_BL) * there_BL1).sum(1) / there_BL1.sum(1)).relu())


def test_texts_have_int8_products_a_table_in_float32_and_any_length(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Words().eval()
    ids_2L, mask_2L = torch.zeros((2, 9), dtype=torch.int64), torch.ones((2, 9), dtype=torch.int64)
    inputs = {"ids": Input(ids_2L, (BATCH, LENGTH), (0, 300)), "mask": Input(mask_2L, (BATCH, LENGTH), (1, 2))}
    graph = Exportable("Words", module, inputs, (BATCH, 3), {}, most={LENGTH: 64}, int8=("MatMul",))
    path, random = tmp_path / "words.int8.pte", np.random.default_rng(0)
    FORMATS["executorch-int8"].write(graph, path, ())
    answer = FORMATS["executorch-int8"].ask(path)
    for batch, length in ((1, 5), (7, 64), (64, 2)):
        given = {"ids": random.integers(0, 300, (batch, length)), "mask": np.ones((batch, length), np.int64)}
        (ours_BC,), (theirs_BC,) = answer(given), of_module(graph)(given)
        assert 0 < np.abs(ours_BC - theirs_BC).max() < 0.02
    found = executorch.facts(path)
    assert found["outside"]["aten::embedding"] == 1
    assert found["delegates"] >= 1
    assert path.stat().st_size > 300 * 32 * 4
    with pytest.raises(BadInput, match=r"a length of 1 to 64, which it was made for; it was given one of 65\.$"):
        answer({name: np.ones((1, 65), np.int64) for name in inputs})
    with pytest.raises(BadInput, match=r"inputs of different length: 5 and 6 \(mask\)\.$"):
        answer({"ids": np.ones((1, 5), np.int64), "mask": np.ones((1, 6), np.int64)})


class Sorted(nn.Module):
    """Of which XNNPACK takes nothing."""

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        return images_BCHW.flatten(1).cumsum(1)[:, :4]


def test_a_graph_without_a_delegate_is_refused_with_its_operators(tmp_path: Path) -> None:
    graph = Exportable(
        "Sorted", Sorted().eval(), {"image": Input(torch.zeros(2, 1, 2, 2), (BATCH, 1, 2, 2))}, (BATCH, 4), {}
    )
    with pytest.raises(BadInput, match=r"^Sorted cannot be lowered to ExecuTorch: XNNPACK takes none .*cumsum"):
        FORMATS["executorch"].write(graph, tmp_path / "x.pte", ())
    with pytest.raises(BadInput, match="no example to calibrate on"):
        FORMATS["executorch-int8"].write(graph, tmp_path / "x.pte", ())
    assert not list(tmp_path.iterdir())


class Pooled(nn.Module):
    """Ways in which networks come from maps to a vector."""

    def forward(self, maps_BCHW: torch.Tensor) -> torch.Tensor:
        means_BC = maps_BCHW.mean((-1, -2))
        flat_BF = maps_BCHW.flatten(1)
        return torch.cat(
            [means_BC, flat_BF, maps_BCHW.reshape(maps_BCHW.shape[0], -1), maps_BCHW.mean((1, 2, 3))[:, None]], 1
        )


def test_what_is_rewritten_for_the_delegate_answers_the_same_with_any_batch() -> None:
    example = torch.randn(32, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    batch = torch.export.Dim("batch", min=1, max=64)
    module = rewritten(torch.export.export(Pooled(), (example,), dynamic_shapes=({0: batch},)).module())
    for count in (1, 5, 32):
        torch.testing.assert_close(module(example[:count]), Pooled()(example[:count]))
    means = [node for node in module.graph.nodes if node.target is torch.ops.aten.mean.dim]
    assert sorted(len(node.args) for node in means) == [2, 3]  # that over the area keeps its dimensions, the other not


class Along(nn.Module):
    """Convolutions along positions, of which the second has all that a convolution can be told."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.Conv1d(6, 6, 5, padding=2, groups=6)
        self.mixed = nn.Conv1d(6, 4, 3, stride=2, padding=3, dilation=2, groups=2, bias=False)

    def forward(self, words_BLH: torch.Tensor) -> torch.Tensor:
        return self.mixed(self.each(words_BLH.transpose(1, 2)).relu()).amax(2)


def test_convolutions_along_any_number_of_positions_answer_the_same(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module, words_BLH = Along().eval(), torch.randn(7, 31, 6)
    graph = Exportable("Along", module, {"words": Input(words_BLH[:2, :9], (BATCH, LENGTH, 6))}, (BATCH, 4), {})
    path = tmp_path / "along.pte"
    FORMATS["executorch"].write(dataclasses.replace(graph, most={LENGTH: 64}), path, ())
    answer = FORMATS["executorch"].ask(path)
    for batch, length in ((1, 1), (7, 31), (3, 8)):
        given_BLH = words_BLH[:batch, :length].contiguous()
        (ours_BC,) = answer({"words": given_BLH.numpy()})
        np.testing.assert_allclose(ours_BC, module(given_BLH).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert not [name for name in executorch.facts(path)["outside"] if "conv" in name]


@pytest.mark.parametrize("library", ["executorch", "torchao"])
def test_a_library_that_is_not_there_is_to_be_installed(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    said = executorch.missing()
    assert said is not None
    assert f"need {library}, which is not installed: pip install 'limbeck[executorch]'" in said
