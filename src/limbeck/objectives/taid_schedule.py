"""How far TAID's target has moved from the student to the teacher."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TAIDSchedule(nn.Module):
    """The t of :func:`limbeck.objectives.functional.taid`: linear in the progress, or faster while the loss falls.

    Shing et al. 2025, "TAID: Temporally Adaptive Interpolated Distillation", section 3.2. After every step, with r the
    progress through the run and L the loss::

        m <- momentum m + (1 - momentum) (L_before - L) / L_before
        t <- min(t1, max(t0 + (t1 - t0) r, t + alpha sigmoid(m) (1 - t)))

    At the first update there is no L_before, so t follows the progress alone. The authors' loss is the cross-entropy
    with the target; with the KL, which is less by the target's entropy, the relative change is larger, but it hardly
    shows through the sigmoid and so small an alpha.

    The state is three buffers, so it moves, is saved and is loaded with the module; nothing waits for an accelerator.

    Args:
        t0: t at the start, in [0, 1].
        t1: t at the end, in [t0, 1].
        alpha: rate of the adaptive part, in [0, 1].
        momentum: of the loss's relative change, in [0, 1).

    Attributes:
        t: scalar tensor, the teacher's share now. Updated in place.
        trend: scalar tensor, m.
        previous: scalar tensor, L_before; NaN before the first update.

    Raises:
        ValueError: an argument is out of its range.
    """

    t: Tensor
    trend: Tensor
    previous: Tensor

    def __init__(self, t0: float = 0.4, t1: float = 1.0, alpha: float = 5e-4, momentum: float = 0.99) -> None:
        super().__init__()
        if not 0 <= t0 <= t1 <= 1:  # NaN is refused too, here and below
            raise ValueError(f"t0 and t1 must lie between 0 and 1, t1 not below t0; not {t0} and {t1}")
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and less than 1, not {momentum}")
        self.t0, self.t1, self.alpha, self.momentum = t0, t1, alpha, momentum
        self.register_buffer("t", torch.tensor(t0, dtype=torch.float32))
        self.register_buffer("trend", torch.tensor(0.0, dtype=torch.float32))
        self.register_buffer("previous", torch.tensor(torch.nan, dtype=torch.float32))

    @torch.no_grad()
    def update(self, loss: Tensor | float, progress_share: float) -> None:
        """Moves t on after a step.

        A loss that is not finite, or one that follows a loss of 0, says nothing of the relative change: t then follows
        the progress alone. A loss that is not finite is not kept as L_before either.

        Args:
            loss: scalar, the step's.
            progress_share: steps behind us over all steps, in [0, 1].

        Raises:
            ValueError: the share is not in [0, 1].
        """
        if not 0 <= progress_share <= 1:  # NaN is refused too
            raise ValueError(f"progress_share must lie between 0 and 1, not {progress_share}")
        loss = torch.as_tensor(loss, dtype=self.t.dtype, device=self.t.device)
        change = (self.previous - loss) / self.previous
        known = change.isfinite()
        self.trend.copy_(torch.where(known, torch.lerp(change, self.trend, self.momentum), self.trend))
        moved = torch.where(known, self.t + self.alpha * self.trend.sigmoid() * (1 - self.t), self.t)
        self.t.copy_(moved.clamp(self.t0 + (self.t1 - self.t0) * progress_share, self.t1))
        self.previous.copy_(torch.where(loss.isfinite(), loss, self.previous))

    def extra_repr(self) -> str:
        return f"t0={self.t0}, t1={self.t1}, alpha={self.alpha}, momentum={self.momentum}"
