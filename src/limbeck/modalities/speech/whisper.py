"""The encoder of a Whisper checkpoint under a linear CTC head: samples in, symbols of frames out.

What Whisper hears is thirty seconds, silence after a shorter clip. Here it hears the clip alone, and its positions are cut to the clip's length,
which is a tenth of the work for a clip of three seconds and needs some fine-tuning, as the fresh head does.

Shapes: B clips, S samples, T frames of the spectrogram, L frames of states, F bands, H channels, V symbols.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...nlp.extra import transformers

RATE = 16_000
"""Samples a second of what Whisper hears."""
N_FFT, HOP = 400, 160
SLOWER = 0.075
"""How fast the encoder learns beside its head: 1.5e-4 to 2e-3."""
_WINDOW = 512  # of our own front end at this rate: the first frame of an answer is about these samples, as there
_RANGE = 8.0  # natural powers of ten below the loudest band that are told apart


def frames_of_20_ms(samples: Any) -> Any:
    """How many frames sounds at 16 kHz of so many samples have in our encoders of 10 ms and ``stride: 2``: of a tensor, or of a number."""
    frames = (samples - _WINDOW) // HOP + 1
    frames = frames.clamp(min=1) if isinstance(frames, Tensor) else torch.sym_max(1, frames)
    return (frames + 1) // 2


class WhisperMel(nn.Module):
    """Samples (B, S) between -1 and 1 to Whisper's log-mel frames (B, F, T), as transformers' ``WhisperFeatureExtractor`` makes them.

    The Fourier transform is one convolution with cosines and sines under a Hann window, for which the samples are mirrored before the clip's
    first and silent after its last. All is held to the loudest band of the clip. Frames beyond ``lengths_B`` are zero.
    """

    def __init__(self, mels: int) -> None:
        super().__init__()
        extractor: Any = transformers.WhisperFeatureExtractor(feature_size=mels)
        angle_KN = torch.arange(N_FFT // 2 + 1)[:, None] * torch.arange(N_FFT) % N_FFT * (2 * math.pi / N_FFT)
        waves = torch.cat([angle_KN.double().cos(), angle_KN.double().sin()])
        window_N = torch.hann_window(N_FFT, dtype=torch.float64)
        self.register_buffer("waves", (waves * window_N).float()[:, None], persistent=False)
        self.register_buffer("bank", torch.from_numpy(extractor.mel_filters.T).float()[:, :, None], persistent=False)
        self.waves: Tensor
        self.bank: Tensor

    def forward(self, samples_BS: Tensor, own_BT: Tensor | None) -> Tensor:
        mirrored = samples_BS[:, 1 : N_FFT // 2 + 1].flip(1)
        padded = torch.cat([mirrored, functional.pad(samples_BS, (0, N_FFT // 2))], 1)[:, None]
        parts_BCT = functional.conv1d(padded, self.waves, stride=HOP)[:, :, :-1]
        real_BKT, imaginary_BKT = parts_BCT.split(N_FFT // 2 + 1, 1)
        log_BFT = functional.conv1d(real_BKT.square() + imaginary_BKT.square(), self.bank).clamp(min=1e-10).log10()
        if own_BT is None:
            return (torch.maximum(log_BFT, log_BFT.amax((1, 2), keepdim=True) - _RANGE) + 4) / 4
        loudest_B11 = log_BFT.masked_fill(~own_BT[:, None], -math.inf).amax((1, 2), keepdim=True)
        return (torch.maximum(log_BFT, loudest_B11 - _RANGE) + 4) / 4 * own_BT[:, None]


class WhisperCTC(nn.Module):
    """Samples (B, S) at 16 kHz, of which ``lengths_B`` are a clip's own (None: all), to logits (B, L, V), a frame every 20 ms.

    What stands beyond a clip's own samples changes nothing of its answers. Their frames are those of our encoders of 10 ms and ``stride: 2``:
    Whisper's first, whose middle is the clip's first sample, is left out. Beyond 30 s, which Whisper was made for, all frames have its last
    position.

    Args:
        encoder: transformers' ``WhisperEncoder``.
        symbols: V, the blank as class 0.
    """

    def __init__(self, encoder: Any, symbols: int) -> None:
        super().__init__()
        self.front = WhisperMel(encoder.config.num_mel_bins)
        self.encoder = encoder
        encoder.embed_positions.requires_grad_(False)  # which loading undoes
        self.paces = {"encoder": SLOWER}
        self.head = nn.Linear(encoder.config.d_model, symbols)
        nn.init.zeros_(self.head.bias)

    def forward(self, samples_BS: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        answers = self.frames_of(samples_BS.shape[1])
        own_BT = None
        if lengths_B is not None:
            lengths_B = lengths_B.to(samples_BS.device)
            samples_BS = samples_BS * (torch.arange(samples_BS.shape[1], device=samples_BS.device) < lengths_B[:, None])
        lacking = torch.sym_max(0, _WINDOW - samples_BS.shape[1])
        if not isinstance(lacking, int) or lacking:  # in a graph for any length it is no number
            samples_BS = functional.pad(samples_BS, (0, lacking))  # type: ignore[arg-type]
        if lengths_B is not None:
            frames = samples_BS.shape[1] // HOP
            own_BT = torch.arange(frames, device=samples_BS.device) < (lengths_B.clamp(min=_WINDOW) // HOP)[:, None]
        states_BLH = self._encoded(self.front(samples_BS, own_BT), own_BT)
        return self.head(states_BLH[:, 1 : 1 + answers])

    def frames_of(self, lengths_B: Any) -> Any:
        """How many frames of answers (B,) clips of so many samples have; one at least."""
        return frames_of_20_ms(lengths_B)

    def _encoded(self, mel_BFT: Tensor, own_BT: Tensor | None) -> Tensor:
        """Whisper's states (B, L, H), L half of T; transformers' own forward takes thirty seconds and nothing else."""
        encoder, mask_B11L = self.encoder, None
        maps_BHT = functional.gelu(encoder.conv1(mel_BFT))
        if own_BT is not None:
            maps_BHT = maps_BHT * own_BT[:, None]  # the second convolution then reads what it reads beyond a clip alone
            own_BL = own_BT[:, ::2]
            mask_B11L = torch.zeros(own_BL.shape, dtype=maps_BHT.dtype, device=own_BL.device)
            mask_B11L = mask_B11L.masked_fill(~own_BL, torch.finfo(maps_BHT.dtype).min)[:, None, None]
        states_BLH = functional.gelu(encoder.conv2(maps_BHT)).transpose(1, 2)
        places_L = torch.arange(states_BLH.shape[1], device=mel_BFT.device)
        table = encoder.embed_positions
        states_BLH = states_BLH + table(places_L.clamp(max=table.num_embeddings - 1))
        for layer in encoder.layers:
            states_BLH = layer(states_BLH, mask_B11L)
        return encoder.layer_norm(states_BLH)
