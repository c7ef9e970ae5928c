"""A trained model of sounds as a person calls it: samples in as they are, logits or what was said out.

Shapes: B sounds, S samples, L frames, V symbols.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import BadInput
from ...models.inference import answered, ask
from .examples import window_start
from .symbols import path_of


class Classifier(nn.Module):
    """The trained student with the window that it hears: sounds of any length in, logits out.

    ``model`` is the bare module, which takes ``samples`` of them at ``rate`` Hz; ``classes`` are their names in the order of the
    logits.
    """

    def __init__(self, model: nn.Module, classes: Sequence[str], rate: int, samples: int) -> None:
        super().__init__()
        self.model, self.classes, self.rate, self.samples = model, tuple(classes), rate, samples

    def forward(self, samples_BS: Tensor) -> Tensor:
        """Logits (B, classes) of sounds (B, S), floats in -1 to 1 or 16-bit integers, at ``rate``.

        The window is the middle of a longer sound, and a shorter one stands in the middle of it. Raises :class:`BadInput` for
        what is no such tensor, and for floats beyond -1 to 1.
        """
        return self.model(in_window(_checked(samples_BS, self.rate), self.samples))


class TranscribingModel(nn.Module):
    """The trained student that writes down what is said: sounds of any length in, logits at their frames or texts out.

    ``model`` is the bare module, which takes samples at ``rate`` Hz; ``symbols`` are those of the logits, the blank first.
    """

    def __init__(self, model: nn.Module, symbols: Sequence[str], rate: int) -> None:
        super().__init__()
        self.model, self.symbols, self.rate = model, tuple(symbols), rate

    def forward(self, samples_BS: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Logits (B, L, V) of sounds (B, S), floats in -1 to 1 or 16-bit integers, at ``rate``; ``lengths_B`` samples of each are its own.

        Raises :class:`BadInput` for what is no such tensor, and for floats beyond -1 to 1.
        """
        return answered(self.model, self._inputs(samples_BS, lengths_B))

    def transcribe(self, samples_S: Tensor) -> str:
        """What is said in one sound (S,), by the likeliest path. Raises as :meth:`forward`."""
        if not isinstance(samples_S, Tensor) or samples_S.ndim != 1:
            found = (
                f"of shape {tuple(samples_S.shape)}"
                if isinstance(samples_S, Tensor)
                else f"a {type(samples_S).__name__}"
            )
            raise BadInput(f"the sound is {found}: a torch.Tensor (samples,) is right, mono, at {self.rate} Hz.")
        (logits_LV,) = ask(self.model, self._inputs(samples_S[None], None)).float().cpu().numpy()
        return "".join(self.symbols[v] for v, _ in path_of(logits_LV)).strip()

    def _inputs(self, samples_BS: Tensor, lengths_B: Tensor | None) -> dict[str, Tensor]:
        checked_BS = _checked(samples_BS, self.rate)
        if lengths_B is None:
            lengths_B = torch.full(checked_BS.shape[:1], checked_BS.shape[1])
        return {"samples_BS": checked_BS, "lengths_B": lengths_B}


def _checked(samples_BS: Tensor, rate: int) -> Tensor:
    """Sounds (B, S) as float32 in -1 to 1. Raises :class:`BadInput` for what is no such tensor."""
    if not isinstance(samples_BS, Tensor):
        raise BadInput(
            f"the sounds are {type(samples_BS).__module__}.{type(samples_BS).__name__}: a torch.Tensor (batch, samples) is "
            "right, which torch.from_numpy makes of an array."
        )
    if samples_BS.ndim != 2 or not samples_BS.shape[1]:
        raise BadInput(
            f"the sounds have shape {tuple(samples_BS.shape)}: (batch, samples) is right, mono, at {rate} Hz."
        )
    return _as_floats(samples_BS)


def in_window(samples_BS: Tensor, samples: int) -> Tensor:
    """Sounds (B, S) in the middle of a window, (B, ``samples``), as ``Clips.padded`` puts them there."""
    before = int(window_start(torch.tensor([samples_BS.shape[1]]), samples))
    return F.pad(samples_BS, (before, samples - samples_BS.shape[1] - before))


def _as_floats(samples_BS: Tensor) -> Tensor:
    """Samples as float32 in -1 to 1. Raises :class:`BadInput` for such as are no sound's."""
    if samples_BS.dtype == torch.int16:
        return samples_BS.float() / 32768
    if not samples_BS.is_floating_point():
        raise BadInput(
            f"the sounds are {str(samples_BS.dtype)[6:]}: floats in -1 to 1, or 16-bit integers (torch.int16), are right."
        )
    if not torch.compiler.is_compiling() and samples_BS.numel():
        low, high = (float(end) for end in samples_BS.detach().aminmax())
        if not (low >= -1 and high <= 1):  # also where one is NaN
            raise BadInput(
                f"the sounds run from {low:g} to {high:g}: floats must lie in -1 to 1. Divide by 32768 what was 16-bit integers, "
                "and clip what passes 1 by a little, as a resampled sound may."
            )
    return samples_BS.float()
