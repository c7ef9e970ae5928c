"""Networks of sounds: what padding, and the future, must not change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck.errors import BadInput
from limbeck.modalities.speech.families import CLASSIFIERS, CONFORMER_CTC, DEFAULTS, DS_CTC, ENCODERS, KNOBS, MEANINGS
from limbeck.modalities.speech.frames import FrameNorm
from limbeck.modalities.speech.frontend import fit
from limbeck.modalities.speech.networks import STEPS, Classifier, Encoder, build

SMALL = {
    DS_CTC: {"width": 16, "depth": 2, "kernel": 5, "mels": 20},
    CONFORMER_CTC: {"width": 32, "depth": 2, "kernel": 5, "mels": 20},
}


def noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def encoder(name: str, **knobs: int | bool) -> Encoder:
    made = build(name, {**SMALL[name], **knobs}, rate=8000, samples=None, classes=5, seed=0)
    assert isinstance(made, Encoder)
    fit(made.front, [noise(4, 8000)])
    for block in made.modules():
        if isinstance(block, FrameNorm):  # which begin with blocks that do nothing
            nn.init.constant_(block.weight, 1)
            nn.init.constant_(block.bias, 0.5)
    return made


def test_every_family_says_what_its_knobs_are_and_where_they_begin():
    assert set(KNOBS) == {*CLASSIFIERS, *ENCODERS} == set(DEFAULTS) == set(MEANINGS)
    for name, knobs in KNOBS.items():
        assert set(knobs) == set(DEFAULTS[name]) == set(MEANINGS[name])
        build(name, DEFAULTS[name], rate=16000, samples=16000, classes=3, seed=0)  # which refuses what is out of range


@pytest.mark.parametrize(("name", "most"), [("ds_cnn", 5_000), ("ds_cnn_causal", 5_000), ("speech_resnet", 250_000)])
def test_classifiers_answer_every_clip_in_few_parameters_all_of_which_learn(name: str, most: int):
    model = build(name, {}, rate=8000, samples=8000, classes=10, seed=0)
    logits_BC = model(noise(3, 8000))
    assert logits_BC.shape == (3, 10)
    logits_BC.square().sum().backward()
    assert all(bool(weight.grad.abs().sum() > 0) for weight in model.parameters())  # type: ignore[union-attr]
    assert sum(weight.numel() for weight in model.parameters()) <= most


@pytest.mark.parametrize("knobs", [{"name": DS_CTC}, {"name": DS_CTC, "causal": True}, {"name": CONFORMER_CTC}])
def test_what_stands_beyond_a_clip_changes_nothing_of_its_answer(knobs: dict[str, str]):
    model, lengths_B = encoder(**knobs).eval(), torch.tensor([6000, 2500, 100])
    samples_BS = noise(3, 6000)
    logits_BLV = model(samples_BS, lengths_B)
    for clip, length in enumerate(lengths_B.tolist()):
        alone_LV = model(samples_BS[clip : clip + 1, :length])[0]
        assert len(alone_LV) == int(model.frames_of(lengths_B)[clip])
        torch.testing.assert_close(logits_BLV[clip, : len(alone_LV)], alone_LV, atol=2e-5, rtol=0)


def test_padding_changes_nothing_of_what_batch_normalisation_learns():
    samples_BS, lengths_B = noise(2, 6000), torch.tensor([6000, 2500])
    short, long = encoder(DS_CTC).train(), encoder(DS_CTC).train()
    for module in (*short.modules(), *long.modules()):
        if isinstance(module, nn.Dropout):
            module.eval()
    short(samples_BS, lengths_B)
    long(torch.cat([samples_BS, noise(2, 9000)], 1), lengths_B)
    for (name, ours), (_, theirs) in zip(short.named_buffers(), long.named_buffers()):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0, msg=name)


def test_a_causal_encoder_does_not_hear_the_future_and_another_does():
    samples_BS = noise(1, 8000)
    for causal in (True, False):
        model = encoder(DS_CTC, causal=causal).eval()
        whole, begun = model(samples_BS), model(samples_BS[:, :5000])
        alike = bool((whole[:, : begun.shape[1]] - begun).abs().max() < 1e-5)
        assert alike == causal == model.causal


def test_the_answer_of_a_causal_classifier_is_the_mean_of_what_its_frames_say():
    model = build("ds_cnn_causal", {"width": 8}, rate=8000, samples=8000, classes=4, seed=0).eval()
    assert isinstance(model, Classifier)
    samples_BS, net = noise(1, 8000), model.net
    maps_BHFT = net.blocks(net.stem(model.front(samples_BS)[:, None]))  # type: ignore[operator]
    begun = model(samples_BS[:, :4000])
    count = -(-int(model.front.frames_of(torch.tensor(4000))) // STEPS)
    said = net.fc(maps_BHFT[..., :count].mean((2, 3)))  # type: ignore[operator]
    torch.testing.assert_close(begun, said, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "knobs", "says"),
    [
        ("ds_cn", {}, "no model 'ds_cn' here. Did you mean 'ds_cnn'?"),
        ("ds_cnn", {"widht": 8}, "no knob 'widht'"),
        ("ds_ctc", {"causal": 1}, "causal is 1; it must be one of false, true"),
        ("conformer_ctc", {"width": 40}, "a whole number from 16 to 1024 in steps of 16"),
    ],
)
def test_a_wrong_name_or_knob_is_refused_with_what_would_be_right(name: str, knobs: dict[str, int], says: str):
    with pytest.raises(BadInput) as refused:
        build(name, knobs, rate=8000, samples=None, classes=3, seed=0)
    assert says in str(refused.value)


def test_a_window_shorter_than_a_frame_is_refused():
    with pytest.raises(BadInput, match="a clip of 200 samples is shorter than a frame of 256"):
        build("ds_cnn", {}, rate=8000, samples=200, classes=3, seed=0)
