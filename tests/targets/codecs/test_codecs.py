"""What holds of every codec: a row by itself, its bytes, what is unknown; dense ones, and several labels."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.interfaces import Batch, Output, Sampled, Target
from limbeck.objectives.modules import KD, BinaryCrossEntropy, BinaryKD
from limbeck.sections.codec import CodecSection
from limbeck.sections.targets import Targets
from limbeck.targets.codecs import (
    Dense,
    Int8,
    Rows,
    SampleCodec,
    TopKCodec,
    bytes_per_target,
    codec_from,
    unknown_as_nan,
)
from limbeck.targets.codecs.fits_objective import misfit
from limbeck.targets.codecs.from_recipe import asked_codecs
from tests.helpers.codec_rows import kept, normal, rows_of

ALL = [
    Dense(),
    Int8(),
    TopKCodec(3),
    SampleCodec(20, temperature=2.0, width=8),
    SampleCodec(9, proposal=3.0, width=3),
]


every_codec = pytest.mark.parametrize("codec", ALL, ids=lambda codec: f"{codec.name}-{len(codec.settings)}")


# ------------------------------------------------------------------------------------------------ all of them


@every_codec
def test_a_row_is_stored_alike_whatever_stands_beside_it(codec):
    logits_NC = normal(23, 300, scale=4).float()
    rows = rows_of(23, view=2)
    whole = codec.encode(logits_NC, rows)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(1))
    for piece in (1, 4, 23):
        parts = [
            codec.encode(logits_NC[index], Rows(rows.ids_N[index], 2, rows.position_N[index]))
            for index in order.split(piece)
        ]
        for name, column in whole.items():
            assert torch.equal(torch.cat([part[name] for part in parts]), column[order])


@every_codec
def test_settings_and_name_are_all_that_decoding_needs(codec):
    logits_NC = normal(6, 300)
    columns = codec.encode(logits_NC, rows_of(6))
    again = codec_from(codec.name, json.loads(json.dumps(codec.settings)))
    assert again == codec
    for one, other in zip(vars(codec.decode(columns, 300)).values(), vars(again.decode(columns, 300)).values()):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@every_codec
def test_an_unknown_row_poisons_the_loss(codec):
    answer = unknown_as_nan(kept(codec, normal(3, 5)), torch.tensor([True, False, True]))
    batch = Batch(ids=torch.arange(3), view=torch.zeros(3), inputs=None)
    temperature = answer.temperature if isinstance(answer, Sampled) else 1.0
    total = KD(temperature)(Output(logits=normal(3, 5, seed=1)), Target((answer,)), batch)["kd"].total
    assert total.isnan()


@pytest.mark.parametrize(
    ("codec", "classes", "expected"),
    [
        (Dense(), 10, 20),
        (Int8(), 10, 12),
        (TopKCodec(8), 200, 8 * 3 + 10),
        (TopKCodec(8), 50_000, 8 * 4 + 10),
        (TopKCodec(8), 2_000, 8 * 2 + 11 + 10),
        (TopKCodec(8, (1.0, 2.0)), 100_000, 8 * 2 + 17 + 4),
        (SampleCodec(), 50_000, 40),
        (SampleCodec(), 10, 10),
        (SampleCodec(), 18, 18),
        (SampleCodec(), 19, 18 + 4),
        (SampleCodec(width=24), 2_000, 24 * 11 // 8 + 6),
        (SampleCodec(width=12), 100_000, 26 + 3),  # 25.5 bytes of ids
        (SampleCodec(width=3), 50_000, 6),
        (SampleCodec(proposal=2.0), 50_000, 76),
    ],
)
def test_bytes_of_a_target(codec, classes, expected):
    assert bytes_per_target(codec, classes) == expected


def test_no_other_codec_and_no_other_settings():
    with pytest.raises(BadInput, match=r"no codec 'topp'\. Did you mean 'topk'"):
        codec_from("topp")
    for settings_ in ({"k": 0}, {"k": "8"}, {"q": 8}, {"k": 8, "temperatures": [1, 1]}, {"k": 8, "temperatures": []}):
        with pytest.raises(BadInput, match="the codec topk cannot be made"):
            codec_from("topk", settings_)
    for settings_ in (
        {"draws": 256},
        {"temperature": 0},
        {"proposal": -1.0},
        {"width": 0},
        {"temperature": 2, "proposal": 1},
    ):
        with pytest.raises(BadInput, match="the codec sample cannot be made"):
            codec_from("sample", settings_)
    with pytest.raises(ValueError, match="k is 6, and there are 5 classes"):
        TopKCodec(6).encode(normal(1, 5), rows_of(1))


# ------------------------------------------------------------------------------------------------ every class


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.sampled_from([1e-6, 1e-2, 1.0, 30.0, 1e4, 1e7]),
    st.sampled_from([0.0, 1e6]),
)
def test_dense_within_the_rounding_of_its_type_and_int8_within_half_a_step(seed, classes, scale, offset):
    logits_NC = normal(7, classes, seed=seed, scale=scale) + offset
    ruled_out = normal(7, classes, seed=seed + 1) > 1
    ruled_out[:, 0] = False
    logits_NC = logits_NC.masked_fill(ruled_out, -torch.inf)
    finite = logits_NC.masked_fill(ruled_out, torch.nan)
    for codec in (Dense(), Int8()):
        columns = codec.encode(logits_NC, rows_of(7))
        got_NC = codec.decode(columns, classes).logits.double()
        assert torch.equal(got_NC == -torch.inf, ruled_out)
        if codec == Dense():
            centre = finite.nanmean(1, keepdim=True)
            error = ((finite - centre).clamp(-65504, 65504) - got_NC).abs()
            bound = 2.0**-11 * got_NC.abs() + 2.0**-24
        else:
            step = columns["scale"].double()[:, None]
            below = finite - finite.nan_to_num(-torch.inf).amax(1, keepdim=True)
            error = (below.clamp(min=-254 * 65504.0) - got_NC).abs()
            bound = step / 2 + 1e-9 * (scale + offset)
            range_ = got_NC.masked_fill(ruled_out, 0).amin(1).neg()
            assert (step[:, 0] <= (1 + 2**-9) * range_ / 253 + 2.0**-23).all()
        assert (error[~ruled_out] <= bound.expand_as(error)[~ruled_out]).all()


def test_int8_of_equal_and_of_enormous_logits():
    inf = torch.inf
    logits_NC = torch.tensor([[3.0, 3.0, 3.0], [0.0, -inf, -inf], [3e38, 0.0, -3e38], [0.0, -254.0, -127.0]])
    got = kept(Int8(), logits_NC).logits
    assert got.tolist() == [[0, 0, 0], [0, -inf, -inf], [0, -254 * 65504.0, -254 * 65504.0], [0, -254, -127]]


# ------------------------------------------------------------------------------------- answers of several labels


def test_answers_of_several_labels_are_kept_as_they_are():
    """A constant that a softmax does not see is what a sigmoid sees: centred, the answers would be others."""
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) - 3
    logits[0, 1], logits[1] = -torch.inf, 1e6
    rows = Rows(torch.arange(50), 0, torch.zeros(50, dtype=torch.int64))
    ((codec,), _) = asked_codecs(Targets(), 4, 0, BinaryKD() + BinaryCrossEntropy())
    assert codec == codec_from(codec.name, codec.settings) == Dense(centred=False)
    kept = codec.decode(codec.encode(logits, rows), 4).logits
    assert kept[0, 1] == -torch.inf
    torch.testing.assert_close(kept.sigmoid(), logits.sigmoid(), rtol=2e-3, atol=1e-6)
    centred = Dense().decode(Dense().encode(logits, rows), 4).logits
    assert (centred.sigmoid() - logits.sigmoid())[2:].abs().mean() > 0.3
    # labels of several alone ask for nothing of the teacher, and others are kept as ever
    assert asked_codecs(Targets(), 4, 0, BinaryCrossEntropy()).codecs == (Dense(),)
    assert asked_codecs(Targets(), 4, 0, KD()).ingredient == "dense"
    assert asked_codecs(Targets(codec=CodecSection(auto={})), 4, 0, BinaryKD()).codecs == (Dense(centred=False),)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"codec": "int8"}, "the logits of the codec int8 are kept up to a constant.* Take the codec dense"),
        ({"codec": CodecSection(topk={"k": 2})}, "the logits of the codec topk are kept up to a constant"),
        ({"average": True}, r"targets\.average: .* a yes or no for each class"),
    ],
)
def test_what_would_lose_a_sigmoid_is_refused(targets, said):
    with pytest.raises(BadInput, match=said):
        asked_codecs(Targets(**targets), 4, 0, BinaryKD())
    assert "store's logits are kept up to a constant" in str(misfit(Dense(), BinaryKD()))
