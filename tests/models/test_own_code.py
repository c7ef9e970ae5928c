"""A person's own model is called where it is trusted, and not even imported where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.vision.build import check_fits
from tests.helpers.networks import DIGITS, made, refusal

# A person's own code


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_nets_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "from pathlib import Path\n"
        "from torch import nn\n"
        "Path(__file__).with_name('ran').touch()\n"
        "def net(num_classes, in_chans, hidden=4):\n"
        "    return nn.Sequential(nn.Flatten(), nn.LazyLinear(hidden), nn.Linear(hidden, num_classes))\n"
        "def plain(classes, channels, size):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))\n"
        "def number():\n    return 3\n"
        "def broken(classes):\n    raise ValueError('no such luck')\n"
        "value = 7\n"
    )
    monkeypatch.chdir(tmp_path)
    return name


def test_code_is_not_even_imported_without_trust(own_module: str):
    message = refusal(f"{own_module}:plain")
    assert "--trust-code" in message
    assert not Path("ran").exists()


def test_trusted_code_is_called_with_the_facts_it_asks_for_and_its_knobs(own_module: str):
    check_fits(made(f"{own_module}:plain", trust_code=True), **vars(DIGITS), name="student")
    assert made(f"{own_module}:net", trust_code=True, hidden=6)[2].in_features == 6


def test_trusted_code_that_makes_no_model_is_refused_in_a_sentence(own_module: str):
    def said(tail: str, **knobs) -> str:
        return refusal(f"{own_module}:{tail}", trust_code=True, **knobs)

    assert "no 'plian'" in said("plian")
    assert "Did you mean 'plain'?" in said("plian")
    assert "returned a int" in said("number")
    assert "cannot be called" in said("value")
    assert "no such luck" in said("broken")
    assert "wide" in said("plain", wide=2)
    assert "there is no module 'no_such_module_here'" in refusal("no_such_module_here:net", trust_code=True)
