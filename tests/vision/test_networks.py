"""Claims about the table of our networks: it says what their constructors take, and what is built of each name."""

import inspect

import pytest

from limbeck.errors import BadInput
from limbeck.vision import networks
from limbeck.vision.convnet import ConvNet
from limbeck.vision.mobile import MobileNet
from limbeck.vision.pilotnet import PilotNet
from limbeck.vision.resnet import resnet
from limbeck.vision.wide_resnet import wide_resnet

FAMILIES = {networks.CONVNET: ConvNet, networks.MOBILE: MobileNet, networks.PILOTNET: PilotNet}


@pytest.mark.parametrize("family", networks.KNOBS)
def test_the_knobs_are_those_of_the_constructor(family: str) -> None:
    parameters = inspect.signature(FAMILIES[family]).parameters
    knobs = {name: one for name, one in parameters.items() if one.default is not inspect.Parameter.empty}
    assert list(networks.KNOBS[family]) == list(networks.MEANINGS[family]) == list(knobs)
    for name, allowed in networks.KNOBS[family].items():
        assert inspect.get_annotations(FAMILIES[family].__init__, eval_str=True)[name] is int
        assert knobs[name].default in allowed
        networks.check(family, {name: allowed[-1]})
        FAMILIES[family](2, 1, (8, 8) if family == networks.PILOTNET else 8, **{name: min(allowed)})


def test_every_name_that_is_suggested_is_known_and_built_by_its_family() -> None:
    for name in (*networks.KNOBS, *networks.RESNETS, *networks.WIDE_RESNETS):
        networks.check(name, {})
    assert networks.resnet_blocks("resnet20") == (3, False)
    assert networks.wide_resnet_blocks("wrn_16_2") == (2, 2)
    assert len(list(resnet("resnet8x4", classes=2, channels=1).children())) > 3
    assert len(list(wide_resnet("wrn_10_2", classes=2, channels=1).children())) > 3


@pytest.mark.parametrize(
    ("name", "knobs"),
    [("resnet21", {}), ("wrn_17_2", {}), ("wrn_16_0", {}), ("convnett", {}), ("resnet20", {"width": 8}), ("convnet", {"width": True}), ("convnet", {"widht": 8}), ("convnet", {"kernel": 4})],
)  # fmt: skip
def test_what_there_is_not_is_refused(name: str, knobs: dict) -> None:
    with pytest.raises(BadInput, match=r"^model: "):
        networks.check(name, knobs)
