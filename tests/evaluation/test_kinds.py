"""Every kind of answer offers the same."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from limbeck.evaluation.figure import Figure, plain, read
from limbeck.evaluation.kinds import KINDS
from limbeck.objectives.catalogue import CATALOGUE

DRAW = torch.Generator().manual_seed(0)
SOME = {
    "classes": (torch.randn(20, 3, generator=DRAW), torch.arange(20) % 3),
    "label_sets": (torch.randn(20, 3, generator=DRAW), (torch.rand(20, 3, generator=DRAW) > 0.5).float()),
    "sequences": (torch.randn(20, 4, 3, generator=DRAW), torch.randint(3, (20, 4), generator=DRAW)),
    "frames": (torch.randn(20, 6, 3, generator=DRAW), torch.randint(1, 3, (20, 2), generator=DRAW)),
    "values": (torch.randn(20, 2, generator=DRAW), torch.randn(20, 2, generator=DRAW)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_gives_what_its_figures_name(kind):
    by, (answer, labels) = KINDS[kind], SOME[kind]
    kept = by.kept(answer, labels, answer.flip(0))
    found, close = by.figures(kept, kept), by.fidelity(kept)
    assert set(found) <= {figure.name for figure in by.FIGURES}
    assert set(close) <= {figure.name for figure in by.FIDELITY}
    for name in {*by.compared(kept), *_first_two(by)}:
        scores = by.scores(kept, name)
        mean = by.SUMS[name](scores.sum(0).numpy(), len(scores)) if name in by.SUMS else scores.mean().item()
        assert mean == pytest.approx(found[name], rel=1e-6)
    assert by.compared(kept)[0] == by.FIGURES[0].name
    assert by.alike(answer, answer) == (0.0, 1.0)
    assert by.alike(answer, answer + torch.nan)[0] == torch.inf
    assert isinstance(by.commonest(labels), float)
    names = ("a", "b", "c")[: answer.shape[-1]]
    plain = [by.rows([kept], names), by.about_labels({"validation": kept, "test": kept}, names)]
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert ("answer" in kept) == by.WHOLE
    assert by.PLAIN in CATALOGUE


def test_a_figure_as_it_is_shown():
    share = Figure("accuracy", "accuracy", "more", share=True, digits=2)
    assert (share.number(0.97314), share.sign) == ("97.31", 1)
    nats = Figure("nll", "NLL", "less", unit="nats")
    assert (nats.number(0.12345), nats.sign) == ("0.123", -1)
    own = Figure("rmse", "RMSE", "less", significant=True)
    assert [own.number(value) for value in (1234.6, 12.346, 0.0012346, 0.0)] == ["1235", "12.3", "0.00123", "0.000"]
    assert Figure(**dataclasses.asdict(own)) == own


def test_what_is_in_the_labels_units_says_which_where_all_have_one():
    figures = (
        Figure("rmse", "RMSE", "less", significant=True),
        Figure("mse", "MSE", "less", unit="²", significant=True),
    )
    figures = (*figures, Figure("r2", "R²", "more"))
    for units, shown in (
        (["degrees"] * 2, ["degrees", "degrees²", ""]),
        (["of full lock"], ["of full lock", "(of full lock)²", ""]),
        (["m", "s"], ["", "", ""]),
        ([], ["", "", ""]),
    ):
        assert [one["unit"] for one in plain(figures, units)] == shown
        assert [one.name for one in read({"figures": plain(figures, units)})] == ["rmse", "mse", "r2"]
    assert read({}) == []


def _first_two(by) -> tuple[str, str]:
    return by.FIGURES[0].name, by.FIGURES[1].name
