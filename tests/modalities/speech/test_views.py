"""Views of clips: pure functions of (seed, id, view), which do what their knobs say, reckoned in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck import randomness
from limbeck.errors import BadInput
from limbeck.modalities.speech.data_sections import Noise, SoundViews
from limbeck.modalities.speech.examples import Clips, window_start
from limbeck.modalities.speech.noise import coloured, digest
from limbeck.modalities.speech.views import low_passes, render
from tests.helpers.written_sounds import encoded, tone

RATE = 8000


def clips_of(*sounds: np.ndarray) -> Clips:
    """Clips with ids of their own."""
    lengths = torch.tensor([len(sound) for sound in sounds])
    samples = torch.from_numpy(np.concatenate(sounds).astype(np.float32))
    return Clips(samples, lengths.cumsum(0) - lengths, lengths, None, 1000 + 7 * torch.arange(len(sounds)), RATE)


SOME = clips_of(*(tone(n, seconds=0.04 + 0.013 * n) for n in range(8)))

knobs = {
    "shift": st.sampled_from([0.0, 0.02]),
    "gain": st.sampled_from([0.0, 6.0]),
    "speed": st.sampled_from([0.0, 0.2]),
    "echo": st.sampled_from([0.0, 0.1]),
    "noise": st.sampled_from([None, Noise(snr=(0, 20), share=0.7), Noise(colour="brown")]),
    "time_mask": st.sampled_from([0.0, 0.02]),
    "frequency_mask": st.sampled_from([0.0, 0.3]),
    "masks": st.integers(1, 2),
}


@settings(max_examples=25, deadline=None)
@given(
    spec=st.builds(SoundViews, **knobs),
    seed=st.integers(0, 2**31),
    views=st.lists(st.integers(0, 50), min_size=8, max_size=8),
    batch=st.lists(st.integers(0, 7), min_size=1, max_size=8, unique=True),
    samples=st.sampled_from([None, 500, 801]),
)
def test_a_clip_sounds_the_same_in_any_batch(spec, seed, views, batch, samples):
    view_N = torch.tensor(views)
    index_B = torch.tensor(batch)
    together_BS, lengths_B = render(spec, seed, SOME, index_B, view_N[index_B], samples)
    assert together_BS.dtype == torch.float32
    assert bool(together_BS.isfinite().all())
    for at, one in enumerate(batch):
        alone, length = render(spec, seed, SOME.take(index_B[[at]]), torch.tensor([0]), views[one], samples)
        assert int(length) == int(lengths_B[at])
        assert torch.equal(together_BS[at, : alone.shape[1]], alone[0])
        assert not together_BS[at, alone.shape[1] :].any()


def test_an_empty_spec_gives_the_clips_as_they_are():
    index_B = torch.tensor([6, 0, 3])
    for samples in (None, 600):
        sound_BS, lengths_B = render(SoundViews(), 5, SOME, index_B, 9, samples)
        for at, one in enumerate(index_B.tolist()):
            wave = SOME.waveform(one)
            start = 0 if samples is None else int(window_start(torch.tensor([len(wave)]), samples))
            wanted = torch.zeros(sound_BS.shape[1])
            inside = wave[max(0, -start) :][: len(wanted) - max(0, start)]
            wanted[max(0, start) : max(0, start) + len(inside)] = inside
            assert torch.equal(sound_BS[at], wanted)
            assert int(lengths_B[at]) == len(inside)
    assert window_start(torch.tensor([3, 4, 5, 6, 7]), 5).tolist() == [1, 0, 0, 0, -1]


@pytest.mark.parametrize("colour", ["white", "pink", "brown"])
@pytest.mark.parametrize("samples", [None, 1500])
def test_the_noise_lies_as_far_below_the_clip_as_is_asked(colour, samples):
    index_B = torch.arange(8).repeat(16)
    view_B = torch.arange(16).repeat_interleave(8)

    def ratios(snr):
        spec = SoundViews(noise=Noise(snr=snr, colour=colour))
        noisy_BS, lengths_B = render(spec, 1, SOME, index_B, view_B, samples)
        plain_BS, _ = render(SoundViews(), 1, SOME, index_B, 0, samples)
        clip_B = plain_BS.double().square().sum(1) / lengths_B
        row_B = lengths_B if samples is None else torch.full_like(lengths_B, samples)
        noise_B = (noisy_BS.double() - plain_BS.double()).square().sum(1) / row_B
        return 10 * torch.log10(clip_B / noise_B)

    assert (ratios((7.0, 7.0)) - 7.0).abs().max() < 2e-3
    several = ratios((0.0, 20.0))
    assert several.min() >= -2e-3
    assert several.max() <= 20 + 2e-3
    assert several.mean() == pytest.approx(10, abs=2)
    assert len(several.unique()) == len(several)


def test_coloured_noise_falls_with_frequency_as_its_name_says():
    for colour, octave in (("white", 0.0), ("pink", -3.0), ("brown", -6.0)):
        power = np.abs(np.fft.rfft(coloured(colour, RATE).astype(np.float64))) ** 2
        hertz = np.fft.rfftfreq(1 << 19, 1 / RATE)
        bands = [power[(hertz >= low) & (hertz < 2 * low)].mean() for low in (100, 200, 400, 800, 1600)]
        steps = np.diff(10 * np.log10(bands))
        assert steps == pytest.approx([octave] * 4, abs=0.3)


def test_the_gain_is_the_factor_that_is_asked():
    index_B, view_B = torch.arange(8).repeat(32), torch.arange(32).repeat_interleave(8)
    plain_BS, _ = render(SoundViews(), 0, SOME, index_B, 0, None)
    loud_BS, _ = render(SoundViews(gain=6), 0, SOME, index_B, view_B, None)
    peak_B = plain_BS.abs().argmax(1, keepdim=True)
    factor_B = (loud_BS.double().gather(1, peak_B) / plain_BS.double().gather(1, peak_B)).flatten()
    assert (loud_BS.double() - factor_B[:, None] * plain_BS.double()).abs().max() < 1e-7
    decibels = 20 * factor_B.log10()
    assert decibels.abs().max() <= 6
    assert abs(decibels.mean()) < 0.6
    assert decibels.std() == pytest.approx(6 / 3**0.5, rel=0.1)


def test_a_faster_clip_is_shorter_and_higher():
    clips = clips_of(0.5 * np.sin(2 * np.pi * 500 * np.arange(4000) / RATE))
    found = []
    for view in range(12):
        sound_BS, lengths_B = render(SoundViews(speed=0.2), 3, clips, torch.tensor([0]), view, None)
        most = round(0.2 * 65_536)
        speed = 1 + (int(randomness.integers(3, clips.ids[0], view, "speed", 2 * most + 1)) - most) / 65_536
        assert int(lengths_B) == int(3999 / speed) + 1
        wanted = 0.5 * np.sin(2 * np.pi * 500 * speed * np.arange(int(lengths_B)) / RATE)
        assert np.abs(wanted - sound_BS[0].double().numpy())[20:-20].max() < 0.5 * 10 ** (
            -45 / 20
        )  # 45 dB below the tone
        found.append(speed)
    assert 0.8 <= min(found) < 0.9
    assert 1.1 < max(found) <= 1.2


def test_the_echo_is_a_sparse_response_that_ends_in_time():
    clips = clips_of(np.eye(1, 2000)[0])
    for view in range(10):
        sound = render(SoundViews(echo=0.3), 0, clips, torch.tensor([0]), view, None)[0][0].double()
        assert sound[0] == 1  # the direct sound
        tail = sound[1:]
        assert 1 <= int((tail != 0).sum()) <= 16
        assert (
            tail.square().sum() <= 1.0 + 1e-6 or int((tail != 0).sum()) < 16
        )  # where two fall on one sample they add up
        assert int(tail.nonzero().max()) + 1 <= 0.3 * RATE / 2


def test_masks_take_out_a_stretch_and_a_band():
    clips = clips_of(coloured("white", RATE)[:8000] * 0.1)
    for view in range(6):
        plain, timed, banded = (
            render(spec, 0, clips, torch.tensor([0]), view, None)[0][0].double().numpy()
            for spec in (SoundViews(), SoundViews(time_mask=0.2), SoundViews(frequency_mask=0.4))
        )
        gone = np.flatnonzero(timed == 0)
        assert len(gone) <= 1600
        assert len(gone) == 0 or gone[-1] - gone[0] == len(gone) - 1
        kept = timed != 0
        assert np.array_equal(timed[kept], plain[kept])
        ratio = (np.abs(np.fft.rfft(banded)) ** 2).reshape(-1)[:4000].reshape(80, 50).mean(1) / (
            np.abs(np.fft.rfft(plain)) ** 2
        )[:4000].reshape(80, 50).mean(1)  # of bands of 50 Hz
        inside = ratio < 0.1
        assert (ratio[inside] < 0.1).all()
        assert ratio[~inside].mean() > 0.9
    passes = low_passes(RATE, torch.device("cpu"))
    assert not passes[0].any()
    assert passes[-1].tolist() == [1.0] + [0.0] * 64


def test_noise_is_cut_from_recordings(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "hum.wav").write_bytes(encoded(tone(3, seconds=1.0)))
    spec = SoundViews(noise=Noise(snr=(0, 0), files=str(tmp_path)))
    sound_BS, _ = render(spec, 0, SOME, torch.tensor([2]), 4, None)
    added = (sound_BS - render(SoundViews(), 0, SOME, torch.tensor([2]), 4, None)[0])[0].double().numpy()
    hum = tone(3, seconds=1.0).astype(np.float64)
    looped = np.concatenate([hum, hum])
    likeness = [np.dot(added, cut) / np.linalg.norm(added) / np.linalg.norm(cut) for cut in np.lib.stride_tricks.sliding_window_view(looped, len(added))[: len(hum)]]  # fmt: skip
    assert max(likeness) > 0.9999
    before = digest(spec.noise, RATE)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.wav").write_bytes(encoded(tone(9)))
    assert digest(Noise(files=str(tmp_path / "other")), RATE) != before
    assert digest(Noise(), RATE) is None
    (tmp_path / "empty").mkdir()
    for files, said in ((tmp_path / "empty", "holds no sound"), (tmp_path / "none", "there is no folder")):
        with pytest.raises(BadInput, match=said):
            render(SoundViews(noise=Noise(files=str(files))), 0, SOME, torch.tensor([0]), 0, None)
