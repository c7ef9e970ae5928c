"""Views: the renderings of a clip, each a pure function of (seed, clip id, view).

The same (id, view) gives the same samples, bit for bit, whatever the batch it stands in and however the store is ordered: all is
made of draws, of tables that are computed once, and of additions and multiplications sample by sample; powers are sums of
integers. CPU and GPU agree in every draw.

The knobs of :class:`.data_sections.SoundViews` act in this order. Each has its own draws, so that setting one leaves the others
as they were.

======================  ======================================================================================================
``speed: s``            played at a speed uniform in 1 - s ... 1 + s, by a windowed sinc of 8 taps; length and pitch change
``echo: t``             the time in which the room falls silent by 60 dB is uniform in 0 ... t; its response is 16 impulses of
                        random sign, one at a random place in each sixteenth of half of that time, which fall by 30 dB
                        (velvet noise: Karjalainen and Järveläinen 2007); together they have at most the power of the direct
                        sound. The clip keeps its length
``shift: t``            moved by whole samples, uniform in -t ... t, in its window; without a window it begins 0 ... t later
``noise``               cut at a uniform place from a loop of coloured noise, or of recordings, and added over the whole window
                        such that the mean power of the clip's own samples lies above the mean power of the noise by an SNR
                        uniform (in dB) between the two; a silent clip stays silent
``gain: g``             multiplied by a factor uniform (in dB) in -g ... g; nothing is cut at full scale
``time_mask: t``        ``masks`` stretches, of lengths uniform in 0 ... t and at uniform places, are silent
``frequency_mask: f``   ``masks`` bands, of widths uniform in 0 ... f of the mel scale and at uniform places, are filtered out
======================  ======================================================================================================

The two masks are SpecAugment's (Park et al. 2019, section 2), which sets parts of the log-mel spectrogram to its mean. Since the
spectrogram is computed in the model here, they act on the waveform: zeros for a stretch of time, and for a band a linear-phase
band-stop of 129 taps, which thins out rather than silences a band narrower than about a fortieth of the rate.

Shapes: B batch, S samples, N samples of all rows, K taps or impulses.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...data.draws import Draws, log_uniform
from .data_sections import Noise, SoundViews
from .examples import Clips, window_start
from .noise import loop_of

PLAIN = SoundViews()
_ONE, _PHASES, _TAPS = 1 << 16, 1 << 10, 8
_IMPULSES = 16
_HALF, _BANDS = (
    64,
    256,
)  # taps on either side of a filter's middle; places on the mel scale where a band may begin or end
_FINE = 1 << 20  # powers are sums of squares of whole numbers of these parts of full scale
_ROWS = 8  # filtered at a time, such that they stay in the processor's cache


def render(
    spec: SoundViews, seed: int, clips: Clips, index_B: Tensor, view_B: Tensor | int, samples: int | None
) -> tuple[Tensor, Tensor]:
    """The clips at positions ``index_B``, each in its view, (B, S) float32, and how many samples (B,) int64 of a row are its own.

    ``view_B`` is int64 (B,), or one view for all. ``samples`` is the window that each is put into, S; with None each begins its
    row, zeros follow it, and S is the longest's. An empty spec gives what :meth:`Clips.padded` does.
    """
    if spec == PLAIN:
        return clips.padded(index_B, samples)
    view_B = torch.as_tensor(view_B, device=index_B.device).expand(index_B.shape)
    draws = Draws(seed, clips.ids[index_B], view_B)
    sound_BS, lengths_B = _as_played(spec, clips, index_B, draws)
    if spec.echo:
        sound_BS = _in_a_room(sound_BS, lengths_B, spec.echo, clips.rate, draws)
    farthest = round(spec.shift * clips.rate)
    if samples is None:
        place_B = draws.integers("shift", farthest + 1)
        own_B = lengths_B + place_B
        sound_BS, _ = _placed(sound_BS, lengths_B, place_B, int(own_B.max()))
        heard_B = lengths_B
    else:
        place_B = window_start(lengths_B, samples) + draws.integers("shift", 2 * farthest + 1) - farthest
        sound_BS, inside_BS = _placed(sound_BS, lengths_B, place_B, samples)
        own_B = torch.full_like(lengths_B, samples)
        heard_B = inside_BS.sum(1)
    if spec.noise is not None:
        sound_BS = sound_BS + _noise(spec.noise, sound_BS, heard_B, own_B, clips.rate, draws)
    if spec.gain:
        factor_B = draws.pick("gain", log_uniform(_factor(-spec.gain), _factor(spec.gain), index_B.device))
        sound_BS = sound_BS * factor_B[:, None]
    for mask in range(spec.masks):
        if spec.time_mask:
            sound_BS = _silenced(sound_BS, own_B, round(spec.time_mask * clips.rate), f"{mask}", draws)
        if spec.frequency_mask:
            sound_BS = _without_band(sound_BS, spec.frequency_mask, clips.rate, f"{mask}", draws)
            # it rings a little beyond the end
            sound_BS = torch.where(_columns(sound_BS) < own_B[:, None], sound_BS, 0.0)
    return sound_BS, own_B if samples is None else lengths_B.clamp(max=samples)


def _as_played(spec: SoundViews, clips: Clips, index_B: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """The clips from their beginnings, (B, S), and their lengths (B,), at their speeds."""
    lengths_B = clips.lengths[index_B]
    longest = int(lengths_B.max())
    if not spec.speed:
        return clips.gathered(index_B, torch.zeros_like(lengths_B), longest), lengths_B
    most = round(spec.speed * _ONE)
    step_B = _ONE + draws.integers("speed", 2 * most + 1) - most
    played_B = ((lengths_B - 1) * _ONE) // step_B + 1
    margin = _TAPS // 2
    around_BS = clips.gathered(index_B, torch.full_like(lengths_B, margin), longest + 2 * margin)
    at_BS = torch.arange(int(played_B.max()), device=index_B.device) * step_B[:, None]
    whole_BS = (at_BS >> 16).clamp(max=longest - 1)
    phase_BS = (at_BS & (_ONE - 1)) >> 6
    weights_KP = _between_samples(1 / (1 + spec.speed), index_B.device)
    # chosen from one long row: a third of the time of gather, and of indexing by a tensor
    row_B1 = torch.arange(len(index_B), device=index_B.device)[:, None] * around_BS.shape[1]
    place_N, phase_N, around_N = (whole_BS + row_B1).flatten(), phase_BS.flatten(), around_BS.flatten()
    sound_N = torch.zeros(place_N.shape, device=index_B.device)
    for tap in range(_TAPS):
        sound_N += weights_KP[tap].index_select(0, phase_N) * around_N[tap + 1 :].index_select(0, place_N)
    sound_BS = sound_N.view(at_BS.shape)
    return torch.where(_columns(sound_BS) < played_B[:, None], sound_BS, 0.0), played_B


def _in_a_room(sound_BS: Tensor, lengths_B: Tensor, longest: float, rate: int, draws: Draws) -> Tensor:
    """With an echo, whose response is sparse."""
    half_B = draws.uniform("echo.time") * (longest * rate / 2)  # samples in which it falls by 30 dB
    level_B = draws.uniform("echo.level")
    strength = [_factor(-30 * (impulse + 0.5) / _IMPULSES) for impulse in range(_IMPULSES)]
    together = sum(one * one for one in strength) ** 0.5
    echo_BS = torch.zeros_like(sound_BS)
    column_BS = _columns(sound_BS).expand(sound_BS.shape)
    for impulse, one in enumerate(strength):
        place_B = (draws.uniform(f"echo.{impulse}") + impulse) * (half_B / _IMPULSES)
        from_BS = column_BS - place_B.long().clamp(min=1)[:, None]
        sign_B = draws.integers(f"echo.sign.{impulse}", 2) * 2 - 1
        late_BS = torch.where(from_BS >= 0, sound_BS.gather(1, from_BS.clamp(min=0)), 0.0)
        echo_BS = echo_BS + late_BS * (sign_B * (one / together))[:, None].float()
    return torch.where(column_BS < lengths_B[:, None], sound_BS + echo_BS * level_B[:, None], 0.0)


def _placed(sound_BS: Tensor, lengths_B: Tensor, place_B: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """(B, ``width``) with the first sample of each at its place, which may lie outside; and where its own samples are."""
    from_BS = torch.arange(width, device=place_B.device) - place_B[:, None]
    inside_BS = (from_BS >= 0) & (from_BS < lengths_B[:, None])
    at_BS = from_BS.clamp(min=0, max=sound_BS.shape[1] - 1)
    return torch.where(inside_BS, sound_BS.gather(1, at_BS), 0.0), inside_BS


def _noise(noise: Noise, sound_BS: Tensor, heard_B: Tensor, own_B: Tensor, rate: int, draws: Draws) -> Tensor:
    loop_P = loop_of(noise, rate, sound_BS.device)
    begins_B = draws.integers("noise.place", len(loop_P))
    column_BS = _columns(sound_BS)
    cut_BS = loop_P[(column_BS + begins_B[:, None]) % len(loop_P)]
    cut_BS = torch.where(column_BS < own_B[:, None], cut_BS, 0.0)
    ratio_B = (_power(sound_BS, heard_B) / _power(cut_BS, own_B)).sqrt()
    least, most = noise.snr
    factor_B = draws.pick("noise.snr", log_uniform(_factor(-most), _factor(-least), sound_BS.device)) * ratio_B
    added_B = (draws.uniform("noise.share") < noise.share) & factor_B.isfinite()
    return cut_BS * torch.where(added_B, factor_B, 0.0)[:, None].float()


def _power(sound_BS: Tensor, count_B: Tensor) -> Tensor:
    """The mean square (B,) float64 over ``count_B`` samples, of which no more than these differ from 0.

    Of whole numbers, whose sum does not depend on its order, and so not on how long the other rows are.
    """
    whole_BS = (sound_BS * _FINE).round().long()
    return (whole_BS * whole_BS).sum(1).double() / count_B.double() / _FINE**2


def _silenced(sound_BS: Tensor, own_B: Tensor, longest: int, mask: str, draws: Draws) -> Tensor:
    width_B = draws.integers(f"time_mask.width.{mask}", longest + 1).minimum(own_B)
    start_B = (draws.uniform(f"time_mask.place.{mask}").double() * (own_B - width_B + 1)).long()
    column_BS = _columns(sound_BS)
    masked_BS = (column_BS >= start_B[:, None]) & (column_BS < (start_B + width_B)[:, None])
    return torch.where(masked_BS, 0.0, sound_BS)


def _without_band(sound_BS: Tensor, widest: float, rate: int, mask: str, draws: Draws) -> Tensor:
    width_B = draws.uniform(f"frequency_mask.width.{mask}") * widest
    low_B = draws.uniform(f"frequency_mask.place.{mask}") * (1 - width_B)
    passes_FK = low_passes(rate, sound_BS.device)
    low_B, high_B = ((place_B * _BANDS).round().long() for place_B in (low_B, low_B + width_B))
    band_BK = passes_FK[high_B] - passes_FK[low_B]
    size = sound_BS.shape[1]
    filtered = []
    for sound, band in zip(sound_BS.split(_ROWS), band_BK.split(_ROWS)):
        around = torch.nn.functional.pad(sound, (_HALF, _HALF))
        left, both = sound - sound * band[:, :1], torch.empty_like(sound)
        for tap in range(1, _HALF + 1):
            before, after = around[:, _HALF - tap : _HALF - tap + size], around[:, _HALF + tap : _HALF + tap + size]
            torch.add(before, after, out=both)
            left.sub_(both.mul_(band[:, tap : tap + 1]))
        filtered.append(left)
    return torch.cat(filtered)


@lru_cache(maxsize=8)
def low_passes(rate: int, device: torch.device) -> Tensor:
    """Taps (257, 65) float32 of filters that pass what lies below each of 256 equal steps of the mel scale, from the middle on.

    They are symmetric. The first passes nothing and the last everything; the mel scale is HTK's.
    """
    highest = 2595 * np.log10(1 + rate / 2 / 700)
    hertz_F = 700 * (10 ** (np.linspace(0, highest, _BANDS + 1) / 2595) - 1)
    tap_K = np.arange(_HALF + 1)
    window_K = np.i0(6.0 * np.sqrt(1 - (tap_K / (_HALF + 1)) ** 2)) / np.i0(6.0)
    share_F = 2 * hertz_F[:, None] / rate
    taps_FK = share_F * np.sinc(share_F * tap_K) * window_K
    taps_FK[-1] = tap_K == 0
    return torch.from_numpy(taps_FK.astype(np.float32)).to(device)


@lru_cache(maxsize=8)
def _between_samples(cutoff: float, device: torch.device) -> Tensor:
    """Weights (8, 1024) float32 of the samples about a place between two, for each of 1,024 places: a windowed sinc.

    ``cutoff`` is the share of the band that passes, so that what a higher speed would fold back is softened.
    """
    away = np.arange(1 - _TAPS // 2, _TAPS // 2 + 1)[:, None] - np.arange(_PHASES) / _PHASES
    weights = np.sinc(cutoff * away) * np.i0(5.0 * np.sqrt(np.maximum(1 - (away / (_TAPS / 2)) ** 2, 0)))
    return torch.from_numpy((weights / weights.sum(axis=0)).astype(np.float32)).to(device)


def _columns(sound_BS: Tensor) -> Tensor:
    """The number of each column, (1, S)."""
    return torch.arange(sound_BS.shape[1], device=sound_BS.device)[None]


def _factor(decibels: float) -> float:
    """The factor of an amplitude."""
    return 10 ** (decibels / 20)
