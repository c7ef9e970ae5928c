"""Models of transformers that take samples as they are (wav2vec 2.0, HuBERT, WavLM and their like), as the data's symbols or classes want them.

Shapes: B clips, S samples, L frames, V symbols, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .whisper import SLOWER, frames_of_20_ms

_STEP = 320  # samples from one frame of theirs to the next; 20 ms at 16 kHz
_MOVED = 1e-3  # what padding may change of logits, of their largest
_PROBE = (9_000, 6_000)


class SampleCTC(nn.Module):
    """Samples (B, S) at 16 kHz, of which ``lengths_B`` are a clip's own (None: all), to logits (B, L, V).

    Where frames are 20 ms, there are as many as our encoders of 10 ms and ``stride: 2`` have. The samples beyond a clip's own change nothing: a
    model in which they would, since it normalises over all that it is given (``feat_extract_norm: group``), hears one clip at a time.

    Args:
        network: a model for CTC of transformers.
        outputs: which of its outputs stands for each of the V symbols, the blank first.
        normalise: whether a clip's mean is taken off and its deviation brought to 1 before.
    """

    def __init__(self, network: Any, outputs: Sequence[int], *, normalise: bool) -> None:
        super().__init__()
        self.network, self.normalise = network, normalise
        self.paces = {"network": SLOWER}
        self.register_buffer("outputs", torch.tensor(outputs))
        self.outputs: Tensor
        self.least = _least(network)
        self.one_by_one = self._moved_by_padding()

    def forward(self, samples_BS: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        if lengths_B is None:
            return self._heard(samples_BS, None)
        lengths_B = lengths_B.to(samples_BS.device)
        if not self.one_by_one:
            return self._heard(samples_BS, lengths_B)
        answers = int(self.frames_of(samples_BS.shape[1]))
        alone = [self._heard(one_S[None, : int(length)], None)[0] for one_S, length in zip(samples_BS, lengths_B)]
        return torch.stack([functional.pad(one_LV, (0, 0, 0, answers - len(one_LV))) for one_LV in alone])

    def frames_of(self, lengths_B: Any) -> Any:
        """How many frames of answers (B,) clips of so many samples have; one at least."""
        if self.network.config.inputs_to_logits_ratio == _STEP:
            return frames_of_20_ms(lengths_B)
        lengths_B = (
            lengths_B.clamp(min=self.least) if isinstance(lengths_B, Tensor) else torch.sym_max(self.least, lengths_B)
        )
        return self.network._get_feat_extract_output_lengths(lengths_B)

    def _heard(self, samples_BS: Tensor, lengths_B: Tensor | None) -> Tensor:
        answers = self.frames_of(samples_BS.shape[1])
        own_BS = None if lengths_B is None else _own(samples_BS, lengths_B)
        samples_BS = (
            normalised(samples_BS, own_BS) if self.normalise else samples_BS if own_BS is None else samples_BS * own_BS
        )
        samples_BS = _at_least(samples_BS, self.least)
        mask = None if lengths_B is None else _own(samples_BS, lengths_B.clamp(min=self.least)).long()
        return self.network(samples_BS, attention_mask=mask).logits[:, :answers, self.outputs]

    @torch.no_grad()
    def _moved_by_padding(self) -> bool:
        self.network.eval()
        long, short = _PROBE
        samples_1S = torch.linspace(0, 60, long).sin().square()[None] - 0.4
        lengths_B = torch.tensor([long, short])
        together_LV = self._heard(samples_1S.expand(2, -1), lengths_B)[1]
        alone_LV = self._heard(samples_1S[:, :short], None)[0]
        return bool((together_LV[: len(alone_LV)] - alone_LV).abs().max() > _MOVED * alone_LV.abs().max())


class SampleClassifier(nn.Module):
    """Samples (B, S), all of which are a clip's, to logits (B, C).

    Args:
        network: a classifier of sounds of transformers.
        outputs: which of its outputs stands for each of the C classes.
        normalise: whether a clip's mean is taken off and its deviation brought to 1 before.
        fresh: whether its head was not trained before.
    """

    def __init__(self, network: Any, outputs: Sequence[int], *, normalise: bool, fresh: bool) -> None:
        super().__init__()
        self.network, self.normalise = network, normalise
        self.paces = {f"network.{network.base_model_prefix}" if fresh else "network": SLOWER}
        self.register_buffer("outputs", torch.tensor(outputs))
        self.outputs: Tensor
        self.least = _least(network)

    def forward(self, samples_BS: Tensor) -> Tensor:
        samples_BS = normalised(samples_BS, None) if self.normalise else samples_BS
        return self.network(_at_least(samples_BS, self.least)).logits[:, self.outputs]


def normalised(samples_BS: Tensor, own_BS: Tensor | None) -> Tensor:
    """Clips without their mean, of deviation 1, and zeros beyond them, as ``Wav2Vec2FeatureExtractor`` gives them."""
    if own_BS is None:
        own_BS = torch.ones_like(samples_BS, dtype=torch.bool)
    count_B1 = own_BS.sum(1, keepdim=True)
    centred_BS = (samples_BS - (samples_BS * own_BS).sum(1, keepdim=True) / count_B1) * own_BS
    return centred_BS / (centred_BS.square().sum(1, keepdim=True) / count_B1 + 1e-7).sqrt()


def _own(samples_BS: Tensor, lengths_B: Tensor) -> Tensor:
    return torch.arange(samples_BS.shape[1], device=samples_BS.device) < lengths_B[:, None]


def _at_least(samples_BS: Tensor, least: int) -> Tensor:
    lacking = torch.sym_max(0, least - samples_BS.shape[1])
    if not isinstance(lacking, int) or lacking:  # in a graph for any length it is no number
        samples_BS = functional.pad(samples_BS, (0, lacking))  # type: ignore[arg-type]
    return samples_BS


def _least(network: Any) -> int:
    """Samples of one frame."""
    least = 1
    for kernel, stride in zip(reversed(network.config.conv_kernel), reversed(network.config.conv_stride)):
        least = (least - 1) * stride + kernel
    return least
