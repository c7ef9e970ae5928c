"""A sound as it is read, from any format and rate, and what is no sound."""

import io

import numpy as np
import pytest
import soundfile
import torch

from limbeck.errors import BadInput
from limbeck.modalities.speech import wav
from limbeck.modalities.speech.audio import as_wav, brought_to, of_array, read
from limbeck.modalities.speech.examples import Clips
from tests.helpers.written_sounds import encoded, tone


@pytest.mark.parametrize(
    ("kind", "subtype", "off"),
    [
        ("WAV", "PCM_U8", 1 / 100),
        ("WAV", "PCM_16", 1 / 30_000),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "FLOAT", 0),
        ("FLAC", "PCM_16", 1 / 30_000),
        ("AIFF", "PCM_16", 1 / 30_000),
        ("AU", "PCM_16", 1 / 30_000),
    ],
)
def test_formats_without_loss_give_the_samples_that_were_written(kind, subtype, off):
    sound = read(encoded(tone(1), kind=kind, subtype=subtype))
    assert (sound.rate, sound.original_rate, sound.channels, sound.samples.dtype) == (8000, 8000, 1, np.float32)
    assert np.abs(sound.samples - tone(1)).max() <= off


def test_peaks_of_a_lossy_format_are_cut_at_full_scale_and_do_not_wrap():
    loud = np.sign(tone(1, seconds=1.0)) * 0.99
    raw, _ = soundfile.read(io.BytesIO(encoded(loud, kind="OGG", subtype="VORBIS")), dtype="float32")
    assert np.abs(raw).max() > 1.01  # what an int16 would wrap
    sound = read(encoded(loud, kind="OGG", subtype="VORBIS"))
    assert np.array_equal(sound.samples, raw.clip(-1, 1))


def test_channels_are_averaged_and_the_rate_is_changed_once(tmp_path):
    time = np.arange(44_100) / 44_100
    both = np.stack([np.sin(2 * np.pi * 440 * time), np.sin(2 * np.pi * 10_000 * time)], axis=1) * 0.5
    (tmp_path / "both.flac").write_bytes(encoded(both, rate=44_100, kind="FLAC", subtype="PCM_24"))
    sound = read(tmp_path / "both.flac", 16_000)
    assert (sound.channels, sound.original_rate, len(sound.samples), len(sound.original)) == (2, 44_100, 16_000, 44_100)
    # 440 Hz passes at half of its strength; 10 kHz, above half of the new rate, is gone and not folded to 6 kHz.
    wanted = 0.25 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    middle = slice(500, -500)
    assert np.abs(sound.samples[middle] - wanted[middle]).max() < 2e-4
    assert brought_to(sound.original, 44_100, 44_100) is sound.original
    assert len(brought_to(sound.original[:1], 44_100, 1_000)) == 1


def test_what_is_written_as_wav_is_read_again():
    assert np.abs(read(as_wav(tone(2), 8000)).samples - tone(2)).max() <= 1 / 32_000


def _streamed(samples):
    """A WAV whose writer did not know how long it would get."""
    whole = bytearray(encoded(samples))
    at = whole.index(b"data") + 4
    whole[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(whole)


def test_a_wav_that_went_through_a_pipe_is_whole():
    assert len(read(_streamed(tone(3))).samples) == len(tone(3))


def _flipped(whole):
    """A file in whose middle some bytes are others: libsndfile leaves out what stands in them, and says nothing."""
    at = len(whole) // 2
    return whole[:at] + bytes(255 - byte for byte in whole[at : at + 40]) + whole[at + 40 :]


@pytest.mark.parametrize("kind", ["OGG", "RF64", "W64", "CAF"])
def test_what_follows_a_whole_file_does_not_harm_it(kind):
    assert len(read(encoded(tone(1, seconds=9), kind=kind) + b"junk" * 30).samples) >= 72_000


WAV = encoded(tone(1))
WRONG = {
    "empty": (b"", "the file is empty"),
    "text": (b"hello world " * 50, "it is no sound: WAV, FLAC, Ogg"),
    "cut wav": (WAV[: len(WAV) // 2], "cut off: 1,978 of 4,000 bytes"),
    "cut wav of which the head alone is there": (WAV[:44], "cut off: 0 of 4,000 bytes"),
    "cut aiff": (encoded(tone(1), kind="AIFF")[:-1000], "cut off"),
    "cut au": (encoded(tone(1), kind="AU")[:-1000], "cut off"),
    "cut flac": (encoded(tone(1, seconds=2), kind="FLAC")[:3000], "damaged or cut off"),
    "cut ogg": (encoded(tone(1, seconds=9), kind="OGG")[:-1000], "its last page lacks 1,000 bytes"),
    "cut ogg of which the beginning is there": (encoded(tone(1), kind="OGG")[:40], "cut off"),
    "ogg of which a page is damaged": (
        _flipped(encoded(tone(1, seconds=9), kind="OGG")),
        "it is damaged: its page at byte",
    ),
    "cut rf64": (encoded(tone(1), kind="RF64")[:-1000], "cut off: 3,000 of 4,000 bytes"),
    "cut w64": (encoded(tone(1), kind="W64")[:-1000], "cut off: 3,000 of 4,000 bytes"),
    "cut caf": (encoded(tone(1), kind="CAF")[:-1000], "cut off"),
    "no sample": (encoded(np.zeros(0)), "it holds no sample"),
    "nan": (encoded(np.array([0, np.nan, 1]), subtype="FLOAT"), "NaN or infinity (first at sample 1)"),
    "mp4": (b"\x00\x00\x00\x20ftypM4A " + bytes(100), "convert it with FFmpeg (apt install ffmpeg"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_sound_is_said_in_a_sentence(case):
    given, said = WRONG[case]
    with pytest.raises(BadInput) as error:
        read(given)
    assert said in str(error.value)


def test_the_mp3_that_ends_early_is_found_by_its_own_count():
    whole = encoded(tone(1, seconds=4, rate=16_000), rate=16_000, kind="MP3")
    assert len(read(whole).samples) == 64_000
    with pytest.raises(BadInput, match="cut off"):
        read(whole[: len(whole) // 2])


def test_files_are_named_by_what_is_wrong_with_them(tmp_path):
    with pytest.raises(BadInput, match="16,000 are stated"):
        read(WAV, stated=16_000)
    with pytest.raises(BadInput, match="cannot be opened"):
        read(tmp_path / "none.wav")
    (tmp_path / "talk.wma").write_bytes(bytes(100))
    with pytest.raises(BadInput, match=r"ffmpeg -i talk.wma talk.flac"):
        read(tmp_path / "talk.wma")


def test_arrays_of_any_type_are_brought_to_one_scale():
    wanted = tone(4)
    for given in (
        (wanted * 32767).astype(np.int16),
        (wanted.astype(np.float64) * (2**31 - 1)).astype(np.int32),
        wanted,
    ):
        assert np.abs(of_array(given, 8000).samples - wanted).max() < 1e-4
    assert not of_array(np.stack([wanted, -wanted]), 8000).samples.any()
    for given, said in (
        (wanted * 32767, "divide 16-bit values"),
        (np.zeros((2, 2, 2)), "shape"),
        (np.zeros(4, bool), "bool"),
        (np.zeros(0), "no sample"),
    ):
        with pytest.raises(BadInput, match=said):
            of_array(given, 8000)
    with pytest.raises(BadInput, match="rate is 20"):
        of_array(wanted, 20)


def test_the_script_beside_a_model_hears_what_training_heard():
    for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"):
        given = encoded(np.stack([tone(1), tone(2)], axis=1), subtype=subtype)
        assert np.abs(wav.read_sound(given, 8000) - read(given, 8000).samples).max() < 1e-6
    time = np.arange(44_100) / 44_100
    given = encoded(
        sum(0.1 * np.sin(2 * np.pi * hertz * time) for hertz in (200, 700, 3000)), rate=44_100, subtype="FLOAT"
    )
    for rate in (8000, 16_000, 48_000):
        heard, trained_on = wav.read_sound(given, rate), read(given, rate).samples
        assert len(heard) == len(trained_on)
        assert np.abs(heard - trained_on)[100:-100].max() < 5e-5  # two filters, which differ where the sound is cut off
    for length in range(1, 10):
        clip = Clips(torch.arange(1.0, length + 1), *torch.tensor([[0], [length]]), None, torch.tensor([7]), 8000)
        for samples in (4, 5):
            assert (
                clip.padded(torch.tensor([0]), samples)[0][0].tolist()
                == wav.window(clip.samples.numpy(), samples).tolist()
            )
